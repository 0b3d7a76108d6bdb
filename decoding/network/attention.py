"""Scaled dot-product attention of each segment over its own slots of the cache."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.span import Attention, Segment


@dataclass(frozen=True, slots=True)
class View:
    """One segment's rows and what they see. Shared by all layers with the same window.

    `mask_NL` is added to the scores of the segment's N rows, 0 or minus infinity; None where
    every row sees every key.
    """

    rows: slice
    slots_L: slice | Tensor
    mask_NL: Tensor | None


def views_of(
    segments: Iterable[Segment], window: int | None, dtype: torch.dtype, device: torch.device
) -> tuple[View, ...]:
    """The views of a batch, for layers whose rows see `window` positions (None for all)."""
    return tuple(
        View(
            rows=slice(segment.first_row, segment.first_row + segment.num_rows),
            slots_L=segment.slots_L,
            mask_NL=_mask(segment, window, dtype, device),
        )
        for segment in segments
    )


def _mask(
    segment: Segment, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    end = segment.start + segment.num_rows
    is_open = segment.num_rows == 1 or segment.attention is Attention.BLOCK
    if is_open and (window is None or end <= window):
        return None
    rows_N1 = torch.arange(segment.start, end, device=device)[:, None]
    keys_L = torch.arange(end, device=device)
    hidden_NL = torch.zeros(segment.num_rows, end, dtype=torch.bool, device=device)
    if segment.attention is Attention.CAUSAL:
        hidden_NL |= keys_L > rows_N1
    if window is not None:
        hidden_NL |= keys_L <= rows_N1 - window
    mask_NL = torch.zeros(segment.num_rows, end, dtype=dtype, device=device)
    return mask_NL.masked_fill_(hidden_NL, -torch.inf)


def attend(
    queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor, views: Iterable[View]
) -> Tensor:
    """What every row gathers from the keys it sees, [T, H, D]."""
    out_THD = torch.empty_like(queries_THD)
    for view in views:
        seen_HND = F.scaled_dot_product_attention(
            queries_THD[view.rows].transpose(0, 1)[None],
            keys_SGD[view.slots_L].transpose(0, 1)[None],
            values_SGD[view.slots_L].transpose(0, 1)[None],
            attn_mask=view.mask_NL,
            enable_gqa=True,
        )[0]
        out_THD[view.rows] = seen_HND.transpose(0, 1)
    return out_THD
