"""How the rows of two streams attend: part by part on a CPU, all at once on a GPU.

Both give the same. A CPU computes only what is seen, in as many products as there are parts; a
GPU would wait for their launches, and computes texts and blocks padded to the longest instead.
Shapes: A examples, C rows of texts, N rows of blocks, L the longest text's rows, M the most rows
of blocks of an example, R rows of a run, beside those of `decoding.span`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.attention import Attend

_ALIGNED = 8  # rows; the library's kernels want masks so


@dataclass(frozen=True, slots=True)
class Part:
    """Some neighbouring blocks of one text: the text's rows that any of them sees, and their own
    rows."""

    text: slice
    rows: slice


@dataclass(frozen=True, slots=True)
class Layout:
    """Which rows are whose.

    `texts` are the rows of each example's text and `blocks` those of its blocks, `parts` the
    latter in smaller pieces. A block's row sees the first `seen_N` rows of its example's text and
    the rows with the same number in `block_N`. A text's row sees those before it that have its
    number in `ending_C`, or 0.
    """

    texts: tuple[slice, ...]
    blocks: tuple[slice, ...]
    parts: tuple[Part, ...]
    seen_N: Tensor
    block_N: Tensor
    ending_C: Tensor
    text_learns: bool

    def on(self, device: torch.device) -> "Layout":
        return replace(
            self,
            seen_N=self.seen_N.to(device),
            block_N=self.block_N.to(device),
            ending_C=self.ending_C.to(device),
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows of a text that lie side by side: what it begins with, or one of its endings, which
    sees the run that is its `beginning`, too."""

    beginning: int | None
    num_rows: int


def attend_texts(layout: Layout, dtype: torch.dtype) -> Attend:
    """Each text's rows see those of the same text up to themselves, but none of other endings."""
    if layout.seen_N.is_cuda:
        return texts_at_once(layout, dtype)
    runs = _runs(layout)
    return partial(_texts_run_by_run, runs, [_hidden(_shown_RS(runs, run), dtype) for run in runs])


def attend_blocks(layout: Layout, dtype: torch.dtype) -> Attend:
    """Keys and values are those of the texts, then those of the blocks."""
    if layout.seen_N.is_cuda:
        return blocks_at_once(layout, dtype)
    hidden = [_hidden_part_NS(layout, part, dtype) for part in layout.parts]
    return partial(_blocks_part_by_part, layout, hidden)


def _length(rows: slice) -> int:
    length: int = rows.stop - rows.start
    return length


def _hidden_part_NS(layout: Layout, part: Part, dtype: torch.dtype) -> Tensor:  # noqa: N802
    seen_N1, block_N1 = layout.seen_N[part.rows, None], layout.block_N[part.rows, None]
    text_C = torch.arange(_length(part.text))
    shown_NS = torch.cat((text_C < seen_N1, block_N1 == block_N1.T), dim=1)
    return _hidden(shown_NS, dtype)


def _shown_LL(ending_L: Tensor) -> Tensor:  # noqa: N802 - a tensor's name
    """Of texts one after the other, or side by side in the dimensions before."""
    is_seen = (ending_L[..., None, :] == 0) | (ending_L[..., None, :] == ending_L[..., None])
    return is_seen.tril()


