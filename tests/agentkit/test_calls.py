"""Tool calls of one turn: concurrency, cancellation, failures."""

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from pydantic_core import core_schema

from agentkit import (
    Agent,
    ModelRetry,
    RunContext,
    ToolCall,
    ToolCrashed,
    ToolError,
    ToolFinished,
    ToolMessage,
    ToolResultError,
    ToolRetriesExceeded,
    ToolStarted,
    tool,
)
from agentkit.models import ScriptedModel
from tests.agentkit.support import add, call_add, events_of, no_new_tasks

pytestmark = pytest.mark.anyio


def call(name: str, call_id: str = "c") -> ToolCall:
    return ToolCall(call_id, name, "{}")


async def test_calls_of_a_turn_run_at_the_same_time() -> None:
    left, right = anyio.Event(), anyio.Event()

    async def go_left() -> str:
        """Left."""
        left.set()
        await right.wait()
        return "left"

    async def go_right() -> str:
        """Right."""
        right.set()
        await left.wait()
        return "right"

    with ScriptedModel([[call("go_left", "1"), call("go_right", "2")], "met"]) as model:
        with anyio.fail_after(5):
            result = await Agent(model, tools=[go_left, go_right]).run("go")
    assert result.output == "met"


async def test_results_are_in_call_order_and_events_as_they_happen() -> None:
    second_done = anyio.Event()

    async def slow() -> str:
        """Waits for the other."""
        await second_done.wait()
        return "slow"

    async def fast() -> str:
        """Does not."""
        second_done.set()
        return "fast"

    with ScriptedModel([[call("slow", "1"), call("fast", "2")], "done"]) as model:
        events = await events_of(Agent(model, tools=[slow, fast]))
    assert [e.call.call_id for e in events if isinstance(e, ToolStarted)] == ["1", "2"]
    assert [e.call.call_id for e in events if isinstance(e, ToolFinished)] == ["2", "1"]
    assert [
        message.content
        for message in model.requests[1].messages
        if isinstance(message, ToolMessage)
    ] == ["slow", "fast"]


