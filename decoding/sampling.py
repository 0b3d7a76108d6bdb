"""From logits to one token: mask, temperature, filters, and noise keyed by position.

A sample is `argmax(logits / T + g)` with `g` Gumbel noise (the Gumbel-max trick: the argmax
is then distributed as softmax(logits / T)). The noise is a pure function of (seed, absolute
position, token id), so that a seed fixes the text whatever the mode, the batch or the order
of evaluation, and so that a draft and its verification share it.

The generator is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
Generators, OOPSLA 2014), one stream per (seed, position), indexed by token id.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from decoding.native.pick import RowPick, can_pick, pick
from decoding.span import Ranking, Scores

_FAR = 1e6
_WORD = 1 << 64
_LEAST_TEMPERATURE = 1e-100  # logits over less are infinite, and all alike
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one token is chosen from a distribution.

    `temperature` 0 is greedy and ignores the rest. `top_k` 0, `top_p` 1 and `min_p` 0 are off;
    where several are on they apply in this order, each to what the former left. `seed` None
    draws a fresh seed for the request.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be a finite number >= 0, not {self.temperature}")
        if 0.0 < self.temperature < _LEAST_TEMPERATURE:
            raise ValueError(
                f"temperature must be 0, which is greedy, or at least {_LEAST_TEMPERATURE}, "
                f"not {self.temperature}"
            )
        if type(self.top_k) is not int or self.top_k < 0:
            raise ValueError(f"top_k must be a whole number >= 0 (0 is off), not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1] (1 is off), not {self.top_p}")
        if not 0.0 <= self.min_p <= 1.0:
            raise ValueError(f"min_p must be in [0, 1] (0 is off), not {self.min_p}")
        whole = self.seed is None or (type(self.seed) is int and 0 <= self.seed < _WORD)
        if not whole:
            raise ValueError(f"seed must be a whole number in [0, 2**64), not {self.seed}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One row's sampling problem: the pick's mask and position, the request's sampling.

    `ranks` asks for so many candidates beside the token itself.
    """

    sampling: Sampling
    seed: int
    position: int
    mask_W: Tensor | None
    ranks: int = 0

    @property
    def is_simple(self) -> bool:
        """Whether no filter and no ranking is asked for."""
        sampling = self.sampling
        filters = sampling.top_k or sampling.top_p < 1.0 or sampling.min_p
        return not self.ranks and (sampling.temperature == 0.0 or not filters)


