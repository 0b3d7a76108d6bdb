"""The cache of an engine: one storage, one pool of pages, one prefix index."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from decoding.cache.pages import PagePool
from decoding.cache.prefix import Match, Node, PrefixIndex
from decoding.cache.storage import Storage


@dataclass(slots=True, eq=False)
class Lease:
    """One live sequence's right to pages. Position p lies in slot `slots_C[p]`, on the host.

    The first `num_cached` positions were already encoded when the lease was opened. `run` is
    the first slot where all pages lie side by side, else None. The rest is the cache's:
    `last` is the node of the last full page that is indexed, `num_indexed` counts the pages up
    to it, and `twins` holds the pages of nodes on the way whose tokens lie in an own page, too.

    Behind the `capacity` positions `num_scratch` blocks of `block_size` slots serve whatever is
    only of use within one forward.
    """

    pages: tuple[int, ...]
    page_size: int
    num_cached: int
    slots_C: Tensor
    run: int | None
    last: Node
    num_indexed: int
    capacity: int
    num_scratch: int
    block_size: int
    twins: dict[int, int] = field(default_factory=dict)

    def slots(self, num_positions: int) -> slice | Tensor:
        """The slots of positions [0, num_positions): a slice where possible, else indices."""
        if self.run is not None:
            return slice(self.run, self.run + num_positions)
        return self.slots_C[:num_positions]

    def numbers(self, start: int, end: int) -> Sequence[int]:
        """The slots of positions [start, end) as plain numbers."""
        if self.run is not None:
            return range(self.run + start, self.run + end)
        size = self.page_size
        return [self.pages[at // size] * size + at % size for at in range(start, end)]

    def scratch(self, first: int, start: int, end: int) -> list[int]:
        """Slots of the scratch blocks from block `first` on, for positions [start, end): each at
        the place in its block that its position has in a block of the sequence."""
        size = self.block_size
        assert first + (end - 1) // size - start // size < self.num_scratch, "too few blocks"
        begin = -(-self.capacity // size) + first - start // size
        return list(self.numbers(begin * size + start, begin * size + end))


class PagedCache:
    """Hands out pages, shares encoded prefixes, and takes pages back.

    What a sequence leaves may be kept for one who comes back, by name: at most `most_kept`
    pages for all together, of which those who came last have the first claim. Kept pages are
    given up last, but before any sequence is refused.
    """

    def __init__(self, storage: Storage, page_size: int, most_kept: int = 0) -> None:
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
        self.num_shared = 0
        self._most_kept = most_kept
        self._kept: OrderedDict[str, tuple[Node, ...]] = OrderedDict()
        self._readers = [0] * self.pool.num_pages

    def pages_for(self, num_tokens: int, num_scratch: int = 0) -> int:
        """Pages that `num_tokens` positions need, with so many scratch blocks behind."""
        block = self.storage.page_multiple
        num_slots = num_tokens if num_scratch == 0 else -(-num_tokens // block) * block
        return -(-(num_slots + num_scratch * block) // self.pool.page_size)

    @property
    def num_available(self) -> int:
        """Pages that are free or can be freed now."""
        return self.pool.num_free + self.index.num_idle

    def num_encoded(self, tokens: Sequence[int]) -> int:
        """How many of the first tokens are encoded, in whole pages."""
        return len(self.index.match(tokens).nodes) * self.pool.page_size

    def open(self, tokens: Sequence[int], capacity: int, num_scratch: int = 0) -> Lease | None:
        """Leases pages for `capacity` positions and `num_scratch` scratch blocks, re-using what is
        encoded of `tokens`.

        At least the last token is left to encode. Returns None where too few pages can be freed
        at present; what it would have re-used then counts as used. With no other lease open,
        whatever the pool can hold is leased.
        """
        match = self.index.match(tokens[:-1])
        path = [node.page for node in match.nodes]
        for page in path:
            self.index.hold(page)
        tail, takes_over = match.tail, False
        if tail is not None:
            # Held while we allocate, lest eviction frees the page that is to be copied.
            self.index.hold(tail.page)
            whole = match.num_tail == len(tail.tokens) < self.pool.page_size
            takes_over = whole and not tail.writer
        needed = self.pages_for(capacity, num_scratch) - len(path) - takes_over
        if tail is not None and not takes_over and needed > self.num_available:
            self.index.release(tail.page)  # it may have to make room for what would be its copy
            tail = None
        if needed > self.num_available:
            self._release([*path, *([tail.page] if tail is not None else ())])
            return None
        self.index.evict(max(0, needed - self.pool.num_free))
        num_cached = len(path) * self.pool.page_size
        if tail is not None:
            num_cached += match.num_tail
        if tail is not None and takes_over:
            tail.writer = True
            path.append(tail.page)
        fresh = self.pool.allocate(needed, after=path[-1] if path else None)
        if tail is not None and not takes_over:
            self._copy(tail.page, fresh[0], match.num_tail)
        return self._lease((*path, *fresh), num_cached, match, capacity, num_scratch)

    def publish(self, lease: Lease, tokens: Sequence[int], num_encoded: int) -> None:
        """Makes the full pages among the first `num_encoded` tokens of a live sequence available
        to others. Costs what is new since the last time."""
        size = self.pool.page_size
        for depth in range(lease.num_indexed, num_encoded // size):
            page = lease.pages[depth]
            node = self.index.add(
                lease.last, tuple(tokens[depth * size : (depth + 1) * size]), page
            )
            if node.page != page:
                self.index.hold(node.page)
                lease.twins[depth] = node.page
            lease.last, lease.num_indexed = node, depth + 1

    def publish_all(self, lease: Lease, tokens: Sequence[int], num_encoded: int) -> None:
        """As `publish`, with the partial page at the end, which stays the sequence's to fill."""
        self._index(lease, tokens, num_encoded, writing=True)

    def close(
        self, lease: Lease, tokens: Sequence[int], num_encoded: int, keep: str | None = None
    ) -> None:
        """Ends a lease. What was encoded stays indexed until its pages are needed; with a name
        to `keep` it for, it does so before others, in place of what was kept by that name."""
        last = self._index(lease, tokens, num_encoded, writing=False)
        if keep is not None:
            self._keep(keep, last.path)
        for depth in reversed(range(len(lease.pages))):
            page = lease.pages[depth]
            self._readers[page] -= 1
            self.num_shared -= self._readers[page] == 1
            self.index.release(page)
            if depth in lease.twins:
                self.index.release(lease.twins[depth])

    def forget(self, name: str) -> bool:
        """Keeps nothing by that name any longer; False where nothing was."""
        nodes = self._kept.pop(name, None)
        for node in reversed(nodes or ()):
            self.index.unkeep(node)
        return nodes is not None

    def kept(self) -> Mapping[str, int]:
        """Pages kept by name, those first that will be given up first. Some may be gone."""
        return {name: len(nodes) for name, nodes in self._kept.items()}

    def _keep(self, name: str, path: Sequence[Node]) -> None:
        nodes = tuple(path[: self._most_kept])
        for node in nodes:
            self.index.keep(node)
        self.forget(name)
        if nodes:
            self._kept[name] = nodes
        # Names count, too: the pages of some may be gone long since.
        while max(self.index.num_kept, len(self._kept)) > self._most_kept:
            self.forget(next(iter(self._kept)))

    def _index(
        self, lease: Lease, tokens: Sequence[int], num_encoded: int, *, writing: bool
    ) -> Node:
        """Gives the last node on the way."""
        self.publish(lease, tokens, num_encoded)
        rest = tuple(tokens[lease.num_indexed * self.pool.page_size : num_encoded])
        if not rest:
            return lease.last
        page = lease.pages[lease.num_indexed]
        node = self.index.add(lease.last, rest, page)
        if node.page == page:
            node.writer = writing
        return node

    def _copy(self, source: int, target: int, count: int) -> None:
        size = self.pool.page_size
        self.storage.copy(source * size, target * size, count)
        self.index.release(source)

    def _release(self, pages: Sequence[int]) -> None:
        for page in reversed(pages):
            self.index.release(page)

    def _lease(
        self,
        pages: tuple[int, ...],
        num_cached: int,
        match: Match,
        capacity: int,
        num_scratch: int,
    ) -> Lease:
        for page in pages:
            self._readers[page] += 1
            self.num_shared += self._readers[page] == 2
        size = self.pool.page_size
        first_P = torch.tensor(pages, dtype=torch.int64) * size
        slots_C = (first_P[:, None] + torch.arange(size)).flatten()
        side_by_side = all(b == a + 1 for a, b in pairwise(pages))
        run = pages[0] * size if side_by_side else None
        return Lease(
            pages,
            size,
            num_cached,
            slots_C,
            run,
            match.last,
            len(match.nodes),
            capacity,
            num_scratch,
            self.storage.page_multiple,
        )
