"""One token per forward, from one causal row."""

from dataclasses import dataclass

from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.network.base import Network
from decoding.record import Origin
from decoding.span import Pick, Purpose, Span


@dataclass(frozen=True, slots=True)
class Autoregressive:
    """Encode the tail, pick the next token. Tokens the grammar forced ride along in the tail."""

    @property
    def name(self) -> str:
        return "autoregressive"

    def fit(self, network: Network) -> DecodeMode:
        """Every causal language model decodes this way."""
        return self

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        yield from pick_next(sequence)


def pick_next(sequence: Decodable) -> Step:
    """Encodes the tail causally and commits one token behind it."""
    tail = sequence.tail
    pick = Pick(row=len(tail) - 1, position=sequence.length, mask_W=sequence.mask)
    span = Span(tail, start=sequence.num_cached, picks=(pick,), purpose=Purpose.NEXT)
    scores = yield span
    sequence.num_cached = sequence.length
    sequence.commit(scores.tokens[0], scores.logprobs[0], Origin.AUTOREGRESSIVE)
