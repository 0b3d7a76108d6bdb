"""Domains of health, food, sport and pets."""

from decoding.training.synthetic.domain import Domain, act
from decoding.training.synthetic.slots import choice, flag, number, text, texts, whole
from decoding.training.synthetic.words import (
    CITIES,
    CODE,
    DISHES,
    DRUGS,
    FOODS,
    FULL_NAME,
    PETS,
    SPORTS,
    SYMPTOMS,
    TEAM,
    a_date,
    a_time,
    one_of,
)

_CITY = text("city|location|place", one_of(CITIES), "in {}", "City")
_DATE = text("date|day", a_date, "on {}", "Date as YYYY-MM-DD")
_TIME = text("time|at", a_time, "at {}", "Time as HH:MM")
_FORMAT = choice("format|output_format", "short table detailed", "in a {} form", "Form of output")
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
                choice("intensity", "easy moderate hard", "at a {} intensity", "Intensity"),
                _DATE,
            ),
        ),
    ),
    (text("team", TEAM, "", ""), whole("points", 0, 99, "", "")),
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

WELLBEING = (
    MEDICINE,
    COOKING,
    SPORT,
    PETS_DOMAIN,
)
