"""A sequence that is being decoded: its steps, and the span it waits for."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from decoding.modes import Step
from decoding.record import ForwardRecord
from decoding.sequence import Sequence
from decoding.span import Attention, Purpose, Scores, Span
from decoding.steps import steps

_NOTHING = Span((), 0)


@dataclass(slots=True, eq=False)
class Live:
    """One entry of a forward.

    The first `num_done` rows of the pending span are evaluated already; the next `num_rows` are
    evaluated in the forward under way, which answers `num_picks`: all or none of the span's.
    `served` orders the sequences by when they last had a share, or began. `error` is what a mask
    of the forward under way raised.
    """

    sequence: Sequence
    steps: Step = field(init=False)
    span: Span = _NOTHING
    num_done: int = 0
    num_rows: int = 0
    num_picks: int = 0
    served: int = 0
    error: Exception | None = None
    _masks: list[Tensor | None] | None = field(default=None, init=False)  # of the span

    def __post_init__(self) -> None:
        self.steps = steps(self.sequence)

    def resume(self, scores: Scores | None) -> None:
        """Sends the steps what they wait for and takes their next span.

        Raises `StopIteration` at the end of the sequence, and what the mode or a mask raises.
        """
        if self.error is not None:
            self.steps.throw(self.error)
        self.span = next(self.steps) if scores is None else self.steps.send(scores)
        self.num_done, self._masks = 0, None

    def masks(self) -> list[Tensor | None]:
        """Those of the span's picks; those that were left for now are computed, once."""
        if self._masks is None:
            try:
                self._masks = [
                    pick.mask_W() if callable(pick.mask_W) else pick.mask_W
                    for pick in self.span.picks
                ]
            except Exception as error:  # noqa: BLE001 - raised where the sequence goes on
                self.error = error
                self._masks = [None] * len(self.span.picks)
        return self._masks

    def take(self, num_rows: int) -> None:
        """Gives the span so many rows of the next forward."""
        self.num_rows = num_rows
        self.num_picks = len(self.span.picks) if num_rows == self.num_left else 0

    def read(self, hidden_PE: NDArray[np.float32]) -> None:
        """Keeps the vectors that the picks were made from, for the next draft. Rows of masks and
        of branches say nothing about it."""
        span = self.span
        follows = span.attention is Attention.CAUSAL and not (span.adapter or span.branches)
        positions = [pick.position for pick in span.picks] if follows else []
        self.sequence.keep_vectors(positions, hidden_PE)

    def move_on(self) -> None:
        """Books the rows of a forward that did not end the span: their tokens are final."""
        self.num_done += self.num_rows
        sequence = self.sequence
        sequence.num_cached = max(sequence.num_cached, self.span.start + self.num_done)

    def count_forward(self, turn: int, started: float, seconds: float, sequences: int) -> None:
        """Books the forward under way, shared by `sequences`; `turn` grows with each share."""
        self.served = turn
        purpose = self.span.purpose if self.num_picks else Purpose.PREFILL
        self.sequence.count_forward(
            ForwardRecord(
                purpose, self.num_rows, sequences, started - self.sequence.started, seconds
            ),
            is_prefill=not self.num_picks,
        )

    @property
    def num_left(self) -> int:
        """Rows of the span that are still to be evaluated."""
        return self.span.num_rows - self.num_done

    @property
    def is_ending(self) -> bool:
        """Whether the forward under way ends the span."""
        return self.num_rows == self.num_left

    @property
    def num_ahead(self) -> int:
        """Rows that may be evaluated in an earlier forward than the rest: final tokens before
        the first pick. Rows that see each other are evaluated together."""
        if self.span.attention is not Attention.CAUSAL:
            return 0
        first_pick = min((pick.row for pick in self.span.picks), default=len(self.span.tokens) - 1)
        final = self.sequence.length - 1 - self.span.start
        return max(0, min(first_pick, final) - self.num_done)

    @property
    def is_past_prompt(self) -> bool:
        """Whether the pending span has none of the prompt."""
        return self.span.start >= self.sequence.num_prompt

    @property
    def is_reading(self) -> bool:
        """Whether the sequence still encodes its prompt and can do so piece by piece."""
        return self.sequence.num_cached < self.sequence.num_prompt and self.num_ahead > 0
