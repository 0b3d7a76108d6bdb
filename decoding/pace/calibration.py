"""Measures what a network's forwards cost here."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from decoding.network.base import Network
from decoding.pace.cost import SETTLING, Curve, ForwardCost
from decoding.span import Attention, ForwardBatch, Segment

_ORDER = (1, 8, 32, 2, 4, 16, 64)
"""Row counts, the telling ones first: time may run out. The first two are always measured."""
_DRAFT_ORDER = (8, 16, 4, 64)
_PREFIX = 64
_REPEATS = 3
_SMALL, _ROUNDS, _RUN = 8, 16, SETTLING + 4

Clock = Callable[[], float]


@torch.inference_mode()
def calibrate(
    network: Network, *, most_seconds: float = 2.0, clock: Clock = time.perf_counter
) -> ForwardCost:
    """Seconds of a forward by its rows: medians over random tokens behind a short prefix.

    Takes about `most_seconds`, more only where three forwards of one row and three of eight
    take longer; row counts that would not fit into the rest of the time are left out. Draft rows
    are measured where the network has a draft adapter, in a third of the time.
    """
    if most_seconds <= 0.0:
        raise ValueError(f"most_seconds must be above 0, not {most_seconds}")
    bench = _Bench(network, clock)
    drafts = network.has_adapter and network.mask_token_id is not None
    share = most_seconds * (2 / 3 if drafts else 1.0)
    causal = bench.curve(_ORDER, share, Attention.CAUSAL, adapter=False)
    draft = None
    if drafts:
        draft = bench.curve(_DRAFT_ORDER, most_seconds - share, Attention.BLOCK, adapter=True)
    return ForwardCost(causal, draft)


class _Bench:
    """A network with a scratch cache that holds a prefix."""

    def __init__(self, network: Network, clock: Clock) -> None:
        self._network, self._clock = network, clock
        self._prefix = max(min(_PREFIX, network.max_positions // 2), 1)
        self._most_rows = max(min(max(_ORDER), network.max_positions - self._prefix), 1)
        self._storage = network.allocate_cache(self._prefix + self._most_rows)
        generator = torch.Generator().manual_seed(0)
        size = (self._prefix + self._most_rows,)
        self._tokens: list[int] = torch.randint(
            network.vocab_size, size, generator=generator
        ).tolist()
        self._forward(0, self._prefix, Attention.CAUSAL, adapter=False)

    def curve(
        self, order: Sequence[int], seconds: float, attention: Attention, *, adapter: bool
    ) -> Curve:
        started, found, times = self._clock(), dict[int, float](), dict[int, list[float]]()
        for rows in order:
            if rows > self._most_rows:
                continue
            left = seconds - (self._clock() - started)
            if len(found) >= 2 and (_REPEATS + 1) * _guess(found, rows) > left:
                continue
            # The first forward of its size may choose kernels and allocate; it does not count.
            taken = [self._seconds(rows, attention, adapter) for _ in range(_REPEATS + 1)]
            times[rows] = taken[1:]
            found[rows] = _median(times[rows])
        # Few forwards in one moment say little where others use the machine: small ones go on by
        # turns. As in decoding, those that count are behind others of about their size: a large
        # one leaves less of the weights in the processor's cache.
        small = [rows for rows in sorted(found) if rows <= _SMALL]
        round_seconds = _RUN * sum(found[rows] for rows in small)
        for turn in range(_ROUNDS if len(small) > 1 else 0):
            if self._clock() - started + round_seconds > seconds:
                break
            for rows in small:
                taken = [self._seconds(rows, attention, adapter) for _ in range(_RUN)][SETTLING:]
                times[rows] = taken if turn == 0 else times[rows] + taken
        found = {rows: _median(taken) for rows, taken in sorted(times.items())}
        return Curve.through(list(found), list(found.values()))

    def _seconds(self, rows: int, attention: Attention, adapter: bool) -> float:
        started = self._clock()
        self._forward(self._prefix, rows, attention, adapter=adapter)
        return self._clock() - started

    def _forward(self, start: int, rows: int, attention: Attention, *, adapter: bool) -> None:
        end = start + rows
        segment = Segment(0, rows, start, slice(0, end), attention, adapter)
        places = range(start, end)
        # As in free text, whose rows have few logits near the largest: those of random tokens many.
        is_causal = attention is Attention.CAUSAL
        batch = ForwardBatch.of(
            self._tokens[start:end],
            places,
            places,
            range(rows),
            (segment,),
            [0.0] * rows if is_causal else None,
        )
        # Reading the answer waits for the device, and is part of what a forward costs.
        self._network.forward(batch, self._storage)[:, 0].tolist()


def _median(times: Sequence[float]) -> float:
    return max(statistics.median(times), 1e-9)


def _guess(found: dict[int, float], rows: int) -> float:
    """Seconds that so many rows may take, from what was measured."""
    known = sorted(found)
    return Curve.through(known, [found[each] for each in known])(rows)
