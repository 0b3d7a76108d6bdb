"""Domains of travel, the city and the sky."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.quantities import implied
from decoding.training.synthetic.slots import choice, flag, number, text, texts, whole
from decoding.training.synthetic.words import (
    ADDRESS,
    BODIES,
    CITIES,
    CODE,
    COUNTRIES,
    CUISINES,
    FULL_NAME,
    LANDMARKS,
    PHONE,
    TITLE,
    a_date,
    a_time,
    by_comma,
    one_of,
)

_CITY = one_of(CITIES)
_IN = text("city|location|place|town", _CITY, "in {}|for {}", "Name of the city")
_DATE = text("date|day", a_date, "on {}|for {}", "Date as YYYY-MM-DD")
_TIME = text("time|start_time", a_time, "at {}", "Time of day as HH:MM, 24 hours")
_FROM = text("origin|departure_city|from_city|source", _CITY, "from {}", "Where the trip starts")
_TO = text("destination|arrival_city|to_city|dest", _CITY, "to {}", "Where the trip ends")
_PRICE = whole(
    "max_price|budget|price_limit", 20, 900, "for at most {} euros|under {} euros", "Highest price"
)
_PEOPLE = whole(
    "num_people|guests|party_size|people", 2, 12, "for {} people|for a group of {}", "How many come"
)
_UNITS = choice("units|unit_system", "metric imperial", "in {} units", "System of units")
_NAME = text("name|customer_name|guest_name", FULL_NAME, "for {}|in the name of {}", "Full name")
_REFERENCE = text(
    "booking_id|reference|booking_reference",
    CODE,
    "with the reference {}|with the number {}",
    "Booking reference",
)

WEATHER = Domain(
    "weather",
    (
        act(
            "get fetch retrieve check",
            "weather forecast weather_forecast current_weather",
            "Weather forecast for a place",
            "what will the weather be like|give me the weather forecast|check the weather|"
            "I need the forecast",
            (_IN,),
            (
                _DATE,
                _UNITS,
                (
                    whole("days|num_days", 2, 14, "for the next {} days", "Days to forecast"),
                    implied(
                        "days|num_days",
                        "7=next week/coming week/next 7 days,14=next two weeks/coming fortnight,"
                        "30=next 30 days",
                        "for the {}",
                        "Days to forecast",
                    ),
                ),
                text("country", one_of(COUNTRIES), "(country: {})", "Country of the place"),
                flag("hourly|include_hourly", "hour by hour", "without hourly values", "By hour"),
            ),
        ),
        act(
            "get read lookup",
            "air_quality pollen_count uv_index",
            "Measured quality of the air",
            "how good is the air|look up the air readings|tell me the state of the air",
            (_IN,),
            (
                _DATE,
                choice("pollutant", "pm10 pm25 ozone no2", "and look at {}", "What to measure"),
                flag("include_history", "with the history", "without history", "Past values too"),
            ),
        ),
        act(
            "subscribe create set",
            "storm_alert weather_alert weather_warning",
            "Warn of bad weather",
            "warn me of bad weather|set a weather alert",
            (
                _IN,
                choice(
                    "event|hazard|kind",
                    "storm heavy_rain snow frost heat_wave fog",
                    "in case of {}",
                    "What to warn of",
                ),
            ),
            (
                text("phone|phone_number", PHONE, "by text to {}", "Where to send the warning"),
                whole("hours_ahead|lead_time", 2, 48, "{} hours ahead", "Hours of warning"),
            ),
        ),
    ),
    (
        number("temperature", -10, 35, "", ""),
        choice("condition", "sunny cloudy rain snow fog", "", ""),
        whole("humidity", 20, 99, "", ""),
    ),
)
FLIGHTS = Domain(
    "flights",
    (
        act(
            "search find list",
            "flights flight_offers cheap_flights",
            "Flights between two cities",
            "find flights|search for a flight|which flights are there|I am looking for a flight",
            (_FROM, _TO),
            (
                _DATE,
                choice(
                    "cabin|travel_class|seat_class",
                    "economy premium_economy business first",
                    "in {} class",
                    "Cabin",
                ),
                whole("passengers|adults", 1, 9, "with {} on board", "Number of passengers"),
                flag(
                    "nonstop|direct_only", "without a stop|non-stop", "stops are fine", "No stops"
                ),
                _PRICE,
            ),
        ),
        act(
            "book reserve",
            "flight flight_ticket plane_ticket",
            "Book a seat on a flight",
            "book a flight|reserve a seat on a plane|get me a plane ticket",
            (_FROM, _TO, _DATE),
            (
                text("passenger_name|traveller", FULL_NAME, "for {}", "Name in the passport"),
                choice("seat|seat_preference", "window aisle middle", "with a {} seat", "Seat"),
                whole("bags|checked_bags", 1, 4, "with {} checked bags", "Checked bags"),
            ),
        ),
        act(
            "get check track",
            "flight_status departure_gate flight_delay",
            "Status of a flight",
            "what is the status of the flight|check the flight|is the plane late, I mean the one",
            (text("flight_number|flight", CODE, "with number {}|numbered {}", "Flight number"),),
            (_DATE, text("airport", _CITY, "at the airport of {}", "Airport")),
        ),
    ),
    (
        text("flight", CODE, "", ""),
        whole("price", 60, 900, "", ""),
        text("departure", a_time, "", ""),
    ),
)
TRAINS = Domain(
    "trains",
    (
        act(
            "find search plan",
            "train_connections rail_journey trains",
            "Train connections",
            "find a train|when does the next train go|show me train connections",
            (_FROM, _TO),
            (
                _DATE,
                text("departure_time|leave_after", a_time, "leaving after {}", "Earliest start"),
                whole("max_changes|transfers", 0, 3, "with at most {} changes", "Most changes"),
                flag("bike|with_bicycle", "with a bicycle", "without a bicycle", "Takes a bike"),
            ),
        ),
        act(
            "buy purchase order",
            "train_ticket rail_pass rail_ticket",
            "Buy a train ticket",
            "buy a train ticket|I need a ticket for the train|get tickets for the train",
            (_FROM, _TO, _DATE),
            (
                choice("fare|ticket_type", "single return day_pass", "as a {} ticket", "Fare"),
                whole("passengers|travellers", 1, 6, "for {} travellers", "Number of people"),
                choice("carriage", "first_class second_class", "in {}", "Class"),
            ),
        ),
    ),
    (
        text("train", CODE, "", ""),
        text("departure", a_time, "", ""),
        whole("platform", 1, 20, "", ""),
    ),
)
HOTELS = Domain(
    "hotels",
    (
        act(
            "search find list",
            "hotels rooms accommodation",
            "Hotels in a city",
            "find a hotel|look for a room|which hotels are free|I need a place to stay",
            (_IN,),
            (
                text("check_in|arrival_date", a_date, "from {}", "Arrival, YYYY-MM-DD"),
                whole("nights|num_nights", 1, 14, "for {} nights", "Number of nights"),
                whole("stars|min_stars", 2, 5, "with at least {} stars", "Fewest stars"),
                texts(
                    "amenities|facilities",
                    one_of(by_comma("pool,sauna,gym,parking,wifi,breakfast,balcony")),
                    "with {}",
                    "What the hotel must have",
                ),
                _PRICE,
                flag("pets|pets_allowed", "with a dog", "without pets", "Pets are allowed"),
            ),
        ),
        act(
            "book reserve",
            "hotel hotel_room room",
            "Book a room",
            "book a room|reserve a hotel room",
            (_IN, text("arrival", a_date, "from {}", "First night as YYYY-MM-DD"), _NAME),
            (
                whole("nights", 1, 21, "for {} nights", "Number of nights"),
                choice("room_type", "single double twin suite", "(a {} room)", "Kind of room"),
                flag("breakfast", "with breakfast", "without breakfast", "Breakfast is included"),
            ),
        ),
        act(
            "cancel change",
            "reservation stay hotel_booking",
            "Cancel a booking",
            "cancel my stay|call off the booking|I have to cancel the room",
            (_REFERENCE,),
            (
                text("reason", one_of(["illness", "new plans", "bad weather"]), "due to {}", "Why"),
                flag("refund", "and I want a refund", "no refund is needed", "Ask for a refund"),
            ),
        ),
    ),
    (text("hotel", TITLE, "", ""), whole("price", 50, 400, "", ""), text("id", CODE, "", "")),
)
MAPS = Domain(
    "maps",
    (
        act(
            "get plan compute",
            "route directions travel_time",
            "Route between two places",
            "how do I get|plan a route|give me directions",
            (
                text("start|from_place", ADDRESS, "from {}", "Start address"),
                text("end|to_place|target", ADDRESS, "to {}", "Target address"),
            ),
            (
                choice("mode|travel_mode", "walking cycling driving transit", "by {}", "How"),
                flag("avoid_tolls", "without toll roads", "toll roads are fine", "Stay off tolls"),
                _IN,
            ),
        ),
        act(
            "find search locate",
            "nearby_places points_of_interest places",
            "Places near an address",
            "what is there|find somewhere to go|search the map",
            (
                choice(
                    "category|place_type",
                    "pharmacy supermarket cafe museum park bank playground petrol_station",
                    "of the kind {}|in the category {}",
                    "Kind of place",
                ),
                text("near|landmark", one_of(LANDMARKS), "near the {}", "Known place"),
            ),
            (
                _IN,
                whole("radius|radius_m", 100, 5000, "within {} metres", "Radius in metres"),
                flag("open_now", "that are open now", "open or not", "Only what is open"),
            ),
        ),
        act(
            "geocode resolve",
            "address street_address coordinates",
            "Coordinates of an address",
            "what are the coordinates|find the position on the map",
            (text("address|street", ADDRESS, "of {}", "Street and number"), _IN),
            (text("country", one_of(COUNTRIES), "in the country {}", "Country"),),
        ),
    ),
    (number("distance_km", 1, 60, "", ""), whole("minutes", 5, 120, "", "")),
)
RESTAURANTS = Domain(
    "restaurants",
    (
        act(
            "find search recommend",
            "restaurants eateries dining_options",
            "Restaurants in a city",
            "find a restaurant|where can we eat|recommend somewhere for dinner",
            (_IN, choice("cuisine|food_type", " ".join(CUISINES), "with {} food", "Cuisine")),
            (
                choice("price_level", "cheap moderate expensive", "at a {} price", "Prices"),
                number("min_rating|rating", 3, 5, "rated {} or better", "Lowest rating, 1 to 5"),
                flag("outdoor|terrace", "with tables outside", "with tables inside", "Outdoors"),
                _PEOPLE,
            ),
        ),
        act(
            "book reserve make",
            "table dinner_table table_reservation",
            "Reserve a table",
            "book a table|reserve a table|get us a table",
            (text("restaurant|venue", TITLE, "at {}", "Restaurant"), _DATE, _TIME),
            (_PEOPLE, _NAME, text("phone", PHONE, "reachable at {}", "Phone number")),
        ),
    ),
    (text("restaurant", TITLE, "", ""), number("rating", 3, 5, "", "")),
)
ASTRONOMY = Domain(
    "astronomy",
    (
        act(
            "get compute find",
            "planet_position celestial_position star_coordinates",
            "Where a body stands in the sky",
            "where in the sky do I look|compute the position|find the position in the sky",
            (text("body|object_name", one_of(BODIES), "for {}", "Planet, moon or star"), _DATE),
            (
                text("observer|site", _CITY, "seen from {}", "Where one stands"),
                choice("frame", "equatorial ecliptic horizontal", "in the {} frame", "Coordinates"),
            ),
        ),
        act(
            "calculate compute",
            "orbital_period escape_velocity luminosity",
            "A quantity of an orbit",
            "calculate the orbital values|work out the orbit",
            (
                number("mass|central_mass", 1, 90, "for a mass of {} suns", "Mass in suns", 2),
                number("semi_major_axis|radius", 1, 60, "at a distance of {} AU", "Distance", 2),
            ),
            (
                number("eccentricity", 0, 0.9, "with eccentricity {}", "0 to 1", 2),
                choice("output_unit", "days years seconds", "in {}", "Unit of the result"),
            ),
        ),
        act(
            "list predict",
            "eclipses meteor_showers moon_phases",
            "Events in the sky",
            "which events can be seen in the sky|list what happens in the sky",
            (whole("year", 2024, 2060, "in the year {}", "Year"), _IN),
            (choice("eclipse_type", "solar lunar any", "of the kind {}", "Which"),),
        ),
    ),
    (number("altitude", 1, 89, "", ""), number("azimuth", 0, 359, "", "")),
)

TRAVEL = (
    WEATHER,
    FLIGHTS,
    TRAINS,
    HOTELS,
    MAPS,
    RESTAURANTS,
    ASTRONOMY,
)
