"""The seam between self-speculation and whatever guesses for it."""

from collections.abc import Generator
from typing import Protocol

from decoding.modes.base import Decodable
from decoding.modes.draft import Draft
from decoding.network.base import Network
from decoding.span import Scores, Span

Drafting = Generator[Span, Scores, Draft]
"""The making of one draft: yields spans to evaluate, is sent their scores, returns the draft."""


class Drafter(Protocol):
    """A drafter is its parameters: a frozen record. What it guesses never changes the text,
    only how fast it comes."""

    def fit(self, network: Network) -> "Drafter":
        """This drafter with everything left open chosen for the network.

        Raises `UnsupportedMode` where the network cannot do what it asks for.
        """
        ...

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        """Guesses at most `block_length` - 1 tokens beside the forced ones, and no more than
        `sequence.room` with them; commits nothing.

        `threshold` above 0 refines the guesses over several forwards, where the drafter has any:
        each shows those at least so probable to the next.
        """
        ...
