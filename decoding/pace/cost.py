"""What a forward costs, by the rows in it."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        at = bisect_right(self.rows, rows)
        if at == 0 or len(self.rows) == 1:
            return self.seconds[0]
        at = min(at, len(self.rows) - 1)
        low, high = self.rows[at - 1], self.rows[at]
        share = (rows - low) / (high - low)
        return self.seconds[at - 1] + share * (self.seconds[at] - self.seconds[at - 1])

    def scaled(self, factor: float) -> "Curve":
        return Curve(self.rows, tuple(each * factor for each in self.seconds))

    def bent(self, rows: int, factor: float) -> "Curve":
        """The curve with the points on both sides of `rows` multiplied by `factor`."""
        at = bisect_right(self.rows, rows)
        near = {max(at - 1, 0), min(at, len(self.rows) - 1)}
        if self.rows[max(at - 1, 0)] == rows:
            near = {at - 1}
        seconds = [s * factor if i in near else s for i, s in enumerate(self.seconds)]
        return Curve.through(self.rows, seconds)


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

    def corrected(self, rows: int, measured: float) -> "ForwardCost":
        """The cost after a forward of `rows` causal rows took `measured` seconds.

        The whole curve follows quickly: a longer context or a slower machine moves all of it
        alike, and no decision depends on that. Its shape follows slowly, and only when the
        whole has. Single outliers are bounded.
        """
        ratio = min(max(measured / self.causal(rows), 0.5), 2.0)
        level = ratio**0.1
        causal = self.causal.scaled(level).bent(rows, (ratio / level) ** 0.01)
        return replace(
            self, causal=causal, draft=None if self.draft is None else self.draft.scaled(level)
        )