def _hidden(shown: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: nothing where keys are seen."""
    return torch.zeros(shown.shape, dtype=dtype, device=shown.device).masked_fill_(
        ~shown, -torch.inf
    )


def _runs(layout: Layout) -> list[_Run]:
    runs: list[_Run] = []
    for text in layout.texts:
        beginning = None
        endings, counts = layout.ending_C[text].unique_consecutive(return_counts=True)
        for ending, count in zip(endings.tolist(), counts.tolist(), strict=True):
            runs.append(_Run(beginning, count))
            if ending == 0:
                beginning = len(runs) - 1
    return runs


def _shown_RS(runs: Sequence[_Run], run: _Run) -> Tensor:  # noqa: N802 - a tensor's name
    num_before = 0 if run.beginning is None else runs[run.beginning].num_rows
    return torch.ones(run.num_rows, num_before + run.num_rows, dtype=torch.bool).tril(num_before)


def _texts_run_by_run(
    runs: Sequence[_Run],
    hidden: Sequence[Tensor],
    queries_CHD: Tensor,
    keys_CGD: Tensor,
    values_CGD: Tensor,
) -> Tensor:
    lengths = [run.num_rows for run in runs]
    queries, keys, values = (each.split(lengths) for each in (queries_CHD, keys_CGD, values_CGD))

    def seen_by(at: int, heads: Sequence[Tensor]) -> Tensor:
        beginning = runs[at].beginning
        return heads[at] if beginning is None else torch.cat((heads[beginning], heads[at]))

    return torch.cat(
        [
            _attend(queries[at], seen_by(at, keys), seen_by(at, values), hidden_RS)
            for at, hidden_RS in enumerate(hidden)
        ]
    )


def _blocks_part_by_part(
    layout: Layout,
    hidden: Sequence[Tensor],
    queries_NHD: Tensor,
    keys_SGD: Tensor,
    values_SGD: Tensor,
) -> Tensor:
    # Splitting, because the gradient of every slice would be as large as what it was cut from.
    lengths = [_length(part.rows) for part in layout.parts]
    num_text = layout.texts[-1].stop
    queries = queries_NHD.split(lengths)
    text_keys_CGD, *keys = keys_SGD.split([num_text, *lengths])
    text_values_CGD, *values = values_SGD.split([num_text, *lengths])
    if not layout.text_learns:
        text_keys_CGD, text_values_CGD = text_keys_CGD.detach(), text_values_CGD.detach()
    return torch.cat(
        [
            _attend(
                queries_NHD,
                torch.cat((text_keys_CGD[part.text], keys_NGD)),
                torch.cat((text_values_CGD[part.text], values_NGD)),
                hidden_NS,
            )
            for part, hidden_NS, queries_NHD, keys_NGD, values_NGD in zip(
                layout.parts, hidden, queries, keys, values, strict=True
            )
        ]
    )


def _attend(queries_NHD: Tensor, keys_SGD: Tensor, values_SGD: Tensor, hidden_NS: Tensor) -> Tensor:
    # Written out: the library's attention with a mask takes three times as long on a CPU.
    num_rows, num_heads, head_dim = queries_NHD.shape
    num_kv_heads = keys_SGD.shape[1]
    sharing = num_heads // num_kv_heads
    scaled = queries_NHD * head_dim**-0.5
    grouped = scaled.view(num_rows, num_kv_heads, sharing, head_dim).permute(1, 2, 0, 3)
    scores = grouped.reshape(num_kv_heads, sharing * num_rows, head_dim) @ keys_SGD.permute(1, 2, 0)
    weights = scores.view(num_kv_heads, sharing, num_rows, -1).add_(hidden_NS).softmax(-1)
    seen = weights.view(num_kv_heads, sharing * num_rows, -1) @ values_SGD.transpose(0, 1)
    seen = seen.view(num_kv_heads, sharing, num_rows, head_dim).permute(2, 0, 1, 3)
    flat_NHD: Tensor = seen.reshape(num_rows, num_heads, head_dim)
    return flat_NHD


@dataclass(frozen=True, slots=True)
class _Grid:
    """Rows that lie one after the other, set out example by example, padded to the longest.

    `rows_P` says for each place of the grid which row stands there, `places_T` for each row its
    place, `is_empty_P` where there is none (the first row stands there, and is not seen).
    """

    num_examples: int
    width: int
    rows_P: Tensor
    places_T: Tensor
    is_empty_P: Tensor

    @classmethod
    def of(cls, examples: Sequence[slice], device: torch.device) -> "_Grid":
        longest = max(map(_length, examples))
        width = -(-longest // _ALIGNED) * _ALIGNED
        starts_A1 = torch.tensor([[each.start] for each in examples])
        lengths_A1 = torch.tensor([[_length(each)] for each in examples])
        offset_W = torch.arange(width)
        is_empty_P = (offset_W >= lengths_A1).flatten()
        rows_P = (starts_A1 + offset_W).flatten().masked_fill_(is_empty_P, 0)
        places_T = (~is_empty_P).nonzero().flatten()
        moved = (each.to(device, non_blocking=True) for each in (rows_P, places_T, is_empty_P))
        return cls(len(examples), width, *moved)

    def set_out(self, rows_THD: Tensor) -> Tensor:
        """[A, heads, width, D]"""
        placed = _moved(rows_THD, self.rows_P, self.places_T, None)
        return placed.view(self.num_examples, self.width, *rows_THD.shape[1:]).transpose(1, 2)

    def collected(self, grid_AHWD: Tensor) -> Tensor:
        """[T, heads, D]"""
        flat_PHD = grid_AHWD.transpose(1, 2).flatten(0, 1)
        return _moved(flat_PHD, self.places_T, self.rows_P, self.is_empty_P)


class _Moved(torch.autograd.Function):
    """`rows[there]`, each row taken at most once, but for those that `dropped` says: its
    gradient is `grad[back]`, where the library's adds row by row."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, there: Tensor, back: Tensor, dropped: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(back, dropped)
        return rows.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        back, dropped = ctx.saved_tensors
        given = grad.index_select(0, back)
        if dropped is not None:
            given.masked_fill_(dropped[:, None, None], 0.0)
        return given, None, None, None


def _moved(rows: Tensor, there: Tensor, back: Tensor, dropped: Tensor | None) -> Tensor:
    moved: Tensor = _Moved.apply(rows, there, back, dropped)  # type: ignore[no-untyped-call]
    return moved


def texts_at_once(layout: Layout, dtype: torch.dtype) -> Attend:
    """`attend_texts` as a GPU computes it."""
    grid = _Grid.of(layout.texts, layout.seen_N.device)
    if not layout.ending_C.any():
        return partial(_texts_at_once, grid, None)
    # Empty places see what their row would, so that no row sees nothing.
    ending_P = layout.ending_C[grid.rows_P].masked_fill(grid.is_empty_P, 0)
    ending_AL = ending_P.view(grid.num_examples, grid.width)
    return partial(_texts_at_once, grid, _hidden(_shown_LL(ending_AL), dtype)[:, None])


def _texts_at_once(
    grid: _Grid,
    hidden_A1LL: Tensor | None,
    queries_CHD: Tensor,
    keys_CGD: Tensor,
    values_CGD: Tensor,
) -> Tensor:
    queries_AHLD, keys_AGLD, values_AGLD = map(grid.set_out, (queries_CHD, keys_CGD, values_CGD))
    # What is padded stands on the right, where no row looks.
    seen_AHLD = F.scaled_dot_product_attention(
        queries_AHLD,
        _shared(keys_AGLD, queries_AHLD),
        _shared(values_AGLD, queries_AHLD),
        attn_mask=hidden_A1LL,
        is_causal=hidden_A1LL is None,
    )
    return grid.collected(seen_AHLD)


def blocks_at_once(layout: Layout, dtype: torch.dtype) -> Attend:
    """`attend_blocks` as a GPU computes it."""
    device = layout.seen_N.device
    texts, blocks = _Grid.of(layout.texts, device), _Grid.of(layout.blocks, device)
    # Empty places see the text's first row, so that no row sees nothing, and nobody sees them.
    seen_P = layout.seen_N[blocks.rows_P].masked_fill(blocks.is_empty_P, 1)
    block_P = layout.block_N[blocks.rows_P].masked_fill(blocks.is_empty_P, -1)
    seen_AM1 = seen_P.view(len(layout.texts), -1, 1)
    block_AM = block_P.view(len(layout.texts), -1)
    text_L = torch.arange(texts.width, device=device)
    shown_AMM = (block_AM[:, :, None] == block_AM[:, None]) & (block_AM >= 0)[:, None]
    shown_AMS = torch.cat((text_L < seen_AM1, shown_AMM), dim=2)
    return partial(_blocks_at_once, layout, texts, blocks, _hidden(shown_AMS, dtype))


def _blocks_at_once(
    layout: Layout,
    texts: _Grid,
    blocks: _Grid,
    hidden_AMS: Tensor,
    queries_NHD: Tensor,
    keys_SGD: Tensor,
    values_SGD: Tensor,
) -> Tensor:
    num_text = layout.texts[-1].stop

    def beside(rows_SGD: Tensor) -> Tensor:
        text_CGD, blocks_NGD = rows_SGD.split([num_text, len(rows_SGD) - num_text])
        if not layout.text_learns:
            text_CGD = text_CGD.detach()
        return torch.cat((texts.set_out(text_CGD), blocks.set_out(blocks_NGD)), dim=2)

    queries_AHMD = blocks.set_out(queries_NHD)
    seen_AHMD = F.scaled_dot_product_attention(
        queries_AHMD,
        _shared(beside(keys_SGD), queries_AHMD),
        _shared(beside(values_SGD), queries_AHMD),
        attn_mask=hidden_AMS[:, None].expand(-1, queries_AHMD.shape[1], -1, -1),
    )
    return blocks.collected(seen_AHMD)


def _shared(heads_AGSD: Tensor, queries_AHMD: Tensor) -> Tensor:
    """Each key and value head as often as query heads share it."""
    return heads_AGSD.repeat_interleave(queries_AHMD.shape[1] // heads_AGSD.shape[1], dim=1)