@dataclass(frozen=True, slots=True)
class Picked:
    """Chosen tokens, the natural log of their untempered, masked probabilities, and a ranking
    for each row that asked for one."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    rankings: tuple[Ranking | None, ...]

    def part(self, first: int, last: int) -> Scores:
        """The answers of rows [first, last)."""
        return Scores(
            self.tokens[first:last],
            self.logprobs[first:last],
            tuple(each for each in self.rankings[first:last] if each is not None),
        )


def pick_tokens(logits_RV: Tensor, choices: Sequence[Choice], never: int | None = None) -> Picked:
    """Chooses one token per row; one device-to-host copy for the whole batch.

    `logits_RV` is float32 and is not changed. `never` is a token that no row may pick. A row
    whose mask allows nothing is the caller's error. A row's answer does not depend on the others.
    """
    simple = [row for row, choice in enumerate(choices) if choice.is_simple]
    if not simple or not can_pick(logits_RV):
        return _pick_tokens(logits_RV, choices, never)
    picked = pick(logits_RV, [_row_pick(row, choices[row]) for row in simple], never)
    if len(simple) == len(choices):
        tokens, logprobs = zip(*picked, strict=True)
        return Picked(tokens, logprobs, (None,) * len(choices))
    others = sorted(set(range(len(choices))) - set(simple))
    rest = _pick_tokens(logits_RV[others], [choices[row] for row in others], never)
    answers: dict[int, tuple[int, float, Ranking | None]] = {
        row: (*found, None) for row, found in zip(simple, picked, strict=True)
    }
    found = zip(rest.tokens, rest.logprobs, rest.rankings, strict=True)
    answers.update(zip(others, found, strict=True))
    tokens, logprobs, rankings = zip(*(answers[row] for row in range(len(choices))), strict=True)
    return Picked(tokens, logprobs, rankings)


def _row_pick(row: int, choice: Choice) -> RowPick:
    temperature = choice.sampling.temperature
    key = _key(choice.seed, choice.position) if temperature else 0
    return RowPick(row, choice.mask_W, temperature, key)


def _pick_tokens(logits_RV: Tensor, choices: Sequence[Choice], never: int | None) -> Picked:
    if not choices:
        return Picked((), (), ())
    masked_RV = apply_masks(logits_RV, [choice.mask_W for choice in choices], never)
    order_RV = _orders(masked_RV, choices)
    tokens_R = order_RV.argmax(-1)
    picked_R = masked_RV.gather(-1, tokens_R[:, None]).squeeze(-1)
    logprobs_R = picked_R.double() - _row_by_row(torch.logsumexp, masked_RV).double()
    ranked = [row for row, choice in enumerate(choices) if choice.ranks]
    ranks = min(max((choice.ranks for choice in choices), default=0), logits_RV.shape[-1])
    parts = [tokens_R.double(), logprobs_R]
    if ranked:
        parts += _rank(logits_RV[ranked], masked_RV[ranked], order_RV[ranked], ranks)
    numbers = iter(torch.cat([part.flatten() for part in parts]).tolist())
    tokens = tuple(int(token) for token in islice(numbers, len(choices)))
    logprobs = tuple(islice(numbers, len(choices)))
    rankings = dict(zip(ranked, _read_rankings(list(numbers), len(ranked), ranks), strict=True))
    return Picked(tokens, logprobs, tuple(rankings.get(row) for row in range(len(choices))))


def apply_masks(
    logits_RV: Tensor, masks: Sequence[Tensor | None], never: int | None = None
) -> Tensor:
    """Copies the logits with every token outside its row's packed mask at minus infinity, and
    the token `never` in all rows. Returns the logits themselves where there is nothing to do."""
    rows = [row for row, mask_W in enumerate(masks) if mask_W is not None]
    bans = never is not None and never < logits_RV.shape[-1]
    if not rows and not bans:
        return logits_RV
    masked_RV = logits_RV.clone()
    if rows:
        packed_RW = torch.stack([mask_W for mask_W in masks if mask_W is not None])
        allowed_RV = unpack_masks(packed_RW, logits_RV.shape[-1]).to(logits_RV.device)
        masked_RV[rows] = masked_RV[rows].masked_fill(~allowed_RV, -torch.inf)
    if bans:
        masked_RV[:, never] = -torch.inf
    return masked_RV


def unpack_masks(packed_RW: Tensor, vocab_size: int) -> Tensor:
    """Packed int32 words, 32 tokens each, lowest bit first, to one bool per token [R, V]."""
    bytes_RB = packed_RW.contiguous().view(torch.uint8)
    bits = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=packed_RW.device)
    flags_RV = (bytes_RB[..., None] & bits).ne(0).flatten(-2)
    return flags_RV[:, :vocab_size]


def _orders(masked_RV: Tensor, choices: Sequence[Choice]) -> Tensor:
    """Values whose largest is the token to pick: the logits themselves where all is greedy."""
    if all(choice.sampling.temperature == 0.0 for choice in choices):
        return masked_RV
    return torch.stack(
        [_perturbed(logits_V, choice) for logits_V, choice in zip(masked_RV, choices, strict=True)]
    )


def _perturbed(logits_V: Tensor, choice: Choice) -> Tensor:
    """Tempered logits plus noise; what the filters drop comes after all that they keep."""
    logits_V = logits_V.double()
    if choice.sampling.temperature == 0.0:
        return logits_V
    scaled_V = logits_V / choice.sampling.temperature
    dropped_V = _filter(scaled_V, choice.sampling).isneginf()
    noise_V = gumbel_noise(choice.seed, choice.position, logits_V.shape[-1], logits_V.device)
    return torch.where(dropped_V, scaled_V - _FAR, scaled_V) + noise_V


def _rank(logits_QV: Tensor, masked_QV: Tensor, order_QV: Tensor, ranks: int) -> list[Tensor]:
    """Tokens [Q, K], their log-probabilities [Q, K], -inf where not allowed, purities [Q]."""
    tokens_QK = order_QV.topk(ranks).indices
    mass_Q1 = _row_by_row(torch.logsumexp, logits_QV)[:, None]
    logprobs_QK = masked_QV.gather(-1, tokens_QK) - mass_Q1
    purity_Q = _row_by_row(torch.sum, (2.0 * (logits_QV - mass_Q1)).exp())
    return [tokens_QK.double(), logprobs_QK.double(), purity_Q.double()]


def _row_by_row(reduce: Callable[..., Tensor], rows_RV: Tensor) -> Tensor:
    """`reduce` over the last axis, each row on its own.

    The library splits a single wide row among its threads and rounds otherwise than it does
    for one of several.
    """
    if len(rows_RV) > 1:
        return reduce(rows_RV, dim=-1)
    return reduce(rows_RV.repeat(2, 1), dim=-1)[:1]


def _read_rankings(numbers: list[float], count: int, ranks: int) -> list[Ranking]:
    logprobs_from, purity_from = count * ranks, 2 * count * ranks
    rankings = []
    for index in range(count):
        first = index * ranks
        logprobs = numbers[logprobs_from + first : logprobs_from + first + ranks]
        allowed = [rank for rank, logprob in enumerate(logprobs) if logprob > -math.inf]
        rankings.append(
            Ranking(
                tokens=tuple(int(numbers[first + rank]) for rank in allowed),
                logprobs=tuple(logprobs[rank] for rank in allowed),
                purity=numbers[purity_from + index],
            )
        )
    return rankings


def _filter(scaled_V: Tensor, sampling: Sampling) -> Tensor:
    """Top-k, then top-p, then min-p, on tempered logits [V]; the best token always stays."""
    if 0 < sampling.top_k < scaled_V.shape[-1]:
        kth = scaled_V.topk(sampling.top_k).values[-1]
        scaled_V = scaled_V.masked_fill(scaled_V < kth, -torch.inf)
    if sampling.top_p < 1.0:
        sorted_V, order_V = scaled_V.sort(descending=True)
        probs_V = sorted_V.softmax(-1)
        before_V = probs_V.cumsum(-1) - probs_V
        drop_V = torch.zeros_like(before_V, dtype=torch.bool)
        drop_V[order_V] = before_V >= sampling.top_p
        scaled_V = scaled_V.masked_fill(drop_V, -torch.inf)
    if sampling.min_p > 0.0:
        floor = scaled_V.max() + torch.log(torch.tensor(sampling.min_p, dtype=torch.float64))
        scaled_V = scaled_V.masked_fill(scaled_V < floor, -torch.inf)
    return scaled_V


def gumbel_noise(seed: int, position: int, vocab_size: int, device: torch.device) -> Tensor:
    """Standard Gumbel noise, float64 [V], a pure function of seed, position and token id."""
    key = _key(seed, position)
    index_V = torch.arange(1, vocab_size + 1, dtype=torch.int64, device=device)
    bits_V = _mix(index_V * _signed(_GOLDEN) + _signed(key))
    uniform_V = (_shift(bits_V, 11).double() + 0.5) * 2.0**-53
    return -(-uniform_V.log()).log()


def _key(seed: int, position: int) -> int:
    """The word that the noise of all tokens at a position begins with."""
    return _mix_int((_mix_int(seed + _GOLDEN) ^ position) + _GOLDEN)


def _mix(z_V: Tensor) -> Tensor:
    """SplitMix64's output function on int64 words (multiplication wraps)."""
    z_V = (z_V ^ _shift(z_V, 30)) * _signed(_MIX_1)
    z_V = (z_V ^ _shift(z_V, 27)) * _signed(_MIX_2)
    return z_V ^ _shift(z_V, 31)


def _mix_int(z: int) -> int:
    z %= _WORD
    z = (z ^ (z >> 30)) * _MIX_1 % _WORD
    z = (z ^ (z >> 27)) * _MIX_2 % _WORD
    return z ^ (z >> 31)


def _shift(z_V: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 words; torch's own is arithmetic."""
    return (z_V >> bits) & ((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    word %= _WORD
    return word - _WORD if word >= _WORD // 2 else word
