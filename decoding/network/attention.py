"""What the rows of each segment see, and grouped-query attention over exactly that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.span import Attention, Segment

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(`queries_THD`, `keys_SGD`, `values_SGD`) -> `seen_THD`, for one forward and one window."""


@dataclass(frozen=True, slots=True)
class HeadShape:
    """How many heads there are, and how wide each is."""

    num_heads: int
    num_kv_heads: int
    head_dim: int

    @property
    def sharing(self) -> int:
        """Query heads per key/value head."""
        return self.num_heads // self.num_kv_heads


class PlanAttention(Protocol):
    """Prepares what all layers with the same window share in a forward."""

    def __call__(
        self,
        segments: Sequence[Segment],
        window: int | None,
        heads: HeadShape,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Attend: ...


def plan_attention(
    segments: Sequence[Segment],
    window: int | None,
    heads: HeadShape,
    dtype: torch.dtype,
    device: torch.device,
) -> Attend:
    """The library's attention: quickest, and a row's rounding depends on its company."""
    return partial(attend, views_of(segments, window, dtype, device))


@dataclass(frozen=True, slots=True)
class View:
    """What one segment's rows see in every layer of one window.

    `mask_TL` is added to the attention scores of the segment's rows over the slots, 0 or
    minus infinity; None where every row sees every slot.
    """

    rows: slice
    slots_L: slice | Tensor
    mask_TL: Tensor | None


def views_of(
    segments: Sequence[Segment], window: int | None, dtype: torch.dtype, device: torch.device
) -> tuple[View, ...]:
    """One view per segment. Slots that no row can see any more are left out.

    A row at position p sees positions above p - `window`, and none to its right unless the
    segment's attention is BLOCK.
    """
    return tuple(_view(segment, window, dtype, device) for segment in segments)


def _view(segment: Segment, window: int | None, dtype: torch.dtype, device: torch.device) -> View:
    end = segment.start + segment.num_rows
    first = 0 if window is None else max(0, segment.start - window + 1)
    rows = slice(segment.first_row, segment.first_row + segment.num_rows)
    slots_L = tail_of(segment.slots_L, first)
    hides_right = segment.attention is Attention.CAUSAL and segment.num_rows > 1
    hides_left = window is not None and end - first > window
    if not hides_right and not hides_left:
        return View(rows, slots_L, None)
    every_row, keys = slice(0, segment.num_rows), slice(first, end)
    hidden_TL = hidden_keys(segment, window, every_row, keys, device)
    mask_TL = torch.zeros_like(hidden_TL, dtype=dtype).masked_fill_(hidden_TL, -torch.inf)
    return View(rows, slots_L, mask_TL)


def hidden_keys(
    segment: Segment, window: int | None, rows: slice, keys: slice, device: torch.device
) -> Tensor:
    """Which positions `keys` the segment's rows `rows` do not see: `hidden_TL`, bool."""
    rows_T1 = torch.arange(rows.start, rows.stop, device=device)[:, None] + segment.start
    keys_L = torch.arange(keys.start, keys.stop, device=device)
    hidden_TL = torch.zeros(len(rows_T1), len(keys_L), dtype=torch.bool, device=device)
    if segment.attention is Attention.CAUSAL:
        hidden_TL |= keys_L > rows_T1
    if window is not None:
        hidden_TL |= keys_L <= rows_T1 - window
    return hidden_TL


def tail_of(slots_L: slice | Tensor, first: int) -> slice | Tensor:
    """The slots of positions `first` and on."""
    if isinstance(slots_L, slice):
        return slice(slots_L.start + first, slots_L.stop)
    return slots_L[first:]


def attend(
    views: Sequence[View], queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
) -> Tensor:
    """Softmax attention of each view's rows over its slots, scaled by D**-0.5: `seen_THD`."""
    if len(views) == 1:
        return _attend_view(queries_THD, keys_SGD, values_SGD, views[0])
    seen_THD = torch.empty_like(queries_THD)
    for view in views:
        seen_THD[view.rows] = _attend_view(queries_THD[view.rows], keys_SGD, values_SGD, view)
    return seen_THD


def _attend_view(queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor, view: View) -> Tensor:
    # The heads that share a key head become further rows of it: no key is copied or read twice.
    num_rows, num_heads, head_dim = queries_THD.shape
    num_kv_heads = keys_SGD.shape[1]
    sharing = num_heads // num_kv_heads
    grouped = queries_THD.view(num_rows, num_kv_heads, sharing, head_dim).permute(1, 2, 0, 3)
    mask_TL = view.mask_TL
    seen = F.scaled_dot_product_attention(
        grouped.reshape(1, num_kv_heads, sharing * num_rows, head_dim),
        keys_SGD[view.slots_L].transpose(0, 1)[None],
        values_SGD[view.slots_L].transpose(0, 1)[None],
        attn_mask=None if mask_TL is None else mask_TL.repeat(sharing, 1),
    )
    seen = seen.view(num_kv_heads, sharing, num_rows, head_dim).permute(2, 0, 1, 3)
    return seen.reshape(num_rows, num_heads, head_dim)
