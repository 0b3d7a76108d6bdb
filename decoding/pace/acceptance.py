"""How often guesses were right, by who guessed, where, and how deep."""

from enum import Enum

from decoding.record import Region


class Guesser(Enum):
    """Who makes a draft."""

    COPY = "copying"
    NGRAM = "n-grams"
    DENOISE = "denoising"
    HEAD = "draft head"

    __hash__ = object.__hash__  # an enum's own is slow for what every step looks up


Cell = tuple[Guesser, Region, int]

_PRIOR = {Guesser.COPY: 0.5, Guesser.NGRAM: 0.5, Guesser.DENOISE: 0.7, Guesser.HEAD: 0.5}
"""Believed before anything was seen. All but denoising are judged whether they are sent or not, so
their prior matters little; denoising is given the chance to show itself."""


def coarse(depth: int) -> int:
    """Depths of 5 to 8 count as one, 5, and so do those beyond, 6."""
    return depth if depth <= 4 else 5 if depth <= 8 else 6


def cell(guesser: Guesser, region: Region, depth: int) -> Cell:
    """`depth` is at least 1: for copies the tokens matched on the left of the guess, for n-grams
    and the draft head the level, for denoising the place in the block."""
    return guesser, region, coarse(depth)


class Tally:
    """Right guesses and all guesses by cell. Old ones fade: about the last `memory` count."""

    def __init__(self, memory: int) -> None:
        self._keep = 1.0 - 1.0 / memory
        self._counts: dict[Cell, tuple[float, float]] = {}

    def add(self, key: Cell, right: bool) -> None:
        hits, trials = self._counts.get(key, (0.0, 0.0))
        self._counts[key] = (hits * self._keep + right, trials * self._keep + 1.0)

    def share(self, key: Cell, believed: float, weight: float) -> float:
        """The share that was right, beside a belief that weighs as much as `weight` guesses."""
        hits, trials = self._counts.get(key, (0.0, 0.0))
        return (hits + believed * weight) / (trials + weight)

    def shares(self) -> dict[Cell, float]:
        """What was seen, for all cells that were. Another thread may ask."""
        return {key: hits / trials for key, (hits, trials) in self._counts.copy().items()}


class Acceptance:
    """A sequence's own guesses before the background of all of its engine's."""

    def __init__(self, engine: Tally) -> None:
        self._engine = engine
        self._own = Tally(memory=32)

    def add(self, guesser: Guesser, region: Region, depth: int, right: bool) -> None:
        key = cell(guesser, region, depth)
        self._engine.add(key, right)
        self._own.add(key, right)

    def share(self, guesser: Guesser, region: Region, depth: int) -> float:
        """The probability that the guess at `depth` is right where those left of it were."""
        key = cell(guesser, region, depth)
        return self._own.share(key, self._engine.share(key, _PRIOR[guesser], 2.0), 8.0)
