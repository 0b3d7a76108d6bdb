"""From the rows that live sequences were given to one batch for the network."""

from collections.abc import Sequence as Many

import torch

from decoding.live import Live
from decoding.span import MASK, ForwardBatch, Segment


def batch_rows(live: Many[Live], mask_token: int, device: torch.device) -> ForwardBatch:
    """The next `num_rows` rows of every pending span, one after the other.

    Rows are read only of spans that this forward answers. All numbers travel to the device in
    one copy.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    rows: list[int] = []
    segments: list[Segment] = []
    for one in live:
        span, lease = one.span, one.sequence.lease
        assert lease is not None
        first_row, start = len(token_ids), span.start + one.num_done
        end = start + one.num_rows
        tokens = span.tokens
        if one.num_rows < len(tokens):
            tokens = tokens[one.num_done : one.num_done + one.num_rows]
        if MASK in tokens:
            tokens = tuple(mask_token if token == MASK else token for token in tokens)
        token_ids += tokens
        positions += range(start, end)
        slots += lease.numbers(start, end)
        if one.is_answered:
            rows += [first_row - one.num_done + pick.row for pick in span.picks]
        segments.append(
            Segment(first_row, one.num_rows, start, lease.slots(end), span.attention, span.adapter)
        )
    num_rows = len(token_ids)
    numbers = torch.tensor(token_ids + positions + slots + rows, dtype=torch.int64, device=device)
    parts = torch.split(numbers, [num_rows, num_rows, num_rows, len(rows)])
    return ForwardBatch(parts[0], parts[1], parts[2], parts[3], tuple(segments))
