"""The engine behind its thread: asyncio and trio, cancellation, failures, nothing left over."""

import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import torch

from decoding import (
    AsyncEngine,
    Auto,
    BlockDiffusion,
    Committed,
    Curve,
    DeadlineExceeded,
    Engine,
    EngineClosed,
    Fastest,
    Finished,
    ForwardCost,
    NgramDrafter,
    NgramTable,
    Request,
    Sampling,
    SelfSpeculation,
    UnsupportedMode,
    WeightsError,
)
from decoding.testing import ScriptedNetwork
from tests.decoding.tiny import byte_tokenizer

pytestmark = pytest.mark.anyio
TOKENIZER = byte_tokenizer()


class GatedNetwork(ScriptedNetwork):
    """Each forward waits for a permit, so that a test decides how far decoding gets."""

    def __init__(self) -> None:
        super().__init__(288)
        self.permits = threading.Semaphore(0)
        self.entered = threading.Event()

    def forward(self, *args: object) -> torch.Tensor:
        self.entered.set()
        self.permits.acquire()
        return super().forward(*args)  # type: ignore[arg-type]


def engine_of(network: ScriptedNetwork | None = None) -> Engine:
    return Engine(network or ScriptedNetwork(288), TOKENIZER, cache_tokens=2048)


@asynccontextmanager
async def gated() -> AsyncIterator[tuple[AsyncEngine, GatedNetwork]]:
    network = GatedNetwork()
    async with AsyncEngine(lambda: engine_of(network)) as engine:
        try:
            yield engine, network
        finally:
            network.permits.release(10_000)


async def test_answers_equal_the_synchronous_engine() -> None:
    sampling = Sampling(temperature=1.0, seed=3)
    expected = engine_of().generate([1, 2], sampling=sampling, max_new_tokens=20)
    async with AsyncEngine(engine_of) as engine:
        out = await engine.generate([1, 2], sampling=sampling, max_new_tokens=20)
        assert out.token_ids == expected.token_ids
        assert engine.stats().live_sequences == 0
        assert engine.stats().new_tokens == len(out.token_ids)
        assert engine.tokenizer is TOKENIZER


async def test_concurrent_requests_share_forwards_and_keep_their_texts() -> None:
    prompts = [[n, n + 1] for n in range(8)]
    expected = [engine_of().generate(p, max_new_tokens=12).token_ids for p in prompts]
    answers: dict[int, tuple[int, ...]] = {}
    network = GatedNetwork()
    async with AsyncEngine(lambda: engine_of(network)) as engine:

        async def ask(index: int) -> None:
            out = await engine.generate(prompts[index], max_new_tokens=12)
            answers[index] = out.token_ids

        async with anyio.create_task_group() as group:
            for index in range(8):
                group.start_soon(ask, index)
            await anyio.to_thread.run_sync(network.entered.wait)
            network.permits.release(10_000)
        assert [answers[index] for index in range(8)] == expected
        assert engine.stats().forwards < sum(map(len, expected))


async def test_events_arrive_while_decoding_goes_on() -> None:
    async with gated() as (engine, network):
        request = Request([1, 2, 3], max_new_tokens=3)
        async with engine.stream(request) as events:
            network.permits.release()
            first = await anext(events)
            assert isinstance(first, Committed)
            network.permits.release(10)
            rest = [event async for event in events]
        assert isinstance(rest[-1], Finished)
        assert rest[-1].completion.token_ids[:1] == first.token_ids


async def test_leaving_a_stream_aborts_and_returns_the_pages() -> None:
    async with gated() as (engine, network):
        async with engine.stream(Request([1, 2, 3], max_new_tokens=500)) as events:
            network.permits.release()
            await anext(events)
            network.permits.release(2)
        stats = engine.stats()
        assert stats.live_sequences == 0
        assert stats.held_pages <= 1  # what was encoded stays indexed


async def test_a_cancelled_caller_aborts_its_request_only() -> None:
    async with gated() as (engine, network):
        outcome = []

        async def other() -> None:
            outcome.append(await engine.generate([7, 8], max_new_tokens=5))

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            with anyio.CancelScope() as scope:
                async with engine.stream(Request([1, 2], max_new_tokens=500)) as events:
                    network.permits.release(4)
                    await anext(events)
                    scope.cancel()
                    network.permits.release(50)
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            network.permits.release(50)
        assert outcome[0].token_ids == engine_of().generate([7, 8], max_new_tokens=5).token_ids
        assert engine.stats().live_sequences == 0


async def test_the_event_loop_runs_while_a_forward_does() -> None:
    async with gated() as (engine, network), anyio.create_task_group() as group:
        group.start_soon(engine.generate, [1, 2])
        await anyio.to_thread.run_sync(network.entered.wait)
        for _ in range(100):  # the forward cannot end before this loop has
            await anyio.lowlevel.checkpoint()
        network.permits.release(10_000)


