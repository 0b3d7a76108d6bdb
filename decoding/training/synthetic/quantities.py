"""Slots whose value is worked out from the words: shares, durations, lengths, large numbers.

Where a constructor gives several slots, a tool has one of them, and the descriptions say in which
unit its value is.
"""

from collections.abc import Callable
from random import Random

from decoding.training.synthetic.slots import Slot, split
from decoding.training.synthetic.words import in_words

Draw = Callable[[Random], tuple[float, str]]


def amount(names: str, low: int, high: int, phrases: str, description: str) -> Slot:
    """A whole number that may be told in thousands or millions: "2.5 million" is 2500000."""

    def draw(rng: Random) -> tuple[int, str]:
        value = rng.randint(low, high)
        digits = max(len(str(value)) - rng.choice((1, 2, 2, 3)), 0)
        value = max(value // 10**digits * 10**digits, low)
        return value, rng.choice(_large(value))

    return Slot(split(names), {"type": "integer"}, draw, split(phrases), description)


def _large(value: int) -> list[str]:
    spoken = [str(value), f"{value:,}"]
    if value >= 1_000_000 and value % 10_000 == 0:
        spoken += [f"{_plain(value / 1_000_000)} million"] * 2
    elif value >= 1_000 and value % 100 == 0:
        spoken += [f"{_plain(value / 1_000)} thousand", f"{_plain(value / 1_000)}k"]
    return spoken


def share(names: str, low: float, high: float, phrases: str, description: str) -> tuple[Slot, ...]:
    """Told in percent; the value is a fraction, or the number of percent."""

    def spoken(rng: Random) -> tuple[float, str]:
        percent = rng.uniform(low, high)
        percent = round(percent) if rng.random() < 0.6 else round(percent, 1)
        sign = rng.choice(("%", "%", "%", " percent", " %"))
        return percent, f"{_plain(percent)}{sign}"

    def fraction(rng: Random) -> tuple[float, str]:
        percent, told = spoken(rng)
        value = _number(percent / 100)
        return value, rng.choice((told, told, told, str(value)))

    def percent(rng: Random) -> tuple[float, str]:
        value, told = spoken(rng)
        return _number(value), told

    return (
        _numeric(names, fraction, phrases, f"{description} as a decimal, 0.05 for 5 percent"),
        _numeric(names, fraction, phrases, f"{description} (decimal)"),
        _numeric(names, fraction, phrases, description),
        _numeric(names, percent, phrases, f"{description} in percent"),
    )


_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
}
_MONTHS = {"month": 1, "year": 12}
_METRES = {"metre": 1, "kilometre": 1_000}
_GRAMS = {"gram": 1, "kilogram": 1_000}


def duration(names: str, phrases: str, description: str, units: str) -> tuple[Slot, ...]:
    """In one of `units`, told in the same or the next larger one."""
    return _measured(names, phrases, description, units, _SECONDS)


def months(names: str, phrases: str, description: str, units: str = "month") -> tuple[Slot, ...]:
    return _measured(names, phrases, description, units, _MONTHS)


def distance(
    names: str, phrases: str, description: str, units: str = "metre kilometre"
) -> tuple[Slot, ...]:
    return _measured(names, phrases, description, units, _METRES)


def weight(
    names: str, phrases: str, description: str, units: str = "gram kilogram"
) -> tuple[Slot, ...]:
    return _measured(names, phrases, description, units, _GRAMS)


def _measured(
    names: str, phrases: str, description: str, units: str, sizes: dict[str, int]
) -> tuple[Slot, ...]:
    return tuple(
        Slot(
            split(names),
            {"type": "integer"},
            _in_unit(unit, sizes),
            split(phrases),
            f"{description} in {unit}s",
        )
        for unit in units.split()
    )


def _in_unit(unit: str, sizes: dict[str, int]) -> Callable[[Random], tuple[int, str]]:
    larger = [each for each in sizes if sizes[each] > sizes[unit]]

    def draw(rng: Random) -> tuple[int, str]:
        if not larger or rng.random() < 0.5:
            count = rng.randint(2, 60) if rng.random() < 0.6 else rng.randrange(5, 500, 5)
            return count, _counted(rng, count, unit)
        told = larger[0]
        times = sizes[told] // sizes[unit]
        if times % 2 == 0 and rng.random() < 0.2:
            return _with_half(rng, times, told)
        count = rng.randint(1, 12)
        return count * times, _counted(rng, count, told)

    return draw


def _with_half(rng: Random, times: int, unit: str) -> tuple[int, str]:
    article = "an" if unit == "hour" else "a"
    if rng.random() < 0.5:
        return times // 2, f"half {article} {unit}"
    count = rng.randint(1, 4)
    return count * times + times // 2, f"{count}.5 {unit}s"


_SHORT = {
    "second": "s",
    "minute": "min",
    "hour": "h",
    "metre": "m",
    "kilometre": "km",
    "gram": "g",
    "kilogram": "kg",
}


def _counted(rng: Random, count: int, unit: str) -> str:
    if unit in _SHORT and rng.random() < 0.3:
        return f"{count} {_SHORT[unit]}"
    number = in_words(count) if count < 20 and rng.random() < 0.4 else str(count)
    if count == 1:
        number = rng.choice(("one", "1", "an" if unit == "hour" else "a"))
    return f"{number} {unit}{'' if count == 1 else 's'}"


def worded(names: str, options: str, phrases: str, description: str) -> Slot:
    """One of the `options`, each "value=wording/wording" or a value said as it is written."""
    pairs = [each.split("=") for each in options.split(",")]
    wordings = {pair[0]: pair[-1].split("/") for pair in pairs}

    def draw(rng: Random) -> tuple[str, str]:
        value = rng.choice(list(wordings))
        return value, rng.choice(wordings[value])

    schema = {"type": "string", "enum": list(wordings)}
    return Slot(split(names), schema, draw, split(phrases), description)


def _numeric(names: str, draw: Draw, phrases: str, description: str) -> Slot:
    return Slot(split(names), {"type": "number"}, draw, split(phrases), description)


def _plain(value: float) -> str:
    return str(_number(value))


def _number(value: float) -> float:
    """Without the noise of binary fractions, and whole where it is whole."""
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded
