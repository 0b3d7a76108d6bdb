"""Scratch that is leased behind an answer: apart from it, and placed as the answer's positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding.cache.paged import PagedCache
from decoding.cache.storage import Storage
from tests.decoding.test_cache import NUM_PAGES, PAGE, new_cache


@given(
    capacity=st.integers(1, 20),
    num_scratch=st.integers(1, 6),
    block=st.sampled_from([1, 2, 4]),
    data=st.data(),
)
def test_scratch_lies_apart_at_the_places_of_its_positions(
    capacity: int, num_scratch: int, block: int, data: st.DataObject
) -> None:
    cache = PagedCache(InBlocks(new_cache().storage, block), PAGE)
    lease = cache.open(list(range(capacity)), capacity, num_scratch)
    assert lease is not None
    taken = set(lease.slots_C[:capacity].tolist())
    first = 0
    while first < num_scratch:
        start = data.draw(st.integers(1, capacity + 3))
        room = (num_scratch - first) * block - start % block
        end = start + data.draw(st.integers(1, room))
        slots = lease.scratch(first, start, end)
        assert [slot % block for slot in slots] == [at % block for at in range(start, end)]
        assert taken.isdisjoint(slots)
        assert len(set(slots)) == len(slots)
        assert set(slots) <= set(lease.slots_C.tolist())
        taken.update(slots)
        first += (end - 1) // block - start // block + 1
    with pytest.raises(AssertionError, match="too few blocks"):
        lease.scratch(first, 1, 2)
    cache.close(lease, list(range(capacity)), 0)
    assert cache.pool.num_free == NUM_PAGES


class InBlocks:
    """A storage whose slots come in blocks."""

    def __init__(self, storage: Storage, page_multiple: int) -> None:
        self._storage = storage
        self.num_slots, self.device = storage.num_slots, storage.device
        self.page_multiple = page_multiple

    def copy(self, source: int, target: int, count: int) -> None:
        self._storage.copy(source, target, count)
