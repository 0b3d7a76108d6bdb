"""Texts of a few sentences, and the form that is to be filled from them."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from decoding.grammar import Grammar
from decoding.training.synthetic.formats import described
from decoding.training.synthetic.questions import fragment
from decoding.training.synthetic.slots import Slot, choice, flag, number, text, texts, whole
from decoding.training.synthetic.specs import Mention, draw_values, make_parameter, object_schema
from decoding.training.synthetic.words import (
    ADDRESS,
    CARS,
    CITIES,
    CODE,
    COMPANY,
    CUISINES,
    EMAIL,
    FOODS,
    FULL_NAME,
    ITEM,
    JOBS,
    LANGUAGES,
    PATH,
    PHONE,
    SKILLS,
    SYMPTOMS,
    TEAM,
    TITLE,
    TOPICS,
    a_date,
    a_time,
    one_of,
)

_HEADS = (
    "Fill this form from the text. Answer with a JSON object.\n{}",
    "Extract the data from the text the user sends, as JSON of this schema:\n{}",
    "Read the text and return these fields as JSON: {}",
    "You turn texts into records. The record: {}",
)
_LEADS = ("", "", "Text: ", "Here is the text:\n", "Please extract the data: ")


@dataclass(frozen=True, slots=True)
class _Record:
    """The phrases of `slots` are whole sentences."""

    title: str
    openings: tuple[str, ...]
    slots: tuple[Slot, ...]


_CITY = one_of(CITIES)
_PHONE = text("phone|telephone", PHONE, "You can call {}.|The phone number is {}.", "Phone number")
_EMAIL = text("email|contact_email", EMAIL, "Write to {}.|The address is {}.", "E-mail")
_WHEN = text("date|day", a_date, "It is dated {}.|The date was {}.", "Date as YYYY-MM-DD")
_RECORDS = (
    _Record(
        "person",
        ("A short portrait.", "Somebody introduced herself today.", ""),
        (
            text("name|full_name", FULL_NAME, "The name is {}.|Meet {}.", "Full name"),
            text("job|occupation", one_of(JOBS), "The job is {}.|Works as: {}.", "Occupation"),
            text("city|residence", _CITY, "Home is {}.|The family lives in {}.", "Where one lives"),
            whole("age", 18, 90, "The age is {}.|Now {} years old.", "Age in years"),
            texts("languages", one_of(LANGUAGES), "Languages: {}.|Speaks {}.", "Languages"),
            _EMAIL,
        ),
    ),
    _Record(
        "invoice",
        ("Please find the invoice below.", "We send you our bill.", ""),
        (
            text("invoice_number|number", CODE, "Its number is {}.|Invoice {}.", "Number"),
            text("seller|vendor", COMPANY, "It comes from {}.|The seller is {}.", "Seller"),
            number("total|amount", 10, 4000, "The total is {}.|{} is to be paid.", "Sum", 2),
            choice("currency", "EUR USD GBP CHF", "The currency is {}.|Paid in {}.", "Currency"),
            text("due_date", a_date, "It is due on {}.|Pay by {}.", "Due day, YYYY-MM-DD"),
            flag("paid|is_paid", "It is paid already.", "It is not paid yet.", "Is it paid"),
        ),
    ),
    _Record(
        "job_offer",
        ("We are growing!", "A new opening.", "Join us."),
        (
            text("company|employer", COMPANY, "{} is hiring.|The company is {}.", "Company"),
            text("position|title", one_of(JOBS), "The position: {}.|Wanted: {}.", "Position"),
            text("location|city", _CITY, "The office is in {}.|You work in {}.", "Place"),
            whole("salary", 20000, 110000, "The pay is {} a year.|We offer {}.", "Pay a year"),
            texts("skills", one_of(SKILLS), "You need {}.|We ask for {}.", "Skills"),
            flag("remote", "Work from home is fine.", "No remote work.", "From home"),
        ),
    ),
    _Record(
        "listing",
        ("For rent from now on.", "A quiet place.", ""),
        (
            text("address|street", ADDRESS, "The flat is at {}.|You find it at {}.", "Address"),
            text("city", _CITY, "It is in {}.|The city is {}.", "City"),
            whole("rent|monthly_rent", 400, 3000, "The rent is {}.|It costs {}.", "Rent"),
            whole("rooms|bedrooms", 1, 7, "It has {} rooms.|There are {} rooms.", "Rooms"),
            number("area|area_sqm", 25, 190, "It measures {} square metres.", "Area in m2"),
            flag("furnished", "It is furnished.", "It comes without furniture.", "Furnished"),
            _PHONE,
        ),
    ),
    _Record(
        "order",
        ("A customer called.", "New order.", ""),
        (
            text("customer|buyer", FULL_NAME, "The customer is {}.|{} placed it.", "Customer"),
            texts("items|products", ITEM, "The order: {}.|Ordered were {}.", "Products"),
            text("ship_to|address", ADDRESS, "Send it to {}.|It goes to {}.", "Address"),
            number("price|total", 10, 900, "The price is {}.|It comes to {}.", "Price", 2),
            flag("express", "It must go by express.", "There is no hurry.", "Express"),
            _EMAIL,
        ),
    ),
    _Record(
        "meeting",
        ("Notes of today.", "To everybody in the team.", ""),
        (
            text("topic|subject", one_of(TOPICS), "It was about the {}.|Topic: {}.", "Topic"),
            _WHEN,
            text("start|time", a_time, "It began at {}.|The start was {}.", "HH:MM"),
            texts("people|attendees", FULL_NAME, "Present: {}.|In the room: {}.", "Who was there"),
            whole("minutes|duration", 10, 180, "It took {} minutes.", "Minutes"),
        ),
    ),
    _Record(
        "patient_note",
        ("Seen in the practice.", "A new patient.", ""),
        (
            text("patient|name", FULL_NAME, "The patient is {}.|Name: {}.", "Patient"),
            whole("age", 1, 95, "Age {}.|The patient is {} years old.", "Age"),
            texts("symptoms", one_of(SYMPTOMS), "Complaints: {}.|There is {}.", "Symptoms"),
            number("temperature", 36, 41, "The temperature is {}.|{} degrees.", "Degrees"),
            choice("severity", "mild moderate severe", "The case is {}.", "How bad"),
        ),
    ),
    _Record(
        "review",
        ("My visit yesterday.", "What I think of it.", ""),
        (
            text("restaurant|place", TITLE, "We ate at {}.|The place is {}.", "Restaurant"),
            text("city", _CITY, "It is in {}.|One finds it in {}.", "City"),
            choice("cuisine", " ".join(CUISINES), "The food is {}.", "Cuisine"),
            whole("stars|rating", 1, 5, "I give {} stars.|{} of five stars.", "1 to 5"),
            texts("ate|dishes", one_of(FOODS), "We had {}.|On the table: {}.", "What was eaten"),
            flag("recommended", "I would go again.", "I will not go again.", "Worth it"),
        ),
    ),
    _Record(
        "match_report",
        ("The game of the week.", "A full stadium.", ""),
        (
            text("home|home_team", TEAM, "The hosts were the {}.|At home: {}.", "Home team"),
            text("away|guests", TEAM, "The guests were the {}.|Visiting: {}.", "Guests"),
            whole("home_score", 0, 9, "The hosts got {}.", "Points of the hosts"),
            whole("away_score", 0, 9, "The guests got {}.", "Points of the guests"),
            _WHEN,
            whole("spectators", 500, 60000, "{} people watched.", "Spectators"),
        ),
    ),
    _Record(
        "car_ad",
        ("I sell my car.", "Good car, no accident.", ""),
        (
            text("model|car", one_of(CARS), "It is a {}.|The model: {}.", "Model"),
            whole("year|built", 2001, 2024, "It was built in {}.|The year is {}.", "Year"),
            whole("mileage|km", 9000, 220000, "It has run {} km.|{} km so far.", "Kilometres"),
            whole("price", 900, 30000, "I ask {}.|The price is {}.", "Price"),
            choice("fuel", "petrol diesel electric hybrid", "It is {}.|The fuel: {}.", "Fuel"),
            _PHONE,
        ),
    ),
    _Record(
        "incident",
        ("To the support team.", "Something is broken.", ""),
        (
            text("ticket|case_id", CODE, "The case is {}.|See ticket {}.", "Case"),
            text("reported_by|reporter", FULL_NAME, "{} reported it.|Seen by {}.", "Who saw it"),
            choice("severity|level", "low medium high critical", "It is {}.", "Severity"),
            text("file|log_file", PATH, "The log is {}.|See {}.", "Path of the log"),
            text("since|started", a_time, "It began at {}.", "HH:MM"),
            flag("resolved", "It is solved by now.", "It is still open.", "Is it solved"),
        ),
    ),
    _Record(
        "book",
        ("New on the shelf.", "A note of the librarian.", ""),
        (
            text("title", TITLE, 'The book is "{}".|Title: "{}".', "Title"),
            text("author", FULL_NAME, "It was written by {}.|The author is {}.", "Author"),
            whole("pages", 80, 900, "It has {} pages.", "Pages"),
            whole("year|published", 1900, 2025, "It appeared in {}.|Published {}.", "Year"),
            text("language", one_of(LANGUAGES), "It is in {}.|The language is {}.", "Language"),
            number("price", 5, 60, "It costs {}.", "Price", 2),
        ),
    ),
)


def extraction(rng: Random) -> tuple[tuple[tuple[str, str], ...], Grammar, str]:
    """Messages, the grammar of the form, and the form as it is rightly filled."""
    record = rng.choice(_RECORDS)
    slots = rng.sample(record.slots, rng.randint(3, len(record.slots)))
    is_camel = rng.random() < 0.2
    parameters = tuple(
        make_parameter(rng, slot, rng.random() < 0.8, is_camel=is_camel) for slot in slots
    )
    mentions: list[Mention] = []
    values = draw_values(rng, parameters, mentions, ())
    shown: dict[str, Any] = {"title": record.title, **described(parameters)}
    form = rng.choice((json.dumps(shown), ", ".join(each.name for each in parameters)))
    system = rng.choice(_HEADS).format(form)
    messages = (("system", system), ("user", rng.choice(_LEADS) + _told(rng, record, mentions)))
    answer = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return messages, Grammar.json_schema(object_schema(parameters)), answer


def _told(rng: Random, record: _Record, mentions: list[Mention]) -> str:
    if rng.random() < 0.6:
        rng.shuffle(mentions)
    opening = rng.choice(record.openings)
    sentences = [fragment(rng, each) for each in mentions]
    return " ".join([opening, *sentences] if opening else sentences)
