"""The cache of an engine: one storage, one pool of pages, one prefix index."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from decoding.cache.pages import PagePool
from decoding.cache.prefix import PrefixIndex
from decoding.cache.storage import Storage


@dataclass(frozen=True, slots=True)
class Lease:
    """One live sequence's right to pages. Position p lies in slot `slots_C[p]`, on the host.

    The first `num_cached` positions were already encoded when the lease was opened. `run` is
    the first slot where all pages lie side by side, else None.
    """

    pages: tuple[int, ...]
    num_cached: int
    slots_C: Tensor
    run: int | None

    def slots(self, num_positions: int) -> slice | Tensor:
        """The slots of positions [0, num_positions): a slice where possible, else indices."""
        if self.run is not None:
            return slice(self.run, self.run + num_positions)
        return self.slots_C[:num_positions]


class PagedCache:
    """Hands out pages, shares encoded prefixes, and takes pages back."""

    def __init__(self, storage: Storage, page_size: int) -> None:
        if storage.num_slots < page_size:
            raise ValueError(
                f"a cache of {storage.num_slots} tokens holds no page of {page_size}; "
                "raise cache_tokens"
            )
        if page_size % storage.page_multiple:
            raise ValueError(
                f"this network needs a page_size that {storage.page_multiple} divides, "
                f"not {page_size}"
            )
        self.storage = storage
        self.pool = PagePool(storage.num_slots // page_size, page_size)
        self.index = PrefixIndex(self.pool)

    def pages_for(self, num_tokens: int) -> int:
        """Pages that `num_tokens` positions need."""
        return -(-num_tokens // self.pool.page_size)

    def open(self, tokens: Sequence[int], capacity: int) -> Lease | None:
        """Leases pages for `capacity` positions, re-using what is encoded of `tokens`.

        At least the last token is left to encode. Returns None, changing nothing but the
        index's least recently used entries, where too few pages can be freed at present.
        """
        size = self.pool.page_size
        match = self.index.match(tokens[:-1])
        shared = list(match.pages)
        tail, takes_over = match.tail, False
        if tail is not None:
            takes_over = not tail.writer and match.num_tail == len(tail.tokens) < size
            # Held while we allocate, lest eviction frees the page that is to be copied.
            self.pool.hold(tail.page)
        for page in shared:
            self.pool.hold(page)
        count = self.pages_for(capacity) - len(shared) - takes_over
        if count > self.pool.num_free:
            self.index.evict(count - self.pool.num_free)
        if count > self.pool.num_free:
            for page in shared:
                self.pool.release(page)
            if tail is not None:
                self.pool.release(tail.page)
            return None
        if tail is not None and takes_over:
            tail.writer = True
            shared.append(tail.page)
        fresh = self.pool.allocate(count, after=shared[-1] if shared else None)
        if tail is not None and not takes_over:
            self.storage.copy(tail.page * size, fresh[0] * size, match.num_tail)
            self.pool.release(tail.page)
        num_cached = len(match.pages) * size + match.num_tail
        return self._lease((*shared, *fresh), num_cached)

    def _lease(self, pages: tuple[int, ...], num_cached: int) -> Lease:
        size = self.pool.page_size
        first_P = torch.tensor(pages, dtype=torch.int64) * size
        slots_C = (first_P[:, None] + torch.arange(size)).flatten()
        side_by_side = all(b == a + 1 for a, b in pairwise(pages))
        return Lease(pages, num_cached, slots_C, pages[0] * size if side_by_side else None)

    def publish(self, lease: Lease, encoded: Sequence[int]) -> None:
        """Makes the tokens a live sequence has encoded so far available to others."""
        self.index.insert(encoded, lease.pages, writing=True)

    def close(self, lease: Lease, encoded: Sequence[int]) -> None:
        """Ends a lease. What was encoded stays indexed until its pages are needed."""
        self.index.insert(encoded, lease.pages, writing=False)
        for page in lease.pages:
            self.pool.release(page)
