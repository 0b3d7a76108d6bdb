"""One token per forward, from one causal row."""

from dataclasses import dataclass

from decoding.modes.base import Decodable, Step
from decoding.network.base import Network
from decoding.span import Pick, Span

PREFILL_ROWS = 512


@dataclass(frozen=True, slots=True)
class Autoregressive:
    """Encode the tail, pick the next token. Tokens the grammar forced ride along in the tail."""

    name: str = "autoregressive"
    lookahead: int = 0

    def check(self, network: Network) -> None:
        """Every causal language model decodes this way."""

    def step(self, sequence: Decodable) -> Step:
        yield from prefill(sequence, leave=PREFILL_ROWS)
        tail = sequence.tail
        pick = Pick(row=len(tail) - 1, position=sequence.length, mask_W=sequence.mask())
        scores = yield Span(tail, start=sequence.num_cached, picks=(pick,))
        sequence.num_cached = sequence.length
        sequence.commit(scores.tokens[0], scores.logprobs[0])


def prefill(sequence: Decodable, *, leave: int) -> Step:
    """Encodes the tail in pieces until at most `leave` tokens of it remain.

    Pieces keep a long prompt from holding up the other sequences, and a cancellation from
    waiting for the whole of it.
    """
    while len(sequence.tail) > leave:
        rows = sequence.tail[: min(PREFILL_ROWS, len(sequence.tail) - leave)]
        yield Span(rows, start=sequence.num_cached)
        sequence.num_cached += len(rows)
