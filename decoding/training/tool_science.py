"""Domains of science, school, culture and sport."""

from decoding.training.tool_domain import Domain, act
from decoding.training.tool_slots import choice, flag, number, numbers, text, texts, whole
from decoding.training.tool_words import (
    ANIMALS,
    CITIES,
    CODE,
    COUNTRIES,
    DISHES,
    DRUGS,
    ELEMENTS,
    EVENTS,
    FIGURES,
    FIRST_NAMES,
    FOODS,
    FORMULAS,
    FULL_NAME,
    FUNCTION,
    GENRES,
    INSTRUMENTS,
    LANGUAGES,
    PETS,
    PLANTS,
    SEQUENCE,
    SPORTS,
    SUBJECTS,
    SYMPTOMS,
    TEAM,
    TITLE,
    a_date,
    a_time,
    by_comma,
    one_of,
)

_CITY = text("city|location|place", one_of(CITIES), "in {}", "City")
_DATE = text("date|day", a_date, "on {}", "Date as YYYY-MM-DD")
_TIME = text("time|at", a_time, "at {}", "Time as HH:MM")
_DIGITS = whole("precision|decimals|digits", 1, 8, "to {} decimal places", "Decimal places")
_LIMIT = whole("limit|max_results|count", 3, 40, "(no more than {})", "How many at most")
_YEAR = whole("year|season_year", 1950, 2025, "in the year {}|in {}", "Year")
_FORMAT = choice("format|output_format", "short table detailed", "in a {} form", "Form of output")
_DETAIL = flag("detailed|show_steps", "with all the steps", "without the steps", "Show the steps")

