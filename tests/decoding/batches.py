"""Builds forwards from plain lists, for tests that drive a network without an engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from decoding.span import Attention, ForwardBatch, Segment


@dataclass(frozen=True, slots=True)
class Part:
    """One sequence's share: `tokens` behind `start` cached ones.

    `slots` are the cache slots of positions 0, 1, ... of the whole sequence. `read` are the
    rows, counted within the part, whose logits are wanted; all by default.
    """

    tokens: Sequence[int]
    slots: Sequence[int]
    start: int = 0
    attention: Attention = Attention.CAUSAL
    adapter: bool = False
    read: Sequence[int] | None = field(default=None)
    is_branch: bool = False


def forward_batch(parts: Sequence[Part], *, gather: bool = False) -> ForwardBatch:
    """Slots that lie side by side travel as a slice, unless `gather` asks for an index."""
    token_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    rows: list[int] = []
    segments = []
    for part in parts:
        first_row, end = len(token_ids), part.start + len(part.tokens)
        token_ids += part.tokens
        positions += range(part.start, end)
        slots += part.slots[part.start : end]
        read = range(len(part.tokens)) if part.read is None else part.read
        rows += [first_row + row for row in read]
        segments.append(
            Segment(
                first_row=first_row,
                num_rows=len(part.tokens),
                start=part.start,
                slots_L=_slots(part.slots[:end], gather or part.is_branch),
                attention=part.attention,
                adapter=part.adapter,
                is_branch=part.is_branch,
            )
        )
    return ForwardBatch.of(token_ids, positions, slots, rows, segments)


def _slots(slots: Sequence[int], gather: bool) -> slice | torch.Tensor:
    first = slots[0]
    side_by_side = list(slots) == list(range(first, first + len(slots)))
    return torch.tensor(slots) if gather or not side_by_side else slice(first, first + len(slots))
