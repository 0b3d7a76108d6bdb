"""Which questions are asked. Forms are chosen on one part and reported on the other."""

from collections.abc import Mapping, Sequence
from enum import Enum

from benchmarks.bfcl import Entry

SIZES: Mapping[str, int] = {
    "simple_python": 100,
    "multiple": 100,
    "parallel": 50,
    "irrelevance": 50,
}


class Part(Enum):
    """The value is the place of an entry among those from one chosen entry to the next."""

    REPORTED = 0
    DEVELOPMENT = 1


def chosen(entries: Sequence[Entry], count: int, part: Part) -> list[Entry]:
    """`count` entries of a category, evenly spread: neighbours in the data are alike.

    The parts have no entry in common. Raises `ValueError` where there are too few for that.
    """
    if len(entries) < 2 * count:
        raise ValueError(f"two parts of {count} entries need more than the {len(entries)} given")
    return [entries[index * len(entries) // count + part.value] for index in range(count)]


def thinned(entries: Sequence[Entry], most: int | None) -> list[Entry]:
    """At most so many of them, evenly spread; all for None."""
    count = len(entries) if most is None else min(most, len(entries))
    return [entries[index * len(entries) // count] for index in range(count)]
