"""What a forward costs, by the rows in it."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import exp, log


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


_NOISE, _OUTLIER = 0.1, 0.15
_DRAFT_PULL, _DRAFT_OUTLIER = 0.3, 0.5
_LEVEL, _LEVEL_STEP = 0.1, 0.02
_SHAPE, _SHAPE_STEP = 0.05, 0.002
"""In logarithms of seconds: how much forwards scatter, and how far one may pull; for those that
draft, which are few, the share that counts; how wrong the calibration may be about the whole curve
and about each point, how far both drift per forward."""
SETTLING = 8
"""Forwards of one row after which the next is as quick as among many of its kind."""
_WANTED_FIRST, _WANTED_AFTER, _ENOUGH = 64, 512, 8
_TRIED = 2 * (SETTLING + _ENOUGH)
"""Other forwards after which some of one row are wanted, how many of them then, and after how many
forwards nobody waits for them any longer: text that the grammar forces comes in several rows."""


_ALL_FIRST, _ONE_IN = 64, 3
"""So many corrections, then one in so many forwards, and all while single rows are tried: a
correction takes as long as some tokens' bookkeeping."""


class RunningCost:
    """A cost that follows the forwards of an engine.

    What changes for all row counts alike, with the machine's load or a longer context, is told from
    what changes between them by a Kalman filter (R. E. Kalman, 1960) over the logarithms of the
    points and their common level. A forward of one row behind larger ones is slower than among its
    kind, as those leave less of the weights in the processor's cache, so it says nothing about the
    cost of going on row by row, and does not count.
    """

    def __init__(self, cost: ForwardCost) -> None:
        self._rows, self._draft = cost.causal.rows, cost.draft
        size = len(self._rows)
        self._measured = cost.causal.seconds
        # The state: the level, and what each point differs from it.
        self._state = [0.0] * (1 + size)
        variances = [_LEVEL**2] + [_SHAPE**2] * size
        self._drift = [_LEVEL_STEP**2] + [_SHAPE_STEP**2] * size
        self._covariance = [
            [variance if row == column else 0.0 for column in range(1 + size)]
            for row, variance in enumerate(variances)
        ]
        self._points = list(cost.causal.seconds)
        # By rows: choices ask the same ones again, in much company hundreds of times a forward.
        self._seconds: dict[int, float] = {}
        self._dearer = 0.0
        """How much more forwards that draft take than the calibration and the level say."""
        self._num_followed = 0
        self._num_single = 0
        self._num_tried = 0
        self._num_other = _WANTED_AFTER - _WANTED_FIRST
        self.wants_single = False
        """Whether it is long ago that forwards of one row counted."""

    def seconds(self, causal_rows: int, draft_rows: int = 0) -> float:
        """As `ForwardCost.seconds`."""
        both = self._causal(causal_rows + draft_rows)
        if draft_rows and self._draft is not None:
            draft = self._draft(draft_rows) * self._draft_level
            both += max(draft - self._causal(draft_rows), 0.0)
        return both

    def follow(self, rows: int, measured: float, draft_rows: int = 0) -> None:
        """A forward of `rows` causal rows took `measured` seconds, one with `draft_rows` beside
        them as well. What is above 0 counts, and what is among the rows that the curve was
        measured at."""
        is_due = draft_rows == 0 and self._count(rows)
        if measured <= 0.0 or rows + draft_rows > self._rows[-1]:
            return
        if draft_rows:
            self._correct_draft(rows, draft_rows, measured)
        elif is_due and (rows > 1 or self._num_single > SETTLING):
            self._correct(rows, log(measured / self.seconds(rows)))

    def _count(self, rows: int) -> bool:
        """Counts a causal forward towards the trials of single rows; whether it is to correct."""
        is_tried = self.wants_single
        self._num_single = self._num_single + 1 if rows == 1 else 0
        if self._num_single > SETTLING:
            self._num_other = max(self._num_other - _WANTED_AFTER // _ENOUGH, 0)
        else:
            self._num_other += 1
        self._num_tried = self._num_tried + 1 if is_tried else 0
        if self._num_tried > _TRIED:
            self._num_other = 0
        self.wants_single = self._num_other > (0 if is_tried else _WANTED_AFTER)
        self._num_followed += 1
        return is_tried or self._num_followed <= _ALL_FIRST or self._num_followed % _ONE_IN == 0

    def _correct_draft(self, rows: int, draft_rows: int, measured: float) -> None:
        if self._draft is None:
            return
        surprise = log(measured / self.seconds(rows, draft_rows))
        # Draft rows cost what causal ones do, at least: below that nothing is learned.
        is_least = self._draft(draft_rows) * self._draft_level <= self._causal(draft_rows)
        if surprise > 0.0 or not is_least:
            self._dearer += _DRAFT_PULL * min(max(surprise, -_DRAFT_OUTLIER), _DRAFT_OUTLIER)

    def now(self) -> ForwardCost:
        """The cost as it stands."""
        draft = self._draft
        if draft is not None:
            level = self._draft_level  # read once: another thread may ask while it changes
            draft = Curve(draft.rows, tuple(each * level for each in draft.seconds))
        return ForwardCost(Curve(self._rows, tuple(self._points)), draft)

    def _causal(self, rows: int) -> float:
        found = self._seconds.get(rows)
        if found is None:
            found = self._seconds[rows] = _between(self._rows, self._points, rows)
        return found

    @property
    def _level(self) -> float:
        return exp(self._state[0])

    @property
    def _draft_level(self) -> float:
        return exp(self._state[0] + self._dearer)

    def _correct(self, rows: int, surprise: float) -> None:
        # On lists, which are quicker than arrays of eight numbers.
        place, share = _place(self._rows, rows)
        one, rest = 1 + place, 1.0 - share
        other = min(one + 1, len(self._rows))  # whose share is 0 where there is no other
        along = [row[0] + rest * row[one] + share * row[other] for row in self._covariance]
        scatter = along[0] + rest * along[one] + share * along[other] + _NOISE**2
        pull = min(max(surprise, -_OUTLIER), _OUTLIER) / scatter
        for at, row in enumerate(self._covariance):
            self._state[at] += along[at] * pull
            gain = along[at] / scatter
            row[:] = [each - gain * known for each, known in zip(row, along, strict=True)]
            row[at] += self._drift[at]
        level = self._state[0]
        points = zip(self._measured, self._state[1:], strict=True)
        self._points = list(accumulate((s * exp(level + own) for s, own in points), max))
        self._seconds.clear()


def _place(rows: Sequence[int], wanted: float) -> tuple[int, float]:
    """The point before, and the share of the way to the next; beyond the last, more than 1."""
    at = bisect_right(rows, wanted)
    if at == 0 or len(rows) == 1:
        return 0, 0.0
    at = min(at, len(rows) - 1)
    return at - 1, (wanted - rows[at - 1]) / (rows[at] - rows[at - 1])


def _between(rows: Sequence[int], seconds: Sequence[float], wanted: float) -> float:
    low, share = _place(rows, wanted)
    return seconds[low] + share * (seconds[low + 1] - seconds[low]) if share else seconds[low]
