"""Attention whose rows do not depend on their company: the exact profile's.

A row's result is one fixed sequence of operations on what it sees, whatever else the forward
holds:

- Keys are taken in chunks of a fixed number of positions, counted from position 0 of the
  sequence, so a row meets the same chunks however the rows were grouped. A last chunk is padded
  with zeros. Rows come in tiles of few fixed sizes, the last one padded.
- Scores, and weights times values, are products of one tile and one chunk: only the tile's
  size can differ between two groupings, and a size is used only if a trial found that it gives
  every row the bits of the smallest (see `decoding.network.exact`).
- The maximum over all chunks is exact in any order. Hidden positions get the weight 0, so
  chunks that only other rows see add exact zeros; sums over chunks run from left to right.

Rows of a BLOCK segment see all of it, so they are the same in any company of the same block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.attention import Attend, HeadShape, hidden_keys, tail_of
from decoding.network.exact import agrees, random_patterns
from decoding.span import Attention, Segment

_TILES = (4, 8, 16, 32, 64)
_ALIGNMENT = 64  # bytes


@dataclass(frozen=True, slots=True)
class _Tile:
    """Rows of the batch, how many of them with padding, the chunks they see and how.

    `mask_CTL` is added to the scores, 0 or minus infinity. L is the length of a chunk.
    """

    rows: slice
    size: int
    chunks: slice
    mask_CTL: Tensor


@dataclass(frozen=True, slots=True)
class _Part:
    """One segment: its tiles, and the slots of its keys from the first chunk on."""

    slots_L: slice | Tensor
    tiles: tuple[_Tile, ...]


class ExactAttention:
    """A `decoding.network.attention.PlanAttention`. Holds what its trials found.

    `chunk` is a number of positions. It is part of the result: attentions with different
    chunks round differently.
    """

    def __init__(self, chunk: int = 128) -> None:
        self._chunk = chunk
        self._agree: dict[tuple[object, ...], bool] = {}

    def __call__(
        self,
        segments: Sequence[Segment],
        window: int | None,
        heads: HeadShape,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Attend:
        like = torch.empty(0, dtype=dtype, device=device)
        parts = [self._part(segment, window, heads, like) for segment in segments]
        return partial(_attend, self._chunk, parts)

    def _part(self, segment: Segment, window: int | None, heads: HeadShape, like: Tensor) -> _Part:
        tiles = []
        row = 0
        while row < segment.num_rows:
            size, count = self._tile_size(segment.num_rows - row, heads, like)
            tiles.append(self._tile(segment, window, slice(row, row + count), size, like))
            row += count
        first = self._first_key(segment.start, window)
        return _Part(tail_of(segment.slots_L, first), tuple(tiles))

    def _first_key(self, position: int, window: int | None) -> int:
        """Where the first chunk begins that a row at this position sees."""
        first = 0 if window is None else max(0, position - window + 1)
        return first - first % self._chunk

    def _tile(
        self, segment: Segment, window: int | None, rows: slice, size: int, like: Tensor
    ) -> _Tile:
        """`rows` are counted within the segment."""
        sees_all = segment.attention is Attention.BLOCK
        origin = self._first_key(segment.start, window)
        first = self._first_key(segment.start + rows.start, window)
        end = segment.start + (segment.num_rows if sees_all else rows.stop)
        num_chunks = -(-(end - first) // self._chunk)
        hidden_TL = hidden_keys(segment, window, rows, slice(first, end), like.device)
        mask_TL = like.new_zeros(size, num_chunks * self._chunk)
        mask_TL[: len(hidden_TL), : end - first].masked_fill_(hidden_TL, -torch.inf)
        mask_TL[:, end - first :] = -torch.inf
        skipped = (first - origin) // self._chunk
        return _Tile(
            rows=slice(segment.first_row + rows.start, segment.first_row + rows.stop),
            size=size,
            chunks=slice(skipped, skipped + num_chunks),
            mask_CTL=mask_TL.view(size, num_chunks, self._chunk).transpose(0, 1).contiguous(),
        )

    def _tile_size(self, num_rows: int, heads: HeadShape, like: Tensor) -> tuple[int, int]:
        """The size of the next tile, and how many of the rows it takes."""
        wanted = next((size for size in _TILES if size >= num_rows), _TILES[-1])
        for size in reversed([size for size in _TILES if size <= wanted]):
            if self._is_good(size, heads, like):
                return size, min(size, num_rows)
        return _TILES[0], 1

    def _is_good(self, size: int, heads: HeadShape, like: Tensor) -> bool:
        key = (size, heads, like.dtype, like.device, torch.get_num_threads())
        if key not in self._agree:
            self._agree[key] = _try(size, self._chunk, heads, like)
        return self._agree[key]


def _try(size: int, chunk: int, heads: HeadShape, like: Tensor) -> bool:
    """Whether a tile of that size gives each row what it gets alone in the smallest tile."""
    num_kv_heads, sharing, head_dim = heads.num_kv_heads, heads.sharing, heads.head_dim
    chunk_GLD = random_patterns((chunk, num_kv_heads, head_dim), like)[0].transpose(0, 1)
    queries = random_patterns((num_kv_heads, sharing, head_dim), like)
    weights = random_patterns((num_kv_heads, sharing, chunk), like)
    return agrees(partial(_scores, chunk_GLD), queries, size, _TILES[0]) and agrees(
        partial(_mixed, chunk_GLD), weights, size, _TILES[0]
    )


def _scores(keys_GLD: Tensor, queries_GMD: Tensor) -> Tensor:
    return torch.bmm(queries_GMD, keys_GLD.transpose(1, 2))


def _mixed(values_GLD: Tensor, weights_GML: Tensor) -> Tensor:
    return torch.bmm(weights_GML, values_GLD)


def _attend(
    chunk: int, parts: Sequence[_Part], queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
) -> Tensor:
    seen_THD = torch.empty_like(queries_THD, memory_format=torch.contiguous_format)
    for part in parts:
        keys = _chunks(keys_SGD, part.slots_L, chunk)
        values = _chunks(values_SGD, part.slots_L, chunk)
        for tile in part.tiles:
            seen_THD[tile.rows] = _attend_tile(
                queries_THD[tile.rows], keys[tile.chunks], values[tile.chunks], tile
            )
    return seen_THD


def _chunks(store_SGD: Tensor, slots_L: slice | Tensor, chunk: int) -> list[Tensor]:
    """The stored keys or values as [G, chunk, D], all laid out in memory alike."""
    kept_LGD = store_SGD[slots_L]
    slot_bytes = store_SGD.stride(0) * store_SGD.element_size()
    if isinstance(slots_L, slice) and slot_bytes % _ALIGNMENT:
        kept_LGD = kept_LGD.clone()
    *full, last_LGD = torch.split(kept_LGD, chunk)
    if len(last_LGD) < chunk:
        last_LGD = F.pad(last_LGD, (0, 0, 0, 0, 0, chunk - len(last_LGD)))
    return [chunk_LGD.transpose(0, 1) for chunk_LGD in (*full, last_LGD)]


def _attend_tile(
    queries_THD: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], tile: _Tile
) -> Tensor:
    # The heads that share a key head become further rows of it: M = tile rows * sharing heads.
    num_rows, num_heads, head_dim = queries_THD.shape
    num_kv_heads, chunk, _ = keys[0].shape
    sharing = num_heads // num_kv_heads
    grouped = queries_THD.new_zeros(num_kv_heads, tile.size, sharing, head_dim)
    by_group = queries_THD.view(num_rows, num_kv_heads, sharing, head_dim).transpose(0, 1)
    torch.mul(by_group, head_dim**-0.5, out=grouped[:, :num_rows])
    queries_GMD = grouped.view(num_kv_heads, tile.size * sharing, head_dim)
    weights_CGML = queries_GMD.new_empty(len(keys), *queries_GMD.shape[:2], chunk)
    for weights_GML, keys_GLD in zip(weights_CGML, keys, strict=True):
        torch.bmm(queries_GMD, keys_GLD.transpose(1, 2), out=weights_GML)
    by_row = weights_CGML.view(len(keys), num_kv_heads, tile.size, sharing, chunk)
    by_row.add_(tile.mask_CTL[:, None, :, None])
    weights_CGML.sub_(weights_CGML.amax(dim=(0, 3), keepdim=True)).exp_()
    sums_CGM1 = weights_CGML.sum(dim=-1, keepdim=True)
    seen_GMD, total_GM1 = _mixed(values[0], weights_CGML[0]), sums_CGM1[0]
    for index in range(1, len(keys)):
        seen_GMD = seen_GMD + _mixed(values[index], weights_CGML[index])
        total_GM1 = total_GM1 + sums_CGM1[index]
    seen = (seen_GMD / total_GM1).view(num_kv_heads, tile.size, sharing, head_dim)
    return seen[:, :num_rows].transpose(0, 1).reshape(num_rows, num_heads, head_dim)
