"""Domains that are asked for facts, in whole sentences with names in them."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import amount, distance, worded
from decoding.training.synthetic.slots import (
    DETAIL,
    LIMIT,
    choice,
    flag,
    number,
    text,
    texts,
    whole,
)
from decoding.training.synthetic.words import (
    ANIMALS,
    CITIES,
    COMPANY,
    COUNTRIES,
    EVENTS,
    FIGURES,
    FULL_NAME,
    LANGUAGES,
    LONG_TOWN,
    MOUNTAINS,
    PLANTS,
    RIVERS,
    SPORTS,
    STATES,
    TEAM,
    a_date,
    by_comma,
    one_of,
    with_the,
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
            (text("country", one_of(COUNTRIES), "within {}", "Country"), DETAIL),
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
            (LIMIT, text("language", one_of(LANGUAGES), "answered in {}", "Of the answer")),
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
            (LIMIT, worded("group|division", "men=for men,women=for women", "{}", "Who plays")),
            "Who was first in {0} in {1}?|How did {0} of {1} end?|What were the standings of {0} "
            "in {1}?",
        ),
    ),
    (whole("score", 0, 90, "", ""), text("team", TEAM, "", "")),
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
                DETAIL,
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

FACTS = (GEOGRAPHY, PAST, ATHLETICS, COURTS, NATURE)