async def test_a_slow_reader_holds_up_nobody() -> None:
    async with AsyncEngine(engine_of) as engine:
        async with engine.stream(Request([1, 2], max_new_tokens=30)) as events:
            quick = await engine.generate([5, 6], max_new_tokens=60)
            assert quick.token_ids
            received = [event async for event in events]
        assert isinstance(received[-1], Finished)


async def test_a_refused_request_raises_where_it_was_made() -> None:
    async with AsyncEngine(engine_of) as engine:
        with pytest.raises(ValueError, match="outside the vocabulary"):
            await engine.generate([1, 9999])
        assert (await engine.generate([1], max_new_tokens=2)).token_ids


async def test_a_dying_thread_fails_everybody_by_name() -> None:
    class Broken(ScriptedNetwork):
        def forward(self, *args: object) -> torch.Tensor:
            raise RuntimeError("the device is gone")

    async with AsyncEngine(lambda: engine_of(Broken(288))) as engine:
        with pytest.raises(EngineClosed, match="the device is gone"):
            await engine.generate([1])
        with pytest.raises(EngineClosed, match="the device is gone"):
            await engine.generate([1])


async def test_a_failed_load_raises_its_own_error() -> None:
    with pytest.raises(WeightsError, match="there is no model"):
        async with AsyncEngine.load("no/such-model"):
            pass


async def test_use_outside_its_lifetime_is_refused() -> None:
    engine = AsyncEngine(engine_of)
    with pytest.raises(EngineClosed, match="not started"):
        await engine.generate([1])
    await engine.aclose()
    async with engine:
        await engine.generate([1], max_new_tokens=1)
    await engine.aclose()
    with pytest.raises(EngineClosed):
        await engine.generate([1])


async def test_closing_ends_what_is_running() -> None:
    network = GatedNetwork()
    engine = AsyncEngine(lambda: engine_of(network))
    await engine.start()
    async with anyio.create_task_group() as group:
        reasons = []

        async def ask() -> None:
            reasons.append((await engine.generate([1, 2], max_new_tokens=900)).finish_reason)

        group.start_soon(ask)
        await anyio.to_thread.run_sync(network.entered.wait)
        network.permits.release()
        group.start_soon(engine.aclose)
        await anyio.wait_all_tasks_blocked()
        network.permits.release(10_000)
    assert reasons == ["cancelled"]


async def test_no_thread_outlives_its_engine() -> None:
    before = set(threading.enumerate())  # other tests in this process may keep an engine
    async with AsyncEngine(engine_of) as engine:
        await engine.generate([1], max_new_tokens=1)
    assert not [t for t in set(threading.enumerate()) - before if t.name == "decoding-engine"]


async def test_a_closed_engine_lets_go_of_its_network() -> None:
    """What is held on to is the engine: its weights are free for the next, its counters remain."""
    table = NgramTable.learn([([1, 2] * 9, 0)], 9)
    kept = weakref.ref(table)
    networks: list[weakref.ref[ScriptedNetwork]] = []

    def make() -> Engine:
        network = ScriptedNetwork(288)
        networks.append(weakref.ref(network))
        cost = ForwardCost(Curve((1, 64), (1.0, 1.1)))
        return Engine(network, TOKENIZER, cache_tokens=2048, forward_cost=cost)

    drafting = Fastest(ngrams=NgramDrafter(table), head=None)
    async with AsyncEngine(make) as engine:
        done = await engine.generate([1, 2, 1], mode=Auto(drafting, drafting), max_new_tokens=30)
        assert any("self-speculation" in key for key in done.stats.decisions)
    del drafting, table
    assert engine.stats().new_tokens == len(done.token_ids)
    assert engine.tokenizer is TOKENIZER
    gc.collect()
    assert [each() for each in networks] == [None]
    assert kept() is None


async def test_start_is_shared_by_concurrent_callers() -> None:
    made = []

    def make() -> Engine:
        made.append(1)
        return engine_of()

    engine = AsyncEngine(make)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(engine.start)
    await engine.aclose()
    assert made == [1]


async def test_a_stream_is_forked_and_switched_while_it_runs() -> None:
    prompt, noisy = [1, 2], Sampling(temperature=1.0, seed=7)
    async with gated() as (engine, network):
        network.permits.release(3)
        async with engine.stream(Request(prompt, max_new_tokens=20)) as parent:
            first = await anext(parent)
            assert isinstance(first, Committed)
            engine.switch(parent, SelfSpeculation())
            async with engine.fork(parent, sampling=noisy) as child:
                network.permits.release(10_000)
                done = [event async for event in child][-1]
            rest = [event async for event in parent][-1]
    assert isinstance(done, Finished)
    assert isinstance(rest, Finished)
    assert rest.completion.token_ids == engine_of().generate(prompt, max_new_tokens=20).token_ids
    assert rest.completion.stats.modes["self-speculation"] > 10
    shared = done.completion.prompt_token_ids
    cold = engine_of().generate(shared, sampling=noisy, max_new_tokens=22 - len(shared))
    assert done.completion.token_ids == cold.token_ids


