"""What a forward costs, by the rows in it."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds by number of rows: straight lines between the points, the last one continued.

    `rows` rise strictly from at least 1; `seconds` are above 0 and never fall.
    """

    rows: tuple[int, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rows or len(self.rows) != len(self.seconds):
            raise ValueError("a curve needs at least one point, and a time for each row count")
        if self.rows[0] < 1 or any(b <= a for a, b in pairwise(self.rows)):
            raise ValueError(f"row counts must rise from at least 1, not {self.rows}")
        if not all(0.0 < each < float("inf") for each in self.seconds):
            raise ValueError(f"seconds must be finite and above 0, not {self.seconds}")
        if any(b < a for a, b in pairwise(self.seconds)):
            raise ValueError(f"more rows cannot take less time: {self.seconds}")

    @classmethod
    def through(cls, rows: Sequence[int], seconds: Sequence[float]) -> "Curve":
        """The curve through measured points; where more rows took less time, by noise, they are
        given the time of fewer."""
        return cls(tuple(rows), tuple(accumulate(seconds, max)))

    def __call__(self, rows: float) -> float:
        """Seconds for so many rows. Fewer rows than the first point cost as much as it does."""
        return _between(self.rows, self.seconds, rows)


@dataclass(frozen=True, slots=True)
class ForwardCost:
    """Seconds of a forward by its rows: causal ones, and where the network has a draft adapter,
    those that use it. `draft` None: they cost what causal rows cost."""

    causal: Curve
    draft: Curve | None = None

    def seconds(self, causal_rows: float, draft_rows: float = 0) -> float:
        """Of one forward with so many rows of both kinds."""
        both = self.causal(causal_rows + draft_rows)
        if self.draft is None or draft_rows == 0:
            return both
        return both + max(self.draft(draft_rows) - self.causal(draft_rows), 0.0)


class RunningCost:
    """A cost that follows the forwards of an engine.

    The whole curve follows quickly: a longer context or a slower machine moves all of it alike, and
    no decision depends on that. Its shape follows slowly, and only when the whole has. Single
    outliers are bounded. Asked and told at every step, so it changes in place.
    """

    def __init__(self, cost: ForwardCost) -> None:
        self._rows, self._seconds = cost.causal.rows, list(cost.causal.seconds)
        self._draft, self._level = cost.draft, 1.0

    def seconds(self, causal_rows: float, draft_rows: float = 0) -> float:
        """As `ForwardCost.seconds`."""
        both = _between(self._rows, self._seconds, causal_rows + draft_rows)
        if draft_rows and self._draft is not None:
            causal = _between(self._rows, self._seconds, draft_rows)
            both += max(self._draft(draft_rows) - causal, 0.0)
        return both * self._level

    def follow(self, rows: int, measured: float) -> None:
        """A forward of `rows` causal rows took `measured` seconds. What is above 0 counts, and
        what is among the rows that the curve was measured at."""
        if measured <= 0.0 or rows > self._rows[-1]:
            return
        ratio = min(max(measured / self.seconds(rows), 0.5), 2.0)
        level = ratio**0.1
        self._level *= level
        self._bend(rows, (ratio / level) ** 0.01)

    def now(self) -> ForwardCost:
        """The cost as it stands."""
        causal = Curve(self._rows, tuple(each * self._level for each in self._seconds))
        draft = self._draft
        if draft is not None:
            draft = Curve(draft.rows, tuple(each * self._level for each in draft.seconds))
        return ForwardCost(causal, draft)

    def _bend(self, rows: int, factor: float) -> None:
        """Multiplies the points on both sides of `rows`, and lifts what then lies below a point
        of fewer rows."""
        seconds, at = self._seconds, bisect_right(self._rows, rows)
        first = max(at - 1, 0)
        seconds[first] *= factor
        if at < len(seconds) and self._rows[first] != rows:
            seconds[at] *= factor
        for later in range(max(first, 1), len(seconds)):
            seconds[later] = max(seconds[later], seconds[later - 1])


def _between(rows: Sequence[int], seconds: Sequence[float], wanted: float) -> float:
    at = bisect_right(rows, wanted)
    if at == 0 or len(rows) == 1:
        return seconds[0]
    at = min(at, len(rows) - 1)
    low, high = rows[at - 1], rows[at]
    share = (wanted - low) / (high - low)
    return seconds[at - 1] + share * (seconds[at] - seconds[at - 1])
