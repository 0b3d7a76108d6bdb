"""Word from slow work, for whoever wants to show it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of `stage`; a stage ends with `done == total`."""

    stage: str
    done: int
    total: int


Report = Callable[[Progress], None]
