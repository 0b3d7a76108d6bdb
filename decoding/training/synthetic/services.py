"""Domains of services nearby and at home, asked for in whole sentences."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import (
    amount,
    distance,
    duration,
    months,
    weight,
    worded,
)
from decoding.training.synthetic.slots import choice, flag, number, text, texts, whole
from decoding.training.synthetic.words import (
    CARS,
    CITIES,
    CUISINES,
    DISHES,
    FIRST_NAMES,
    FOODS,
    FULL_NAME,
    JOBS,
    LANGUAGES,
    LONG_TOWN,
    MONEY_NAMES,
    PRODUCTS,
    SKILLS,
    SPORTS,
    SYMPTOMS,
    TOWN,
    a_date,
    a_time,
    by_comma,
    one_of,
    said_as,
)

_TOWN = text("location|city|place", TOWN, "in {}|near {}", "City and state, as Boston, MA")
_DATE = text("date|day", a_date, "on {}", "Day as YYYY-MM-DD")
_TIME = text("time|start", a_time, "at {}", "Time as HH:MM")
_RADIUS = distance("radius|max_distance", "within {}", "How far away at most")
NEARBY = Domain(
    "nearby",
    (
        act(
            "find search locate",
            "restaurant place_to_eat dining",
            "Find a place to eat",
            "where can we eat|find us a place",
            (
                text("cuisine|food_type|food", one_of(CUISINES), "with {} food", "Cuisine"),
                _TOWN,
            ),
            (
                number("min_rating|rating", 3, 5, "rated {} or better", "Lowest rating"),
                worded(
                    "price|price_range",
                    "low=cheap/not expensive,medium=of average price,high=expensive/fancy",
                    "that is {}",
                    "How expensive",
                ),
                _RADIUS,
                texts(
                    "needs|diet", one_of(by_comma("vegan,gluten-free,halal,kosher")), "({})", "Diet"
                ),
            ),
            "Where can I eat {0} in {1}?|Is there a good {0} restaurant near {1}?|We are in {1} "
            "and would like {0} food.|Find {0} food around {1}.",
        ),
        act(
            "find search",
            "doctor physician clinic dentist",
            "Find a doctor",
            "I need a doctor|find somebody to see",
            (
                worded(
                    "specialty|field|specialization",
                    "dermatology=my skin/a dermatologist,cardiology=my heart/a cardiologist,"
                    "dentistry=my teeth/a dentist,pediatrics=my child/a pediatrician,"
                    "orthopedics=my knee/an orthopedist",
                    "for {}",
                    "Field of medicine",
                ),
                _TOWN,
            ),
            (
                _DATE,
                text("language", one_of(LANGUAGES), "who speaks {}", "Language"),
                flag("accepts_new", "taking new patients", "old patients only", "New patients"),
            ),
            "Who in {1} can look after {0}?|I have to see somebody about {0} in {1}.|"
            "Find an office near {1} for {0}.",
        ),
        act(
            "find list",
            "hotel_rooms lodging places_to_stay",
            "Find a room for some nights",
            "find me a room|where can I stay",
            (
                text("city|location|destination", LONG_TOWN, "in {}", "City and state, in full"),
                duration("nights|stay|length_of_stay", "for {}", "Length of the stay", "day"),
            ),
            (
                text("check_in|arrival", a_date, "from {}", "First day, YYYY-MM-DD"),
                whole("guests|adults", 2, 6, "for {} people", "Number of guests"),
                texts(
                    "amenities",
                    one_of(by_comma("pool,wifi,parking,gym,sauna,breakfast")),
                    "with {}",
                    "Wanted",
                ),
                worded(
                    "bed",
                    "single=a single bed,double=a double bed,king=a very large bed",
                    "with {}",
                    "Bed",
                ),
            ),
            "I want to stay in {0} for {1}. What is free?|Find me a room for {1} in {0}.|"
            "We travel to {0}, it will be {1}. Where could we sleep?",
        ),
        act(
            "find search",
            "parking charging_station petrol_station car_wash",
            "Find a place for the car",
            "where can I go with the car|find a place for my car",
            (text("address|near|location", TOWN, "near {}", "City and state"), _RADIUS),
            (
                text("car|model", one_of(CARS), "for a {}", "Model of the car"),
                whole("max_price|max_fee", 2, 40, "for less than {}", "Highest price"),
            ),
            "Where within {1} of {0} can I leave my car?|Is there one near {0}, not more than {1} "
            "away?|Look around {0} for it, {1} at most.",
        ),
    ),
    (text("name", FULL_NAME, "", ""), number("rating", 3, 5, "", "")),
)
KITCHEN = Domain(
    "kitchen",
    (
        act(
            "find get search",
            "recipe dish_recipe cooking_instructions",
            "Find a recipe",
            "how do I cook it|find a recipe",
            (
                text("dish|recipe_name|meal", one_of(DISHES), "for {}", "Name of the dish"),
                duration("max_time|cooking_time", "ready in {}", "Longest time", "minute hour"),
            ),
            (
                whole("servings|people", 2, 12, "for {} people", "For how many"),
                texts("ingredients|include", one_of(FOODS), "with {}", "What to use"),
                texts("exclude|without", one_of(FOODS), "without {}", "What to leave out"),
                worded(
                    "diet", "vegan=without animal products,vegetarian=without meat", "{}", "Diet"
                ),
            ),
            "How do I make {0} in {1}?|I have {1}. Tell me how to cook {0}.|Give me a recipe for "
            "{0} that takes {1}.",
        ),
        act(
            "convert calculate",
            "recipe_units ingredient_amount cooking_measure",
            "Convert an amount of an ingredient",
            "convert the amount|how much is it",
            (
                number("amount|quantity|value", 0.5, 20, "of {}", "How much"),
                worded(
                    "from_unit|source_unit",
                    "cup=cups,tbsp=tablespoons,tsp=teaspoons,oz=ounces,lb=pounds",
                    "{}",
                    "Unit it is in",
                ),
                worded(
                    "to_unit|target_unit", "g=grams,ml=millilitres,kg=kilograms", "to {}", "Unit"
                ),
            ),
            (text("ingredient", one_of(FOODS), "of {}", "Which ingredient"),),
            "How many {2} are {0} {1}?|Convert {0} {1} to {2}.|The recipe says {0} {1}. What is "
            "that in {2}?",
        ),
        act(
            "get count calculate",
            "calories nutrition_facts nutrients",
            "What a food contains",
            "how healthy is it|count the calories",
            (
                text("food|item|food_name", one_of(FOODS), "of {}", "Name of the food"),
                weight("portion|serving|amount", "in {}", "Size of the portion", "gram"),
            ),
            (
                choice(
                    "nutrient|focus", "calories protein fat fibre sugar", "looking at {}", "What"
                ),
                flag("include_vitamins", "with the vitamins", "leaving out vitamins", "Vitamins"),
            ),
            "How many calories are in {1} of {0}?|I eat {1} of {0}. What do I get from it?|"
            "What do {0} contain? I have {1}.",
        ),
    ),
    (number("result", 20, 900, "", "", 1),),
)
BODY = Domain(
    "fitness",
    (
        act(
            "calculate get",
            "body_mass_index bmi ideal_weight",
            "Relate weight and height of a person",
            "is my weight all right|calculate it for me",
            (
                number("weight|weight_kg|mass", 45, 120, "at {} kg", "Weight in kg", 0),
                whole("height|height_cm", 145, 205, "and {} cm", "Height in cm"),
            ),
            (
                whole("age", 15, 90, "aged {}", "Age in years"),
                worded("sex|gender", "male=a man,female=a woman", "being {}", "Sex"),
                worded(
                    "system|unit",
                    "metric=metric units,imperial=pounds and inches",
                    "in {}",
                    "Units",
                ),
            ),
            "I weigh {0} kg and am {1} cm tall. What is my BMI?|What should somebody of {1} cm "
            "weigh? I have {0} kilos.|Height {1} cm, weight {0} kg: is that healthy?",
        ),
        act(
            "create plan suggest",
            "workout training_plan exercise_program",
            "Plan training",
            "plan my training|what should I train",
            (
                worded(
                    "goal|objective",
                    "weight_loss=to lose weight,strength=to get stronger,endurance=to run longer",
                    "{}",
                    "What it is for",
                ),
                duration("session_length|duration", "with {} each time", "Of a session", "minute"),
            ),
            (
                whole("days_per_week|sessions", 1, 7, "{} times a week", "Sessions a week"),
                months("period|program_length", "for {}", "How long to go on", "month"),
                text("sport|activity", one_of(SPORTS), "by {}", "Sport"),
                choice("level", "beginner intermediate advanced", "as {}", "Experience"),
            ),
            "I want {0} and have {1} a day. What should I do?|Make a plan {0}, {1} each time.|"
            "Which exercises help {0} if I train {1}?",
        ),
        act(
            "calculate estimate",
            "calories_burned energy_spent workout_energy",
            "Energy that an activity takes",
            "how much did I burn|estimate what it took",
            (
                text("activity|sport|exercise", one_of(SPORTS), "by {}", "What was done"),
                duration("duration|time", "for {}", "How long", "minute hour"),
            ),
            (
                number("weight|body_weight", 45, 120, "weighing {} kg", "Weight in kg", 0),
                choice("intensity|effort", "light moderate hard", "at a {} pace", "How hard"),
            ),
            "How many calories does {1} of {0} burn?|I did {0} for {1}. How much energy was "
            "that?|After {1} of {0}, what have I used?",
        ),
        act(
            "log record check",
            "symptoms health_diary condition",
            "Write down how somebody feels",
            "note how I feel|write it down",
            (
                texts("symptoms|complaints", one_of(SYMPTOMS), "with {}", "What is felt"),
                duration("since|duration", "for {}", "How long so far", "hour day"),
            ),
            (whole("severity|pain_level", 1, 10, "at {} of 10", "From 1 to 10"), _DATE),
            "I have had {0} for {1}.|What could it be? I feel {0}, for {1} now.|For {1} I suffer "
            "from {0}, please note that.",
        ),
    ),
    (number("result", 10, 900, "", "", 1),),
)
HOME = Domain(
    "home_devices",
    (
        act(
            "set adjust change",
            "thermostat room_temperature heating",
            "Set the temperature of a room",
            "make it warmer or colder|set the heating",
            (
                text(
                    "room|zone",
                    one_of(by_comma("kitchen,bedroom,living room,office,bathroom")),
                    "in the {}",
                    "Room",
                ),
                number("temperature|target", 15, 27, "to {} degrees", "Degrees"),
            ),
            (
                duration("duration|hold", "for {}", "How long", "minute hour"),
                worded("unit", "celsius=Celsius,fahrenheit=Fahrenheit", "in {}", "Scale"),
                worded("mode", "heat=heating,cool=cooling,auto=by itself", "({})", "What it does"),
            ),
            "Make the {0} {1} degrees warm.|It should be {1} degrees in the {0}.|Set {1} degrees "
            "for the {0}.",
        ),
        act(
            "set start create",
            "timer countdown alarm",
            "Set a timer",
            "wake me|start counting",
            (
                duration("duration|time|length", "for {}", "How long", "second minute"),
                text(
                    "label|name|title",
                    one_of(by_comma("eggs,laundry,tea,nap,bread,homework")),
                    "for the {}",
                    "What for",
                ),
            ),
            (whole("repeat|repetitions", 2, 9, "{} times", "How often"),),
            "Remind me of the {1} in {0}.|Set {0} for the {1}.|The {1} needs {0}, tell me when it "
            "is over.",
        ),
        act(
            "play stream queue",
            "radio podcast audio_book",
            "Play something on a device",
            "play me something|put something on",
            (
                text(
                    "device|speaker|player",
                    one_of(by_comma("kitchen speaker,car,phone,office radio")),
                    "on the {}",
                    "Device",
                ),
                text("language", one_of(LANGUAGES), "in {}", "Language"),
            ),
            (
                whole("volume", 5, 95, "at volume {}", "0 to 100"),
                duration("stop_after|sleep_timer", "and stop after {}", "End", "minute"),
            ),
            "I'd like to hear something in {1} on the {0}.|Let the {0} play something in {1}.",
        ),
    ),
    (text("state", one_of(["on", "off"]), "", ""),),
)
TRIPS = Domain(
    "trips",
    (
        act(
            "book reserve find",
            "flight airline_ticket plane_seat",
            "Book a flight",
            "book a flight|I need to fly",
            (
                text("from_city|origin|departure", one_of(CITIES), "from {}", "Where it starts"),
                text("to_city|destination|arrival", one_of(CITIES), "to {}", "Where it ends"),
                text("date|departure_date", a_date, "on {}", "Day as YYYY-MM-DD"),
            ),
            (
                text("return_date", a_date, "and back on {}", "Day of the way back, YYYY-MM-DD"),
                worded(
                    "class|cabin",
                    "economy=in economy,business=in business class,first=in first class",
                    "{}",
                    "Cabin",
                ),
                whole("passengers|travellers", 2, 9, "for {} people", "How many fly"),
                flag("direct|nonstop", "without a stop", "with stops if need be", "No stop"),
            ),
            "I have to get from {0} to {1} on {2}.|Book me to {1} from {0} for {2}.|On {2} I fly "
            "from {0} to {1}, find me a seat.|We leave {0} for {1} on {2}.",
        ),
        act(
            "estimate calculate get",
            "trip_cost fuel_cost travel_budget",
            "What a journey by car costs",
            "what does the way cost|estimate the trip",
            (
                distance("distance|length", "for {}", "Length of the way", "kilometre"),
                number(
                    "consumption|fuel_use", 4, 12, "at {} litres per 100 km", "Litres per 100 km"
                ),
                number("fuel_price|price", 1, 3, "with fuel at {}", "Price of a litre", 2),
            ),
            (text("currency", said_as(MONEY_NAMES), "in {}", "Code of the currency"),),
            "What does it cost to drive {0} with {1} litres per 100 km at {2} a litre?|My car "
            "takes {1} litres, petrol costs {2}. How much is a journey of {0}?",
        ),
        act(
            "plan suggest create",
            "itinerary sightseeing_tour city_trip",
            "Plan days in a city",
            "plan my days|what should we see",
            (
                text("city|destination", one_of(CITIES), "in {}", "City"),
                duration("days|duration|length", "for {}", "How long", "day"),
            ),
            (
                amount("budget|max_cost", 100, 9000, "with a budget of {}", "Money at most"),
                texts(
                    "interests",
                    one_of(by_comma("art,food,history,music,nature,shopping")),
                    "interested in {}",
                    "Likes",
                ),
                worded("pace", "slow=slowly,fast=at full speed", "going {}", "How much a day"),
            ),
            "What should I see in {0} within {1}?|We spend {1} in {0}, plan something.|Make a plan "
            "for {1} in {0}.",
        ),
    ),
    (number("price", 20, 900, "", "", 2),),
)
PEOPLE = Domain(
    "people",
    (
        act(
            "hire find search",
            "craftsman worker freelancer",
            "Find somebody for a job",
            "find somebody for the job|who can do it",
            (
                text("profession|job|role", one_of(JOBS), "as a {}", "Profession"),
                text("city|location", LONG_TOWN, "in {}", "City and state, in full"),
            ),
            (
                texts("skills", one_of(SKILLS), "who knows {}", "Skills"),
                whole("experience|min_experience", 2, 25, "with {} years of experience", "Years"),
                months("contract|duration", "for {}", "Length of the contract", "month"),
            ),
            "I need a {0} in {1}.|Is there a {0} near {1}?|Who works as {0} in {1}?",
        ),
        act(
            "schedule book arrange",
            "interview meeting call",
            "Arrange a talk with somebody",
            "arrange a talk|make an appointment",
            (
                text("person|with|participant", FULL_NAME, "with {}", "Who comes"),
                _DATE,
                _TIME,
            ),
            (
                duration("duration|length", "lasting {}", "How long", "minute"),
                text("organizer|host", one_of(FIRST_NAMES), "organized by {}", "Who invites"),
                worded(
                    "channel|via", "video=by video,phone=by phone,office=in the office", "{}", "How"
                ),
            ),
            "I want to talk to {0} on {1} at {2}.|Can {0} come on {1}? Let's say at {2}.|At {2} on "
            "{1} I meet {0}.",
        ),
        act(
            "send transfer give",
            "money gift payment_to_friend",
            "Give money to somebody",
            "send some money|give something to them",
            (
                text("recipient|to|receiver", FULL_NAME, "to {}", "Who gets it"),
                amount("amount|sum", 10, 9000, "of {}", "How much"),
                text("currency", said_as(MONEY_NAMES), "in {}", "Code of the currency"),
            ),
            (
                text("sender|from|from_account", FULL_NAME, "from {}", "Who gives it"),
                text(
                    "note|message",
                    one_of(by_comma("thank you,for the tickets,happy birthday,rent")),
                    'saying "{}"',
                    "Note",
                ),
            ),
            "{0} should get {1} {2}.|Send {1} {2} to {0}.|I owe {0} {1} {2}, please pay.",
        ),
        act(
            "order buy",
            "item goods product_online",
            "Buy things",
            "order it|buy something",
            (
                text("product|item|article", one_of(PRODUCTS), "a {}", "What is bought"),
                whole("quantity|count|units", 1, 30, "({} of them)", "How many"),
            ),
            (
                number("max_price|price_limit", 5, 200, "for at most {} each", "Price of one", 2),
                text("deliver_to|recipient", FULL_NAME, "sent to {}", "Who gets it"),
                choice("delivery|speed", "normal express pickup", "by {} delivery", "Delivery"),
            ),
            "We need {1} of this: {0}.|Buy {1} times the {0}.|Put the {0} on my order, {1} pieces.",
        ),
    ),
    (text("id", one_of(["A1", "B7", "C3"]), "", ""), text("name", FULL_NAME, "", "")),
)

SERVICES = (
    NEARBY,
    KITCHEN,
    BODY,
    HOME,
    TRIPS,
    PEOPLE,
)
