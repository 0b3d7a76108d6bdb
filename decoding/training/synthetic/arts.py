"""Domains of pictures, books and music, asked in whole sentences with names in them."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import worded
from decoding.training.synthetic.slots import DETAIL, LIMIT, YEAR, choice, number, text, whole
from decoding.training.synthetic.words import (
    AUTHORS,
    CITIES,
    COMPOSERS,
    GENRES,
    INSTRUMENTS,
    LANGUAGES,
    MUSEUMS,
    PAINTERS,
    TITLE,
    TOWN,
    a_date,
    by_comma,
    one_of,
    with_the,
)

ART = Domain(
    "art",
    (
        act(
            "get find lookup",
            "painting_info artwork_details sculpture_info",
            "Get information about a work of art by its title and artist",
            "tell me about the work|look up the painting",
            (
                text("title|artwork|painting", TITLE, 'called "{}"', "Title of the work"),
                text("artist|painter|creator", one_of(PAINTERS), "by {}", "Name of the artist"),
            ),
            (YEAR, DETAIL, text("museum", with_the(MUSEUMS), "in {}", "Where it hangs")),
            "When did {1} paint {0}?|Who owns the picture {0} by {1}?|How large is {0} of the "
            "painter {1}?|What can you tell me about {1}'s work {0}?",
        ),
        act(
            "find search list",
            "exhibitions museum_shows art_events",
            "Exhibitions of a museum",
            "what is on at the museum|find an exhibition",
            (
                text("museum|venue|museum_name", with_the(MUSEUMS), "at {}", "Name of the museum"),
                text("date|day", a_date, "on {}", "Day as YYYY-MM-DD"),
            ),
            (
                text("artist", one_of(PAINTERS), "with works by {}", "Artist"),
                worded(
                    "price|fee", "free=free of charge/at no cost,paid=with a ticket", "{}", "Fee"
                ),
            ),
            "What is shown at {0} on {1}?|Which exhibitions can I see on {1} in {0}?|"
            "I plan to visit {0} on {1}. What is there to see?",
        ),
        act(
            "get check",
            "museum_hours opening_times museum_ticket_price",
            "When a museum is open and what it costs",
            "when is it open|check the museum",
            (
                text("museum|name|museum_name", with_the(MUSEUMS), "for {}", "Name of the museum"),
                choice(
                    "day|weekday",
                    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
                    "on a {}",
                    "Day of the week",
                ),
            ),
            (text("city", one_of(CITIES), "in {}", "City"), whole("age", 4, 80, "aged {}", "Age")),
            "When does {0} open on {1}s?|Is {0} open on {1}?|What does a ticket for {0} cost on "
            "a {1}?",
        ),
        act(
            "compare contrast",
            "artists painters styles_of_painters",
            "Compare two artists",
            "compare them|what is the difference between them",
            (
                text("artist1|first_artist|artist_a", one_of(PAINTERS), "between {}", "The first"),
                text("artist2|second_artist|artist_b", one_of(PAINTERS), "and {}", "The second"),
            ),
            (choice("aspect", "style colour technique life", "by their {}", "In what"),),
            "How does {0} differ from {1}?|Compare {0} with {1}.|Who influenced whom: {0} or {1}?",
        ),
    ),
    (text("title", TITLE, "", ""), whole("year", 1400, 1990, "", "")),
)
LITERATURE = Domain(
    "literature",
    (
        act(
            "get find",
            "book_author novel_info book_summary",
            "Information about a book",
            "tell me about the book|find the novel",
            (text("title|book|book_title", TITLE, 'named "{}"', "Title of the book"),),
            (
                text("author", one_of(AUTHORS), "by {}", "Author"),
                text("language", one_of(LANGUAGES), "in {}", "Language"),
                whole("chapter", 1, 40, "from chapter {}", "Number of a chapter"),
            ),
            "Who wrote {0}?|What is {0} about?|I look for a summary of the novel {0}.|"
            "In which year did the book {0} appear?",
        ),
        act(
            "list get",
            "works_of_author bibliography author_books",
            "Books of an author",
            "what did the author write|list the books",
            (text("author|author_name|writer", one_of(AUTHORS), "by {}", "Name of the author"),),
            (
                choice("kind|genre", "novel poem play essay", "of the kind {}", "Kind of text"),
                whole("from_year|after", 1850, 1930, "from {}", "First year"),
                whole("to_year|before", 1931, 2020, "until {}", "Last year"),
                LIMIT,
            ),
            "Which books did {0} write?|What should I read by {0}?|List the works of the writer "
            "{0}.|Name everything that {0} published.",
        ),
        act(
            "get check",
            "literary_prize award_winner book_prize",
            "Who won a prize in a year",
            "who won the prize|look up the award",
            (
                text(
                    "prize|award",
                    with_the(
                        by_comma(
                            "Booker Prize,Nobel Prize in Literature,"
                            "Pulitzer Prize,Hugo Award,Costa Book Award"
                        )
                    ),
                    "of {}",
                    "Name of the prize",
                ),
                whole("year", 1970, 2024, "in {}", "Year"),
            ),
            (choice("category", "fiction poetry history", "for {}", "Category"),),
            "Who won {0} in {1}?|Which author got {0} in the year {1}?|Was {0} awarded in {1}?",
        ),
    ),
    (text("title", TITLE, "", ""), text("author", one_of(AUTHORS), "", "")),
)
CONCERTS = Domain(
    "concerts",
    (
        act(
            "find search list",
            "concerts live_music gigs",
            "Find concerts of an artist or a genre in a city",
            "find a concert|what can I hear",
            (
                text("city|location", TOWN, "in {}", "City and state, as Austin, TX"),
                choice("genre|style", "jazz rock pop folk classical blues", "for {}", "Genre"),
            ),
            (
                text("date|day", a_date, "on {}", "Day as YYYY-MM-DD"),
                whole("max_price|budget", 10, 150, "for up to {} dollars", "Highest price"),
                whole("tickets|seats", 2, 8, "({} tickets)", "Number of tickets"),
            ),
            "Is there any {1} to hear in {0}?|I love {1} and I am in {0}. Where can I go?|Find "
            "{1} concerts near {0}.|What {1} shows are there in {0}?",
        ),
        act(
            "get find identify",
            "composer_of_piece piece_info composition",
            "Facts on a piece of music and its composer",
            "who composed it|find the piece",
            (
                text("composer", one_of(COMPOSERS), "by {}", "Composer"),
                text("instrument", with_the(INSTRUMENTS), "for {}", "Instrument"),
            ),
            (choice("key", "C D E F G A B", "in {}", "Key"), YEAR),
            "What did {0} write for {1}?|Which pieces for {1} are by {0}?|I play {1}. What of {0} "
            "is there for me?",
        ),
        act(
            "get create",
            "chord_progression scale chords_in_key",
            "Chords or notes of a key",
            "which chords are in it|give me the notes",
            (
                choice("key|root|tonic", "C D E F G A B", "in {}", "Root note"),
                choice("scale|mode|scale_type", "major minor dorian blues", "{}", "Kind of scale"),
            ),
            (
                whole("length|num_chords", 2, 8, "of {} chords", "How many chords"),
                whole("octave", 1, 7, "in octave {}", "Octave"),
                text("genre", one_of(GENRES), "as in {}", "Genre"),
            ),
            "Which notes are in {0} {1}?|Give me chords in {0} {1}.|I improvise in {0} {1}, what "
            "can I play?",
        ),
    ),
    (text("title", TITLE, "", ""), number("price", 9, 90, "", "", 2)),
)

ARTS = (ART, LITERATURE, CONCERTS)
