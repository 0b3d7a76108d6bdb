"""Watched runs: slow readers, early leavers, cancellation, errors."""

import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentkit import (
    Agent,
    AssistantMessage,
    ModelError,
    RunEvent,
    RunFinished,
    RunStarted,
    RunStream,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolCrashed,
    ToolStarted,
)
from agentkit.models import FunctionModel, ScriptedModel
from agentkit.models.base import (
    ModelEvent,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolCallStart,
)
from agentkit.models.untold import Untold
from tests.agentkit.support import HangingModel, SilentModel, add, call_add, no_new_tasks

pytestmark = pytest.mark.anyio


class Lingering:
    """A tool that never returns, and remembers how it was stopped."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.stopped = anyio.Event()

    async def linger(self) -> str:
        """Never returns."""
        self.started.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped.set()
        raise AssertionError


LINGER = ToolCall("c1", "linger", "{}")


async def test_the_result_is_there_after_the_last_event() -> None:
    with ScriptedModel([call_add("c1", 1, 2), "3"]) as model:
        async with no_new_tasks(), Agent(model, tools=[add]).run_stream("1+2?") as run:
            events = [event async for event in run]
            assert run.result.output == "3"
    assert events[-1] == RunFinished("3")
    assert run.result.messages == run.messages


async def test_no_result_before_the_end() -> None:
    with ScriptedModel(["a"]) as model:
        async with Agent(model).run_stream("go") as run:
            with pytest.raises(RuntimeError, match="no result yet"):
                _ = run.result
            async for _event in run:
                pass


async def test_a_slow_reader_does_not_hold_up_the_run() -> None:
    finished = anyio.Event()

    def answer(request: Any) -> str:
        finished.set()
        return "x" * 1000

    async with Agent(FunctionModel(answer)).run_stream("go") as run:
        await finished.wait()
        await anyio.wait_all_tasks_blocked()
        assert run.result.output == "x" * 1000
        events = [event async for event in run]
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)


async def test_a_model_that_tells_no_parts_is_heard_all_the_same() -> None:
    calls = (call_add("c1", 1, 2), call_add("c2", 3, 4))
    model = SilentModel([AssistantMessage("Let me.", calls), AssistantMessage("3 and 7")])
    async with Agent(model, tools=[add]).run_stream("go") as run:
        events = [event async for event in run]
    assert [event.text for event in events if isinstance(event, TextDelta)] == [
        "Let me.",
        "3 and 7",
    ]
    for call in calls:
        start = events.index(ToolCallStarted(call.call_id, "add"))
        assert events[start + 1] == ToolCallDelta(call.call_id, call.arguments)


def test_what_was_told_in_part_is_told_once() -> None:
    message = AssistantMessage("Hi.", (call_add("c1", 1, 2), call_add("c2", 3, 4)))
    response, untold = ModelResponse(message), Untold()
    arguments = [call.arguments for call in message.tool_calls]
    parts = [TextPart(""), ToolCallStart("c1", "add"), ToolCallStart("c2", "add")]
    told: list[ModelEvent] = [*parts, ToolCallPart("c2", arguments[1])]
    seen = [each for part in (*told, response) for each in untold.completed(part)]
    assert seen == [*told, TextPart("Hi."), ToolCallPart("c1", arguments[0]), response]


async def test_leaving_while_the_model_speaks_stops_it() -> None:
    model = HangingModel()
    with anyio.fail_after(5):
        async with no_new_tasks(), Agent(model).run_stream("go") as run:
            async for event in run:
                if isinstance(event, TextDelta):
                    assert model.num_open == 1
                    break
    assert model.num_open == 0
    with pytest.raises(RuntimeError, match="no result yet"):
        _ = run.result


async def test_leaving_while_a_tool_runs_stops_it() -> None:
    tools = Lingering()
    agent = Agent(ScriptedModel([LINGER]), tools=[tools.linger])
    with anyio.fail_after(5):
        async with no_new_tasks(), agent.run_stream("go") as run:
            async for event in run:
                if isinstance(event, ToolStarted):
                    await tools.started.wait()
                    break
    assert tools.stopped.is_set()
    assert run.messages[-1] == run.messages[1]


async def test_leaving_while_a_sync_tool_runs_does_not_wait_for_it() -> None:
    released, started = threading.Event(), threading.Event()

    def stuck() -> str:
        """Returns late."""
        started.set()
        released.wait(timeout=10)
        return ""

    with anyio.fail_after(5), ScriptedModel([ToolCall("c1", "stuck", "{}")]) as model:
        async with Agent(model, tools=[stuck]).run_stream("go"):
            assert await anyio.to_thread.run_sync(started.wait, 5)
        assert not released.is_set()
    released.set()


async def test_leaving_at_once() -> None:
    model = HangingModel()
    async with no_new_tasks(), Agent(model).run_stream("go"):
        pass
    assert model.num_open == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_the_caller_while_the_model_speaks(stream: bool) -> None:
    model = HangingModel()
    async with no_new_tasks(), anyio.create_task_group() as group:
        group.start_soon(exhaust if stream else plain, Agent(model))
        with anyio.fail_after(5):
            await model.spoke.wait()
        group.cancel_scope.cancel()
    assert model.num_open == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_the_caller_while_a_tool_runs(stream: bool) -> None:
    tools = Lingering()
    with ScriptedModel([LINGER]) as model:
        async with no_new_tasks(), anyio.create_task_group() as group:
            group.start_soon(exhaust if stream else plain, Agent(model, tools=[tools.linger]))
            with anyio.fail_after(5):
                await tools.started.wait()
            group.cancel_scope.cancel()
    assert tools.stopped.is_set()


async def plain(agent: Agent) -> None:
    await agent.run("go")


async def exhaust(agent: Agent) -> None:
    async with agent.run_stream("go") as run:
        async for _ in run:
            pass


async def test_a_timeout_around_a_run() -> None:
    model = HangingModel()
    with anyio.move_on_after(0.01) as scope:
        await Agent(model).run("go")
    assert scope.cancelled_caught
    assert model.num_open == 0


async def test_an_error_of_the_run_is_raised_where_the_events_end() -> None:
    def buggy() -> str:
        """Has a bug."""
        raise KeyError("oops")

    events: list[RunEvent] = []
    model = ScriptedModel([ToolCall("c1", "buggy", "{}")])
    async with Agent(model, tools=[buggy]).run_stream("go") as run:
        with pytest.raises(ToolCrashed) as caught:
            await collect(run, events)
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(events[-1], ToolStarted)


async def collect(run: RunStream[str], events: list[RunEvent]) -> None:
    async for event in run:
        events.append(event)


async def leave_with(agent: Agent, error: Exception | None) -> None:
    """Reads one event, lets the run come to rest, and leaves."""
    async with agent.run_stream("go") as run:
        assert isinstance(await anext(run), RunStarted)
        await anyio.wait_all_tasks_blocked()
        if error is not None:
            raise error


async def test_an_error_goes_through_the_scope_as_it_is() -> None:
    error = ModelError("unreachable")
    with pytest.raises(ModelError) as caught:
        await exhaust(Agent(ScriptedModel([error])))
    assert caught.value is error


async def test_an_error_nobody_read_is_raised_by_leaving() -> None:
    error = ModelError("unreachable")
    with pytest.raises(ModelError) as caught:
        await leave_with(Agent(ScriptedModel([error])), None)
    assert caught.value is error


async def test_the_reader_s_own_error_is_raised_as_it_is() -> None:
    model = HangingModel()
    error = LookupError("mine")
    async with no_new_tasks():
        with pytest.raises(LookupError) as caught:
            await leave_with(Agent(model), error)
    assert caught.value is error
    assert model.num_open == 0


async def test_the_reader_s_error_goes_before_the_run_s() -> None:
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        await leave_with(Agent(ScriptedModel([ModelError("unreachable")])), error)
    assert caught.value is error


async def test_a_stream_is_entered_once() -> None:
    with ScriptedModel(["a"]) as model:
        run = Agent(model).run_stream("go")
        with pytest.raises(RuntimeError, match="async with"):
            await anext(run)
        async with run:
            async for _ in run:
                pass
            with pytest.raises(RuntimeError, match="once"):
                await run.__aenter__()


async def test_a_stream_that_is_never_entered_does_nothing() -> None:
    model = ScriptedModel(["a"])
    Agent(model).run_stream("go")
    assert model.requests == ()
