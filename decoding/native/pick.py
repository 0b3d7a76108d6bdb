"""One token from a row of logits on a CPU, in two passes over it."""

from ctypes import byref

import torch
from torch import Tensor

from decoding.native.library import Best, NativeUnavailable, library


def can_pick(logits_RV: Tensor) -> bool:
    """Whether `pick` takes these logits, here."""
    if logits_RV.device.type != "cpu" or logits_RV.dtype is not torch.float32:
        return False
    try:
        library()
    except NativeUnavailable:
        return False
    return logits_RV.stride(-1) == 1


def pick(
    logits_RV: Tensor,
    row: int,
    mask_W: Tensor | None,
    never: int | None,
    temperature: float = 0.0,
    key: int = 0,
) -> tuple[int, float]:
    """The allowed token with the largest logit / `temperature` + noise, and its log-probability.

    The probability is among the allowed tokens, without temperature. `mask_W` holds packed int32
    words, None where all is allowed; `never` is a token that is not. The noise is that of
    `decoding.sampling.gumbel_noise`, `key` its word for seed and position; there is none at
    temperature 0. A row's answer does not depend on the other rows.
    """
    best = Best()
    library().trimode_pick(
        logits_RV.data_ptr() + row * logits_RV.stride(0) * logits_RV.element_size(),
        logits_RV.shape[-1],
        None if mask_W is None else mask_W.data_ptr(),
        -1 if never is None else never,
        temperature,
        key,
        byref(best),
    )
    return best.token, best.logprob