async def test_forking_what_is_over_and_switching_to_what_cannot_be_are_refused() -> None:
    async with (
        AsyncEngine(engine_of) as engine,
        engine.stream(Request([1], max_new_tokens=2)) as stream,
    ):
        with pytest.raises(UnsupportedMode):
            engine.switch(stream, BlockDiffusion())
        async for _ in stream:
            pass
        engine.switch(stream, SelfSpeculation())
        async with engine.fork(stream) as child:
            with pytest.raises(ValueError, match="not being decoded"):
                await anext(child)


async def test_a_switch_that_fails_later_ends_its_request_only() -> None:
    def measure(network: object) -> ForwardCost:
        raise OSError("no clock")

    network = GatedNetwork()

    def make() -> Engine:
        return Engine(network, TOKENIZER, cache_tokens=2048, forward_cost=measure)

    expected = engine_of().generate([7], max_new_tokens=9).token_ids
    async with (
        AsyncEngine(make) as engine,
        engine.stream(Request([1, 2], max_new_tokens=9)) as stream,
        engine.stream(Request([7], max_new_tokens=9)) as other,
    ):
        network.permits.release(2)
        await anext(stream)
        engine.switch(stream, Auto())
        network.permits.release(10_000)
        with pytest.raises(OSError, match="no clock"):
            async for _ in stream:
                pass
        last = [event async for event in other][-1]
        assert isinstance(last, Finished)
        assert last.completion.token_ids == expected
        assert (await engine.generate([1], max_new_tokens=2)).token_ids
        assert engine.stats().live_sequences == 0


@asynccontextmanager
async def bounded() -> AsyncIterator[tuple[AsyncEngine, GatedNetwork]]:
    """One request is decoded, one may wait; forwards wait for permits."""
    network = GatedNetwork()

    def make() -> Engine:
        return Engine(network, TOKENIZER, cache_tokens=2048, max_live=1, max_waiting=1)

    async with AsyncEngine(make) as engine:
        try:
            yield engine, network
        finally:
            network.permits.release(10_000)


async def test_submissions_wait_for_room_in_order() -> None:
    taken: dict[int, int | None] = {}
    async with bounded() as (engine, network), anyio.create_task_group() as group:

        async def ask(index: int) -> None:
            async with engine.stream(Request([index, 1], max_new_tokens=2)) as events:
                taken[index] = events.ticket.request_id
                async for _ in events:
                    pass

        for index in range(6):
            group.start_soon(ask, index)
            await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(network.entered.wait)
        assert len(taken) <= 2
        assert engine.stats().waiting_requests <= 1
        network.permits.release(10_000)
    assert taken == {index: index for index in range(6)}


async def test_a_submission_that_waits_for_room_can_be_cancelled() -> None:
    outs = []
    async with bounded() as (engine, network), anyio.create_task_group() as group:

        async def ask(index: int) -> None:
            outs.append(await engine.generate([index, 1], max_new_tokens=3))

        group.start_soon(ask, 0)
        await anyio.to_thread.run_sync(network.entered.wait)
        group.start_soon(ask, 1)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.wait_all_tasks_blocked()
                network.permits.release(10_000)

            group.start_soon(cancel)
            await engine.generate([2, 1], max_new_tokens=500)
        assert scope.cancelled_caught
    expected = [engine_of().generate([n, 1], max_new_tokens=3).token_ids for n in range(2)]
    assert [out.token_ids for out in outs] == expected


async def test_a_refusal_under_a_limit_raises_and_frees_the_place() -> None:
    async with bounded() as (engine, network):
        network.permits.release(10_000)
        for _ in range(3):
            with pytest.raises(ValueError, match="outside the vocabulary"):
                await engine.generate([1, 9999])
        assert (await engine.generate([1], max_new_tokens=2)).token_ids


async def test_closing_ends_those_that_wait_for_room() -> None:
    network, ended = GatedNetwork(), []

    def make() -> Engine:
        return Engine(network, TOKENIZER, cache_tokens=2048, max_live=1, max_waiting=1)

    engine = AsyncEngine(make)
    await engine.start()
    async with anyio.create_task_group() as group:

        async def ask(index: int) -> None:
            try:
                ended.append((await engine.generate([index, 1])).finish_reason)
            except EngineClosed:
                ended.append("closed")

        for index in range(5):
            group.start_soon(ask, index)
        await anyio.to_thread.run_sync(network.entered.wait)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(engine.aclose)
        await anyio.wait_all_tasks_blocked()
        network.permits.release(10_000)
    assert len(ended) == 5
    assert set(ended) == {"cancelled", "closed"}


async def test_a_deadline_raises_where_the_answer_was_awaited() -> None:
    times = iter(range(10_000))

    def make() -> Engine:
        clock = lambda: float(next(times))  # noqa: E731 - a second for each look
        return Engine(ScriptedNetwork(288), TOKENIZER, cache_tokens=2048, clock=clock)

    async with AsyncEngine(make) as engine:
        with pytest.raises(DeadlineExceeded) as told:
            await engine.generate([1, 2], max_new_tokens=400, deadline=7.0)
        assert len(told.value.completion.token_ids) == 6
        assert engine.stats().deadline_misses == 1