async def most_at_once(num_calls: int, max_concurrent: int | None) -> int:
    """The most calls that ran at once, when each waits until no further one begins."""
    running = most = 0

    async def work() -> str:
        """Works."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.wait_all_tasks_blocked()
        running -= 1
        return ""

    calls = [call("work", str(index)) for index in range(num_calls)]
    with ScriptedModel([calls, "done"]) as model:
        agent = Agent(model, tools=[work], max_concurrent_tools=max_concurrent)
        await agent.run("go")
    return most


@pytest.mark.parametrize(("max_concurrent", "expected"), [(None, 5), (2, 2), (1, 1), (9, 5)])
async def test_at_most_so_many_calls_run_at_once(max_concurrent: int | None, expected: int) -> None:
    with anyio.fail_after(10):
        assert await most_at_once(5, max_concurrent) == expected


async def test_sync_tools_do_not_block_the_event_loop() -> None:
    released, waiting = threading.Event(), threading.Event()

    def wait() -> bool:
        """Waits for the event loop."""
        waiting.set()
        return released.wait(timeout=5)

    async def heart() -> None:
        assert await anyio.to_thread.run_sync(waiting.wait, 5)
        for _ in range(10):
            await checkpoint()
        released.set()

    with ScriptedModel([call("wait"), "done"]) as model:
        async with anyio.create_task_group() as group:
            group.start_soon(heart)
            result = await Agent(model, tools=[wait]).run("go")
    message = result.messages[2]
    assert isinstance(message, ToolMessage)
    assert message.content.lower() == "true"


async def test_a_crash_ends_the_run_and_stops_the_other_tools() -> None:
    stopped = anyio.Event()
    running = anyio.Event()

    async def endless() -> str:
        """Runs until it is stopped."""
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        raise AssertionError

    async def buggy() -> str:
        """Has a bug."""
        await running.wait()
        raise ZeroDivisionError("oops")

    with ScriptedModel([[call("endless", "1"), call("buggy", "2")]]) as model:
        async with no_new_tasks():
            with anyio.fail_after(5), pytest.raises(ToolCrashed, match="'buggy'") as caught:
                await Agent(model, tools=[endless, buggy]).run("go")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert stopped.is_set()


async def test_an_unserialisable_result_ends_the_run() -> None:
    def thing() -> Any:
        """Gives what JSON has no word for."""
        return object()

    with ScriptedModel([call("thing")]) as model, pytest.raises(ToolResultError, match="thing"):
        await Agent(model, tools=[thing]).run("go")


async def test_a_tool_that_never_returns_is_given_up() -> None:
    async def endless() -> str:
        """Never returns."""
        await anyio.sleep_forever()
        raise AssertionError

    with ScriptedModel([call("endless"), "never mind"]) as model:
        async with no_new_tasks():
            result = await Agent(model, tools=[endless], tool_timeout=0.01).run("go")
    message = result.messages[2]
    assert isinstance(message, ToolMessage)
    assert message.is_error
    assert "0.01 seconds" in message.content
    assert result.output == "never mind"


async def test_a_sync_tool_that_does_not_return_is_given_up() -> None:
    released = threading.Event()

    def stuck() -> str:
        """Returns late."""
        released.wait(timeout=10)
        return ""

    with ScriptedModel([call("stuck"), "never mind"]) as model:
        with anyio.fail_after(5):
            result = await Agent(model, tools=[stuck], tool_timeout=0.01).run("go")
    released.set()
    assert result.output == "never mind"


async def test_a_tool_s_own_timeout_goes_before_the_agent_s() -> None:
    @tool(timeout=0.01)
    async def endless() -> str:
        """Never returns."""
        await anyio.sleep_forever()
        raise AssertionError

    with ScriptedModel([call("endless"), "never mind"]) as model:
        with anyio.fail_after(5):
            result = await Agent(model, tools=[endless], tool_timeout=3600).run("go")
    assert result.output == "never mind"


async def test_tool_errors_go_back_and_do_not_count_as_retries() -> None:
    def closed() -> str:
        """Is closed."""
        raise ToolError("the shop is closed")

    with ScriptedModel([call("closed")] * 5 + ["too bad"]) as model:
        result = await Agent(model, tools=[closed], retries=0).run("go")
    messages = [message for message in result.messages if isinstance(message, ToolMessage)]
    assert [message.content for message in messages] == ["the shop is closed"] * 5
    assert all(message.is_error for message in messages)


async def test_a_tool_sees_its_call_and_its_retries() -> None:
    seen: list[RunContext[str]] = []

    def pick(context: RunContext[str], n: int) -> str:
        """Picks a number."""
        seen.append(context)
        if n < 3:
            raise ModelRetry("larger")
        return "fine"

    picks = [ToolCall(f"c{n}", "pick", f'{{"n":{n}}}') for n in (1, 2, 3)]
    with ScriptedModel([*picks, "done"]) as model:
        agent = Agent(model, tools=[pick], retries=2, deps_type=str)
        result = await agent.run("go", deps="the deps")
    assert [context.retry for context in seen] == [0, 1, 2]
    assert [context.call_id for context in seen] == ["c1", "c2", "c3"]
    assert {context.tool_name for context in seen} == {"pick"}
    assert {context.deps for context in seen} == {"the deps"}
    assert {context.run_id for context in seen} == {result.run_id}
    assert [context.usage.turns for context in seen] == [1, 2, 3]
    assert seen[1].messages == result.messages[:4]


class Odd:
    """A type whose own check has a bug."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(cls.check, core_schema.int_schema())

    @classmethod
    def check(cls, value: int) -> int:
        raise LookupError("a bug in a check")


async def test_a_bug_in_a_check_of_arguments_ends_the_run_as_it_is() -> None:
    def look(n: Odd) -> str:
        """Looks."""
        return str(n)

    model = ScriptedModel([[call_add("1", 1, 2), ToolCall("2", "look", '{"n":1}')]])
    with model, pytest.raises((LookupError, ToolCrashed), match="a bug in a check"):
        await Agent(model, tools=[add, look]).run("go")


async def test_model_retry_has_an_end() -> None:
    def picky() -> str:
        """Likes nothing."""
        raise ModelRetry("not this")

    model = ScriptedModel([call("picky")] * 2)
    with model, pytest.raises(ToolRetriesExceeded, match="not this"):
        await Agent(model, tools=[picky]).run("go")


async def test_a_tool_s_own_retries_go_before_the_agent_s() -> None:
    @tool(retries=0)
    def picky() -> str:
        """Likes nothing."""
        raise ModelRetry("not this")

    with ScriptedModel([call("picky")]) as model, pytest.raises(ToolRetriesExceeded):
        await Agent(model, tools=[picky], retries=5).run("go")


async def test_good_and_bad_calls_in_one_turn() -> None:
    calls = [
        call_add("1", 1, 1),
        call("nothing", "2"),
        ToolCall("3", "add", "["),
        call_add("4", 2, 2),
    ]
    with ScriptedModel([calls, "done"]) as model:
        result = await Agent(model, tools=[add]).run("go")
    messages = [message for message in result.messages if isinstance(message, ToolMessage)]
    assert [message.call_id for message in messages] == ["1", "2", "3", "4"]
    assert [message.is_error for message in messages] == [False, True, True, False]
    assert result.usage.tool_calls == 4
