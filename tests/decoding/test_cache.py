"""The paged cache: conservation of pages, and every lease sees exactly its own tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.cache.paged import Lease, PagedCache
from decoding.cache.pages import PagePool
from decoding.cache.storage import KVStorage

PAGE = 4
NUM_PAGES = 12


def new_cache() -> PagedCache:
    storage = KVStorage.allocate(
        num_layers=2,
        num_slots=PAGE * NUM_PAGES,
        num_kv_heads=1,
        head_dim=1,
        dtype=torch.int64,
        device=torch.device("cpu"),
    )
    for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
        store_SGD.fill_(-1)
    return PagedCache(storage, PAGE)


def encode(cache: PagedCache, lease: Lease, tokens: list[int], start: int) -> None:
    """Writes token ids as keys, and twice the ids in the second layer."""
    slots_T = lease.slots_C[start : len(tokens)]
    rows_TGD = torch.tensor(tokens[start:], dtype=torch.int64)[:, None, None]
    cache.storage.write(0, slots_T, rows_TGD, rows_TGD)
    cache.storage.write(1, slots_T, rows_TGD * 2, rows_TGD * 2)


def seen(cache: PagedCache, lease: Lease, count: int) -> list[int]:
    first = cache.storage.keys_SGD[0][lease.slots(count)].flatten().tolist()
    second = cache.storage.values_SGD[1][lease.slots(count)].flatten().tolist()
    assert second == [2 * token for token in first]
    return list(first)


def run(cache: PagedCache, tokens: list[int], capacity: int | None = None) -> int:
    """Opens, encodes and closes; returns how much was re-used."""
    lease = cache.open(tokens, capacity or len(tokens))
    assert lease is not None
    encode(cache, lease, tokens, lease.num_cached)
    assert seen(cache, lease, len(tokens)) == tokens
    cache.close(lease, tokens, len(tokens))
    return lease.num_cached


def test_a_second_turn_reuses_every_encoded_token() -> None:
    cache = new_cache()
    first = list(range(10))
    assert run(cache, first) == 0
    assert run(cache, [*first, 90, 91, 92]) == 10


def test_a_shared_beginning_is_reused_to_the_token() -> None:
    cache = new_cache()
    assert run(cache, [1, 2, 3, 4, 5, 6, 7]) == 0
    assert run(cache, [1, 2, 3, 4, 5, 6, 9, 9]) == 6
    assert run(cache, [8, 2, 3]) == 0


def test_the_last_token_is_always_left_to_encode() -> None:
    cache = new_cache()
    run(cache, [1, 2, 3, 4])
    assert run(cache, [1, 2, 3, 4]) == 3


def test_continuing_a_conversation_keeps_its_pages_side_by_side() -> None:
    cache = new_cache()
    run(cache, list(range(6)), capacity=12)
    run(cache, list(range(100, 106)))
    lease = cache.open([*range(6), 50, 51], 16)
    assert lease is not None
    assert lease.num_cached == 6
    assert isinstance(lease.slots(8), slice) or len(set(lease.pages)) == len(lease.pages)


def test_two_live_sequences_never_write_to_the_same_page() -> None:
    cache = new_cache()
    run(cache, [1, 2, 3, 4, 5, 6])
    one = cache.open([1, 2, 3, 4, 5, 6, 7], 12)
    other = cache.open([1, 2, 3, 4, 5, 6, 8], 12)
    assert one is not None
    assert other is not None
    encode(cache, one, [1, 2, 3, 4, 5, 6, 7, 7, 7], one.num_cached)
    encode(cache, other, [1, 2, 3, 4, 5, 6, 8, 8, 8], other.num_cached)
    assert seen(cache, one, 9) == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert seen(cache, other, 9) == [1, 2, 3, 4, 5, 6, 8, 8, 8]
    assert one.num_cached == other.num_cached == 6


def test_nothing_is_leased_when_pages_are_short_and_nothing_leaks() -> None:
    cache = new_cache()
    lease = cache.open(list(range(20)), PAGE * (NUM_PAGES - 1))
    assert lease is not None
    free = cache.pool.num_free
    assert cache.open(list(range(100, 110)), PAGE * 2) is None
    assert cache.pool.num_free == free
    cache.close(lease, [], 0)
    assert cache.pool.num_free == NUM_PAGES


def test_the_oldest_unused_prefix_goes_first() -> None:
    cache = new_cache()
    old, recent = [1] * PAGE * 3, [2] * PAGE * 3
    run(cache, old)
    run(cache, recent)
    run(cache, [3] * PAGE * (NUM_PAGES - 6))
    assert cache.pool.num_free == 0
    run(cache, [*old, 5], capacity=PAGE * 4)  # used again, so `recent` is now the oldest
    assert run(cache, [*old, 6]) == len(old)
    assert run(cache, [*recent, 5]) < len(recent)


def test_a_pool_refuses_double_release() -> None:
    pool = PagePool(2, PAGE)
    (page,) = pool.allocate(1)
    pool.release(page)
    with pytest.raises(AssertionError, match="twice"):
        pool.release(page)


def test_allocation_prefers_one_run() -> None:
    pool = PagePool(8, PAGE)
    pages = pool.allocate(6)
    for page in (pages[1], pages[3], pages[4]):
        pool.release(page)
    assert pool.allocate(2) == [3, 4]
    assert pool.allocate(1, after=5) == [6]
    assert sorted(pool.allocate(2)) == [1, 7]


tokens_lists = st.lists(st.integers(0, 2), min_size=1, max_size=22)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("open"), tokens_lists, st.integers(0, 10)),
        st.tuples(st.just("append"), st.integers(0, 9), st.integers(0, 2)),
        st.tuples(st.just("publish"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("close"), st.integers(0, 9), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(operations)
def test_any_interleaving_keeps_pages_and_contents(script: list[tuple]) -> None:
    cache = new_cache()
    live: list[tuple[Lease, list[int], int]] = []
    for name, what, number in script:
        if name == "open":
            lease = cache.open(what, len(what) + number)
            if lease is None:
                continue
            assert lease.num_cached < len(what)
            assert seen(cache, lease, lease.num_cached) == what[: lease.num_cached]
            encode(cache, lease, what, lease.num_cached)
            live.append((lease, list(what), len(what) + number))
        elif live:
            lease, tokens, capacity = live[what % len(live)]
            if name == "append" and len(tokens) < capacity:
                tokens.append(number)
                encode(cache, lease, tokens, len(tokens) - 1)
            elif name == "publish":
                cache.publish(lease, tokens, len(tokens))
            elif name == "close":
                del live[what % len(live)]
                cache.close(lease, tokens, len(tokens))
        cache.pool.check()
        for lease, tokens, _ in live:
            assert seen(cache, lease, len(tokens)) == tokens
    for lease, tokens, _ in live:
        cache.close(lease, tokens, len(tokens))
    cache.pool.check()
    assert cache.pool.num_pages - cache.pool.num_free == len(cache.index)
    cache.index.evict(NUM_PAGES)
    assert cache.pool.num_free == NUM_PAGES
