"""Slots whose value is worked out from the words: shares, durations, lengths, large numbers,
counts that a word implies.

Where a constructor gives several slots, a tool has one of them, and the descriptions say in which
unit its value is.
"""

from collections.abc import Callable
from random import Random

from decoding.training.synthetic.slots import LONGEST_LIST, Slot, listed, split
from decoding.training.synthetic.words import in_words

Draw = Callable[[Random], tuple[float, str]]


def amount(names: str, low: int, high: int, phrases: str, description: str) -> Slot:
    """A whole number that may be told in thousands or millions: "2.5 million" is 2500000."""

    def draw(rng: Random) -> tuple[int, str]:
        value = rng.randint(low, rng.choice((high, max(low, high // 50))))
        digits = max(len(str(value)) - rng.choice((1, 2, 2, 3, 3, 12)), 0)
        value = max(value // 10**digits * 10**digits, low)
        return value, rng.choice(_large(value))

    return Slot(split(names), {"type": "integer"}, draw, split(phrases), description)


_SCALES = (
    (10**12, 10, "trillion"),
    (10**9, 7, "billion"),
    (10**6, 4, "million"),
    (10**3, 2, "thousand"),
)
"""With at most two decimal places, one for the last: the zeros that the number must end in."""


def _large(value: int) -> list[str]:
    spoken = [str(value), f"{value:,}"]
    for size, zeros, name in _SCALES:
        if value < size:
            continue
        if value % 10**zeros == 0:
            count = _plain(value / size)
            short = f"{count}k" if name == "thousand" else f"{count} {name}"
            spoken += [f"{count} {name}", short, short]
        break
    return spoken


def share(names: str, low: float, high: float, phrases: str, description: str) -> tuple[Slot, ...]:
    """Told in percent; the value is a fraction, or the number of percent where the description
    or the name asks for that."""

    def fraction(rng: Random) -> tuple[float, str]:
        percent, told = _percent(rng, low, high)
        value = _number(percent / 100)
        return value, rng.choice((told, told, told, str(value)))

    def percent(rng: Random) -> tuple[float, str]:
        value, told = _percent(rng, low, high)
        return _number(value), told

    in_percent = "|".join(f"{name}_percent|{name}_pct" for name in names.split("|"))
    return (
        _numeric(names, fraction, phrases, f"{description} as a decimal, 0.05 for 5 percent"),
        _numeric(names, fraction, phrases, f"{description} (decimal)"),
        _numeric(names, fraction, phrases, f"{description}, such as 0.04"),
        _numeric(names, fraction, phrases, description),
        _numeric(names, percent, phrases, f"{description} in percent"),
        _numeric(in_percent, percent, phrases, description),
    )


def shares(
    names: str, low: int, high: int, phrases: str, description: str, size: int | None = None
) -> tuple[Slot, ...]:
    """A list of shares, as fractions or in percent; `size` of them, or two to four."""

    def drawn(rng: Random, whole: int) -> tuple[list[float], str]:
        count = size or rng.randint(2, LONGEST_LIST)
        told = [rng.randint(low, high) for _ in range(count)]
        sign = rng.choice(("%", "%", " percent"))
        return [_number(each / whole) for each in told], listed([f"{each}{sign}" for each in told])

    items = {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": LONGEST_LIST}

    def slot(whole: int, told: str) -> Slot:
        return Slot(split(names), items, lambda rng: drawn(rng, whole), split(phrases), told)

    return (
        slot(100, description),
        slot(100, f"{description} as decimals"),
        slot(1, f"{description} in percent"),
    )


def _percent(rng: Random, low: float, high: float) -> tuple[float, str]:
    percent = rng.uniform(low, high)
    percent = round(percent) if rng.random() < 0.6 else round(percent, 1)
    sign = rng.choice(("%", "%", "%", " percent", " %"))
    return percent, f"{_plain(percent)}{sign}"


def implied(names: str, options: str, phrases: str, description: str) -> Slot:
    """A number that a word stands for: of "4=quarterly/every quarter,12=monthly" one."""
    pairs = [each.split("=") for each in options.split(",")]

    def draw(rng: Random) -> tuple[int, str]:
        value, wordings = rng.choice(pairs)
        return int(value), rng.choice(wordings.split("/"))

    return Slot(split(names), {"type": "integer"}, draw, split(phrases), description)


def compounding(names: str) -> Slot:
    """How often a year interest is added."""
    return implied(
        names,
        "1=yearly/annually/once a year,2=semi-annually/every six months/twice a year,"
        "4=quarterly/every quarter,12=monthly/every month,52=weekly/every week,365=daily/every day",
        "compounded {}",
        "How many times a year interest is added",
    )


def counted(names: str, low: int, high: int, phrases: str, description: str) -> Slot:
    """How many of something that the phrases name in the plural."""
    sayings = {2: ("a pair of", "a couple of"), 6: ("half a dozen",), 12: ("a dozen",)}
    sayings |= {24: ("two dozen",), 36: ("three dozen",), 100: ("a hundred",)}
    known = [each for each in sayings if low <= each <= high]

    def draw(rng: Random) -> tuple[int, str]:
        if known and rng.random() < 0.4:
            value = rng.choice(known)
            return value, rng.choice(sayings[value])
        value = rng.randint(low, high)
        return value, in_words(value) if value < 21 and rng.random() < 0.5 else str(value)

    return Slot(split(names), {"type": "integer"}, draw, split(phrases), description)


def starting_speed(names: str) -> Slot:
    """Zero is told in words."""

    def draw(rng: Random) -> tuple[int, str]:
        if rng.random() < 0.5:
            return 0, rng.choice(("from rest", "from a standstill"))
        value = rng.randint(1, 60)
        return value, f"with {value} m/s"

    return Slot(split(names), {"type": "number"}, draw, ("{}",), "Speed at the start in m/s")


def position(names: str, phrases: str, description: str) -> Slot:
    """Latitude and longitude as a list of two."""

    def draw(rng: Random) -> tuple[list[float], str]:
        digits = rng.choice((1, 2, 2, 4))
        place = [round(rng.uniform(-most, most), digits) for most in (70, 179)]
        north, east = place
        told = f"{north}, {east}"
        sides = (
            f"{abs(north)}° {'N' if north > 0 else 'S'} and {abs(east)}° {'E' if east > 0 else 'W'}"
        )
        forms = (told, f"({told})", f"[{told}]", f"latitude {north} and longitude {east}", sides)
        return place, rng.choice(forms)

    items = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    return Slot(split(names), items, draw, split(phrases), description)


_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
}
_MONTHS = {"month": 1, "year": 12}
_SAYINGS = {
    "minute": (("a quarter of an hour", 15), ("three quarters of an hour", 45)),
    "day": (("a fortnight", 14),),
    "month": (("a year and a half", 18), ("half a year", 6)),
    "year": (("a decade", 10), ("two decades", 20), ("half a century", 50), ("a century", 100)),
}
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
        if unit in _SAYINGS and rng.random() < 0.15:
            told, count = rng.choice(_SAYINGS[unit])
            return count, told
        if not larger or rng.random() < 0.5:
            is_short = unit == "year" or rng.random() < 0.6
            count = rng.randint(2, 60) if is_short else rng.randrange(5, 500, 5)
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
