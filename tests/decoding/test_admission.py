"""Who starts when: priority, ageing, large beside small, one prefix read once, deadlines."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding import (
    Committed,
    Completion,
    Decodable,
    DecodeMode,
    Engine,
    EngineClosed,
    Event,
    Failed,
    Finished,
    QueueFull,
    Request,
    Span,
    Step,
)
from decoding.admission import MAX_PASSES, PRIORITY_FORWARDS
from decoding.deadlines import Deadlines
from decoding.network.base import Network
from decoding.request import DeadlineExceeded
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import TOKENIZER, VOCAB
from tests.decoding.soundness import assert_all_pages_back, assert_sound, without_times


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def new_engine(clock: Clock | None = None, **limits: int) -> Engine:
    network = ScriptedNetwork(VOCAB, max_positions=3000)
    return Engine(network, TOKENIZER, **{"cache_tokens": 4096, **limits}, clock=clock or Clock())


def ask(first: int, tokens: int = 3, **options: int) -> Request:
    return Request([first, 1, 2], max_new_tokens=tokens, **options)  # type: ignore[arg-type]


def run_all(engine: Engine) -> list[Event]:
    events: list[Event] = []
    while not engine.is_idle:
        events += engine.step()
        assert_sound(engine)
    return events


def ends(events: list[Event]) -> list[int]:
    return [event.request_id for event in events if isinstance(event, Finished | Failed)]


# --- order


def test_higher_priority_starts_sooner_and_equals_start_in_order() -> None:
    engine = new_engine(max_live=1)
    priorities = [0, 2, 1, 2, 0, 1]
    for place, priority in enumerate(priorities):
        engine.add(ask(place, priority=priority))
    assert ends(run_all(engine)) == [1, 3, 2, 5, 0, 4]
    assert_all_pages_back(engine)


def test_waiting_makes_up_for_a_lower_priority() -> None:
    """Never behind one that came more than the head start later."""
    engine = new_engine(max_live=1)
    low = engine.add(ask(1, tokens=1))
    done: list[int] = []
    for _ in range(PRIORITY_FORWARDS + 8):
        engine.add(ask(2, tokens=1, priority=1))
        done += ends(engine.step())
    assert done.index(low) <= PRIORITY_FORWARDS + 1
    assert done.index(low) >= PRIORITY_FORWARDS - 1
    engine.close()


# --- pages


def test_a_large_request_lets_small_ones_pass_but_not_for_ever() -> None:
    engine = new_engine(cache_tokens=160, max_live=8)
    first = engine.add(ask(1, tokens=20))
    engine.step()
    large = engine.add(Request([9] * 100, max_new_tokens=60))
    started: list[int] = []
    for turn in range(200):
        small = engine.add(ask(turn % 50, tokens=20))
        events = engine.step()
        started += [event.request_id for event in events if isinstance(event, Committed)]
        assert_sound(engine)
        if large in started:
            break
        assert small > large
    before = set(started[: started.index(large)]) - {first}
    assert 1 <= len(before) <= MAX_PASSES
    done = ends(run_all(engine))
    assert large in done
    assert len(done) == len(set(done)) > turn / 2
    assert_all_pages_back(engine)


def test_what_is_refused_for_want_of_pages_starts_when_they_are_back() -> None:
    engine = new_engine(cache_tokens=64, page_size=4)
    ids = [engine.add(Request([seed] * 20, max_new_tokens=20)) for seed in range(5)]
    assert ends(run_all(engine)) == ids
    assert engine.stats().evicted_pages > 0
    assert_all_pages_back(engine)


def test_what_is_refused_starts_once_another_has_encoded_what_it_lacked() -> None:
    """No page comes back, and fewer are needed: what the other wrote is the prompt's beginning."""
    engine = new_engine(cache_tokens=32, page_size=4)
    prompt = [1, 2, 3, 4]
    answer = new_engine().generate(prompt, max_new_tokens=20).token_ids
    assert len(answer) == 20
    first = engine.add(Request(prompt, max_new_tokens=20))
    engine.step()
    second = engine.add(Request([*prompt, *answer[:8], 9], max_new_tokens=3))
    engine.step()
    assert second not in engine._live
    while second not in engine._live:
        engine.step()
        assert first in engine._live
    assert ends(run_all(engine))
    assert_all_pages_back(engine)


# --- one prefix, read once

PREFIX = [place * place % 251 for place in range(1000)]


def sub_agents(count: int = 8) -> list[Request]:
    return [Request([*PREFIX, *[n] * 20], max_new_tokens=4) for n in range(count)]


def alone(request: Request) -> Completion:
    return new_engine().generate_many([request])[0]


