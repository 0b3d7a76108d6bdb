"""Trains the sampler: which guesses of a denoised block are final.

Source: Nemotron-Labs-Diffusion, arXiv 2607.05722, appendix A: a small transformer over the block
watches trajectories of denoising, and learns by binary cross-entropy on masked positions. A guess
counts as right here if it is the text's. Where a block has gone another way than the text, waiting
would not bring the text back: there it counts as right if careful denoising keeps it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.engine import Engine
from decoding.modes.reveal import Block, ConfidenceThreshold, RevealPolicy
from decoding.modes.sampler_features import SCALARS, BlockFeatures, Feature
from decoding.modes.sampler_network import SamplerNetwork, SamplerSizes
from decoding.modes.trained_sampler import TrainedSampler
from decoding.ngrams import NgramTable
from decoding.training.answers import Answer
from decoding.training.rollout import Canvas, Rolled, canvases, roll

_ALL = (*SCALARS, Feature.CONTINUATION)


@dataclass(frozen=True, slots=True)
class SamplerTraining:
    """How the sampler is trained. The last of the states, `held_out` of them, are for judging."""

    block_lengths: tuple[int, ...] = (8, 16)
    num_layers: int = 3
    width: int = 64
    num_heads: int = 4
    feed_forward_width: int = 128
    learning_rate: float = 1e-3
    epochs: int = 5
    batch_blocks: int = 256
    held_out: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """States of blocks of one length: `features_BPC`, which positions are masked, and whether
    each one's best candidate is right."""

    features_BPC: Tensor
    masked_BP: Tensor
    right_BP: Tensor


@dataclass(frozen=True, slots=True)
class OneByOne:
    """The surest position alone."""

    def reveal(self, block: Block) -> frozenset[int]:
        return frozenset([max(block.rankings, key=block.confidence)])


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Some forwards by another policy, then one position after the other, as carefully as can be.

    `seen` are the blocks from then on. What they become is what careful denoising makes of them:
    a guess that it keeps could as well have been revealed at once.
    """

    first: RevealPolicy
    forwards: int
    seen: list[Block] = field(default_factory=list)

    def reveal(self, block: Block) -> frozenset[int]:
        if block.step <= self.forwards:
            return self.first.reveal(block)
        self.seen.append(block)
        return OneByOne().reveal(block)


def watch(
    engine: Engine, answers: Sequence[Answer], features: BlockFeatures, config: SamplerTraining
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Denoises blocks of the answers along trajectories; yields every state that they saw as
    (features [P, C], masked [P], right [P])."""
    for rolled in roll(engine, _jobs(answers, config)):
        assert isinstance(rolled.policy, Trajectory)
        if len(rolled.tokens) == rolled.canvas.length - 1:  # it did not end in the midst
            for block in rolled.policy.seen:
                yield state(block, rolled, features)


def _jobs(
    answers: Sequence[Answer], config: SamplerTraining
) -> Iterator[tuple[Canvas, Trajectory]]:
    random = Random(config.seed)
    for answer in answers:
        for canvas in canvases(answer, random.choice(config.block_lengths)):
            yield canvas, _trajectory(random)


def _trajectory(random: Random) -> Trajectory:
    first = ConfidenceThreshold(random.choice((0.3, 0.5, 0.7, 0.9)))
    return Trajectory(first, random.choice((0, 1, 2, 3)))


def state(block: Block, rolled: Rolled, features: BlockFeatures) -> tuple[Tensor, Tensor, Tensor]:
    """(features [P, C], masked [P], right [P]) of a block on its way to what it became."""
    truth = rolled.canvas.truth
    as_text = all(
        token in (None, decoded) for token, decoded in zip(block.tokens, truth, strict=True)
    )
    best = {place: ranking.tokens[0] for place, ranking in block.rankings.items()}
    wanted = enumerate(truth if as_text else rolled.tokens)
    right = [best.get(place) == token for place, token in wanted]
    masked = [token is None for token in block.tokens]
    return features.extract(block), torch.tensor(masked), torch.tensor(right)


@dataclass(frozen=True, slots=True)
class SamplerProgress:
    """After an epoch: mean loss, and how well held-out states are told apart (area under the
    curve: the probability that a right guess scores above a wrong one)."""

    epoch: int
    loss: float
    held_out_area: float


def train_sampler(
    states: Sequence[tuple[Tensor, Tensor, Tensor]],
    features: BlockFeatures,
    config: SamplerTraining,
) -> Iterator[tuple[SamplerProgress, TrainedSampler]]:
    """Trains epoch by epoch; yields the sampler as it is after each."""
    torch.manual_seed(config.seed)
    random = Random(config.seed)
    # States of one block are alike: those of the last answers, not some of each.
    cut = len(states) - int(len(states) * config.held_out)
    train, held_out = list(states[:cut]), states[cut:]
    random.shuffle(train)
    network = SamplerNetwork(
        SamplerSizes(
            features.width,
            config.num_layers,
            config.width,
            config.num_heads,
            config.feed_forward_width,
        )
    )
    rows_PC = torch.cat([state[0] for state in train[:20_000]])
    network.mean.copy_(rows_PC.mean(0))
    network.std.copy_(rows_PC.std(0).clamp(min=1e-3))
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    batches_per_epoch = max(len(train) // config.batch_blocks, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.epochs * (batches_per_epoch + 4)
    )
    for epoch in range(1, config.epochs + 1):
        random.shuffle(train)
        total, count = 0.0, 0
        for seen in _batches(train, config.batch_blocks):
            loss = _loss(network, seen)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            total, count = total + loss.item(), count + 1
        progress = SamplerProgress(epoch, total / max(count, 1), _area(network, held_out))
        yield progress, TrainedSampler(network, features)


def _batches(states: Sequence[tuple[Tensor, Tensor, Tensor]], size: int) -> Iterator[Seen]:
    """Of one block length each."""
    by_length: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for state in states:
        waiting = by_length.setdefault(len(state[0]), [])
        waiting.append(state)
        if len(waiting) == size:
            yield _stacked(by_length.pop(len(state[0])))
    for waiting in by_length.values():
        yield _stacked(waiting)


def _stacked(states: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Seen:
    features, masked, right = zip(*states, strict=True)
    return Seen(torch.stack(features), torch.stack(masked), torch.stack(right))


def _loss(network: SamplerNetwork, seen: Seen) -> Tensor:
    logits_BP = network(seen.features_BPC)
    return F.binary_cross_entropy_with_logits(
        logits_BP[seen.masked_BP], seen.right_BP[seen.masked_BP].float()
    )


@torch.no_grad()
def _area(network: SamplerNetwork, states: Sequence[tuple[Tensor, Tensor, Tensor]]) -> float:
    scores, rights = [], []
    for seen in _batches(states, 256):
        scores.append(network(seen.features_BPC)[seen.masked_BP])
        rights.append(seen.right_BP[seen.masked_BP])
    if not scores:
        return 0.0
    return area(torch.cat(scores), torch.cat(rights))


def area(scores_R: Tensor, right_R: Tensor) -> float:
    """The probability that a right guess scores above a wrong one, ties counted by half."""
    right, wrong = scores_R[right_R], scores_R[~right_R].sort().values
    if not len(right) or not len(wrong):
        return 0.5
    below = torch.searchsorted(wrong, right) + torch.searchsorted(wrong, right, right=True)
    return float(below.double().mean() / (2 * len(wrong)))


def block_features(ngrams: NgramTable | None) -> BlockFeatures:
    """What the sampler is shown; continuations only where there is a table of them."""
    return BlockFeatures(SCALARS if ngrams is None else _ALL, ngrams=ngrams)
