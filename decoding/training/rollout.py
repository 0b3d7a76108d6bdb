"""Denoises blocks of known answers, many at once, to see what a reveal policy makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from decoding.modes.reveal import Block as Denoised
from decoding.modes.reveal import RevealPolicy
from decoding.network.transformer import Transformer
from decoding.span import Ranking
from decoding.training.answers import Answer
from decoding.training.blocks import Block
from decoding.training.streams import Example, Packed, TextStream, read_blocks, read_text

_RANKS = 16


@dataclass(frozen=True, slots=True)
class Canvas:
    """One block to denoise: the token at `start` is given, `length` - 1 positions are masked.

    None of them may lie behind the answer.
    """

    answer: Answer
    start: int
    length: int

    @property
    def truth(self) -> tuple[int, ...]:
        return self.answer.text[self.start + 1 : self.start + self.length]


@dataclass(frozen=True, slots=True)
class Rolled:
    """A block that was denoised: what it became, and in how many forwards."""

    canvas: Canvas
    tokens: tuple[int, ...]
    forwards: int

    @property
    def num_right(self) -> int:
        """Positions that are as they were decoded."""
        return sum(map(int.__eq__, self.tokens, self.canvas.truth))


def canvases(answer: Answer, length: int) -> list[Canvas]:
    """Side by side through the answer, as block diffusion would place them."""
    first, last = len(answer.prompt), len(answer.text) - length
    return [Canvas(answer, start, length) for start in range(first, last + 1, length)]


class Rollout:
    """Denoises with one network. `mask_E` is what masks are read as."""

    def __init__(self, network: Transformer, mask_E: Tensor) -> None:
        self._network = network
        self._mask_E = mask_E

    @torch.no_grad()
    def run(self, group: Sequence[Canvas], policies: Sequence[RevealPolicy]) -> list[Rolled]:
        """Denoises the blocks, each with its policy, to their ends.

        Blocks of one answer stand side by side in the group, from the left.
        """
        states: list[list[int | None]] = [[None] * (each.length - 1) for each in group]
        forwards = [0] * len(group)
        text: TextStream | None = None
        while any(None in state for state in states):
            packed = self._packed(group, states)
            text = text or read_text(self._network, packed)
            blocks_NE = read_blocks(self._network, packed, text, self._mask_E)
            rankings = self._rankings(self._network.read(blocks_NE, packed.rows_R))
            for at, state in enumerate(states):
                masked = [place for place, token in enumerate(state) if token is None]
                if not masked:
                    continue
                ranked = {place: next(rankings) for place in masked}
                forwards[at] += 1
                block = Denoised(tuple(state), ranked, forwards[at], len(state))
                for place in policies[at].reveal(block):
                    state[place] = ranked[place].tokens[0]
        return [
            Rolled(canvas, tuple(token for token in state if token is not None), count)
            for canvas, state, count in zip(group, states, forwards, strict=True)
        ]

    def _packed(self, group: Sequence[Canvas], states: Sequence[Sequence[int | None]]) -> Packed:
        """One example per answer; blocks that are done have no rows."""
        examples: list[Example] = []
        together = groupby(zip(group, states, strict=True), key=lambda pair: pair[0].answer)
        for answer, members in together:
            blocks = tuple(_block(canvas, state) for canvas, state in members if None in state)
            examples.append(Example(answer.text, blocks))
        return Packed.of(examples, self._network.device)

    def _rankings(self, logits_RV: Tensor) -> Iterator[Ranking]:
        logprobs_RV = logits_RV.log_softmax(-1, dtype=torch.float32)
        best = logprobs_RV.topk(_RANKS, dim=-1)
        purity_R = (2.0 * logprobs_RV).logsumexp(-1).exp()
        for tokens, logprobs, purity in zip(
            best.indices.tolist(), best.values.tolist(), purity_R.tolist(), strict=True
        ):
            yield Ranking(tuple(tokens), tuple(logprobs), purity)


def _block(canvas: Canvas, state: Sequence[int | None]) -> Block:
    places = {canvas.start + 1 + place: token for place, token in enumerate(state)}
    masked = frozenset(position for position, token in places.items() if token is None)
    written = {position: token for position, token in places.items() if token is not None}
    return Block(canvas.start, canvas.start + canvas.length, masked, written)
