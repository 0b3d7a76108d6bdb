"""From logits to one token: mask, temperature, filters, and noise keyed by position.

A sample is `argmax(logits / T + g)` with `g` Gumbel noise (the Gumbel-max trick: the argmax
is then distributed as softmax(logits / T)). The noise is a pure function of (seed, absolute
position, token id), so that a seed fixes the text whatever the mode, the batch or the order
of evaluation, and so that a draft and its verification share it.

The generator is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
Generators, OOPSLA 2014), one stream per (seed, position), indexed by token id.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_WORD = 1 << 64
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
        if self.top_k < 0:
            raise ValueError(f"top_k must be >= 0 (0 is off), not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1] (1 is off), not {self.top_p}")
        if not 0.0 <= self.min_p <= 1.0:
            raise ValueError(f"min_p must be in [0, 1] (0 is off), not {self.min_p}")
        if self.seed is not None and not 0 <= self.seed < _WORD:
            raise ValueError(f"seed must be in [0, 2**64), not {self.seed}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One row's sampling problem: the pick's mask and position, the request's sampling."""

    sampling: Sampling
    seed: int
    position: int
    mask_W: Tensor | None


@dataclass(frozen=True, slots=True)
class Picked:
    """Chosen tokens and the natural log of their untempered, masked probabilities."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


def pick_tokens(logits_RV: Tensor, choices: Sequence[Choice]) -> Picked:
    """Chooses one token per row; one device-to-host copy for the whole batch.

    `logits_RV` is float32 and is not changed. A row whose mask allows nothing is the
    caller's error.
    """
    if not choices:
        return Picked((), ())
    logits_RV = apply_masks(logits_RV, [choice.mask_W for choice in choices])
    if any(choice.sampling.temperature > 0.0 for choice in choices):
        tokens_R = torch.stack(
            [_pick(logits_V, choice) for logits_V, choice in zip(logits_RV, choices, strict=True)]
        )
    else:
        tokens_R = logits_RV.argmax(-1)
    picked_R = logits_RV.gather(-1, tokens_R[:, None]).squeeze(-1)
    logprobs_R = picked_R.double() - logits_RV.logsumexp(-1).double()
    tokens, logprobs = torch.stack((tokens_R.double(), logprobs_R)).tolist()
    return Picked(tuple(int(token) for token in tokens), tuple(logprobs))


def apply_masks(logits_RV: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
    """Copies the logits with every token outside its row's packed mask at minus infinity."""
    rows = [row for row, mask_W in enumerate(masks) if mask_W is not None]
    if not rows:
        return logits_RV
    packed_RW = torch.stack([mask_W for mask_W in masks if mask_W is not None])
    allowed_RV = unpack_masks(packed_RW, logits_RV.shape[-1]).to(logits_RV.device)
    masked_RV = logits_RV.clone()
    masked_RV[rows] = masked_RV[rows].masked_fill(~allowed_RV, -torch.inf)
    return masked_RV


def unpack_masks(packed_RW: Tensor, vocab_size: int) -> Tensor:
    """Packed int32 words, 32 tokens each, lowest bit first, to one bool per token [R, V]."""
    bytes_RB = packed_RW.contiguous().view(torch.uint8)
    bits = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=packed_RW.device)
    flags_RV = (bytes_RB[..., None] & bits).ne(0).flatten(-2)
    return flags_RV[:, :vocab_size]


def _pick(logits_V: Tensor, choice: Choice) -> Tensor:
    if choice.sampling.temperature == 0.0:
        return logits_V.argmax(-1)
    scaled_V = _filter(logits_V.double() / choice.sampling.temperature, choice.sampling)
    noise_V = gumbel_noise(choice.seed, choice.position, logits_V.shape[-1], logits_V.device)
    return (scaled_V + noise_V).argmax(-1)


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
    key = _mix_int((_mix_int(seed + _GOLDEN) ^ position) + _GOLDEN)
    index_V = torch.arange(1, vocab_size + 1, dtype=torch.int64, device=device)
    bits_V = _mix(index_V * _signed(_GOLDEN) + _signed(key))
    uniform_V = (_shift(bits_V, 11).double() + 0.5) * 2.0**-53
    return -(-uniform_V.log()).log()


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
