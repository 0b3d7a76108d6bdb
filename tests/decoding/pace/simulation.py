"""The real engine on a network whose time is given: no clock is read."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from decoding import Completion, Curve, DecodeMode, Engine, ForwardCost, Grammar, Request
from decoding.cache.storage import KVStorage
from decoding.span import Attention, ForwardBatch, Segment
from decoding.testing import ScriptedNetwork
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
VOCAB = 288
PROMPT = 3
FIRST_LETTER = TOKENIZER.encode("a")[0]

TextAt = Callable[[int, int], int]
"""The token of an answer at a position, which counts from the prompt's end."""
SkillAt = Callable[[int], float]
"""How often denoised guesses are right, by position."""

MEMORY_BOUND = ForwardCost(Curve((1, 16, 64), (1.0, 1.15, 2.0)))
"""Rows are cheap until there are many, as where weights have to be read."""
COMPUTE_BOUND = ForwardCost(Curve((1, 64), (1.0, 50.0)))
"""Every row costs almost as much as the first."""


@lru_cache(maxsize=1 << 14)
def chance(*key: int) -> float:
    """A number from 0.0 to 1.0 that depends on the key only."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def once(answer: int, position: int) -> int:
    """Letters without rhyme."""
    return FIRST_LETTER + int(26 * chance(answer, position))


def again(answer: int, position: int) -> int:
    """The same fifteen letters again and again."""
    return FIRST_LETTER + int(26 * chance(answer, position % 15, 15))


class SimulatedNetwork(ScriptedNetwork):
    """Writes given texts, and adds up what its forwards would have taken."""

    def __init__(self, cost: ForwardCost, text_at: TextAt, skill_at: SkillAt) -> None:
        super().__init__(VOCAB, mask_token_id=TOKENIZER.mask_token_id)
        self._cost, self._text_at, self._skill_at = cost, text_at, skill_at
        self.seconds = 0.0

    def forward(self, batch: ForwardBatch, storage: KVStorage) -> Tensor:
        self.seconds += self._cost.seconds(sum(each.num_rows for each in batch.segments))
        return super().forward(batch, storage)

    def _answer(self, segment: Segment, history: tuple[int, ...], row: int) -> Tensor:
        answer, position = history[0], segment.start + row - PROMPT
        guesses = segment.attention is Attention.BLOCK
        token = self._text_at(answer, position if guesses else position + 1)
        if guesses and chance(answer, position, segment.start) >= self._skill_at(position):
            token = FIRST_LETTER - 1
        return torch.nn.functional.one_hot(torch.tensor(token), VOCAB) * 20.0


@dataclass(frozen=True, slots=True)
class Run:
    """What came of some requests, and the time it would have taken."""

    completions: tuple[Completion, ...]
    seconds: float
    engine: Engine

    @property
    def tokens_per_second(self) -> float:
        return sum(len(each.token_ids) for each in self.completions) / self.seconds

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.completions]

    def decisions(self, region: str = "") -> dict[str, int]:
        """The steps of all answers that were chosen, by choice."""
        total: dict[str, int] = {}
        for each in self.completions:
            for key, count in each.stats.decisions.items():
                if key.startswith(region):
                    total[key] = total.get(key, 0) + count
        return total


def simulate(
    mode: DecodeMode,
    *,
    cost: ForwardCost = MEMORY_BOUND,
    skill_at: SkillAt = lambda position: 0.0,
    text_at: TextAt = once,
    num_live: int = 1,
    tokens: int = 60,
    grammar: Grammar | None = None,
    warm_up: int = 0,
    per_live: int = 1,
) -> Run:
    """Answers of `tokens` tokens, `num_live` at a time and `per_live` times as many in all, behind
    `warm_up` others in which the engine may learn."""
    network = SimulatedNetwork(cost, text_at, skill_at)
    engine = Engine(network, TOKENIZER, cache_tokens=16384, max_live=num_live, forward_cost=cost)

    def answer(number: int) -> Request:
        prompt = [200 - number % 150, *range(PROMPT - 1)]
        return Request(prompt, mode=mode, grammar=grammar, max_new_tokens=tokens)

    engine.generate_many([answer(149 - number) for number in range(warm_up)])
    started = network.seconds
    completions = engine.generate_many([answer(number) for number in range(num_live * per_live)])
    return Run(tuple(completions), network.seconds - started, engine)


def num_switches(completion: Completion) -> int:
    """How often neighbouring tokens were decoded in different modes."""
    return sum(one.mode != other.mode for one, other in pairwise(completion.records))
