"""Trains a draft head on the vectors behind a model's own answers.

What it learns from, a row of it: the vector a token was picked from, that token, and those that
followed. Nothing of the network changes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.draft_head import HeadParameters, scores_weight, states
from decoding.native.packing import GROUP
from decoding.native.transformer import NativeTransformer
from decoding.span import Attention, ForwardBatch, Segment
from decoding.training.answers import Answer

_FIELDS = tuple(HeadParameters.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class HeadTraining:
    """How a head is trained: to guess `depth` tokens on, each counting `decay` of the one before.

    It can guess the `candidates` most frequent tokens. A share `soft` of what it learns is how
    probable the network found each of them, the rest which one followed. The learning rate
    rises over 50 steps and falls to nothing over the last 60 % of them.
    """

    width: int = 256
    candidates: int = 4096
    depth: int = 4
    decay: float = 0.6
    soft: float = 0.6
    epochs: int = 5
    rows_per_step: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "candidates", "depth", "epochs", "rows_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be finite and above 0, not {self.learning_rate}")
        if self.width % GROUP:
            raise ValueError(f"width must be a multiple of {GROUP}, not {self.width}")
        if not 0.0 <= self.soft <= 1.0:
            raise ValueError(f"soft must be a share, not {self.soft}")


@dataclass(frozen=True, slots=True)
class Traces:
    """Answers row by row: `hidden_NE` is what `tokens_N` was picked from (in half precision), and
    `left_N` how many tokens follow it in its answer."""

    hidden_NE: Tensor
    tokens_N: Tensor
    left_N: Tensor

    def following(self, rows_R: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """The rows from each on, `depth` + 1 of them, and which are of the same answer."""
        offset_D = torch.arange(depth + 1)
        at_RD = (rows_R[:, None] + offset_D).clamp_(max=len(self.tokens_N) - 1)
        return at_RD, offset_D <= self.left_N[rows_R, None]


@dataclass(frozen=True, slots=True)
class HeadProgress:
    """`right` is the share of guesses that are right where those before them were, by depth;
    `tokens_per_step` what a step with all of them commits, on held-out answers."""

    epoch: int
    loss: float
    right: tuple[float, ...]
    tokens_per_step: float


def trace(network: NativeTransformer, answers: Iterable[Answer]) -> Iterator[Traces]:
    """Reads the answers with the network, one after the other. Keeps its vectors from then on."""
    network.keeps_hidden = True
    storage = network.allocate_cache(network.max_positions)
    for answer in answers:
        text, first = torch.tensor(answer.text[: network.max_positions]), len(answer.prompt)
        if len(text) <= first:
            continue
        places, read = range(len(text)), range(first - 1, len(text) - 1)
        segment = Segment(0, len(text), 0, slice(0, len(text)), Attention.CAUSAL, adapter=False)
        network.forward(
            ForwardBatch.of(answer.text[: len(text)], places, places, read, (segment,)), storage
        )
        assert network.hidden_RE is not None
        hidden_NE = torch.from_numpy(network.hidden_RE).half()
        yield Traces(hidden_NE, text[first:], torch.arange(len(read) - 1, -1, -1))


def joined(traces: Sequence[Traces]) -> Traces:
    """Raises `ValueError` where there are none."""
    if not traces:
        raise ValueError("no answers to learn from")
    return Traces(
        torch.cat([each.hidden_NE for each in traces]),
        torch.cat([each.tokens_N for each in traces]),
        torch.cat([each.left_N for each in traces]),
    )


def train_head(
    seen: Traces,
    held_out: Traces,
    embedding_VE: Tensor,
    head_VE: Tensor,
    config: HeadTraining,
    start: HeadParameters | None = None,
) -> Iterator[tuple[HeadProgress, HeadParameters]]:
    """The head after each epoch. Embedding and output head are the network's. `start` is a head
    to go on from: width and candidates are then its own, whatever the configuration says."""
    torch.manual_seed(config.seed)
    learner = _Learner(seen, embedding_VE, head_VE, config, start)
    for epoch in range(1, config.epochs + 1):
        loss = learner.epoch(seen)
        head = learner.exported()
        yield _judged(head, held_out, embedding_VE, config, epoch, loss), head


class _Learner:
    """Parameters in training: of embeddings with a spread of 1, so that all learn alike fast."""

    def __init__(
        self,
        seen: Traces,
        embedding_VE: Tensor,
        head_VE: Tensor,
        config: HeadTraining,
        start: HeadParameters | None,
    ) -> None:
        self._config = config
        self._scale = 1.0 / float(embedding_VE.std())
        self._embedding_VE = embedding_VE * self._scale
        self._head = (
            _new_head(seen, embedding_VE, config)
            if start is None
            else _learning(_scaled(start, 1.0 / self._scale))
        )
        tokens_C = self._head.tokens_C
        self._place_V = torch.full((len(embedding_VE),), -1).index_put_(
            (tokens_C,), torch.arange(len(tokens_C))
        )
        self._network_head_CE = head_VE[tokens_C].float()
        learned = [getattr(self._head, name) for name in _FIELDS]
        self._learned = [each for each in learned if each.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self._learned, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._step = 0
        self._num_steps = config.epochs * math.ceil(len(seen.tokens_N) / config.rows_per_step)

    def epoch(self, seen: Traces) -> float:
        """The mean loss."""
        losses = []
        for rows_R in torch.randperm(len(seen.tokens_N)).split(self._config.rows_per_step):
            for group in self._optimiser.param_groups:
                group["lr"] = self._learning_rate()
            loss = self._loss(seen, rows_R)
            self._optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._learned, 1.0)
            self._optimiser.step()
            self._step += 1
            losses.append(loss.item())
        return sum(losses) / len(losses)

    def exported(self) -> HeadParameters:
        """The same for the embeddings as the network has them."""
        return _scaled(self._head, self._scale)

    def _loss(self, seen: Traces, rows_R: Tensor) -> Tensor:
        depth, decay, soft = self._config.depth, self._config.decay, self._config.soft
        at_RD, is_own_RD = seen.following(rows_R, depth)
        tokens_RD, hidden_RDE = seen.tokens_N[at_RD], seen.hidden_NE[at_RD].float()
        output_CK = scores_weight(self._head, self._embedding_VE)
        targets_RD = torch.where(is_own_RD, self._place_V[tokens_RD], -1)
        found = states(self._head, hidden_RDE[:, 0], self._embedding_VE[tokens_RD[:, :depth]])
        losses = []
        for place, x_RK in enumerate(found, 1):
            known_R = targets_RD[:, place] >= 0
            scores = F.linear(x_RK[known_R], output_CK, self._head.output_bias_C).log_softmax(-1)
            network = (hidden_RDE[known_R, place] @ self._network_head_CE.T).softmax(-1)
            followed = F.nll_loss(scores, targets_RD[known_R, place], reduction="sum")
            lost = soft * -(network * scores).sum() + (1.0 - soft) * followed
            losses.append(decay ** (place - 1) * lost / max(len(scores), 1))
        return torch.stack(losses).sum()

    def _learning_rate(self) -> float:
        left = max(self._num_steps - self._step, 0) / self._num_steps
        return self._config.learning_rate * min((self._step + 1) / 50, 1.0, left / 0.6)


def _new_head(seen: Traces, embedding_VE: Tensor, config: HeadTraining) -> HeadParameters:
    frequent = torch.bincount(seen.tokens_N, minlength=len(embedding_VE)).argsort(
        descending=True, stable=True
    )
    tokens_C = frequent[: config.candidates]
    width, hidden = config.width, embedding_VE.shape[1]
    return HeadParameters(
        tokens_C=tokens_C,
        hidden_KE=_spread(width, hidden, 0.3),
        hidden_bias_K=_learned(torch.zeros(width)),
        token_KE=_spread(width, hidden),
        state_KK=_spread(width, width),
        state_bias_K=_learned(torch.zeros(width)),
        norm_K=_learned(torch.ones(width)),
        projection_EK=_spread(hidden, width, 0.05),
        output_bias_C=_learned(torch.zeros(len(tokens_C))),
    )


def _scaled(head: HeadParameters, scale: float) -> HeadParameters:
    """A copy for embeddings that are so many times smaller."""
    copies = {name: getattr(head, name).detach().clone() for name in _FIELDS}
    copies["token_KE"] *= scale
    copies["projection_EK"] *= scale
    return HeadParameters(**copies)


def _learning(head: HeadParameters) -> HeadParameters:
    for name in _FIELDS:
        if name != "tokens_C":
            _learned(getattr(head, name))
    return head


def _spread(rows: int, columns: int, factor: float = 1.0) -> Tensor:
    bound = factor / columns**0.5
    return _learned(torch.empty(rows, columns).uniform_(-bound, bound))


def _learned(values: Tensor) -> Tensor:
    return values.requires_grad_()


@torch.no_grad()
def _judged(
    head: HeadParameters,
    held_out: Traces,
    embedding_VE: Tensor,
    config: HeadTraining,
    epoch: int,
    loss: float,
) -> HeadProgress:
    depth, output_CK = config.depth, scores_weight(head, embedding_VE)
    right, asked, tokens = [0] * depth, [0] * depth, 0
    for rows_R in torch.arange(len(held_out.tokens_N)).split(2048):
        at_RD, is_own_RD = held_out.following(rows_R, depth)
        tokens_RD = held_out.tokens_N[at_RD]
        guessed_RD = guesses(
            head,
            output_CK,
            held_out.hidden_NE[rows_R].float(),
            tokens_RD[:, 0],
            embedding_VE,
            depth,
        )
        is_right_RD = (guessed_RD == tokens_RD[:, 1:]).cumprod(1).bool() & is_own_RD[:, 1:]
        was_right_RD = torch.cat([is_own_RD[:, :1], is_right_RD[:, :-1]], 1) & is_own_RD[:, 1:]
        for place in range(depth):
            right[place] += int(is_right_RD[:, place].sum())
            asked[place] += int(was_right_RD[:, place].sum())
        tokens += int(is_right_RD.sum())
    shares = tuple(a / max(b, 1) for a, b in zip(right, asked, strict=True))
    return HeadProgress(epoch, loss, shares, 1.0 + tokens / max(len(held_out.tokens_N), 1))


def guesses(
    head: HeadParameters,
    output_CK: Tensor,
    hidden_NE: Tensor,
    tokens_N: Tensor,
    embedding_VE: Tensor,
    depth: int,
) -> Tensor:
    """`guessed_ND` behind each of the tokens, every one behind the head's own ones before it."""
    read_ND = tokens_N[:, None]
    for _ in range(depth):
        x_NK = states(head, hidden_NE, embedding_VE[read_ND])[-1]
        place_N = F.linear(x_NK, output_CK, head.output_bias_C).argmax(-1)
        read_ND = torch.cat([read_ND, head.tokens_C[place_N, None]], 1)
    return read_ND[:, 1:]