def test_agents_with_one_prefix_read_it_once() -> None:
    engine = new_engine(max_forward_rows=128)
    page, count = 16, 8
    ids = [engine.add(request) for request in sub_agents(count)]
    held, events = 0, []
    while not engine.is_idle:
        events += engine.step()
        held = max(held, engine.stats().held_pages)
        assert_sound(engine)
    own = 20 + 4
    assert engine.stats().rows <= len(PREFIX) + count * (own + page)
    assert held <= len(PREFIX) // page + count * (own // page + 2)
    assert engine.stats().cached_prompt_tokens >= (count - 1) * (len(PREFIX) - page)
    done = {event.request_id: event.completion for event in events if isinstance(event, Finished)}
    for request_id, request in zip(ids, sub_agents(count), strict=True):
        assert without_times(done[request_id]) == without_times(alone(request))
    assert_all_pages_back(engine)


def test_they_share_the_pages_while_they_live() -> None:
    engine = new_engine()
    for request in sub_agents(4):
        engine.add(request)
    shared = []
    while not engine.is_idle:
        engine.step()
        shared.append(engine.stats().shared_pages)
    assert max(shared) == len(PREFIX) // 16
    assert shared[-1] == 0


def test_others_start_while_they_are_put_off() -> None:
    engine = new_engine(max_forward_rows=64)
    for request in sub_agents(3):
        engine.add(request)
    other = engine.add(ask(7))
    engine.step()
    assert set(engine._live) == {0, other}
    assert engine.stats().waiting_requests == 2
    engine.close()


def test_when_the_one_they_wait_for_is_cancelled_the_next_reads_on() -> None:
    engine = new_engine(max_forward_rows=100)
    ids = [engine.add(request) for request in sub_agents(4)]
    for victim in ids[:3]:
        for _ in range(3):
            engine.step()
        assert victim in engine._live
        engine.abort(victim)
    done = {event.request_id: event for event in run_all(engine) if isinstance(event, Finished)}
    assert without_times(done[ids[3]].completion) == without_times(alone(sub_agents(4)[3]))
    assert engine.stats().rows <= len(PREFIX) + 20 + 4 + 3 * 16
    assert_all_pages_back(engine)


class Breaks:
    """A mode with a bug that shows once the prompt is read."""

    name = "breaks"

    def fit(self, network: Network) -> DecodeMode:
        return self

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        yield Span(sequence.tail[:500], start=sequence.num_cached)
        raise KeyError("a bug")


def test_when_the_one_they_wait_for_fails_the_next_reads_on() -> None:
    engine = new_engine(max_forward_rows=100)
    bad = engine.add(Request([*PREFIX, 1], mode=Breaks(), max_new_tokens=4))
    good = [engine.add(request) for request in sub_agents(3)]
    events = run_all(engine)
    assert ends(events)[0] == bad
    assert sorted(ends(events)[1:]) == good
    unbooked = 100  # the forward whose answer met the bug
    assert engine.stats().rows <= len(PREFIX) + 3 * (24 + 16) + 16 + unbooked
    assert_all_pages_back(engine)


def test_nothing_is_put_off_for_what_is_encoded_already() -> None:
    engine = new_engine()
    engine.generate_many(sub_agents(1))
    for request in sub_agents(3):
        engine.add(request)
    engine.step()
    assert len(engine._live) == 3
    engine.close()


# --- a line of limited length


def test_a_full_line_is_refused_by_name() -> None:
    engine = new_engine(max_live=1, max_waiting=2)
    engine.add(ask(1, tokens=50))
    engine.step()
    engine.add(ask(2))
    parent = engine.add(ask(3))
    with pytest.raises(QueueFull, match="2 requests wait and max_waiting is 2") as told:
        engine.add(ask(4))
    assert (told.value.waiting, told.value.limit) == (2, 2)
    with pytest.raises(QueueFull):
        engine.fork(parent)
    engine.abort(parent)
    engine.add(ask(4))
    engine.close()
    with pytest.raises(EngineClosed):
        engine.add(ask(5))
    engine.step()
    assert_all_pages_back(engine)


def test_a_list_longer_than_the_line_is_fed_as_room_appears() -> None:
    requests = [ask(first) for first in range(20)]
    engine = new_engine(max_live=2, max_waiting=3)
    outs = engine.generate_many(requests)
    assert [out.token_ids for out in outs] == [alone(request).token_ids for request in requests]
    assert engine.generate([1, 2, 3], max_new_tokens=2).token_ids
    assert_all_pages_back(engine)


# --- deadlines


def test_a_deadline_ends_a_live_request_with_what_it_has() -> None:
    clock = Clock()
    engine = new_engine(clock)
    whole = alone(ask(1, tokens=30))
    late = engine.add(Request([1, 1, 2], max_new_tokens=30, deadline=5.0))
    other = engine.add(ask(2, tokens=10))
    for _ in range(4):
        engine.step()
    clock.now += 5.0
    events = engine.step()
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.request_id == late
    assert isinstance(failed.error, DeadlineExceeded)
    assert failed.error.deadline == 5.0
    partial = failed.error.completion
    assert partial.token_ids == whole.token_ids[:4]
    assert partial.finish_reason == "cancelled"
    assert failed.stats.new_tokens == 4
    assert ends(run_all(engine)) == [other]
    assert engine.stats().deadline_misses == 1
    assert_all_pages_back(engine)


