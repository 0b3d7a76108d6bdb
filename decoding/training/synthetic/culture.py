"""Domains of music, games, books and school."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.slots import choice, flag, number, numbers, text, texts, whole
from decoding.training.synthetic.words import (
    CITIES,
    CODE,
    COUNTRIES,
    EVENTS,
    FIGURES,
    FIRST_NAMES,
    FULL_NAME,
    GENRES,
    INSTRUMENTS,
    LANGUAGES,
    SUBJECTS,
    TITLE,
    a_date,
    a_time,
    by_comma,
    one_of,
    with_the,
)

_CITY = text("city|location|place", one_of(CITIES), "in {}", "City")
_DATE = text("date|day", a_date, "on {}", "Date as YYYY-MM-DD")
_TIME = text("time|at", a_time, "at {}", "Time as HH:MM")
_LIMIT = whole("limit|max_results|count", 3, 40, "(no more than {})", "How many at most")
_YEAR = whole("year|season_year", 1950, 2025, "in the year {}|in {}", "Year")
MUSIC = Domain(
    "music",
    (
        act(
            "play queue start",
            "song track piece",
            "Play a song",
            "play a song|put on some music|start the song",
            (text("title|song|track", TITLE, 'called "{}"', "Title"),),
            (
                text("artist|performer", FULL_NAME, "by {}", "Artist"),
                whole("volume", 5, 95, "at volume {}", "0 to 100"),
                flag("repeat|loop", "again and again", "only once", "Repeat"),
            ),
        ),
        act(
            "create build generate",
            "playlist mixtape song_list",
            "Make a playlist",
            "make a playlist|put together some music",
            (
                text("genre|style", one_of(GENRES), "of {}", "Genre"),
                whole("num_songs|length", 5, 60, "with {} songs", "Number of songs"),
            ),
            (
                choice("mood", "calm happy sad energetic", "in a {} mood", "Mood"),
                text("name|title", TITLE, 'named "{}"', "Name of the list"),
                whole("decade", 1950, 2020, "from around {}", "Decade"),
            ),
        ),
        act(
            "find book",
            "concerts music_lessons live_shows",
            "Concerts and lessons",
            "where can I hear or learn music|find a concert or lesson",
            (text("instrument", one_of(INSTRUMENTS), "for the {}", "Instrument"), _CITY),
            (_DATE, whole("max_price", 10, 150, "for up to {} euros", "Highest price")),
        ),
    ),
    (text("title", TITLE, "", ""), text("artist", FULL_NAME, "", "")),
)
GAMES = Domain(
    "games",
    (
        act(
            "roll draw generate",
            "dice cards random_numbers",
            "Chance in a game",
            "I need chance for a game|let us play:",
            (
                whole("count|how_many", 1, 9, "with {} at once", "How many"),
                whole("sides|max_value", 4, 100, "going up to {}", "Highest value"),
            ),
            (whole("seed", 1, 9999, "from seed {}", "Seed of the generator"),),
        ),
        act(
            "create add save",
            "character player_profile game_hero",
            "Make a character of a game",
            "create a character|make a hero for the game",
            (
                text("name|hero_name", one_of(FIRST_NAMES), "named {}", "Name"),
                choice("class|role", "wizard knight archer thief healer", "as a {}", "Class"),
            ),
            (
                whole("level|start_level", 1, 60, "at level {}", "Level"),
                texts(
                    "items|equipment",
                    one_of(by_comma("sword,shield,bow,lantern,rope,potion,map,cloak")),
                    "carrying {}",
                    "What the character carries",
                ),
            ),
        ),
        act(
            "get list",
            "leaderboard high_scores game_stats",
            "Scores of a game",
            "who leads in the game|show the scores",
            (text("game|game_title", TITLE, 'in "{}"', "Game"),),
            (_LIMIT, choice("platform", "pc console mobile", "on {}", "Platform")),
        ),
    ),
    (whole("score", 10, 9000, "", ""), text("player", one_of(FIRST_NAMES), "", "")),
)
HISTORY = Domain(
    "history",
    (
        act(
            "get find lookup",
            "historical_event event_details timeline",
            "A historical event",
            "tell me the history|when and why did it happen, I mean the event",
            (text("event|event_name", with_the(EVENTS), "of {}", "Event"),),
            (
                text("country|region", one_of(COUNTRIES), "from the view of {}", "Country"),
                choice("detail|depth", "brief normal full", "in {} detail", "How much"),
            ),
        ),
        act(
            "get find",
            "biography historical_figure ruler",
            "A person of history",
            "who was this person|give me the life",
            (text("name|person|figure", one_of(FIGURES), "of {}", "Person"),),
            (
                whole("year", 1200, 1950, "around {}", "Year"),
                texts("aspects", one_of(by_comma("family,work,travels,death")), "with {}", "What"),
            ),
        ),
        act(
            "list search",
            "museum_exhibits artworks archive_records",
            "Objects of the past",
            "search the museum|which old objects are there",
            (_CITY, whole("from_year|year_from", 1100, 1600, "from {}", "First year")),
            (whole("to_year|year_to", 1610, 1990, "to {}", "Last year"), _LIMIT),
        ),
    ),
    (whole("year", 1100, 1990, "", ""), text("place", one_of(CITIES), "", "")),
)
EDUCATION = Domain(
    "education",
    (
        act(
            "enroll register sign_up",
            "student course_participant learner",
            "Register for a course",
            "register for a course|sign somebody up for a course",
            (
                text("student|name|student_name", FULL_NAME, "for {}", "Student"),
                text("course|subject", one_of(SUBJECTS), "in {}", "Course"),
            ),
            (
                choice("term|semester", "spring summer autumn winter", "in the {} term", "Term"),
                text("student_id", CODE, "with the number {}", "Number of the student"),
                flag("online", "online", "on campus", "Is it online"),
            ),
        ),
        act(
            "grade calculate record",
            "exam grades final_grade",
            "Grades of a student",
            "enter the grades|work out the grade",
            (
                text("student", FULL_NAME, "of {}", "Student"),
                numbers("scores|grades|points", 30, 100, "with the scores {}", "Scores"),
            ),
            (text("subject", one_of(SUBJECTS), "in {}", "Subject"),),
        ),
        act(
            "create generate",
            "quiz flashcards worksheet",
            "Material to learn with",
            "make a quiz|I need material to learn",
            (
                text("topic|subject", one_of(SUBJECTS), "on {}", "Topic"),
                whole("num_questions|size", 3, 40, "with {} questions", "How many"),
            ),
            (
                choice("difficulty|level", "easy medium hard", "at a {} level", "Difficulty"),
                text("language", one_of(LANGUAGES), "in {}", "Language"),
            ),
        ),
    ),
    (text("student", FULL_NAME, "", ""), number("grade", 1, 100, "", "")),
)
LIBRARY = Domain(
    "library",
    (
        act(
            "search find lookup",
            "books catalogue_books novels",
            "Books in the library",
            "find a book|is there a book|search the shelves",
            (text("title|book_title", TITLE, 'with the title "{}"', "Title"),),
            (
                text("author|writer", FULL_NAME, "by {}", "Author"),
                _YEAR,
                text("language", one_of(LANGUAGES), "in {}", "Language"),
                flag("available_only", "that I can have now", "lent or not", "Not lent out"),
            ),
        ),
        act(
            "borrow renew reserve",
            "book library_loan copy",
            "Borrow a book",
            "borrow a book|keep the book for me",
            (
                text("title|book", TITLE, '"{}"', "Title"),
                text("card|member_id", CODE, "on my card {}", "Library card"),
            ),
            (whole("weeks|loan_weeks", 1, 8, "for {} weeks", "Weeks"),),
        ),
    ),
    (text("title", TITLE, "", ""), text("due", a_date, "", "")),
)
MOVIES = Domain(
    "movies",
    (
        act(
            "search find recommend",
            "movies films tv_shows",
            "Films to watch",
            "recommend a film|what can we watch|find a movie",
            (
                choice(
                    "genre|category",
                    "comedy drama thriller horror animation documentary romance",
                    "of the genre {}",
                    "Genre",
                ),
            ),
            (
                _YEAR,
                text("director", FULL_NAME, "directed by {}", "Director"),
                number("min_rating|rating", 4, 9, "rated {} or more", "Lowest rating"),
                text("language", one_of(LANGUAGES), "in {}", "Language"),
                _LIMIT,
            ),
        ),
        act(
            "buy book",
            "cinema_tickets movie_tickets theatre_seats",
            "Seats in the cinema",
            "get us seats|buy tickets for the cinema",
            (
                text("movie|film|title", TITLE, 'for "{}"', "Film"),
                whole("tickets|seats", 1, 9, "({} seats)", "Number of seats"),
            ),
            (_DATE, _TIME, _CITY, choice("row", "front middle back", "in the {} row", "Where")),
        ),
    ),
    (text("title", TITLE, "", ""), number("rating", 4, 9, "", "")),
)

CULTURE = (
    MUSIC,
    GAMES,
    HISTORY,
    EDUCATION,
    LIBRARY,
    MOVIES,
)
