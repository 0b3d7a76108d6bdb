"""The time axis. Places are percentages of its width."""

import math
from dataclasses import dataclass

from agentkit.trace.words import seconds

_ZOOMED_TICKS = 3  # finer rows of ticks, for closer looks


@dataclass(frozen=True, slots=True)
class Place:
    """From `left` on, `width` wide."""

    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis. `level` 0 is always shown, higher ones on closer looks."""

    left: float
    label: str
    level: int


@dataclass(frozen=True, slots=True)
class Axis:
    """From 0 to `seconds`, the length of a run."""

    seconds: float

    def place(self, start: float, end: float) -> Place:
        """From `start` to `end`; what lies outside is cut off."""
        left, right = self._at(start), self._at(end)
        return Place(round(left, 4), round(max(right - left, 0.0), 4))

    def _at(self, time: float) -> float:
        return 100 * min(max(time / self.seconds, 0.0), 1.0) if self.seconds > 0 else 0.0

    def ticks(self) -> tuple[Tick, ...]:
        """Rows of marks, each finer than the one before."""
        if self.seconds <= 0:
            return (Tick(0.0, "0 s", 0),)
        step = _round_step(self.seconds / 5)
        found: dict[float, Tick] = {}
        for level in range(1 + _ZOOMED_TICKS):
            for index in range(int(self.seconds / step * 0.995) + 1):
                left = round(self._at(index * step), 3)
                found.setdefault(left, Tick(left, seconds(index * step), level))
            step /= 4 if _first_digit(step) == 2 else 5
        return tuple(sorted(found.values(), key=lambda tick: tick.left))


def _round_step(least: float) -> float:
    """The next of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least * 0.999)


def _first_digit(step: float) -> int:
    return round(step / 10.0 ** math.floor(math.log10(step) + 1e-9))
