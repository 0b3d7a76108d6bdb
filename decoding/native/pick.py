"""One token from each of some rows of logits on a CPU, in two passes over them."""

from collections.abc import Sequence
from ctypes import CDLL
from dataclasses import dataclass

import torch
from torch import Tensor

from decoding.native.library import Ask, Best, NativeUnavailable, library


def can_pick(logits_RV: Tensor) -> bool:
    """Whether `pick` takes these logits, here."""
    if not logits_RV.is_cpu or logits_RV.dtype is not torch.float32:
        return False
    try:
        library()
    except NativeUnavailable:
        return False
    return logits_RV.stride(-1) == 1


@dataclass(frozen=True, slots=True)
class RowPick:
    """What is asked of a row: the allowed token with the largest logit / `temperature` + noise.

    `mask_W` holds packed int32 words, None where all is allowed. The noise is that of
    `decoding.sampling.gumbel_noise`, `key` its word for seed and position; there is none at
    temperature 0.
    """

    row: int
    mask_W: Tensor | None = None
    temperature: float = 0.0
    key: int = 0


def pick(
    logits_RV: Tensor, asked: Sequence[RowPick], never: int | None, build: CDLL | None = None
) -> list[tuple[int, float]]:
    """The tokens asked for, and their log-probabilities among those allowed, without temperature.

    `never` is a token that no row may pick. A row's answer does not depend on the other rows, nor
    on the number of threads, which are those of torch. `build` is one of `library.builds()`, the
    quickest by default.
    """
    vocab_size, first = logits_RV.shape[-1], logits_RV.data_ptr()
    row_bytes = logits_RV.stride(0) * logits_RV.element_size()
    asks, best = (Ask * len(asked))(), (Best * len(asked))()
    for ask, each in zip(asks, asked, strict=True):
        mask_W = each.mask_W
        if mask_W is not None:
            assert mask_W.is_contiguous()
            assert mask_W.numel() * 32 >= vocab_size
            ask.mask = mask_W.data_ptr()
        ask.logits = first + each.row * row_bytes
        ask.temperature, ask.key = each.temperature, each.key
    (build or library()).trimode_pick(
        asks, len(asked), vocab_size, -1 if never is None else never, torch.get_num_threads(), best
    )
    return [(each.token, each.logprob) for each in best]
