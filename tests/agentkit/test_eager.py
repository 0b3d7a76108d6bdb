"""Calls that start while the model still writes. Eagerness changes when tools run, nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agentkit import (
    Agent,
    AgentError,
    ApprovalRequired,
    CancelToken,
    Message,
    ModelAnswered,
    ModelError,
    ModelRetry,
    ModelSettings,
    RunCancelled,
    RunEvent,
    RunTimeout,
    SQLiteSessions,
    Step,
    Tool,
    ToolCall,
    ToolCallStarted,
    ToolCrashed,
    ToolError,
    ToolFinished,
    ToolMessage,
    ToolStarted,
    Turn,
    Usage,
    UsageLimitExceeded,
    UsageLimits,
    tool,
)
from agentkit.messages import AssistantMessage
from agentkit.models import (
    LocalModel,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ScriptedModel,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolCallStart,
)
from agentkit.sessions.records import Answered, CallBegan, CallEnded
from decoding import AsyncEngine, Engine
from decoding.cache.storage import Storage
from decoding.span import ForwardBatch
from decoding.testing import ScriptedNetwork
from tests.agentkit.support import no_new_tasks
from tests.agentkit.test_telemetry import Collected, is_child
from tests.decoding.tiny import byte_tokenizer

pytestmark = pytest.mark.anyio


class HalfwayModel:
    """Completes the calls `early`, waits until `go_on` is set, then ends the turn with the calls
    `late`, or fails with `error`. Answers every later turn with "done"."""

    name = "halfway"

    def __init__(
        self,
        early: Sequence[ToolCall],
        late: Sequence[ToolCall] = (),
        *,
        error: Exception | None = None,
        answer: AssistantMessage | None = None,
    ) -> None:
        self.go_on = anyio.Event()
        self._early, self._late, self.error = tuple(early), tuple(late), error
        self._answer = answer or AssistantMessage(tool_calls=(*early, *late))
        self._num_turns = 0

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        self._num_turns += 1
        yield self._turn() if self._num_turns == 1 else self._end()

    async def _turn(self) -> AsyncIterator[ModelEvent]:
        for call in self._early:
            for part in written(call):
                yield part
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        for call in self._late:
            for part in written(call):
                yield part
        yield ModelResponse(self._answer)

    async def _end(self) -> AsyncIterator[ModelEvent]:
        yield TextPart("done")
        yield ModelResponse(AssistantMessage("done"))


def written(call: ToolCall) -> list[ModelEvent]:
    return [
        ToolCallStart(call.call_id, call.name),
        ToolCallPart(call.call_id, call.arguments),
        ToolCallEnd(call),
    ]


def call(name: str, call_id: str = "c", arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def eager(model: Any, *tools: Any, **options: Any) -> Agent[None, str]:
    return Agent(model, tools=tools, eager_tools=True, **options)


@dataclass(frozen=True, slots=True)
class Told:
    events: list[RunEvent]
    messages: tuple[Message, ...]
    usage: Usage | None
    error: Exception | None


async def told(
    agent: Agent[Any, Any], go_on: Callable[[], object] | None = None, **options: Any
) -> Told:
    """A run to its end. `go_on` is called when all tasks wait."""
    events: list[RunEvent] = []
    failure = usage = None
    run = agent.run_stream("go", **options)
    async with anyio.create_task_group() as group:
        if go_on is not None:
            group.start_soon(_when_all_wait, go_on)
        try:
            async with run:
                async for event in run:
                    events.append(event)
            usage = run.result.usage
        except AgentError as error:
            failure = error
    return Told(events, run.messages, usage, failure)


async def _when_all_wait(act: Callable[[], object]) -> None:
    await anyio.wait_all_tasks_blocked()
    act()


def places(events: Sequence[RunEvent], kind: type) -> list[int]:
    return [place for place, event in enumerate(events) if isinstance(event, kind)]


def contents(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages if isinstance(message, ToolMessage)]


class Endless:
    """A tool that runs until it is stopped."""

    def __init__(self) -> None:
        self.running, self.stopped = anyio.Event(), anyio.Event()

    def tool(self) -> Tool:
        @tool(idempotent=True)
        async def endless() -> str:
            """Runs until it is stopped."""
            self.running.set()
            try:
                await anyio.sleep_forever()
            finally:
                self.stopped.set()

        return endless


@tool(idempotent=True)
async def look(n: int = 0) -> int:
    """Looks something up."""
    await checkpoint()
    return n


@tool
def act() -> str:
    """Does something."""
    return "acted"


async def test_a_complete_call_runs_while_the_rest_is_written() -> None:
    @tool(idempotent=True)
    async def first() -> str:
        """Lets the model go on."""
        num_runs.append(1)
        model.go_on.set()
        return "1"

    num_runs: list[int] = []
    model = HalfwayModel([call("first", "a")], [call("act", "b")])
    with anyio.fail_after(10):  # the model waits for the tool
        run = await told(eager(model, first, act))
    events = run.events
    started, finished = places(events, ToolStarted), places(events, ToolFinished)
    [second] = [i for i, e in enumerate(events) if e == ToolCallStarted("b", "act")]
    answered = places(events, ModelAnswered)[0]
    assert started[0] < second < answered < min(started[1], *finished)
    assert contents(run.messages) == ["1", "acted"]
    assert num_runs == [1]


async def test_results_stay_in_call_order() -> None:
    calls = [call("act", "a"), call("look", "b", '{"n":1}'), call("act", "c")]
    model = HalfwayModel(calls, [call("look", "d", '{"n":2}')])
    run = await told(eager(model, look, act), model.go_on.set)
    assert contents(run.messages) == ["acted", "1", "acted", "2"]


async def test_equal_calls_run_once_each() -> None:
    model = HalfwayModel([call("look"), call("look")], [call("look")])
    run = await told(eager(model, look), model.go_on.set)
    assert contents(run.messages) == ["0", "0", "0"]
    assert len(places(run.events, ToolStarted)) == 3


def crashing_rule(arguments: dict[str, Any]) -> bool:
    raise RuntimeError(arguments)


LATE = {
    "not idempotent": (call("act"), {}),
    "not valid": (call("look", arguments='{"n":"x"}'), {}),
    "unknown": (call("nothing"), {}),
    "not eager": (call("look"), {"eager_tools": False}),
}


@pytest.mark.parametrize("why", LATE)
async def test_other_calls_wait_for_the_end_of_the_turn(why: str) -> None:
    given_call, options = LATE[why]
    model = HalfwayModel([given_call])
    agent = Agent(model, tools=[look, act], **{"eager_tools": True, **options})
    run = await told(agent, model.go_on.set)
    [answered, _] = places(run.events, ModelAnswered)
    assert all(answered < started for started in places(run.events, ToolStarted))
    assert len(places(run.events, ToolFinished)) == 1


async def test_calls_that_wait_for_the_owner_do_not_start() -> None:
    @tool(idempotent=True, requires_approval=lambda arguments: arguments["n"] > 1)
    def pay(n: int) -> str:
        """Pays."""
        return f"paid {n}"

    @tool(idempotent=True, deferred=True)
    def ask() -> str:
        """Never runs."""
        raise AssertionError

    calls = [call("pay", "a", '{"n":1}'), call("pay", "b", '{"n":2}'), call("ask", "c")]
    model = HalfwayModel(calls)
    async with SQLiteSessions(":memory:") as sessions:
        run = await told(eager(model, pay, ask, sessions=sessions), model.go_on.set)
    assert isinstance(run.error, ApprovalRequired)
    assert [event.call for event in run.events if isinstance(event, ToolStarted)] == calls[:1]
    assert places(run.events, ToolStarted) < places(run.events, ModelAnswered)


async def test_rules_that_crash_crash_as_before() -> None:
    @tool(idempotent=True, requires_approval=crashing_rule)
    def pay() -> str:
        """Pays."""
        return "paid"

    model = HalfwayModel([call("pay")])
    async with SQLiteSessions(":memory:") as sessions:
        run = await told(eager(model, pay, sessions=sessions), model.go_on.set)
    assert isinstance(run.error, ToolCrashed)
    assert len(places(run.events, ModelAnswered)) == 1


async def test_limits_hold_for_early_calls() -> None:
    started: list[int] = []

    @tool(idempotent=True)
    def note(n: int) -> str:
        """Notes."""
        started.append(n)
        return ""

    calls = [call("act", "a"), *(call("note", f"{n}", f'{{"n":{n}}}') for n in range(3))]
    model = HalfwayModel(calls)
    few = UsageLimits(tool_calls=2)
    run = await told(eager(model, note, act), model.go_on.set, usage_limits=few)
    assert isinstance(run.error, UsageLimitExceeded)
    assert started == [0]
    model, short = HalfwayModel(calls), UsageLimits(turns=1)  # nobody could read the results
    run = await told(eager(model, note, act), model.go_on.set, usage_limits=short)
    assert isinstance(run.error, UsageLimitExceeded)
    assert started == [0]


async def test_early_calls_are_counted_once() -> None:
    with ScriptedModel([[call("look", "a"), call("act", "b"), call("look", "c")], "x"]) as model:
        result = await eager(model, look, act).run("go", usage_limits=UsageLimits(tool_calls=3))
    assert result.usage.tool_calls == 3


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_no_more_run_at_once_than_allowed(most: int) -> None:
    running = seen = 0

    async def work() -> str:
        nonlocal running, seen
        running += 1
        seen = max(seen, running)
        await anyio.wait_all_tasks_blocked()
        model.go_on.set()  # the first of them are under way when the turn ends
        await anyio.wait_all_tasks_blocked()
        running -= 1
        return ""

    early = tool(work, name="early", description="Starts early.", idempotent=True)
    late = tool(work, name="late", description="Does not.")
    calls = [call(name, str(index)) for index, name in enumerate(["late", "early"] * 3)]
    model = HalfwayModel(calls, [call("late", "z")])
    with anyio.fail_after(20):
        run = await told(eager(model, early, late, max_concurrent_tools=most))
    assert seen == most
    assert len(contents(run.messages)) == 7


async def test_a_crash_is_raised_when_the_turn_is_over() -> None:
    @tool(idempotent=True)
    async def crash() -> str:
        """Fails."""
        raise LookupError("gone")

    model = HalfwayModel([call("crash")], [call("look", "b")])
    async with no_new_tasks():
        run = await told(eager(model, crash, look), model.go_on.set)
    assert isinstance(run.error, ToolCrashed)
    assert len(places(run.events, ModelAnswered)) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio lets nobody cancel by an exception
@pytest.mark.parametrize("starts_early", [True, False])
async def test_a_tool_that_cancels_itself_has_crashed(starts_early: bool) -> None:
    @tool(idempotent=starts_early)
    async def quit_() -> str:
        """Gives up."""
        raise asyncio.CancelledError

    model = HalfwayModel([call("quit_")])
    with anyio.fail_after(10):
        run = await told(eager(model, quit_), model.go_on.set)
    assert isinstance(run.error, ToolCrashed)


async def test_what_was_started_ends_with_a_model_that_fails() -> None:
    endless = Endless()
    model = HalfwayModel([call("endless")], error=ModelError("broken", retryable=True))
    async with no_new_tasks():
        run = await told(eager(model, endless.tool()), model.go_on.set)
        assert run.error is model.error
        assert endless.running.is_set()
        assert endless.stopped.is_set()


async def test_what_was_started_ends_with_a_run_that_is_cancelled() -> None:
    endless, token = Endless(), CancelToken()
    agent = eager(HalfwayModel([call("endless")]), endless.tool())
    async with no_new_tasks():
        run = await told(agent, token.cancel, cancel=token)
        assert isinstance(run.error, RunCancelled)
        assert endless.running.is_set()
        assert endless.stopped.is_set()


async def test_what_was_started_ends_with_a_run_that_takes_too_long() -> None:
    endless = Endless()
    agent = eager(HalfwayModel([call("endless")]), endless.tool())
    async with no_new_tasks():
        with pytest.raises(RunTimeout):
            await agent.run("go", timeout=0.1)
        assert endless.stopped.is_set() == endless.running.is_set()


async def test_what_was_started_ends_with_a_stream_that_is_left() -> None:
    endless = Endless()
    agent = eager(HalfwayModel([call("endless")]), endless.tool())
    async with no_new_tasks():
        async with agent.run_stream("go"):
            await endless.running.wait()
        assert endless.stopped.is_set()


async def test_a_call_that_the_answer_lacks_is_cancelled_and_not_counted() -> None:
    endless = Endless()
    model = HalfwayModel([call("endless")], answer=AssistantMessage("never mind"))
    async with no_new_tasks():
        run = await told(eager(model, endless.tool()), model.go_on.set)
    assert endless.running.is_set()
    assert endless.stopped.is_set()
    assert run.error is None
    assert run.usage is not None
    assert run.usage.tool_calls == 0


async def test_the_log_has_the_answer_before_its_calls_and_tells_it_without_them() -> None:
    num_runs = 0

    @tool(idempotent=True)
    async def count() -> int:
        """Counts its runs."""
        nonlocal num_runs
        num_runs += 1
        model.go_on.set()
        return num_runs

    calls = [call("count", "a"), call("act", "b")]
    model = HalfwayModel(calls)
    async with SQLiteSessions(":memory:") as sessions:
        agent = eager(model, count, act, sessions=sessions)
        with anyio.fail_after(10):
            result = await agent.run("go")
        records = (await sessions.log.read(result.run_id)).records
        again = await agent.resume(result.run_id)
    kinds = [
        (type(record), record.index if isinstance(record, CallBegan | CallEnded) else None)
        for record in records
    ]
    answered = kinds.index((Answered, None))
    called = kinds[answered + 1 : kinds.index((Answered, None), answered + 1)]
    assert [each for each in called if each[0] is CallBegan] == [(CallBegan, 0), (CallBegan, 1)]
    assert sorted(index or 0 for _, index in called) == [0, 0, 1, 1]
    assert all(called.index((CallBegan, i)) < called.index((CallEnded, i)) for i in (0, 1))
    assert num_runs == 1
    assert again.messages == result.messages


async def test_an_early_call_is_traced_beside_the_answer() -> None:
    collected = Collected()
    model = HalfwayModel([call("look")])
    await told(eager(model, look, telemetry=collected.telemetry), model.go_on.set)
    assert is_child(collected.one("execute_tool look"), collected.one("invoke_agent agent"))


@tool(idempotent=True)
async def grumble(n: int) -> str:
    """Does not like it."""
    await checkpoint()
    if n == 2:
        raise ModelRetry("an odd one")
    if n == 3:
        raise KeyError(n)
    raise ToolError("closed")


CALLS = st.builds(
    call,
    st.sampled_from(["look", "look", "act", "grumble", "nothing"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["{}", '{"n":1}', '{"n":2}', '{"n":3}', '{"n":"x"}', "{"]),
)


async def came_of(
    turns: Sequence[Sequence[ToolCall]], limits: UsageLimits, most: int | None, *, is_eager: bool
) -> object:
    agent = Agent(
        ScriptedModel([*turns, "done"]),
        tools=[look, act, grumble],
        retries=2,
        max_concurrent_tools=most,
        eager_tools=is_eager,
    )
    run = await told(agent, usage_limits=limits)
    return type(run.error), run.usage, run.messages


@given(
    st.lists(st.lists(CALLS, min_size=1, max_size=4), max_size=3),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(1, 2),
    st.sampled_from(["asyncio", "trio"]),
)
@settings(max_examples=60)
def test_eagerness_changes_nothing_but_when(
    turns: list[list[ToolCall]], num_calls: int | None, most: int | None, backend: str
) -> None:
    async def both() -> None:
        limits = UsageLimits(tool_calls=num_calls)
        early = await came_of(turns, limits, most, is_eager=True)
        assert early == await came_of(turns, limits, most, is_eager=False)

    anyio.run(both, backend=backend)


class _HeldNetwork(ScriptedNetwork):
    """Waits for `released` before forward number `held`, counted from 1."""

    def __init__(self, held: int | None) -> None:
        super().__init__(288, seed=1, max_positions=2000)
        self.released = threading.Event()
        self.was_released = False
        self._held = held

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        if self.num_forwards + 1 == self._held:
            self.was_released = self.released.wait(20)
        return super().forward(batch, storage)


class _OneCall:
    def steps(self) -> Generator[Step, Turn, None]:
        yield Step(allow_final=False)


async def test_a_decoded_call_runs_before_the_last_forward_of_its_turn() -> None:
    settings = ModelSettings(max_tokens=80, temperature=1.0, seed=4)

    async def num_forwards(network: _HeldNetwork) -> int:
        """Those of a turn with a call."""

        @tool(idempotent=True)
        async def peek(n: bool) -> str:
            """Looks."""
            network.released.set()
            return str(n)

        engine = AsyncEngine(lambda: Engine(network, byte_tokenizer(), cache_tokens=4096))
        model = LocalModel("scripted", engine=engine)
        agent = eager(model, peek, settings=settings, strategy=_OneCall())
        async with engine:
            run = await told(agent)
        assert len(contents(run.messages)) >= 1
        return network.num_forwards

    last = await num_forwards(_HeldNetwork(None))
    held = _HeldNetwork(last)
    assert await num_forwards(held) == last
    assert held.was_released
