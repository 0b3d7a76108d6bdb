"""Domains that are asked for facts, in whole sentences with names in them."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import amount, distance, worded
from decoding.training.synthetic.slots import choice, flag, number, text, texts, whole
from decoding.training.synthetic.words import (
    ANIMALS,
    AUTHORS,
    CITIES,
    COMPANY,
    COMPOSERS,
    COUNTRIES,
    EVENTS,
    FIGURES,
    FULL_NAME,
    GENRES,
    INSTRUMENTS,
    LANGUAGES,
    LONG_TOWN,
    MOUNTAINS,
    MUSEUMS,
    PAINTERS,
    PLANTS,
    RIVERS,
    SPORTS,
    STATES,
    TEAM,
    TITLE,
    TOWN,
    a_date,
    by_comma,
    one_of,
    with_the,
)

_YEAR = whole("year|season_year", 1950, 2025, "in {}|in the year {}", "Year")
_LIMIT = whole("limit|top|max_results", 2, 20, "(at most {})|showing {}", "How many at most")
_DETAIL = flag("detailed|include_details", "with the details", "without details", "Details")
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
            (_YEAR, _DETAIL, text("museum", with_the(MUSEUMS), "in {}", "Where it hangs")),
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
                _LIMIT,
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
GEOGRAPHY = Domain(
    "geography",
    (
        act(
            "get find measure",
            "distance_between_cities travel_distance city_distance",
            "Distance between two cities",
            "how far is it|measure the way",
            (
                text("start|from_city|city1|origin", one_of(CITIES), "from {}", "First city"),
                text("end|to_city|city2|destination", one_of(CITIES), "to {}", "Second city"),
            ),
            (
                worded("unit|units", "km=kilometres,mi=miles", "in {}", "Unit of the distance"),
                choice("by|mode", "air road rail", "by {}", "How one goes"),
            ),
            "How far is {1} from {0}?|What is the distance between {0} and {1}?|How many "
            "kilometres is it from {0} to {1}?|I live in {0} and go to {1}. How long is the way?",
        ),
        act(
            "get lookup",
            "river_length river_info longest_rivers",
            "Facts on a river",
            "how long is the river|look up the river",
            (text("river|river_name|name", with_the(RIVERS), "of {}", "Name of the river"),),
            (text("country", one_of(COUNTRIES), "within {}", "Country"), _DETAIL),
            "How long is {0}?|Where does {0} begin?|Through which countries does {0} flow?",
        ),
        act(
            "get find",
            "mountain_height peak_elevation summit_info",
            "Facts on a mountain",
            "how high is the mountain|find the mountain",
            (text("mountain|peak|name", one_of(MOUNTAINS), "of {}", "Name of the mountain"),),
            (worded("unit", "m=metres,ft=feet", "in {}", "Unit of the height"),),
            "How high is {0}?|When was {0} first climbed?|What is the elevation of {0}?",
        ),
        act(
            "get count",
            "population_of_country country_population inhabitants",
            "How many people live in a country",
            "how many people live there|count the people",
            (
                text("country|country_name", one_of(COUNTRIES), "of {}", "Name of the country"),
                whole("year", 1950, 2024, "in {}", "Year"),
            ),
            (choice("group|sex", "all men women children", "counting {}", "Who is counted"),),
            "How many people lived in {0} in {1}?|What was the population of {0} in the year "
            "{1}?|In {1}, how large was the population of {0}?",
        ),
        act(
            "get list find",
            "capital_city neighbouring_countries country_languages",
            "Capital, neighbours and languages of a country",
            "tell me about the country|look at the country",
            (text("country|name", one_of(COUNTRIES), "for {}", "Country"),),
            (_LIMIT, text("language", one_of(LANGUAGES), "answered in {}", "Of the answer")),
            "What is the capital of {0}?|Which countries border {0}?|Which languages are spoken in "
            "{0}?",
        ),
    ),
    (whole("population", 10000, 900000, "", ""), text("capital", one_of(CITIES), "", "")),
)
PAST = Domain(
    "past",
    (
        act(
            "get find",
            "event_date date_of_event event_year",
            "When something happened",
            "when was it|find the date",
            (text("event|event_name", with_the(EVENTS), "of {}", "Name of the event"),),
            (
                text("place|location", one_of(COUNTRIES), "in {}", "Where"),
                choice("format", "year date century", "as a {}", "How the date is given"),
            ),
            "When did {0} take place?|In which year was {0}?|What is the date of {0}?",
        ),
        act(
            "get list",
            "life_of_person birth_place achievements",
            "Facts on a person of the past",
            "who was it|tell me of the life",
            (text("person|name|figure", one_of(FIGURES), "of {}", "Name of the person"),),
            (texts("topics", one_of(by_comma("birth,death,family,work,travels")), "({})", "What"),),
            "Where was {0} born?|What is {0} known for?|Which discoveries do we owe to {0}?|"
            "How old did {0} become?",
        ),
        act(
            "get find",
            "ruler_of_country president_in_year head_of_state",
            "Who ruled a country in a year",
            "who ruled|find the head of state",
            (
                text("country|nation", one_of(COUNTRIES), "of {}", "Country"),
                whole("year", 1800, 2020, "in {}", "Year"),
            ),
            (flag("full_name", "with the full name", "by surname alone", "Give the full name"),),
            "Who ruled {0} in {1}?|Who was the head of {0} in the year {1}?|Which government did "
            "{0} have in {1}?",
        ),
    ),
    (whole("year", 1100, 1990, "", ""), text("place", one_of(CITIES), "", "")),
)
ATHLETICS = Domain(
    "sports_facts",
    (
        act(
            "get find fetch",
            "player_stats player_record athlete_profile",
            "Statistics of a player",
            "how did the player do|get the numbers of the player",
            (text("player|player_name|name", FULL_NAME, "for {}", "Full name of the player"),),
            (
                text(
                    "team|club",
                    with_the([f"{city} Lions" for city in CITIES[:60]]),
                    "with {}",
                    "Team",
                ),
                whole("season|year", 1990, 2025, "in the season {}", "Season by its first year"),
                text("sport", one_of(SPORTS), "in {}", "Sport"),
            ),
            "How many goals did {0} score?|What is the record of {0}?|Show me how {0} played.|"
            "I am a fan of {0}. What are the statistics?|Did {0} play well?",
        ),
        act(
            "compare get",
            "two_players player_comparison head_to_head",
            "Compare two players",
            "who of the two is better|compare the players",
            (
                text("player1|first_player|player_a", FULL_NAME, "between {}", "First player"),
                text("player2|second_player|player_b", FULL_NAME, "and {}", "Second player"),
            ),
            (choice("statistic|by", "goals points assists titles", "by {}", "What is compared"),),
            "Who is better, {0} or {1}?|How often has {0} won against {1}?|Compare {0} to {1}.|"
            "Put the numbers of {0} and {1} side by side.",
        ),
        act(
            "get find",
            "match_result game_score final_score",
            "Result of a match between two teams",
            "how did it end|get the result",
            (
                text("home_team|team1|team_a", TEAM, "for the {}", "Team at home"),
                text("away_team|team2|team_b|opponent", TEAM, "against the {}", "Guests"),
            ),
            (
                text("date|match_date", a_date, "on {}", "Day as YYYY-MM-DD"),
                whole("round", 1, 38, "in round {}", "Round of the league"),
            ),
            "How did the {0} play against the {1}?|Who won when the {0} hosted the {1}?|"
            "What was the score of the {0} versus the {1}?|Did the {1} beat the {0} away?",
        ),
        act(
            "get list show",
            "league_standings league_table ranking",
            "Standings of a league",
            "who leads|show the table",
            (
                text(
                    "league|league_name",
                    with_the(
                        by_comma(
                            "Northern League,Premier Division,"
                            "Coast Cup,National League,City Series,Winter League"
                        )
                    ),
                    "of {}",
                    "League",
                ),
                whole("season|year", 1995, 2025, "in {}", "Year"),
            ),
            (_LIMIT, worded("group|division", "men=for men,women=for women", "{}", "Who plays")),
            "Who was first in {0} in {1}?|How did {0} of {1} end?|What were the standings of {0} "
            "in {1}?",
        ),
    ),
    (whole("score", 0, 90, "", ""), text("team", TEAM, "", "")),
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
            (choice("key", "C D E F G A B", "in {}", "Key"), _YEAR),
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
COURTS = Domain(
    "court",
    (
        act(
            "search find get",
            "court_case lawsuit_details case_summary",
            "A case by the names of its parties",
            "find the case|look up the lawsuit",
            (
                text("plaintiff|claimant", FULL_NAME, "of {}", "Who sued"),
                text("defendant|respondent", COMPANY, "against {}", "Who was sued"),
            ),
            (
                whole("year|filing_year", 1980, 2025, "filed in {}", "Year"),
                text("state|jurisdiction", one_of(STATES), "in {}", "State"),
                _DETAIL,
            ),
            "What became of the case {0} v. {1}?|Did {0} win against {1}?|Find the lawsuit of "
            "{0} against {1}.|Why was {1} sued by {0}?",
        ),
        act(
            "find recommend search",
            "lawyer attorney law_firm",
            "A lawyer for a field of law in a city",
            "I need a lawyer|find somebody for my case",
            (
                worded(
                    "specialty|field|area",
                    "family=divorce/family law,criminal=criminal law,tax=tax law,"
                    "labor=labour law/my dismissal,property=property law",
                    "for {}",
                    "Field of law",
                ),
                text("city|location", LONG_TOWN, "in {}", "City and state, in full"),
            ),
            (
                whole("max_fee|hourly_rate", 80, 600, "for at most {} an hour", "Fee"),
                whole("experience|min_years", 2, 30, "with {} years of experience", "Years"),
            ),
            "Who can help me with {0} in {1}?|I look for an attorney for {0} near {1}.|"
            "Find a lawyer in {1} for {0}.",
        ),
        act(
            "get lookup check",
            "law_text penalty statute",
            "What a law says in a state",
            "what does the law say|look up the penalty",
            (
                text(
                    "offence|crime|subject",
                    one_of(
                        by_comma(
                            "speeding,theft,fraud,trespassing,"
                            "tax evasion,vandalism,littering,forgery,perjury"
                        )
                    ),
                    "for {}",
                    "What it is on",
                ),
                text("state|place", one_of(STATES), "in {}", "State"),
            ),
            (whole("year", 1980, 2025, "as of {}", "Year of the law"),),
            "What is the penalty for {0} in {1}?|How is {0} punished in {1}?|What does {1} say "
            "about {0}?",
        ),
    ),
    (text("judge", FULL_NAME, "", ""), text("date", a_date, "", "")),
)
NATURE = Domain(
    "nature",
    (
        act(
            "get find",
            "animal_lifespan animal_speed animal_diet",
            "Facts on an animal",
            "tell me about the animal|find facts",
            (text("animal|species|name", with_the(ANIMALS), "on {}", "Name of the animal"),),
            (
                choice("sex|gender", "male female", "if it is {}", "Male or female"),
                text(
                    "habitat",
                    one_of(by_comma("desert,forest,sea,river,savanna")),
                    "in the {}",
                    "Where",
                ),
            ),
            "How old does {0} get?|What does {0} eat?|How fast is {0}?|Where does {0} sleep?",
        ),
        act(
            "identify get",
            "plant_care plant_type tree_info",
            "How a plant grows",
            "how does it grow|what does the plant need",
            (text("plant|plant_name|species", with_the(PLANTS), "for {}", "Name of the plant"),),
            (
                worded(
                    "light|exposure",
                    "full=full sun,partial=half shade,none=shade",
                    "in {}",
                    "Light",
                ),
                number("height|height_m", 0.2, 9, "that is {} m high", "Height in m"),
            ),
            "How much water does {0} need?|Why does {0} lose its leaves?|When does {0} flower?",
        ),
        act(
            "get list",
            "earthquakes volcano_activity seismic_events",
            "Earthquakes near a place",
            "did the earth shake|list the earthquakes",
            (
                text("region|country|place", one_of(COUNTRIES), "in {}", "Where"),
                number("min_magnitude|magnitude", 2, 8, "of magnitude {} and more", "At least"),
            ),
            (
                text("since|start_date", a_date, "since {}", "First day, YYYY-MM-DD"),
                distance("radius", "within {}", "Radius", "kilometre"),
                amount("min_affected", 1000, 900000, "that hit {} people", "People"),
            ),
            "Were there earthquakes above {1} in {0}?|How often does the earth shake with {1} or "
            "more in {0}?|List what happened in {0} from a magnitude of {1}.",
        ),
    ),
    (number("value", 1, 90, "", "", 1),),
)

FACTS = (
    ART,
    LITERATURE,
    GEOGRAPHY,
    PAST,
    ATHLETICS,
    CONCERTS,
    COURTS,
    NATURE,
)
