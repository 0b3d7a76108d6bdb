"""Which waiting request starts next, and when."""

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from decoding.cache.paged import PagedCache
from decoding.live import Live
from decoding.sequence import Sequence

PRIORITY_FORWARDS = 256
"""A level of priority is worth a head start of so many forwards. Waiting makes up for it: a
request is never behind one that came more forwards later than its priority is lower."""

MAX_PASSES = 16
"""Later requests that may start before one that cannot yet. Then none does until it has."""

_LOOK_AHEAD = 32


@dataclass(slots=True, order=True)
class _Waiting:
    """A waiting sequence, its place in the line, and what it waits for.

    `awaited` encodes a longer prefix of it than the cache holds, up to `until` tokens.
    `refused_at` are the pages that were available when they did not suffice, `added_then` the
    prefixes that had been indexed by then: a further one may be its own, and it needs fewer.
    """

    rank: tuple[int, int]
    sequence: Sequence = field(compare=False)
    passes: int = field(default=0, compare=False)
    awaited: Live | None = field(default=None, compare=False)
    until: int = field(default=0, compare=False)
    refused_at: int = field(default=-1, compare=False)
    added_then: int = field(default=0, compare=False)


class Admission:
    """The line of waiting sequences: by priority, then first come first served.

    One starts when fewer than `max_live` are live and there are pages for its whole answer,
    unless a live sequence is about to have encoded more of its prompt than the cache holds: it
    would only do the same work beside it. Who cannot start yet lets others pass, but not more
    than `MAX_PASSES`; by then it is first to get what becomes free, and is put off no more.
    """

    def __init__(self, cache: PagedCache, max_live: int) -> None:
        self._cache = cache
        self._max_live = max_live
        self._line: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Sequence]:
        return (waiting.sequence for waiting in self._line)

    def add(self, sequence: Sequence, num_forwards: int) -> None:
        """Queues a sequence that came after so many forwards of the engine."""
        rank = num_forwards - sequence.request.priority * PRIORITY_FORWARDS
        insort(self._line, _Waiting((rank, sequence.request_id), sequence))

    def find(self, request_id: int) -> Sequence | None:
        """The waiting sequence of a request."""
        return next((each for each in self if each.request_id == request_id), None)

    def remove(self, sequence: Sequence) -> None:
        """Takes a sequence that will not start out of the line."""
        self._line = [each for each in self._line if each.sequence is not sequence]

    def start_next(self, live: Mapping[int, Live]) -> Sequence | None:
        """Takes the next sequence that can start out of the line, with its lease; else None."""
        if len(live) >= self._max_live:
            return None
        for place, waiting in enumerate(self._line[:_LOOK_AHEAD]):
            must_be_next = waiting.passes >= MAX_PASSES
            if self._start(waiting, live, now=must_be_next):
                for passed in self._line[:place]:
                    passed.passes += 1
                del self._line[place]
                return waiting.sequence
            if must_be_next:
                return None
        return None

    def _start(self, waiting: _Waiting, live: Mapping[int, Live], *, now: bool) -> bool:
        available, num_added = self._cache.num_available, self._cache.index.num_added
        has_gained = available > waiting.refused_at or num_added > waiting.added_then
        if not has_gained or (not now and self._is_put_off(waiting, live)):
            return False
        sequence = waiting.sequence
        lease = self._cache.open(sequence.tokens, sequence.max_length, sequence.most_side_guesses)
        if lease is None:
            waiting.refused_at, waiting.added_then = available, num_added
            return False
        sequence.lease, sequence.num_cached = lease, lease.num_cached
        return True

    def _is_put_off(self, waiting: _Waiting, live: Mapping[int, Live]) -> bool:
        awaited = waiting.awaited
        if awaited is None or not _is_coming(awaited, waiting.until, live):
            waiting.awaited = self._find_awaited(waiting, live)
        return waiting.awaited is not None

    def _find_awaited(self, waiting: _Waiting, live: Mapping[int, Live]) -> Live | None:
        """The live sequence that will have encoded most of the prompt, if more than the cache."""
        tokens, best = waiting.sequence.tokens, None
        waiting.until = 0
        for one in live.values():
            other = one.sequence
            if other.num_cached < other.num_prompt and other.tokens[0] == tokens[0]:
                common = self._num_common(tokens[:-1], other.tokens[: other.num_prompt])
                if common > max(other.num_cached, waiting.until):
                    best, waiting.until = one, common
        if best is not None and waiting.until > self._cache.num_encoded(tokens[:-1]):
            return best
        return None

    def _num_common(self, left: list[int], right: list[int]) -> int:
        """The length of the common prefix, in whole pages."""
        size = self._cache.pool.page_size
        most = min(len(left), len(right)) // size * size
        return next(
            (at for at in range(0, most, size) if left[at : at + size] != right[at : at + size]),
            most,
        )


def _is_coming(awaited: Live, until: int, live: Mapping[int, Live]) -> bool:
    sequence = awaited.sequence
    return live.get(sequence.request_id) is awaited and sequence.num_cached < until
