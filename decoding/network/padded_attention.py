"""Attention of sequences padded to one shape: what is visible is data, shapes never change.

A variant is a function `PlanPadded`. All of them gather the keys and values of all sequences
and differ in how they multiply; `benchmarks.gpu` measures them beside each other.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.attention import Attend, HeadShape

PlanPadded = Callable[[Tensor, Tensor, HeadShape, torch.dtype], Attend]
"""(`slots_BL`, `visible_BNL`, heads, dtype) -> how the layers of one window attend.

Row n of sequence b is row b * N + n of the forward. Every row must see at least one key.
"""


def visible_keys(
    positions_BN: Tensor, last_BN: Tensor, num_keys: int, window: int | None
) -> Tensor:
    """Which keys each row sees, `visible_BNL`: up to its last one, within the window."""
    keys_L = torch.arange(num_keys, device=last_BN.device)
    visible_BNL = keys_L <= last_BN[..., None]
    if window is not None:
        visible_BNL = visible_BNL & (keys_L > positions_BN[..., None] - window)
    return visible_BNL


def folded(slots_BL: Tensor, visible_BNL: Tensor, heads: HeadShape, dtype: torch.dtype) -> Attend:
    """The library's attention; heads that share a key head become further rows of it."""
    bias_BNL = _bias(visible_BNL, dtype)
    return partial(_folded, slots_BL, bias_BNL.repeat(1, heads.sharing, 1)[:, None])


def _folded(
    slots_BL: Tensor, bias_B1QL: Tensor, queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
) -> Tensor:
    queries_BGQD = _fold(queries_THD, len(slots_BL), keys_SGD.shape[1])
    keys_BGLD, values_BGLD = _gather(keys_SGD, slots_BL), _gather(values_SGD, slots_BL)
    seen_BGQD = F.scaled_dot_product_attention(
        queries_BGQD, keys_BGLD, values_BGLD, attn_mask=bias_B1QL
    )
    return _unfold(seen_BGQD, queries_THD)


def grouped(slots_BL: Tensor, visible_BNL: Tensor, heads: HeadShape, dtype: torch.dtype) -> Attend:
    """The library's attention, told that heads share keys."""
    return partial(_grouped, slots_BL, _bias(visible_BNL, dtype)[:, None])


def _grouped(
    slots_BL: Tensor, bias_B1NL: Tensor, queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
) -> Tensor:
    queries_BNHD = queries_THD.view(len(slots_BL), -1, *queries_THD.shape[1:])
    keys_BGLD, values_BGLD = _gather(keys_SGD, slots_BL), _gather(values_SGD, slots_BL)
    seen_BHND = F.scaled_dot_product_attention(
        queries_BNHD.transpose(1, 2), keys_BGLD, values_BGLD, attn_mask=bias_B1NL, enable_gqa=True
    )
    return seen_BHND.transpose(1, 2).reshape(queries_THD.shape)


def multiplied(
    slots_BL: Tensor, visible_BNL: Tensor, heads: HeadShape, dtype: torch.dtype
) -> Attend:
    """Two matrix products and a softmax in float32: for few rows over many keys, where the
    library's attention leaves most of a GPU idle."""
    bias_BNL = _bias(visible_BNL, torch.float32)
    return partial(_multiplied, slots_BL, bias_BNL.repeat(1, heads.sharing, 1)[:, None])


def _multiplied(
    slots_BL: Tensor, bias_B1QL: Tensor, queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
) -> Tensor:
    queries_BGQD = _fold(queries_THD, len(slots_BL), keys_SGD.shape[1])
    keys_BGLD, values_BGLD = _gather(keys_SGD, slots_BL), _gather(values_SGD, slots_BL)
    scaled_BGQD = queries_BGQD * queries_THD.shape[-1] ** -0.5
    scores_BGQL = (scaled_BGQD @ keys_BGLD.transpose(-1, -2)).float() + bias_B1QL
    weights_BGQL = scores_BGQL.softmax(-1).to(values_BGLD.dtype)
    return _unfold(weights_BGQL @ values_BGLD, queries_THD)


VARIANTS: Mapping[str, PlanPadded] = {
    "folded": folded,
    "grouped": grouped,
    "multiplied": multiplied,
}


def _bias(visible_BNL: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to the scores: 0 or minus infinity."""
    zeros_BNL = torch.zeros(visible_BNL.shape, dtype=dtype, device=visible_BNL.device)
    return zeros_BNL.masked_fill_(~visible_BNL, -torch.inf)


def _gather(store_SGD: Tensor, slots_BL: Tensor) -> Tensor:
    return store_SGD[slots_BL].transpose(1, 2)


def _fold(queries_THD: Tensor, num_sequences: int, num_kv_heads: int) -> Tensor:
    """[T, H, D] -> [B, G, sharing * N, D]"""
    num_heads, head_dim = queries_THD.shape[1:]
    sharing = num_heads // num_kv_heads
    queries = queries_THD.view(num_sequences, -1, num_kv_heads, sharing, head_dim)
    return queries.permute(0, 2, 3, 1, 4).reshape(num_sequences, num_kv_heads, -1, head_dim)


def _unfold(seen_BGQD: Tensor, queries_THD: Tensor) -> Tensor:
    """[B, G, sharing * N, D] -> [T, H, D]"""
    num_sequences, num_kv_heads, _, head_dim = seen_BGQD.shape
    sharing = queries_THD.shape[1] // num_kv_heads
    seen = seen_BGQD.view(num_sequences, num_kv_heads, sharing, -1, head_dim)
    return seen.permute(0, 3, 1, 2, 4).reshape(queries_THD.shape)
