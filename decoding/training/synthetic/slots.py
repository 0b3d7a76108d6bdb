"""Slots of synthetic tools: what a parameter is called, its values, and how people say them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from decoding.training.synthetic.words import Maker, in_words

LONGEST_TEXT, LONGEST_LIST, MOST_NUMBERS = 48, 4, 8  # in the schemas, so that answers end
_IN_WORDS = 0.3  # share of the small numbers that are spelled


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter that tools of several names can have.

    `schema` is the JSON Schema of its values, `draw` gives (value, wording), and the `phrases`
    put the wording into a sentence.
    """

    names: tuple[str, ...]
    schema: dict[str, Any]
    draw: Callable[[Random], tuple[Any, str]]
    phrases: tuple[str, ...]
    description: str

    @property
    def is_flag(self) -> bool:
        return self.schema == {"type": "boolean"}


def text(names: str, maker: Maker, phrases: str, description: str) -> Slot:
    schema = {"type": "string", "maxLength": LONGEST_TEXT}
    return Slot(split(names), schema, maker, split(phrases), description)


def texts(names: str, maker: Maker, phrases: str, description: str) -> Slot:
    def draw(rng: Random) -> tuple[list[str], str]:
        drawn = dict(maker(rng) for _ in range(rng.randrange(1, LONGEST_LIST + 1)))
        return list(drawn), listed(list(drawn.values()))

    return Slot(
        split(names),
        _array({"type": "string", "maxLength": LONGEST_TEXT}),
        draw,
        split(phrases),
        description,
    )


def whole(names: str, low: int, high: int, phrases: str, description: str) -> Slot:
    def draw(rng: Random) -> tuple[int, str]:
        value = rng.randint(low, high)
        if high - low > 200 and low >= 0 and rng.random() < 0.5:
            value = max(low, value - value % (10 if high < 5_000 else 500))
        is_spelled = 0 <= value <= 99 and high < 1_000 and rng.random() < _IN_WORDS
        return value, in_words(value) if is_spelled else str(value)

    return Slot(split(names), {"type": "integer"}, draw, split(phrases), description)


def number(
    names: str, low: float, high: float, phrases: str, description: str, digits: int = 1
) -> Slot:
    def draw(rng: Random) -> tuple[float, str]:
        value = _decimal(rng, low, high, digits)
        return value, str(value)

    return Slot(split(names), {"type": "number"}, draw, split(phrases), description)


def numbers(
    names: str,
    low: float,
    high: float,
    phrases: str,
    description: str,
    digits: int = 0,
    size: int | None = None,
) -> Slot:
    """A list of `size` numbers, by default of two to eight, told in words or in brackets."""

    def draw(rng: Random) -> tuple[list[float], str]:
        count = size or rng.randint(2, MOST_NUMBERS)
        values = [_decimal(rng, low, high, digits) for _ in range(count)]
        told = str(values) if rng.random() < 0.4 else listed([str(value) for value in values])
        return values, told

    items = {"type": "number" if digits else "integer"}
    return Slot(split(names), _array(items, MOST_NUMBERS), draw, split(phrases), description)


def choice(names: str, options: str, phrases: str, description: str) -> Slot:
    allowed = options.split()

    def draw(rng: Random) -> tuple[str, str]:
        value = rng.choice(allowed)
        return value, value.replace("_", " ")

    return Slot(
        split(names), {"type": "string", "enum": allowed}, draw, split(phrases), description
    )


def flag(names: str, yes: str, no: str, description: str) -> Slot:
    wordings = {True: split(yes), False: split(no)}

    def draw(rng: Random) -> tuple[bool, str]:
        value = rng.random() < 0.7
        return value, rng.choice(wordings[value])

    return Slot(split(names), {"type": "boolean"}, draw, ("{}",), description)


def mapping(names: str, maker: Maker, values: Slot, phrases: str, description: str) -> Slot:
    """An object whose keys the question names, each with a value of the slot `values`,
    whose phrases put {0}, the key, and {1}, the value, together."""

    def draw(rng: Random) -> tuple[dict[str, Any], str]:
        drawn: dict[str, Any] = {}
        told = []
        join = rng.choice(values.phrases)
        for _ in range(rng.randint(2, LONGEST_LIST)):
            key, spoken = maker(rng)
            if key not in drawn:
                drawn[key], value = values.draw(rng)
                told.append(join.format(spoken, value))
        return drawn, listed(told)

    schema: dict[str, Any] = {"type": "object", "additionalProperties": values.schema}
    schema |= {"minProperties": 1, "maxProperties": LONGEST_LIST}
    return Slot(split(names), schema, draw, split(phrases), description)


def listed(words: list[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _array(items: dict[str, Any], most: int = LONGEST_LIST) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _decimal(rng: Random, low: float, high: float, digits: int) -> float:
    value = round(rng.uniform(low, high), digits)
    is_whole = value == int(value) or (value >= 1 and rng.random() < 0.3)
    return int(value) if is_whole else value


def split(text: str) -> tuple[str, ...]:
    """What stands between bars."""
    return tuple(text.split("|"))


YEAR = whole("year|season_year", 1950, 2025, "in {}|in the year {}", "Year")
LIMIT = whole("limit|top|max_results", 2, 20, "(at most {})|showing {}", "How many at most")
DETAIL = flag("detailed|include_details", "with the details", "without details", "Details")
"""Many tools have these."""
