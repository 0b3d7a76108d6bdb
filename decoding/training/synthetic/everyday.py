"""Domains of allowed values in other words, phrases that switch something, lists and mappings."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import (
    amount,
    counted,
    distance,
    duration,
    months,
    share,
    worded,
)
from decoding.training.synthetic.slots import (
    LIMIT,
    choice,
    flag,
    mapping,
    number,
    text,
    texts,
    whole,
)
from decoding.training.synthetic.words import (
    ANIMALS,
    CITIES,
    COLUMNS,
    COUNTRIES,
    FIRST_NAMES,
    FULL_NAME,
    GOODS,
    INSTRUMENTS,
    KEY,
    MONEY_NAMES,
    PLACE,
    SUBJECTS,
    TABLES,
    TITLE,
    a_date,
    a_time,
    by_comma,
    by_space,
    one_of,
    said_as,
)

_STORE = text(
    "store|shop|market",
    one_of(by_comma("Fresh Corner,Green Basket,Harvest Hall,Old Mill Market,Sunny Side Foods")),
    "at {}",
    "Name of the shop",
)
_PER = worded(
    "unit|per|price_unit",
    "ounce=per ounce/for an ounce,pound=per pound/for a pound,kilogram=per kilo/per kilogram,"
    "piece=each/per piece,dozen=by the dozen/per dozen",
    "{}",
    "What the price is for",
)
GROCERIES = Domain(
    "groceries",
    (
        act(
            "get check look_up",
            "grocery_price food_price price_of_food",
            "Price of a food in a shop",
            "what does it cost|get the price",
            (text("item|product|food", GOODS, "of {}", "What is bought"), _STORE),
            (_PER, flag("include_offers", "including special offers", "without offers", "Offers")),
            "What do they ask for {0} at {1}?|How much are {0} at {1}?|At {1}, what is the price "
            "of {0}?",
        ),
        act(
            "check get",
            "food_stock grocery_stock stock_of_food",
            "Whether a shop has some foods",
            "do they have it|check the shelves",
            (texts("items|products|foods", GOODS, "for {}", "What is looked for"), _STORE),
            (
                counted("quantity|count", 2, 40, "({} packs)", "How many packs"),
                flag("include_substitutes|similar", "or something similar", "nothing else", "Else"),
            ),
            "Does {1} have {0}?|I need {0}. Can I get that at {1}?|Are {0} in stock at {1}?",
        ),
        act(
            "find suggest",
            "food_ideas grocery_meals meals_from_food",
            "Recipes for meals from some foods",
            "what can I make|find me a meal",
            (texts("ingredients|foods|items", GOODS, "from {}", "What there is"),),
            (
                counted("servings|portions", 2, 12, "for {} people", "How many eat"),
                duration("max_time|time", "in at most {}", "Time it may take", "minute"),
                worded(
                    "diet",
                    "vegan=without animal products,vegetarian=without meat,gluten_free=with no "
                    "gluten",
                    "{}",
                    "Diet",
                ),
            ),
            "I have {0}. What meal is that good for?|What can I make of {0}?",
        ),
        act(
            "compare",
            "food_prices grocery_prices prices_in_shops",
            "Prices of foods in several shops",
            "where is it cheapest|compare the shops",
            (
                texts("items|products", GOODS, "for {}", "What is bought"),
                text("city|location", PLACE, "in {}", "City and country"),
            ),
            (_PER, LIMIT),
            "Which shop in {1} is cheapest for {0}?|In {1}, where should I buy {0}?",
        ),
    ),
    (number("price", 1, 30, "", "", 2), choice("in_stock", "yes no", "", "")),
)
_MODE = worded(
    "mode|travel_mode|transport",
    "transit=by public transport/by public transportation/by bus and train,driving=by car/in my "
    "own car,walking=on foot,cycling=by bike/on my bicycle",
    "{}|going {}",
    "How one goes",
)
COMMUTING = Domain(
    "commuting",
    (
        act(
            "find plan",
            "commute commute_route way_to_work",
            "Way to work and back, by train or bus",
            "how do I get to work|plan my commute",
            (
                text("home|start|origin", PLACE, "from {}", "City and country"),
                text("work|end|destination", PLACE, "to {}", "City and country"),
                _MODE,
            ),
            (
                text("arrive_by|arrival_time", a_time, "by {}", "HH:MM, 24 hours"),
                flag("avoid_tolls", "without paying tolls", "even with tolls", "No tolls"),
                flag("return_trip|include_return", "with the way back", "one way only", "Back too"),
            ),
            "I live in {0} and work in {1}. How do I get there {2}?|Going {2}, how do I get from "
            "{0} to {1} each morning?",
        ),
        act(
            "estimate get",
            "commute_time time_to_work commute_duration",
            "Time that the way to work takes",
            "how long is my way to work|estimate the time",
            (
                distance("distance|way", "over {}", "Length of the way", "kilometre"),
                _MODE,
            ),
            (
                number("speed|average_speed", 4, 90, "at {} km/h", "Speed in km/h", 0),
                flag("rush_hour|heavy_traffic", "in the rush hour", "with no traffic", "Traffic"),
            ),
            "How long do I need for {0} {1}?|My way is {0}, I go {1}. How long is that?",
        ),
        act(
            "compare estimate",
            "commute_cost cost_of_commute fares_to_work",
            "What the way to work costs",
            "what does my way to work cost|compare the costs",
            (
                _MODE,
                whole("days_per_week|days", 2, 6, "{} days a week", "Days in the office"),
            ),
            (
                share("subsidy|refund", 10, 80, "of which {} are paid back", "What is paid back"),
                months("period|months", "for {}", "For how long", "month"),
            ),
            "What do {1} days a week {0} cost me?|I go {0}, {1} days every week. What is the cost?",
        ),
    ),
    (whole("minutes", 5, 120, "", ""),),
)
GUESTS = Domain(
    "guesthouse",
    (
        act(
            "reserve request",
            "guest_room bed_for_night guesthouse_room",
            "Reserve a room in a guesthouse",
            "reserve a bed|I need a room",
            (
                text("house|guesthouse|name", TITLE, 'at "{}"', "Name of the house"),
                text("place|location", PLACE, "in {}", "City and country"),
                worded(
                    "bed|bed_type|room_type",
                    "king size=a king size bed/a king-size bed,queen size=a queen size bed,"
                    "twin=twin beds,single=a single bed,family=room for a family",
                    "with {}",
                    "Kind of bed",
                ),
                duration("days|stay", "for {}", "Length of the stay", "day"),
            ),
            (
                text("arrival|check_in", a_date, "from {}", "First day, YYYY-MM-DD"),
                flag("breakfast|with_breakfast", "including breakfast", "no breakfast", "Meals"),
                flag("sea_view|view", "facing the sea", "not facing the sea", "View"),
                flag("pets|with_pets", "with my dog", "without animals", "Pets"),
            ),
            'I would like {2} at "{0}" in {1} for {3}.|Is {2} free in {1} at "{0}" for {3}?',
        ),
        act(
            "get check",
            "guest_reviews guesthouse_reviews ratings_of_guests",
            "What guests say of a house",
            "what do the guests say|check the reviews",
            (text("house|guesthouse|name", TITLE, 'of "{}"', "Name of the house"),),
            (
                worded(
                    "order|sort",
                    "newest=the latest first/newest first,best=best ones first,worst=worst ones "
                    "first",
                    "({})",
                    "Order",
                ),
                flag("with_photos|include_photos", "including photos", "without photos", "Photos"),
                LIMIT,
            ),
            'What do guests think of "{0}"?|Is "{0}" any good?',
        ),
    ),
    (number("rating", 1, 5, "", ""), amount("price", 30, 900, "", "")),
)
_SCORE = whole("", 35, 100, "{} {}|{}: {}|{} with {}", "")
_SCORES = mapping("scores|marks|results", one_of(SUBJECTS), _SCORE, "with {}", "Points by subject")
GRADING = Domain(
    "grading",
    (
        act(
            "calculate compute",
            "average_mark mean_score marks_average",
            "Average of the points of a pupil",
            "what is the average|work out the average",
            (text("student|pupil|name", FULL_NAME, "of {}", "Full name"), _SCORES),
            (
                flag("include_rank|rank", "with the rank in class", "no rank", "Rank"),
                flag("round|rounded", "rounded", "not rounded", "Rounded"),
            ),
            "{0} has these points: {1}. What is the average?|What does {0} have on average with "
            "{1}?",
        ),
        act(
            "create write",
            "report_card marks_report school_report",
            "Report of a pupil for the term",
            "write the report|make the report card",
            (text("student|pupil|name", FULL_NAME, "for {}", "Full name"), _SCORES),
            (
                worded(
                    "term|semester",
                    "autumn=for the autumn term,spring=for the spring term,summer=for the summer "
                    "term",
                    "{}",
                    "Term",
                ),
                flag("include_comments", "with comments", "without comments", "Comments"),
            ),
            "Write a report for {0}: {1}.|The marks of {0} are {1}, put them into a report.",
        ),
        act(
            "scale curve",
            "marks_of_class class_scores scores_of_class",
            "Raise the points of a class",
            "raise the marks|scale the points of my class",
            (
                mapping(
                    "scores|points",
                    one_of(FIRST_NAMES),
                    _SCORE,
                    "with {}",
                    "Points by name",
                ),
                share("raise|bonus", 2, 20, "by {}", "By how much"),
            ),
            (whole("maximum|cap", 90, 120, "up to {} points", "Most points"),),
            "My class has {0}. Raise all by {1}.|Give {1} more to each: {0}.",
        ),
    ),
    (number("average", 40, 100, "", ""),),
)
_MADE = mapping(
    "conditions|filters|where",
    one_of(by_space("city branch destination birthplace headquarters")),
    text("", one_of(CITIES), "{} is {}|{} = {}|the {} is {}", ""),
    "where {}",
    "Column and value of each condition",
)
RECORDS = Domain(
    "ledger",
    (
        act(
            "filter select",
            "entries ledger_entries matching_entries",
            "Entries of a table that meet all conditions",
            "which entries match|filter the entries",
            (text("table|source", one_of(TABLES), "of {}", "Name of the table"), _MADE),
            (
                texts("columns|fields", one_of(COLUMNS), "showing {}", "Columns to show"),
                worded(
                    "order|direction",
                    "asc=smallest first/in rising order,desc=largest first/in falling order",
                    "({})",
                    "Order",
                ),
            ),
            "Which {0} are there where {1}?|Give me all {0} where {1}.",
        ),
        act(
            "count total",
            "entries_number number_of_entries entry_total",
            "How many entries of a table meet all conditions",
            "how many entries are there|count the entries",
            (text("table|source", one_of(TABLES), "of {}", "Name of the table"), _MADE),
            (flag("distinct|unique", "each one once", "repeats included", "Only different ones"),),
            "How many {0} are there where {1}?|Count the {0} where {1}.",
        ),
        act(
            "set change",
            "entry_fields fields_of_entry entry_values",
            "Set fields of one entry of a table",
            "change the entry|set the fields",
            (
                text("table|source", one_of(TABLES), "in {}", "Name of the table"),
                whole("id|key|number", 100, 90_000, "number {}", "Key of the entry"),
                mapping(
                    "values|changes|fields",
                    one_of(by_space("price quantity rating weight amount")),
                    whole("", 1, 900, "{} to {}|{} = {}", ""),
                    "setting {}",
                    "New value of each field",
                ),
            ),
            (),
            "In {0}, change entry {1}: {2}.|Entry {1} of {0} gets {2}.",
        ),
    ),
    (whole("count", 1, 900, "", ""),),
)
PARKS = Domain(
    "parks",
    (
        act(
            "get describe",
            "park_facts nature_park park_overview",
            "Facts on a nature park",
            "tell me of the park|what is the park like",
            (
                text("park|park_name", TITLE, 'called "{}"', "Name of the park"),
                text("country|region", one_of(COUNTRIES), "in {}", "Where it is"),
            ),
            (
                flag(
                    "include_species|species",
                    "including the species that live there",
                    "without the species",
                    "Species too",
                ),
                flag("include_trails|trails", "also with its trails", "no trails", "Trails too"),
                flag("include_age|age", "also tell how old it is", "without its age", "Age too"),
            ),
            'What is "{0}" in {1} like?|Tell me of the park "{0}" in {1}.',
        ),
        act(
            "count track",
            "park_animals animals_in_park park_sightings",
            "Animals in a nature park",
            "how many are there in the park|count the animals",
            (
                texts("animals|species", one_of(ANIMALS), "of {}", "Which animals"),
                text("park|park_name", TITLE, 'in "{}"', "Name of the park"),
            ),
            (
                months("period|years", "over the past {}", "Time looked back on", "year"),
                flag("young|include_young", "counting the young", "adults only", "Young too"),
            ),
            'Does one find {0} in "{1}"?|How many of these live in "{1}": {0}?',
        ),
        act(
            "plan suggest",
            "park_visit day_in_park park_walk",
            "Plan a visit to a nature park",
            "plan a walk|what should we do there",
            (
                text("park|park_name", TITLE, 'to "{}"', "Name of the park"),
                duration("duration|time", "for {}", "Length of the visit", "hour day"),
            ),
            (
                counted("people|visitors", 2, 24, "for {} people", "How many come"),
                worded(
                    "level|difficulty",
                    "easy=easy/gentle,moderate=not too hard/middling,hard=hard/demanding",
                    "on {} paths",
                    "How hard",
                ),
            ),
            'We visit "{0}" for {1}. What should we do?|Plan {1} in "{0}" for us.',
        ),
    ),
    (whole("count", 1, 900, "", ""),),
)
EXCHANGE = Domain(
    "exchange",
    (
        act(
            "change convert",
            "cash foreign_cash cash_amount",
            "What some cash is worth in another currency",
            "change my cash|what is my cash worth",
            (
                amount("amount|sum|value", 50, 9_000_000, "of {}", "How much"),
                text("source|from_currency", said_as(MONEY_NAMES), "held in {}", "Code, as USD"),
                text("target|to_currency|to", said_as(MONEY_NAMES), "into {}", "Code, as USD"),
            ),
            (
                flag(
                    "live|use_live_rate|real_time",
                    "at the live rate|at the rate of this very moment",
                    "at yesterday's rate|not at the live rate",
                    "Rate of the moment",
                ),
                share("fee|fee_rate", 0.6, 5, "with a fee of {}", "Fee"),
            ),
            "I hold {0} {1}. What is it in {2}?|Change {0} {1} into {2}.",
        ),
        act(
            "get show",
            "rate_history past_rates rates_over_time",
            "Rate of a currency over some time",
            "how did the rate move|show the rates",
            (
                text("currency|code", said_as(MONEY_NAMES), "of {}", "Code, as USD"),
                months("period|years", "over the past {}", "Time looked back on", "year"),
            ),
            (
                worded(
                    "interval|step",
                    "daily=day by day,weekly=week by week,monthly=month by month",
                    "{}",
                    "Step",
                ),
                flag("chart|include_chart", "including a chart", "without a chart", "Chart too"),
            ),
            "How did the rate of {0} move over the past {1}?|Show what {0} cost in the past {1}.",
        ),
    ),
    (number("result", 10, 9_000, "", "", 2),),
)
HARMONY = Domain(
    "harmony",
    (
        act(
            "transpose shift",
            "tune melody tune_to_key",
            "Write a tune in another key",
            "write the tune in another key|transpose the tune",
            (
                text("title|tune|piece", TITLE, '"{}"', "Name of the tune"),
                text("from_key|key", KEY, "from {}", "Key it is in"),
                text("to_key|new_key", KEY, "to {}", "Key it should be in"),
            ),
            (text("instrument", one_of(INSTRUMENTS), "for the {}", "Instrument"),),
            '"{0}" is in {1}. I want to sing it in {2}.|Put "{0}" from {1} into {2}.',
        ),
        act(
            "generate compose",
            "melody_in_key short_melody practice_melody",
            "Make up a melody",
            "make up a melody|I want to practise a melody",
            (
                text("key|scale", KEY, "in {}", "Key of the melody"),
                counted("bars|measures", 2, 36, "with {} bars", "How many bars"),
            ),
            (
                whole("tempo|bpm", 50, 180, "at {} beats a minute", "Beats a minute"),
                text(
                    "time_signature|meter",
                    one_of(["3/4", "4/4", "6/8", "5/4"]),
                    "in {} time",
                    "Time, such as 2/4",
                ),
                texts("instruments", one_of(INSTRUMENTS), "for {}", "Who plays it"),
                flag("with_chords|chords", "including the chords", "without chords", "Chords too"),
            ),
            "I need a melody in {0} of {1} bars.|Make {1} bars in {0}.",
        ),
    ),
    (text("key", KEY, "", ""), whole("bars", 2, 36, "", "")),
)

EVERYDAY = (
    GROCERIES,
    COMMUTING,
    GUESTS,
    GRADING,
    RECORDS,
    PARKS,
    EXCHANGE,
    HARMONY,
)
