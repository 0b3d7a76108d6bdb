"""What a decoding mode is: a recipe for advancing one sequence by one step.

A step is a generator over forwards. It yields the spans it wants evaluated, is sent their
scores, and commits tokens. It sees one sequence and never the network, the device, threads
or other sequences; the engine evaluates the pending spans of all live sequences, whatever
their modes, in one forward.

Between any two steps of a sequence these hold:
    prefix   cached entries cover positions [0, num_cached) and come from causal forwards
             over the tokens that are final there
    tail     num_cached < len(tokens), so that any mode can start
    matcher  over a step the grammar's matcher moves by exactly the committed tokens
"""

from collections.abc import Generator
from typing import Protocol

from torch import Tensor

from decoding.network.base import Network
from decoding.span import Scores, Span

Step = Generator[Span, Scores, None]


class Decodable(Protocol):
    """A sequence as a mode sees it."""

    num_cached: int

    @property
    def length(self) -> int:
        """Tokens so far, prompt included; also the position of the next one."""
        ...

    @property
    def tail(self) -> tuple[int, ...]:
        """Committed tokens that are not yet encoded; never empty between steps."""
        ...

    @property
    def finished(self) -> bool:
        """Whether a stop condition was met; nothing may be committed after it."""
        ...

    def mask(self) -> Tensor | None:
        """The grammar's packed mask [W] for the next token; None where all are allowed."""
        ...

    def commit(self, token: int, logprob: float) -> None:
        """Makes `token` final, then every token that the grammar forces after it."""
        ...


class DecodeMode(Protocol):
    """A mode is its parameters: a frozen record that can take a step."""

    @property
    def name(self) -> str:
        """The word used in statistics."""
        ...

    @property
    def lookahead(self) -> int:
        """Positions beyond the committed ones that a step may write to the cache."""
        ...

    def check(self, network: Network) -> None:
        """Raises `UnsupportedMode` where the network cannot decode this way."""
        ...

    def step(self, sequence: Decodable) -> Step:
        """One step. Commits at least one token, or ends with the sequence finished."""
        ...
