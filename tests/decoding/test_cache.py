"""The paged cache: conservation of pages, and every lease sees exactly its own tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.cache.paged import Lease, PagedCache
from decoding.cache.pages import PagePool
from decoding.cache.prefix import Node, PrefixIndex
from decoding.cache.storage import KVStorage
from tests.decoding.counted import num_calls

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


def test_a_copy_that_does_not_fit_beside_its_original_is_no_hindrance() -> None:
    """The page to copy from is the one that has to make room."""
    cache = new_cache()
    run(cache, [1, 2, 3, 4, 5], capacity=PAGE * NUM_PAGES)
    assert len(cache.index) == 2
    run(cache, [1, 2, 9, 9, 9], capacity=PAGE * NUM_PAGES)
    assert cache.num_available == NUM_PAGES


def test_what_two_encoded_at_once_is_kept_once_and_both_may_append() -> None:
    cache = new_cache()
    tokens = list(range(2 * PAGE))
    one, other = (cache.open(tokens, 4 * PAGE) for _ in range(2))
    assert one is not None
    assert other is not None
    for lease in (one, other):
        encode(cache, lease, tokens, 0)
        cache.publish(lease, tokens, len(tokens))
    assert len(cache.index) == 2
    longer = [*tokens, *range(50, 50 + PAGE)]
    encode(cache, other, longer, len(tokens))
    cache.publish(other, longer, len(longer))
    cache.close(one, tokens, len(tokens))
    assert cache.index.evict(NUM_PAGES) == 0  # the other one stands behind these pages
    assert run_shared(cache, longer) == 3 * PAGE - 1
    cache.close(other, longer, len(longer))
    assert cache.index.evict(NUM_PAGES) == 3
    assert cache.pool.num_free == NUM_PAGES


def run_shared(cache: PagedCache, tokens: list[int]) -> int:
    """As `run`, with nothing to encode but the last token."""
    lease = cache.open(tokens, len(tokens))
    assert lease is not None
    assert seen(cache, lease, lease.num_cached) == tokens[: lease.num_cached]
    cache.close(lease, tokens, lease.num_cached)
    return lease.num_cached


def test_shared_pages_are_those_that_several_read() -> None:
    cache = new_cache()
    tokens = list(range(2 * PAGE + 1))
    run(cache, tokens)
    leases = [cache.open([*tokens, end], 3 * PAGE) for end in range(3)]
    assert cache.num_shared == 2
    for lease in leases:
        assert lease is not None
        cache.close(lease, tokens, lease.num_cached)
    assert cache.num_shared == 0


def big_cache(num_pages: int) -> PagedCache:
    storage = KVStorage.allocate(
        num_layers=1,
        num_slots=PAGE * num_pages,
        num_kv_heads=1,
        head_dim=1,
        dtype=torch.int8,
        device=torch.device("cpu"),
    )
    return PagedCache(storage, PAGE)


def test_publishing_costs_what_is_new() -> None:
    def cost(pages_before: int) -> int:
        cache = big_cache(400)
        tokens = list(range((pages_before + 1) * PAGE))
        lease = cache.open(tokens, len(tokens))
        assert lease is not None
        cache.publish(lease, tokens, pages_before * PAGE)
        return num_calls(lambda: cache.publish(lease, tokens, len(tokens)))

    assert cost(1) == cost(390)


def test_evicting_costs_what_is_evicted() -> None:
    def cost(conversations: int) -> int:
        cache = big_cache(500)
        for first in range(conversations):
            tokens = [first, 1, 2, 3, *range(PAGE)]
            lease = cache.open(tokens, len(tokens))
            assert lease is not None
            cache.close(lease, tokens, len(tokens))
        return num_calls(lambda: cache.index.evict(4))

    assert cost(4) == cost(200)


class NaiveLru:
    """Which pages go next, found by looking at all of them."""

    def __init__(self, index: PrefixIndex) -> None:
        self._index = index
        self._since: dict[Node, int] = {}
        self._now = 0

    def note(self, pool: PagePool, used: set[Node]) -> None:
        """After an operation that used some nodes: which are idle, and since when."""
        self._now += 1
        idle = {node for node in self._index.nodes() if pool.holders(node.page) == 1}
        self._since = {
            node: self._now if node in used else self._since.get(node, self._now) for node in idle
        }

    def victims(self, count: int) -> list[int]:
        """The pages that go, in their order."""
        left = dict(self._since)
        gone: list[int] = []
        while left and len(gone) < count:
            parents = {node.parent for node in self._index.nodes() if node.page not in gone}
            victim = min((node for node in left if node not in parents), key=left.__getitem__)
            del left[victim]
            gone.append(victim.page)
        return gone


lru_operations = st.lists(
    st.one_of(
        st.tuples(st.just("open"), tokens_lists, st.integers(0, 6)),
        st.tuples(st.just("publish"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("close"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("close"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("evict"), st.integers(1, 3), st.just(0)),
    ),
    min_size=4,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(lru_operations)
def test_eviction_takes_what_a_full_scan_would_take(script: list[tuple]) -> None:
    cache = new_cache()
    naive = NaiveLru(cache.index)
    live: list[tuple[Lease, list[int]]] = []
    for name, what, number in script:
        used: set[Node] = set()
        if name == "open":
            match = cache.index.match(what[:-1])
            used = {*match.nodes, *([] if match.tail is None else [match.tail])}
            lease = cache.open(what, len(what) + number)
            if lease is not None:
                live.append((lease, what))
        elif name == "evict":
            expected = naive.victims(what)
            before = {node.page for node in cache.index.nodes()}
            assert cache.index.evict(what) == len(expected)
            gone = before - {node.page for node in cache.index.nodes()}
            assert gone == set(expected)
        elif live:
            lease, tokens = live[what % len(live)]
            if name == "publish":
                cache.publish(lease, tokens, len(tokens))
            else:
                del live[what % len(live)]
                cache.close(lease, tokens, len(tokens))
        naive.note(cache.pool, used)
        assert cache.index.num_idle == len(naive._since)
        cache.pool.check()
    for lease, tokens in live:
        cache.close(lease, tokens, len(tokens))
    assert cache.num_available == NUM_PAGES


# --- pages kept by name

MOST_KEPT = 5


def keeping_cache(most_kept: int = MOST_KEPT) -> PagedCache:
    cache = new_cache()
    return PagedCache(cache.storage, PAGE, most_kept)


def say(cache: PagedCache, tokens: list[int], keep: str | None = None) -> int:
    """As `run`, for a turn of a conversation."""
    lease = cache.open(tokens, len(tokens))
    assert lease is not None
    encode(cache, lease, tokens, lease.num_cached)
    cache.close(lease, tokens, len(tokens), keep)
    return lease.num_cached


def test_what_is_kept_goes_last_and_goes_all_the_same() -> None:
    cache = keeping_cache()
    kept = list(range(10))
    say(cache, kept, "talk")
    for start in range(100, 400, 20):
        say(cache, list(range(start, start + 3 * PAGE)))
    assert cache.index.num_kept == 3
    assert say(cache, [*kept, 77], "talk") == len(kept)
    whole = list(range(500, 500 + NUM_PAGES * PAGE))
    assert say(cache, whole) == 0  # everything, so what was kept has to make room
    assert cache.index.num_kept == 0
    assert say(cache, [*kept, 77]) == 0


def test_a_turn_takes_the_place_of_the_last_one() -> None:
    cache = keeping_cache()
    say(cache, list(range(6)), "talk")
    say(cache, list(range(9)), "talk")
    assert cache.kept() == {"talk": 3}
    say(cache, [50, 51, 52], "talk")
    assert cache.kept() == {"talk": 1}
    assert cache.index.num_kept == 1


def test_the_budget_goes_to_those_who_came_last() -> None:
    cache = keeping_cache()
    say(cache, list(range(2 * PAGE)), "a")
    say(cache, list(range(50, 50 + 2 * PAGE)), "b")
    say(cache, [*range(2 * PAGE), 9], "a")
    say(cache, list(range(90, 90 + 2 * PAGE)), "c")
    assert cache.kept() == {"a": 3, "c": 2}
    say(cache, list(range(200, 200 + 9 * PAGE)), "d")
    assert cache.kept() == {"d": MOST_KEPT}


def test_a_prefix_that_two_keep_counts_once_and_stays_until_both_forget() -> None:
    cache = keeping_cache()
    shared = list(range(2 * PAGE))
    say(cache, [*shared, 50], "a")
    say(cache, [*shared, 60], "b")
    assert cache.index.num_kept == 4
    assert cache.forget("a")
    assert not cache.forget("a")
    assert cache.index.num_kept == 3
    assert cache.forget("b")
    assert cache.index.num_kept == 0
    assert say(cache, [*shared, 70]) == len(shared)  # still encoded, until it is needed


def test_nothing_is_kept_where_nothing_may_be() -> None:
    cache = keeping_cache(0)
    for number in range(20):
        say(cache, [number, 1, 2, 3, 4], f"talk {number}")
    assert cache.kept() == {}
    assert cache.index.num_kept == 0


keeping = st.lists(
    st.one_of(
        st.tuples(st.just("open"), tokens_lists, st.integers(0, 6)),
        st.tuples(st.just("close"), st.integers(0, 9), st.sampled_from([None, "a", "b", "c", "d"])),
        st.tuples(st.just("close"), st.integers(0, 9), st.sampled_from([None, "a", "b", "c", "d"])),
        st.tuples(st.just("forget"), st.sampled_from("abcd"), st.just(0)),
        st.tuples(st.just("evict"), st.integers(1, 4), st.just(0)),
    ),
    min_size=4,
    max_size=50,
)


@settings(max_examples=300, deadline=None)
@given(script=keeping, most_kept=st.integers(0, 7))
def test_kept_pages_stay_within_the_budget_and_are_evicted_last(
    script: list[tuple], most_kept: int
) -> None:
    cache = keeping_cache(most_kept)
    index, pool = cache.index, cache.pool
    live: list[tuple[Lease, list[int]]] = []
    for name, what, more in script:
        if name == "open":
            lease = cache.open(what, len(what) + more)
            if lease is not None:
                encode(cache, lease, what, lease.num_cached)
                live.append((lease, what))
        elif name == "close" and live:
            lease, tokens = live.pop(what % len(live))
            assert seen(cache, lease, len(tokens)) == tokens
            cache.close(lease, tokens, len(tokens), more)
        elif name == "forget":
            cache.forget(what)
        elif name == "evict":
            idle = {node for node in index.nodes() if pool.holders(node.page) == 1}
            index.evict(what)
            left = set(index.nodes())
            if any(node.keepers for node in idle - left):
                assert all(node.keepers for node in idle & left)
        pool.check()
        nodes = set(index.nodes())
        assert index.num_kept == sum(node.keepers > 0 for node in nodes) <= most_kept
        assert len(cache.kept()) <= most_kept
        for node in nodes:
            assert node.parent is index.root or node.parent in nodes
            assert not node.keepers or all(each.keepers for each in node.path)
    for lease, tokens in live:
        cache.close(lease, tokens, len(tokens))
    for name in "abcd":
        cache.forget(name)
    assert index.num_kept == 0
    index.evict(NUM_PAGES)
    assert pool.num_free == NUM_PAGES
