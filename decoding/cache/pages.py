"""Who holds which page. Numbers only; the tensors are in `storage`."""


class PagePool:
    """Counts the holders of every page. Invariant: free pages + held pages = all pages.

    A page is held by each live sequence that reads it and by the prefix index; it is free
    when nobody holds it. Allocation prefers pages that lie side by side, because a sequence
    whose slots are one run is read without a gather.
    """

    def __init__(self, num_pages: int, page_size: int) -> None:
        if num_pages < 1 or page_size < 1:
            raise ValueError(f"need at least one page and one slot, not {num_pages} x {page_size}")
        self.num_pages = num_pages
        self.page_size = page_size
        self._holders = [0] * num_pages
        self._free = bytearray(b"\x01" * num_pages)
        self._num_free = num_pages

    @property
    def num_free(self) -> int:
        return self._num_free

    def holders(self, page: int) -> int:
        """How many sequences and index nodes hold the page."""
        return self._holders[page]

    def allocate(self, count: int, after: int | None = None) -> list[int]:
        """Takes `count` free pages, held once. The caller has checked `num_free`.

        Continues the run behind page `after` where it can, else takes the first run that is
        long enough, else scattered pages.
        """
        assert count <= self._num_free, f"{count} pages wanted, {self._num_free} free"
        start = self._run(count, after)
        if start is not None:
            pages = list(range(start, start + count))
        else:
            pages = [page for page in range(self.num_pages) if self._free[page]][:count]
        for page in pages:
            self._free[page] = 0
            self._holders[page] = 1
        self._num_free -= count
        return pages

    def _run(self, count: int, after: int | None) -> int | None:
        wanted = b"\x01" * count
        if after is not None and self._free.startswith(wanted, after + 1):
            return after + 1
        start = self._free.find(wanted)
        return start if start >= 0 else None

    def hold(self, page: int) -> None:
        """Adds a holder to a page that already has one."""
        assert self._holders[page] > 0, f"page {page} is free and cannot be shared"
        self._holders[page] += 1

    def release(self, page: int) -> None:
        """Drops one holder; the page becomes free with the last."""
        assert self._holders[page] > 0, f"page {page} was released twice"
        self._holders[page] -= 1
        if self._holders[page] == 0:
            self._free[page] = 1
            self._num_free += 1

    def check(self) -> None:
        """Asserts the invariant."""
        held = sum(1 for holders in self._holders if holders)
        assert held + self._num_free == self.num_pages, f"{held} held, {self._num_free} free"
        assert self._num_free == self._free.count(1)
