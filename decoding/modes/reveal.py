"""Which positions of a diffusion block to reveal after a denoising forward."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from decoding.span import Ranking


@dataclass(frozen=True, slots=True)
class Block:
    """A block after a denoising forward: what a policy decides from.

    `tokens` are those decided so far, None where masked; `rankings` the network's candidates
    for every masked position. Forward `step` of at most `max_steps`, counted from 1. `before`
    are the two tokens to the left of the block, fewer where there are not so many.
    """

    tokens: tuple[int | None, ...]
    rankings: Mapping[int, Ranking]
    step: int
    max_steps: int
    before: tuple[int, ...] = ()

    def confidence(self, position: int) -> float:
        """The network's probability of the best candidate at a masked position."""
        return math.exp(self.rankings[position].logprobs[0])


class RevealPolicy(Protocol):
    """Chooses masked positions. A policy may be shared by any number of sequences."""

    def reveal(self, block: Block) -> frozenset[int]:
        """At least one masked position of the block."""
        ...


@dataclass(frozen=True, slots=True)
class ConfidenceThreshold:
    """Every position the network is sure enough of, and the surest in any case.

    Source: Fast-dLLM, arXiv 2505.22618, section 3.3.
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must be a probability, not {self.threshold}")

    def reveal(self, block: Block) -> frozenset[int]:
        confidences = {position: block.confidence(position) for position in block.rankings}
        surest = max(confidences, key=confidences.__getitem__)
        return frozenset(
            position
            for position, confidence in confidences.items()
            if confidence >= self.threshold or position == surest
        )


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """The surest positions, as many per forward as spread the block evenly over the steps."""

    def reveal(self, block: Block) -> frozenset[int]:
        count = math.ceil(len(block.rankings) / (block.max_steps - block.step + 1))
        by_confidence = sorted(block.rankings, key=block.confidence, reverse=True)
        return frozenset(by_confidence[:count])
