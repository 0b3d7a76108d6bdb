"""What a decoding mode is: a recipe for advancing one sequence by one step.

A step is a generator over forwards. It yields the spans it wants evaluated, is sent their
scores, and commits tokens. It sees one sequence and never the network, the device, threads
or other sequences; the engine evaluates the pending spans of all live sequences, whatever
their modes, in one forward.

The engine may evaluate the beginning of a causal span, up to its first pick, in earlier forwards
than the rest; `num_cached` moves with it, while the step still waits for its scores.

Between any two steps of a sequence these hold:
    prefix   cached entries cover positions [0, num_cached) and come from causal forwards
             over the tokens that are final there
    tail     num_cached < len(tokens), so that any mode can start
    matcher  the grammar's matcher stands behind the committed tokens
"""

from collections.abc import Generator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from decoding.copies import CopyIndex
from decoding.network.base import Network
from decoding.pace import Outlook
from decoding.record import Origin, Region
from decoding.span import Scores, Span

Step = Generator[Span, Scores, None]
"""One step of a sequence: yields spans to evaluate, is sent their scores."""


class Preview(Protocol):
    """The grammar run ahead of what is committed. The sequence's own matcher stays put."""

    @property
    def over(self) -> bool:
        """Whether an end token was accepted: nothing can follow."""
        ...

    def mask(self) -> Tensor | None:
        """The packed mask [W] for the next token; None where all are allowed."""
        ...

    def forced(self) -> tuple[int, ...]:
        """The tokens that the grammar leaves no choice about, from here on."""
        ...

    def accept(self, token: int) -> None:
        """Moves over a token that the mask allows."""
        ...


class Decodable(Protocol):
    """A sequence as a mode sees it."""

    num_prompt: int
    num_cached: int
    num_drafted: int
    num_denoised: int  # of those

    @property
    def tokens(self) -> Sequence[int]:
        """All tokens so far, prompt included."""
        ...

    @property
    def length(self) -> int:
        """Tokens so far; also the position of the next one."""
        ...

    @property
    def room(self) -> int:
        """Tokens that may still be committed; at least 1 unless finished."""
        ...

    @property
    def tail(self) -> tuple[int, ...]:
        """Committed tokens that are not yet encoded; never empty between steps."""
        ...

    @property
    def num_scratch(self) -> int:
        """Rows that the branches of a span may have together."""
        ...

    @property
    def region(self) -> Region:
        """Where the next token stands."""
        ...

    @property
    def hidden_E(self) -> NDArray[np.float32] | None:  # noqa: N802 - an array's name
        """What the output head saw where the last token was picked; None where it was not picked
        from a causal row, or the network has no draft head."""
        ...

    @property
    def outlook(self) -> Outlook:
        """What is known about the cost of forwards and the worth of guesses, to choose by."""
        ...

    @property
    def copies(self) -> CopyIndex:
        """Where the last tokens stood before."""
        ...

    @property
    def finished(self) -> bool:
        """Whether a stop condition was met; nothing may be committed after it."""
        ...

    def mask(self) -> Tensor | None:
        """The grammar's packed mask [W] for the next token; None where all are allowed."""
        ...

    def allows(self, token: int) -> bool:
        """Whether the grammar allows a token next."""
        ...

    def preview(self) -> Preview:
        """The grammar from here on, to look ahead with."""
        ...

    def commit(self, token: int, logprob: float, origin: Origin, denoise_step: int = 0) -> None:
        """Makes `token` final, then every token that the grammar forces after it."""
        ...


class DecodeMode(Protocol):
    """A mode is its parameters: a frozen record that can take a step."""

    @property
    def name(self) -> str:
        """The word used in statistics."""
        ...

    def fit(self, network: Network) -> "DecodeMode":
        """This mode with everything that was left open chosen for the network.

        Raises `UnsupportedMode` where the network cannot decode this way, and `ValueError`
        where the parameters do not fit it.
        """
        ...

    def select(self, sequence: Decodable) -> "DecodeMode":
        """The mode of the sequence's next step: itself, unless it decides by the sequence."""
        ...

    def step(self, sequence: Decodable) -> Step:
        """One step. Commits at least one token, or ends with the sequence finished."""
        ...
