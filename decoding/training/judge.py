"""How far drafts get on answers that were not trained on, without decoding them again."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from decoding.network.transformer import Transformer
from decoding.training.answers import Answer
from decoding.training.blocks import draft_block, starts
from decoding.training.objective import accepted
from decoding.training.streams import Example, Packed, read_blocks, read_text
from decoding.training.tasks import Kind

_AT_ONCE_ON_GPU = 12


@dataclass(frozen=True, slots=True)
class Reach:
    """Greedy drafts of one block length over the answers of one kind."""

    kind: Kind
    tokens: int
    cycles: int

    @property
    def tokens_per_cycle(self) -> float:
        return self.tokens / self.cycles if self.cycles else 0.0


def example_of(answer: Answer, block_length: int) -> Example:
    """A draft behind every token that one may follow."""
    blocks = tuple(draft_block(answer, start, block_length) for start in starts(answer))
    return Example(answer.text, blocks, forced_positions(answer))


def forced_positions(answer: Answer) -> frozenset[int]:
    offset = len(answer.prompt)
    return frozenset(offset + at for at, mark in enumerate(answer.forced) if mark == "1")


@torch.no_grad()
def judge(
    network: Transformer, mask_E: Tensor, answers: Sequence[Answer], block_length: int
) -> list[Reach]:
    """Tokens per cycle of draft and verification, by kind, if the answers were decoded so.

    Differs from decoding in that no grammar helps the drafts with the tokens it forbids.
    """
    tokens = dict.fromkeys(Kind, 0)
    cycles = dict.fromkeys(Kind, 0)
    drafted = [answer for answer in answers if starts(answer)]
    at_once = _AT_ONCE_ON_GPU if network.device.type == "cuda" else 1
    for first in range(0, len(drafted), at_once):
        group = drafted[first : first + at_once]
        guessed = iter(_guessed(network, mask_E, group, block_length))
        for answer in group:
            right = dict(zip(starts(answer), guessed, strict=False))
            tokens[answer.kind] += len(answer.tokens)
            cycles[answer.kind] += _cycles(answer, right)
    return [Reach(kind, tokens[kind], cycles[kind]) for kind in Kind if cycles[kind]]


def _guessed(
    network: Transformer, mask_E: Tensor, answers: Sequence[Answer], block_length: int
) -> list[int]:
    """Right guesses of the drafts behind all starts of all answers."""
    packed = Packed.of([example_of(each, block_length) for each in answers], network.device)
    blocks_NE = read_blocks(network, packed, read_text(network, packed), mask_E)
    logits_RV = network.read(blocks_NE, packed.rows_R)
    return list(map(int, accepted(logits_RV, packed.targets_R, packed.block_R).tolist()))


def _cycles(answer: Answer, right: dict[int, int]) -> int:
    """Follows the cycles through an answer: each commits its right guesses, what is forced among
    them and behind them, and one token of the verifier's."""
    forced, end = forced_positions(answer), len(answer.text)
    position, cycles = len(answer.prompt), 1  # the first token is picked behind the prompt
    while position < end:
        while position + 1 < end and position + 1 in forced:
            position += 1
        if position + 1 >= end:
            break
        chosen = right[position] + 1
        cycles += 1
        while chosen and position + 1 < end:
            position += 1
            chosen -= position not in forced
    return cycles
