"""From the rows that live sequences were given to one batch for the network, and to its picks."""

import math
from collections.abc import Sequence as Many
from functools import partial

import torch
from torch import Tensor

from decoding.cache.paged import Lease
from decoding.live import Live
from decoding.network.base import Network
from decoding.sampling import Choice
from decoding.span import MASK, Attention, Branch, ForwardBatch, Segment, Span


def check_span(span: Span, lease: Lease, num_cached: int, network: Network) -> None:
    """Raises `ValueError` for what a mode or a drafter of one's own may ask wrongly: tokens or an
    adapter that the network does not have, rows for which the sequence has no room, that do not
    follow what is encoded, and picks from rows that are none of the span's."""
    if span.start != num_cached or not span.tokens:
        raise ValueError(
            f"a span of {len(span.tokens)} tokens begins at position {span.start}, and "
            f"{num_cached} are encoded: it must begin there, with one token at least"
        )
    if span.adapter and not network.has_adapter:
        raise ValueError(f"a span asks for a draft adapter, and {network.name} has none")
    _check_rows(span)
    vocab_size = network.vocab_size
    _check_tokens(span.tokens, 0 if network.mask_token_id is None else MASK, vocab_size)
    end, num_blocks = span.start + len(span.tokens), 0
    for branch in span.branches:
        _check_tokens(branch.tokens, 0, vocab_size)
        before = span.start + branch.num_before
        last = before + len(branch.tokens) - 1
        end = max(end, last + 1)
        num_blocks += last // lease.block_size - before // lease.block_size + 1
    if end > lease.capacity or num_blocks > lease.num_scratch:
        raise ValueError(
            f"a span ends at position {end} and has {len(span.branches)} branches; the sequence "
            f"has room for {lease.capacity} positions and {lease.num_scratch} blocks of branches. "
            "A drafter guesses at most `sequence.room` tokens, forced ones included"
        )


def _check_rows(span: Span) -> None:
    num_rows = span.num_rows
    for pick in span.picks:
        if not 0 <= pick.row < num_rows:
            raise ValueError(f"a span picks from row {pick.row}, and has {num_rows} rows")
    for branch in span.branches:
        if not (1 <= branch.num_before <= len(span.tokens) and branch.tokens):
            raise ValueError(
                f"a branch of {len(branch.tokens)} tokens stands behind {branch.num_before} rows "
                f"of a span of {len(span.tokens)}: it must have a token, and a row before it"
            )


def _check_tokens(tokens: Many[int], least: int, vocab_size: int) -> None:
    if tokens and not least <= min(tokens) <= max(tokens) < vocab_size:
        raise ValueError(
            f"a span has tokens from {min(tokens)} to {max(tokens)}, and the network knows "
            f"those from 0 to {vocab_size - 1}: a drafter must guess among them"
        )


def plan_forward(live: Many[Live], mask_token: int) -> ForwardBatch:
    """The next `num_rows` rows of every pending span, one after the other.

    Rows are read only of spans that the forward answers. All numbers are on the host.
    """
    is_masked = False
    token_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    rows: list[int] = []
    reaches: list[float] = []
    segments: list[Segment] = []
    for one in live:
        span, sequence = one.span, one.sequence
        num_rows = min(one.num_rows, len(span.tokens) - one.num_done)
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
        branches = span.branches if one.is_ending else ()
        for branch, own in zip(branches, _slots_of_branches(span, lease, branches), strict=True):
            before, count = span.start + branch.num_before, len(branch.tokens)
            slots_L = torch.cat([lease.slots_C[:before], torch.tensor(own)])
            segments.append(
                Segment(
                    len(token_ids),
                    count,
                    before,
                    slots_L,
                    span.attention,
                    span.adapter,
                    is_branch=True,
                )
            )
            token_ids += branch.tokens
            positions += range(before, before + count)
            slots += own
        if one.num_picks:
            first_row -= one.num_done
            rows += [first_row + pick.row for pick in span.picks]
            # How sure a denoised guess is decides whether it is kept.
            may_be_rough = span.attention is Attention.CAUSAL and not span.ranks
            reaches += [sequence.reach if may_be_rough else math.inf] * len(span.picks)
            is_masked = is_masked or any(pick.mask_W is not None for pick in span.picks)
    masks = partial(_masks_of, live) if is_masked else None
    return ForwardBatch.of(token_ids, positions, slots, rows, segments, reaches, masks)


def _masks_of(live: Many[Live]) -> list[Tensor | None]:
    """What may be picked from the rows that the forward reads. A ranking needs every token."""
    masks: list[Tensor | None] = []
    for one in live:
        if one.num_picks:
            masks += [None] * one.num_picks if one.span.ranks else one.masks()
    return masks


def _slots_of_branches(span: Span, lease: Lease, branches: Many[Branch]) -> list[list[int]]:
    """Where the rows of each branch are written: in scratch blocks of their own."""
    found: list[list[int]] = []
    num_blocks = 0
    for branch in branches:
        start = span.start + branch.num_before
        own = lease.scratch(num_blocks, start, start + len(branch.tokens))
        num_blocks += len({slot // lease.block_size for slot in own})
        found.append(own)
    return found


def choices_of(live: Many[Live]) -> list[Choice]:
    """The sampling problems of the rows that the forward reads, in their order.

    Called once the forward is under way: masks that were left for now are computed here, if the
    network did not ask for them. Where one cannot be, the error is kept for the sequence's own
    steps, and any token will do.
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