def test_a_deadline_ends_a_waiting_request_while_others_decode() -> None:
    clock = Clock()
    engine = new_engine(clock, max_live=1)
    running = engine.add(ask(1, tokens=30))
    engine.step()
    late = engine.add(Request([2], deadline=1.0))
    in_time = engine.add(Request([3], max_new_tokens=2, deadline=9.0))
    engine.step()
    clock.now += 2.0
    (failed,) = [event for event in engine.step() if isinstance(event, Failed)]
    assert failed.request_id == late
    assert isinstance(failed.error, DeadlineExceeded)
    assert failed.error.completion.token_ids == ()
    assert ends(run_all(engine)) == [running, in_time]
    assert_all_pages_back(engine)


def test_a_deadline_kept_costs_nothing_and_is_forgotten() -> None:
    clock = Clock()
    engine = new_engine(clock)
    out = engine.generate([1], max_new_tokens=5, deadline=1.0)
    clock.now += 50.0
    assert engine.step() == []
    assert out.token_ids == alone(Request([1], max_new_tokens=5)).token_ids
    stream = engine.stream(Request([1], deadline=0.5))
    clock.now += 0.5
    with pytest.raises(DeadlineExceeded, match=r"deadline of 0.5 s passed after 0 tokens"):
        next(stream)
    assert_all_pages_back(engine)


def test_deadlines_keep_no_trace_of_what_is_over() -> None:
    deadlines = Deadlines()
    for request_id in range(1000):
        deadlines.add(request_id, float(request_id))
        deadlines.discard(request_id)
    assert len(deadlines._heap) <= 33
    for request_id in (3, 1, 2):
        deadlines.add(2000 + request_id, float(request_id))
    deadlines.discard(2002)
    assert deadlines.pop_over(2.5) == [2001]
    assert deadlines.pop_over(3.0) == [2003]


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("inf"), float("nan"), "soon", True])
def test_a_deadline_is_a_time_to_come(deadline: object) -> None:
    with pytest.raises(ValueError, match="deadline must be seconds above 0"):
        Request([1], deadline=deadline)
    with pytest.raises(ValueError, match="priority must be a whole number"):
        Request([1], priority=0.5)  # type: ignore[arg-type]


def test_the_profile_is_told() -> None:
    assert new_engine().stats().profile == "custom"
    network = ScriptedNetwork(VOCAB)
    assert Engine(network, TOKENIZER, profile="exact").stats().profile == "exact"


# --- everything at once

beginnings = st.sampled_from([[], [1, 2, 3, 4] * 4, [1, 2, 3, 4] * 8, [5] * 20])
loads = st.lists(
    st.builds(
        lambda shared, own, **options: Request([*shared, *own], **options),
        beginnings,
        st.lists(st.integers(0, 3), min_size=1, max_size=6),
        max_new_tokens=st.integers(1, 24),
        priority=st.integers(-1, 2),
        deadline=st.sampled_from([None, None, 7.0, 30.0]),
    ),
    min_size=2,
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(loads, st.integers(1, 4), st.sampled_from([3, 9, 512]), st.randoms(use_true_random=False))
def test_under_any_load_each_request_ends_once_and_as_it_would_alone(
    load: list[Request], max_live: int, rows: int, dice: random.Random
) -> None:
    """Pages for one or two answers, arrivals, cancels and deadlines at random forwards."""
    clock = Clock()
    engine = new_engine(
        clock, cache_tokens=80, page_size=4, max_live=max_live, max_waiting=4, max_forward_rows=rows
    )
    asked: dict[int, Request] = {}
    aborted: set[int] = set()
    over: dict[int, Finished | Failed] = {}
    arriving = list(load)
    while arriving or not engine.is_idle:
        if arriving and engine.has_room and dice.random() < 0.5:
            request = arriving.pop(0)
            asked[engine.add(request)] = request
        if asked and dice.random() < 0.05:
            victim = dice.choice(list(asked))
            aborted |= {victim} if engine.abort(victim) else set()
        clock.now += 1.0
        for event in engine.step():
            if isinstance(event, Finished | Failed):
                assert event.request_id not in over
                over[event.request_id] = event
        assert_sound(engine)
    assert over.keys() == asked.keys()
    for request_id, event in over.items():
        expected = alone(replace(asked[request_id], deadline=None))
        if isinstance(event, Failed):
            assert isinstance(event.error, DeadlineExceeded)
            assert asked[request_id].deadline is not None
            out = event.error.completion
        else:
            out = event.completion
        is_cut = isinstance(event, Failed) or request_id in aborted
        count = len(out.token_ids) if is_cut else len(expected.token_ids)
        assert out.token_ids == expected.token_ids[:count]
    assert_all_pages_back(engine)
