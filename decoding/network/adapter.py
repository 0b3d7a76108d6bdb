"""A low-rank adapter on the projections, for the rows of those segments that ask for it.

Source: LoRA, Hu et al. 2021 (arXiv 2106.09685) section 4.1. Adding it row by row, rather than
merging it into second weights, lets drafts and verifications share a forward.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from decoding.network.linear import Linear
from decoding.span import Segment


@dataclass(frozen=True, slots=True)
class Gate:
    """Rows chosen by numbers instead of shapes: 1 for those of a forward that are meant, 0 for
    all others, in the network's dtype."""

    open_T1: Tensor


Rows = slice | Tensor | Gate
"""Rows of a forward: a slice where they lie side by side, else int64 indices, or a gate."""


ALL_ROWS = slice(None)


@dataclass(frozen=True, slots=True)
class LowRank:
    """Adds up @ down @ row to a projection's output; the adapter's scale is part of `up`.

    `down` is [r, in], `up` [out, r]. In a fused projection the ranks of its parts lie one
    after the other in r, and `up` is zero outside each part's own block.
    """

    down: Tensor
    up: Tensor

    def prepared(self, prepare: Callable[[Tensor], Tensor]) -> "LowRank":
        """The same with its weights in the layout that products want."""
        return LowRank(prepare(self.down), prepare(self.up))

    def add(self, out_TO: Tensor, in_TI: Tensor, rows: Rows, linear: Linear) -> None:
        """Adds to those rows of the output and leaves all others as they are. Mutates."""
        if rows is ALL_ROWS:  # in training a slice's gradient would cost a copy
            out_TO += linear(linear(in_TI, self.down, None), self.up, None)
            return
        chosen = in_TI if isinstance(rows, Gate) else in_TI[rows]
        delta = linear(linear(chosen, self.down, None), self.up, None)
        if isinstance(rows, Gate):
            out_TO.addcmul_(delta, rows.open_T1)
        elif isinstance(rows, slice):
            out_TO[rows] += delta
        else:
            out_TO.index_add_(0, rows, delta)


@dataclass(frozen=True, slots=True)
class LayerAdapter:
    """One layer; None where a projection has no adapter."""

    qkv: LowRank | None = None
    output: LowRank | None = None
    gate_up: LowRank | None = None
    down: LowRank | None = None

    def prepared(self, prepare: Callable[[Tensor], Tensor]) -> "LayerAdapter":
        parts = (self.qkv, self.output, self.gate_up, self.down)
        return LayerAdapter(*(None if part is None else part.prepared(prepare) for part in parts))


@dataclass(frozen=True, slots=True)
class Adapter:
    """All layers of an adapter, in the network's dtype and on its device."""

    layers: tuple[LayerAdapter, ...]

    def prepared(self, prepare: Callable[[Tensor], Tensor]) -> "Adapter":
        """The same with its weights in the layout that products want."""
        return Adapter(tuple(layer.prepared(prepare) for layer in self.layers))

    def rows_of(self, segments: Sequence[Segment], device: torch.device) -> Rows | None:
        """The rows of the segments that ask for the adapter; None where none does."""
        runs: list[tuple[int, int]] = []
        for segment in segments:
            if segment.adapter:
                first, end = segment.first_row, segment.first_row + segment.num_rows
                if runs and runs[-1][1] == first:
                    first = runs.pop()[0]
                runs.append((first, end))
        if not runs:
            return None
        if len(runs) == 1:
            return slice(*runs[0])
        indices = [row for first, end in runs for row in range(first, end)]
        return torch.tensor(indices, device=device)


NO_ADAPTER = LayerAdapter()
