"""From the rows that live sequences were given to one batch for the network, and to its picks."""

from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
import torch

from decoding.live import Live
from decoding.sampling import Choice
from decoding.span import MASK, ForwardBatch, Segment


@dataclass(frozen=True, slots=True)
class Forward:
    """What a forward evaluates."""

    batch: ForwardBatch
    num_rows: int


def plan_forward(live: Many[Live], mask_token: int) -> Forward:
    """The next `num_rows` rows of every pending span, one after the other.

    Rows are read only of spans that the forward answers. All numbers are on the host.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    rows: list[int] = []
    segments: list[Segment] = []
    for one in live:
        span, sequence, num_rows = one.span, one.sequence, one.num_rows
        lease, tokens = sequence.lease, span.tokens
        assert lease is not None
        first_row, start = len(token_ids), span.start + one.num_done
        end = start + num_rows
        if num_rows < len(tokens):
            tokens = tokens[one.num_done : one.num_done + num_rows]
        if MASK in tokens:
            tokens = tuple(mask_token if token == MASK else token for token in tokens)
        token_ids += tokens
        positions += range(start, end)
        slots += lease.numbers(start, end)
        segments.append(
            Segment(first_row, num_rows, start, lease.slots(end), span.attention, span.adapter)
        )
        if one.num_picks:
            first_row -= one.num_done
            rows += [first_row + pick.row for pick in span.picks]
    count = len(token_ids)
    numbers = torch.from_numpy(np.array(token_ids + positions + slots + rows, dtype=np.int64))
    batch = ForwardBatch(
        token_ids_T=numbers[:count],
        positions_T=numbers[count : 2 * count],
        slots_T=numbers[2 * count : 3 * count],
        rows_R=numbers[3 * count :],
        segments=tuple(segments),
    )
    return Forward(batch, count)


def choices_of(live: Many[Live]) -> list[Choice]:
    """The sampling problems of the rows that the forward reads, in their order.

    Called once the forward is under way: masks that were left for now are computed here. Where
    one cannot be, the error is kept for the sequence's own steps, and any token will do.
    """
    choices: list[Choice] = []
    for one in live:
        if one.num_picks:
            sampling, seed, ranks = one.sequence.request.sampling, one.sequence.seed, one.span.ranks
            choices += [
                Choice(sampling, seed, pick.position, mask_W, ranks)
                for pick, mask_W in zip(one.span.picks, one.masks(), strict=True)
            ]
    return choices