GEOMETRY = Domain(
    "geometry",
    (
        act(
            "calculate compute find",
            "triangle_area rectangle_perimeter trapezoid_area",
            "Size of a plane figure",
            "calculate the size of the figure|work out the figure",
            (
                number("base|width|side_a", 2, 90, "with a base of {}", "Length of the base"),
                number("height|side_b", 2, 90, "with a height of {}", "Height"),
            ),
            (choice("unit|units", "cm m mm inches", "in {}", "Unit of length"), _DIGITS),
        ),
        act(
            "calculate compute",
            "circle_area sphere_volume cylinder_volume circumference",
            "Size of a round body",
            "compute the round shape|how big is the round shape",
            (number("radius|r", 1, 70, "with a radius of {}", "Radius"),),
            (
                number("height|h", 1, 60, "with a height of {}", "Height"),
                choice("unit", "cm m km feet", "measured in {}", "Unit of length"),
                _DIGITS,
            ),
        ),
        act(
            "measure get",
            "point_distance midpoint line_slope",
            "Relation of two points",
            "measure between two points|take the two points",
            (
                numbers("point1|point_a|p1", -20, 40, "the first at {}", "Coordinates"),
                numbers("point2|point_b|p2", -20, 40, "the second at {}", "Coordinates"),
            ),
            (choice("metric", "euclidean manhattan", "by the {} metric", "Metric"),),
        ),
    ),
    (number("result", 2, 900, "", "", 2),),
)
ALGEBRA = Domain(
    "math",
    (
        act(
            "compute calculate get",
            "factorial prime_factors digit_sum divisors square_root",
            "A property of a whole number",
            "do the number theory|examine the integer",
            (whole("number|n|value", 3, 900, "for {}", "The number"),),
            (_DETAIL, _FORMAT),
        ),
        act(
            "solve find",
            "quadratic_equation roots polynomial",
            "Solve an equation",
            "solve the equation|find the solutions",
            (
                whole("a", 1, 12, "with a = {}", "Factor of x squared"),
                whole("b", -20, 20, "b = {}", "Factor of x"),
                whole("c", -30, 30, "c = {}", "Constant"),
            ),
            (choice("root_type", "real complex all", "looking for {} roots", "Roots"), _DIGITS),
        ),
        act(
            "differentiate integrate evaluate",
            "function expression formula",
            "Calculus on a function",
            "work on the function|do the calculus",
            (text("function|expression|formula", FUNCTION, "for {}", "Function of x"),),
            (
                number("lower|start|x_min", 0, 9, "starting at x = {}", "Lower end"),
                number("upper|end|x_max", 10, 30, "ending at x = {}", "Upper end"),
                choice("method", "exact trapezoid simpson", "by the {} method", "Method"),
            ),
        ),
        act(
            "multiply add transform",
            "matrix vector vectors",
            "Work on vectors",
            "combine the vectors|calculate with the vectors",
            (
                numbers("first|vector_a|left", -9, 20, "taking {} first", "First vector"),
                numbers("second|vector_b|right", -9, 20, "and then {}", "Second vector"),
            ),
            (_DIGITS,),
        ),
    ),
    (number("result", -20, 900, "", "", 2),),
)
PHYSICS = Domain(
    "physics",
    (
        act(
            "calculate compute",
            "kinetic_energy momentum force",
            "Mechanics of a body",
            "calculate the mechanics|work it out for a body",
            (
                number("mass|mass_kg|m", 1, 200, "with a mass of {} kg", "Mass in kg"),
                number("velocity|speed|v", 1, 90, "moving at {} m/s", "Speed in m/s"),
            ),
            (
                number("friction|drag", 0.1, 0.9, "with a friction of {}", "Coefficient", 2),
                choice("unit|output_unit", "joule newton kwh", "in {}", "Unit"),
                _DIGITS,
            ),
        ),
        act(
            "simulate compute predict",
            "free_fall projectile pendulum",
            "Motion under gravity",
            "how does it fall|simulate the motion",
            (
                number("height|initial_height", 2, 300, "from {} metres", "Height in m"),
                number("angle|launch_angle", 5, 85, "at an angle of {} degrees", "Degrees"),
            ),
            (
                number("gravity|g", 1.5, 25, "with a gravity of {} m/s2", "Gravity", 2),
                flag("air_resistance", "with air resistance", "in a vacuum", "Drag of the air"),
            ),
        ),
        act(
            "calculate get",
            "circuit_current resistance voltage_drop",
            "Electric circuit",
            "calculate the circuit|what happens in the circuit",
            (
                number("voltage|volts", 1.5, 400, "at {} volts", "Voltage"),
                numbers("resistors|resistances", 10, 900, "with resistors of {} ohms", "Ohms"),
            ),
            (choice("wiring", "series parallel", "wired in {}", "Wiring"),),
        ),
    ),
    (number("result", 2, 900, "", "", 2), choice("unit", "joule newton ampere", "", "")),
)
STATISTICS = Domain(
    "statistics",
    (
        act(
            "calculate compute get",
            "mean median standard_deviation variance",
            "Describe numbers",
            "describe the numbers|calculate the statistics|sum up the sample",
            (numbers("data|values|numbers", 1, 200, "of {}", "The numbers", 1),),
            (_DIGITS, flag("sample|is_sample", "as a sample", "as a population", "A sample")),
        ),
        act(
            "run perform",
            "regression t_test correlation",
            "Compare two series",
            "compare the two series|test the two samples",
            (
                numbers("x|group_a|first", 1, 90, "the first being {}", "First series"),
                numbers("y|group_b|second", 1, 90, "the second being {}", "Second series"),
            ),
            (
                number("alpha|significance", 0.01, 0.2, "at a level of {}", "Level", 2),
                choice("alternative", "two_sided less greater", "{} alternative", "Hypothesis"),
            ),
        ),
        act(
            "compute estimate",
            "binomial_probability normal_probability confidence_interval",
            "A probability",
            "what is the probability|compute the odds",
            (
                whole("trials|n", 5, 200, "for {} trials", "Number of trials"),
                number("probability|p", 0.05, 0.95, "with a chance of {}", "0 to 1", 2),
            ),
            (whole("successes|k", 1, 5, "and {} successes", "Successes"), _DIGITS),
        ),
    ),
    (number("result", 1, 90, "", "", 3),),
)
CHEMISTRY = Domain(
    "chemistry",
    (
        act(
            "get lookup find",
            "element_data atomic_weight boiling_point melting_point",
            "Facts on an element",
            "look up the element|what do we know of the element",
            (text("element|element_name", one_of(ELEMENTS), "{}", "Name of the element"),),
            (
                choice("unit|scale", "celsius kelvin fahrenheit", "in {}", "Scale"),
                flag("isotopes", "with the isotopes", "without isotopes", "List the isotopes"),
            ),
        ),
        act(
            "calculate compute balance",
            "molar_mass molecular_weight reaction",
            "Mass of a compound",
            "do the chemistry of the compound|calculate the compound",
            (text("formula|compound", one_of(FORMULAS), "{}", "Chemical formula"),),
            (number("grams|mass_g", 1, 500, "for {} grams", "Mass in grams"), _DIGITS),
        ),
        act(
            "calculate prepare",
            "dilution solution_concentration buffer_ph",
            "Prepare a solution",
            "prepare a solution|calculate the solution",
            (
                text("solute|substance", one_of(FORMULAS), "of {}", "What is dissolved"),
                number("concentration|molarity", 0.1, 6, "at {} mol per litre", "mol/l", 2),
                number("volume|volume_ml", 10, 900, "making {} ml", "Volume in ml"),
            ),
            (number("temperature", 4, 90, "at {} degrees", "Degrees Celsius"),),
        ),
    ),
    (number("value", 1, 400, "", "", 2), choice("unit", "g_per_mol kelvin celsius", "", "")),
)
BIOLOGY = Domain(
    "biology",
    (
        act(
            "get find describe",
            "species animal_facts habitat",
            "Facts on an animal",
            "tell me about an animal|describe the species",
            (text("species|animal|name", one_of(ANIMALS), "called {}", "Common name"),),
            (
                choice("topic|aspect", "diet habitat lifespan size", "and its {}", "What about it"),
                text("region", one_of(COUNTRIES), "as found in {}", "Region"),
            ),
        ),
        act(
            "analyze translate transcribe",
            "dna_sequence gene protein",
            "Analyse a sequence of DNA",
            "analyze the sequence|look at the DNA",
            (text("sequence|dna", SEQUENCE, "{}", "Letters A, C, G and T"),),
            (
                choice("direction|strand", "forward reverse", "on the {} strand", "Strand"),
                whole("frame|offset", 1, 3, "in reading frame {}", "Reading frame"),
            ),
        ),
        act(
            "identify water",
            "plant garden_plant flower",
            "Care for a plant",
            "what does the plant need|look after the plant",
            (text("plant|plant_name", one_of(PLANTS), "(a {})", "Plant"),),
            (
                number("litres|water_litres", 0.2, 5, "with {} litres of water", "Water", 1),
                choice("light", "shade half_shade sun", "standing in {}", "Light"),
            ),
        ),
    ),
    (text("species", one_of(ANIMALS), "", ""), whole("lifespan_years", 2, 80, "", "")),
)
MEDICINE = Domain(
    "medicine",
    (
        act(
            "check diagnose report",
            "symptoms health_state complaints",
            "Judge symptoms",
            "I do not feel well and need advice|check the patient",
            (
                texts("symptoms|complaints", one_of(SYMPTOMS), "with {}", "Symptoms"),
                whole("age|patient_age", 2, 95, "aged {}", "Age in years"),
            ),
            (
                whole("days|duration_days", 1, 21, "for {} days now", "Days since it began"),
                choice("sex|gender", "female male other", "({})", "Sex"),
                number("temperature|fever", 36, 41, "with {} degrees", "Degrees Celsius"),
            ),
        ),
        act(
            "get check calculate",
            "drug_dosage medication dose",
            "Dose of a medicine",
            "what is the right dose|check the medicine",
            (
                text("drug|medication|medicine", one_of(DRUGS), "of {}", "Medicine"),
                number("weight|weight_kg", 8, 110, "for {} kg", "Body weight in kg"),
            ),
            (
                choice("route|form", "tablet syrup injection", "as {}", "Form"),
                whole("times_per_day", 1, 4, "taken {} times a day", "Doses a day"),
                texts("allergies", one_of(FOODS), "allergic to {}", "Allergies"),
            ),
        ),
        act(
            "book make",
            "doctor_visit medical_appointment consultation",
            "See a doctor",
            "I need to see a doctor|book a visit to the doctor",
            (text("patient|patient_name", FULL_NAME, "for {}", "Patient"), _DATE),
            (
                _TIME,
                text("doctor", FULL_NAME, "with Dr {}", "Doctor"),
                choice("specialty", "dentist dermatology cardiology eyes", "for {}", "Field"),
            ),
        ),
    ),
    (number("dose_mg", 5, 500, "", ""), choice("risk", "low medium high", "", "")),
)
COOKING = Domain(
    "cooking",
    (
        act(
            "find search suggest",
            "recipes dishes meal_ideas",
            "Recipes with what is there",
            "what can I cook|find a recipe|suggest something to cook",
            (texts("ingredients|items", one_of(FOODS), "with {}", "What is there"),),
            (
                whole("max_minutes|time_limit", 10, 90, "in {} minutes", "Longest time"),
                choice("diet", "vegan vegetarian low_carb none", "for a {} diet", "Diet"),
                whole("servings|portions", 1, 10, "for {} servings", "Servings"),
            ),
        ),
        act(
            "get scale fetch",
            "recipe dish_recipe cooking_steps",
            "One recipe",
            "how do I make the dish|give me the recipe",
            (text("dish|recipe_name", one_of(DISHES), "for {}", "Dish"),),
            (whole("servings|people", 1, 16, "for {} people", "Servings"), _FORMAT),
        ),
        act(
            "get calculate",
            "calories nutrition nutrition_facts",
            "What is in a food",
            "what is in the food|count the calories",
            (
                text("food|item", one_of(FOODS), "of {}", "Food"),
                whole("grams|amount_g", 20, 900, "for {} grams", "Grams"),
            ),
            (choice("nutrient", "protein fat sugar fibre", "above all {}", "Nutrient"),),
        ),
    ),
    (text("dish", one_of(DISHES), "", ""), whole("calories", 60, 900, "", "")),
)
SPORT = Domain(
    "sport",
    (
        act(
            "get fetch show",
            "match_result score standings",
            "Results of a team",
            "how did the team play|get the result",
            (text("team|club", TEAM, "of the {}", "Team"),),
            (
                _DATE,
                choice("league|competition", "first_league cup friendly", "in the {}", "League"),
                flag("include_players", "with the players", "without players", "Players too"),
            ),
        ),
        act(
            "get compare",
            "player_stats athlete_profile ranking",
            "Figures of a player",
            "how good is the player|look up the player",
            (
                text("player|athlete", FULL_NAME, "{}", "Player"),
                text("sport|discipline", one_of(SPORTS), "in {}", "Sport"),
            ),
            (
                whole("season|year", 1990, 2025, "in the season {}", "Year"),
                text("team", TEAM, "when with the {}", "Team"),
            ),
        ),
        act(
            "log plan track",
            "workout training_session run",
            "Record a training",
            "log my training|plan a training",
            (
                text("activity|sport", one_of(SPORTS), "of {}", "What was done"),
                whole("minutes|duration", 10, 180, "for {} minutes", "Minutes"),
            ),
            (
                number("distance_km|distance", 1, 42, "over {} km", "Kilometres"),
                choice("intensity", "easy moderate hard", "at an {} intensity", "Intensity"),
                _DATE,
            ),
        ),
    ),
    (text("team", TEAM, "", ""), whole("points", 0, 99, "", "")),
)
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
            (text("event|event_name", one_of(EVENTS), "of {}", "Event"),),
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
                choice("difficulty|level", "easy medium hard", "at an {} level", "Difficulty"),
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
PETS_DOMAIN = Domain(
    "pets",
    (
        act(
            "feed register add",
            "pet dog cat",
            "Keep data on a pet",
            "enter my pet|take down my pet",
            (
                text("name|pet_name", one_of(PETS), "called {}", "Name of the pet"),
                number("weight|weight_kg", 1, 45, "weighing {} kg", "Weight in kg"),
            ),
            (
                whole("age|age_years", 1, 18, "aged {}", "Age in years"),
                choice("species|kind", "dog cat rabbit hamster parrot", "(a {})", "Species"),
                flag("vaccinated", "vaccinated", "not vaccinated yet", "Is vaccinated"),
            ),
        ),
        act(
            "book request",
            "vet_visit grooming pet_sitter",
            "Care for a pet",
            "I need help with my pet|find care for my pet",
            (text("pet|pet_name", one_of(PETS), "named {}", "Name of the pet"), _DATE),
            (_TIME, _CITY, text("owner", FULL_NAME, "owner: {}", "Owner")),
        ),
    ),
    (text("pet", one_of(PETS), "", ""), text("booking", CODE, "", "")),
)

SCIENCE = (
    GEOMETRY,
    ALGEBRA,
    PHYSICS,
    STATISTICS,
    CHEMISTRY,
    BIOLOGY,
    MEDICINE,
    COOKING,
    SPORT,
    MUSIC,
    GAMES,
    HISTORY,
    EDUCATION,
    LIBRARY,
    MOVIES,
    PETS_DOMAIN,
)
