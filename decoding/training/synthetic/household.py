"""Domains of the home."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.slots import choice, flag, number, text, texts, whole
from decoding.training.synthetic.words import (
    CARS,
    CITIES,
    CODE,
    COUNTRIES,
    ROOMS,
    a_date,
    a_time,
    one_of,
)

_CITY = one_of(CITIES)
_IN = text("city|location|place|town", _CITY, "in {}|for {}", "Name of the city")
_DATE = text("date|day", a_date, "on {}|for {}", "Date as YYYY-MM-DD")
_TIME = text("time|start_time", a_time, "at {}", "Time of day as HH:MM, 24 hours")
SMART_HOME = Domain(
    "smart_home",
    (
        act(
            "set adjust change",
            "thermostat room_temperature heating",
            "Set the temperature of a room",
            "set the heating|change the temperature|make it comfortable",
            (
                text("room|zone", one_of(ROOMS), "in the {}", "Room"),
                number("temperature|degrees", 15, 26, "to {} degrees", "Degrees Celsius"),
            ),
            (
                _TIME,
                choice("mode", "heat cool auto eco", "in {} mode", "Mode"),
                whole("duration_hours", 1, 12, "for {} hours", "Hours"),
            ),
        ),
        act(
            "turn_on switch control dim",
            "lights lamp light",
            "Control the lights of a room",
            "change the light|adjust the lamps|switch the lights",
            (
                text("room|area", one_of(ROOMS), "in the {}", "Room"),
                whole("brightness|level", 5, 95, "to {} percent", "Brightness in percent"),
            ),
            (
                choice("color|colour", "warm_white cold_white red blue green", "in {}", "Colour"),
                whole("fade_seconds", 1, 60, "over {} seconds", "How long the change takes"),
            ),
        ),
        act(
            "lock arm close",
            "doors alarm blinds",
            "Secure a part of the house",
            "secure the house|close everything|lock up",
            (texts("rooms|zones", one_of(ROOMS), "for these rooms: {}", "Rooms"),),
            (
                text("until", a_time, "until {}", "End as HH:MM"),
                flag("notify", "and tell me when it is done", "no message needed", "Send a note"),
            ),
        ),
    ),
    (number("temperature", 15, 26, "", ""), choice("state", "on off armed locked", "", "")),
)
ENERGY = Domain(
    "energy",
    (
        act(
            "get read report",
            "power_consumption meter_reading energy_usage",
            "Energy that was used",
            "how much energy did we use|show the power consumption|report the meter",
            (
                text("meter_id|meter", CODE, "on meter {}", "Meter"),
                text("start_date|from_date", a_date, "since {}", "First day, YYYY-MM-DD"),
            ),
            (
                text("end_date|to_date", a_date, "until {}", "Last day, YYYY-MM-DD"),
                choice("interval", "hourly daily weekly monthly", "in {} values", "Resolution"),
            ),
        ),
        act(
            "estimate calculate",
            "solar_yield electricity_bill carbon_footprint",
            "Estimate of energy or its cost",
            "estimate the energy|work out what it comes to",
            (number("kwh|energy_kwh", 50, 6000, "for {} kWh", "Energy in kWh"),),
            (
                number("price_per_kwh|tariff", 0.1, 0.6, "at {} euros per kWh", "Tariff", 2),
                text("country", one_of(COUNTRIES), "in {}", "Country"),
                choice("source", "coal gas wind solar hydro nuclear", "from {}", "Source"),
            ),
        ),
    ),
    (number("kwh", 5, 900, "", ""), number("cost", 5, 300, "", "", 2)),
)
CARS_DOMAIN = Domain(
    "cars",
    (
        act(
            "rent reserve hire",
            "car rental_car vehicle",
            "Rent a car",
            "rent a car|I need a car|reserve a rental car",
            (
                text("pickup_city|pickup_location", _CITY, "in {}", "Where it is picked up"),
                text("pickup_date", a_date, "from {}", "First day, YYYY-MM-DD"),
                whole("days|rental_days", 1, 21, "for {} days", "Number of days"),
            ),
            (
                choice("car_class|category", "small compact family van", "of the {} class", "Size"),
                choice("transmission", "manual automatic", "with {} transmission", "Gears"),
                whole("driver_age", 19, 75, "the driver is {} years old", "Age of the driver"),
            ),
        ),
        act(
            "schedule book",
            "car_service oil_change inspection",
            "Book a date at the garage",
            "book a date at the garage|my car needs a service",
            (text("model|car_model", one_of(CARS), "for my {}", "Make and model"), _DATE),
            (
                whole("mileage|odometer_km", 5000, 200000, "with {} km on it", "Kilometres driven"),
                text("license_plate|plate", CODE, "with the plate {}", "Number plate"),
            ),
        ),
        act(
            "estimate get",
            "car_value resale_price fuel_cost",
            "Value of a used car",
            "what is the car worth|estimate the value of a car",
            (
                text("model", one_of(CARS), "that is a {}", "Make and model"),
                whole("year|model_year", 2005, 2025, "built in {}", "Year it was built"),
            ),
            (whole("mileage_km", 5000, 250000, "with {} km", "Kilometres driven"), _IN),
        ),
    ),
    (whole("price", 90, 9000, "", ""), text("id", CODE, "", "")),
)

HOUSEHOLD = (
    SMART_HOME,
    ENERGY,
    CARS_DOMAIN,
)
