"""Runs that are stopped from outside, models that fail, and what is left to go on from."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import (
    Act,
    Agent,
    AssistantMessage,
    Budget,
    CancelToken,
    ModelError,
    ModelFailed,
    ModelSettings,
    ModelTimeout,
    RunCancelled,
    RunEvent,
    RunInterrupted,
    RunStream,
    RunTimeout,
    Step,
    TextDelta,
    ToolCall,
    ToolMessage,
    ToolStarted,
    UsageLimitExceeded,
    UsageLimits,
    UserMessage,
)
from agentkit.messages import ModelUsage
from agentkit.models import ModelEvent, ModelRequest, ModelResponse, ScriptedModel, TextPart
from agentkit.trace import Ending, Recorder
from tests.agentkit.support import HangingModel, add, call_add, events_of, no_new_tasks
from tests.agentkit.test_compaction import check_calls
from tests.agentkit.test_local import local
from tests.agentkit.test_properties import echo, grumble, responses, texts

pytestmark = pytest.mark.anyio
Cancel = Callable[[CancelToken], Awaitable[None]]


async def from_a_task(token: CancelToken) -> None:
    token.cancel()


async def from_a_thread(token: CancelToken) -> None:
    await anyio.to_thread.run_sync(token.cancel)


async def interrupted(
    agent: Agent, token: CancelToken, when: anyio.Event, cancel: Cancel
) -> RunInterrupted:
    """Cancels a run once `when` is set, and gives its error."""
    with anyio.fail_after(30):
        async with no_new_tasks(), anyio.create_task_group() as group:

            async def stop() -> None:
                await when.wait()
                await cancel(token)

            group.start_soon(stop)
            with pytest.raises(RunCancelled, match="was cancelled") as caught:
                await agent.run("go", cancel=token)
    return caught.value


@pytest.mark.parametrize("cancel", [from_a_task, from_a_thread])
async def test_cancelled_while_the_model_speaks(cancel: Cancel) -> None:
    model = HangingModel()
    error = await interrupted(Agent(model), CancelToken(), model.spoke, cancel)
    assert model.num_open == 0
    assert error.partial_text == "well"
    assert error.messages == (UserMessage("go"),)
    with ScriptedModel(["hello"]) as other:
        result = await Agent(other).run(message_history=error.messages)
    assert result.output == "hello"


@pytest.mark.parametrize("cancel", [from_a_task, from_a_thread])
async def test_cancelled_while_tools_run(cancel: Cancel) -> None:
    waiting = anyio.Event()

    async def linger() -> str:
        """Never returns."""
        await anyio.wait_all_tasks_blocked()
        waiting.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def plus(a: int, b: int) -> int:
        """Adds."""
        return a + b

    calls = (ToolCall("c1", "linger", "{}"), ToolCall("c2", "plus", '{"a":1,"b":2}'))
    usage = ModelUsage(input_tokens=7)
    response = ModelResponse(AssistantMessage(tool_calls=calls), usage)
    agent = Agent(ScriptedModel([response]), tools=[linger, plus])
    error = await interrupted(agent, CancelToken(), waiting, cancel)
    assert error.messages == (
        UserMessage("go"),
        response.message,
        ToolMessage("c1", "linger", "not finished: the run was cancelled", is_error=True),
        ToolMessage("c2", "plus", "3"),
    )
    assert error.partial_text == ""
    assert error.usage is not None
    assert (error.usage.turns, error.usage.input_tokens, error.usage.tool_calls) == (1, 7, 2)
    with ScriptedModel(["on it goes"]) as model:
        assert (await Agent(model).run(message_history=error.messages)).output == "on it goes"


@pytest.mark.parametrize("is_async", [True, False])
async def test_once_a_run_is_cancelled_no_call_begins(is_async: bool) -> None:
    token, paid = CancelToken(), []

    async def stop() -> str:
        """Cancels the run, whose next call is about to begin."""
        token.cancel()
        return ""

    async def pay() -> str:
        """Pays, before it waits for anything."""
        paid.append("async")
        return ""

    def order() -> str:
        """Pays, in a thread."""
        paid.append("sync")
        return ""

    function = pay if is_async else order
    calls = [ToolCall("c1", "stop", "{}"), ToolCall("c2", function.__name__, "{}")]
    with pytest.raises(RunCancelled) as caught:
        await Agent(ScriptedModel([calls]), tools=[stop, function]).run("go", cancel=token)
    assert paid == []
    told = caught.value.messages[-1]
    assert isinstance(told, ToolMessage)
    assert told.content == "not finished: the run was cancelled"


async def test_a_token_that_was_cancelled_before() -> None:
    token, model = CancelToken(), ScriptedModel(["never"])
    token.cancel()
    with pytest.raises(RunCancelled):
        await Agent(model).run("go", cancel=token)
    assert token.is_cancelled


async def test_a_token_after_the_run_changes_nothing() -> None:
    token = CancelToken()
    with ScriptedModel(["a"]) as model:
        result = await Agent(model).run("go", cancel=token)
    token.cancel()
    assert result.output == "a"


async def test_one_token_stops_many_runs() -> None:
    token, models, errors = CancelToken(), [HangingModel() for _ in range(5)], []

    async def one(model: HangingModel) -> None:
        try:
            await Agent(model).run("go", cancel=token)
        except RunCancelled as error:
            errors.append(error)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for model in models:
                group.start_soon(one, model)
            for model in models:
                await model.spoke.wait()
            token.cancel()
    assert len(errors) == 5


async def from_within(token: CancelToken) -> None:
    token.cancel()


@pytest.mark.parametrize("mine", [None, "asyncio", "trio"])
def test_one_token_stops_runs_of_other_event_loops(mine: str | None) -> None:
    token, spoke, caught = CancelToken(), threading.Barrier(3), []

    class Speaks:
        name = "speaks"

        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
            yield self._parts()

        async def _parts(self) -> AsyncIterator[ModelEvent]:
            yield TextPart("well")
            spoke.wait(timeout=30)
            await anyio.sleep_forever()

    def work(backend: str) -> None:
        try:
            anyio.run(partial(Agent(Speaks()).run, "go", cancel=token), backend=backend)
        except RunCancelled as error:
            caught.append(error.partial_text)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("asyncio", "trio")]
    for thread in threads:
        thread.start()
    spoke.wait(timeout=30)
    if mine is None:
        token.cancel()
    else:
        anyio.run(from_within, token, backend=mine)
    for thread in threads:
        thread.join(timeout=30)
    assert caught == ["well", "well"]


async def test_a_stream_can_be_cancelled() -> None:
    model, shared = HangingModel(), CancelToken()
    with pytest.raises(RunCancelled) as caught, anyio.fail_after(30):
        await cancelled_at_the_first_word(Agent(model), shared)
    assert caught.value.partial_text == "well"
    assert not shared.is_cancelled
    assert model.num_open == 0


async def cancelled_at_the_first_word(agent: Agent, token: CancelToken | None = None) -> None:
    async with agent.run_stream("hi", cancel=token) as run:
        async for event in run:
            if isinstance(event, TextDelta):
                run.cancel()


def test_a_recorder_knows_a_cancelled_run() -> None:
    recorder = Recorder()
    with pytest.raises(RunCancelled), recorder:
        raise RunCancelled("stop")
    assert recorder.trace().ending is Ending.CANCELLED


async def test_the_caller_s_own_cancellation_stays_what_it_is() -> None:
    model = HangingModel()
    with anyio.move_on_after(0.02) as scope:
        await Agent(model).run("go", cancel=CancelToken(), timeout=30)
    assert scope.cancelled_caught


async def cancelled_at(agent: Agent, place: int) -> RunInterrupted | None:
    """Cancels a run when its event number `place` is read; None where it was over by then."""
    try:
        async with agent.run_stream("go") as run:
            async for number, event in numbered(run):
                if number == place:
                    run.cancel()
                if isinstance(event, ToolStarted):
                    await anyio.lowlevel.checkpoint()
    except RunCancelled as error:
        return error
    return None


async def numbered(run: RunStream) -> AsyncIterator[tuple[int, RunEvent]]:
    number = 0
    async for event in run:
        yield number, event
        number += 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(st.lists(responses(texts), max_size=4), st.integers(0, 40))
@settings(max_examples=25)
def test_wherever_a_run_is_cancelled_another_goes_on_from_it(
    backend: str, script: list[ModelResponse], place: int
) -> None:
    agent = Agent(ScriptedModel([*script, "end"]), tools=[echo, grumble], retries=9)
    error = anyio.run(cancelled_at, agent, place, backend=backend)
    if error is None:
        return
    check_calls(error.messages)
    assert error.messages[0] == UserMessage("go")
    assert error.usage is not None
    assert error.usage.turns == sum(isinstance(m, AssistantMessage) for m in error.messages)
    with ScriptedModel(["on it goes"]) as model:
        result = Agent(model).run_sync("well?", message_history=error.messages)
    assert result.messages[: len(error.messages)] == error.messages


async def test_a_run_that_takes_too_long() -> None:
    model = HangingModel()
    with pytest.raises(RunTimeout, match=r"timeout of 0\.05 seconds") as caught:
        await Agent(model).run("go", timeout=0.05)
    assert caught.value.partial_text == "well"
    assert caught.value.messages == (UserMessage("go"),)
    assert model.num_open == 0


def test_seconds_are_above_zero() -> None:
    with pytest.raises(ValueError, match="timeout is 0"):
        Agent(ScriptedModel([])).run_sync("go", timeout=0)
    with pytest.raises(ValueError, match="model_timeout is 0"):
        Agent(ScriptedModel([]), model_timeout=0)
    with pytest.raises(ValueError, match="model_retries is -1"):
        Agent(ScriptedModel([]), model_retries=-1)


async def test_an_answer_that_takes_too_long_is_not_asked_for_again_once_it_began() -> None:
    model = HangingModel()
    with pytest.raises(ModelTimeout, match="'hanging' did not answer within"):
        await Agent(model, model_timeout=0.05).run("go")
    assert model.num_open == 0


async def test_a_step_has_its_own_time() -> None:
    strategy = Act(Step(budget=Budget(seconds=0.05)))
    with pytest.raises(ModelTimeout, match=r"0\.05"):
        await Agent(HangingModel(), strategy=strategy, model_timeout=30).run("go")


def busy(retry_after: float = 0.0) -> ModelError:
    return ModelError("busy", retryable=True, retry_after=retry_after)


@given(st.integers(0, 4), st.integers(0, 3))
@settings(max_examples=20)
def test_a_failing_model_is_asked_again_so_often(failures: int, retries: int) -> None:
    model = ScriptedModel([*[busy()] * failures, "there"])
    agent = Agent(model, model_retries=retries)
    if failures <= retries:
        result = agent.run_sync("go")
        assert (result.output, result.usage.turns) == ("there", 1)
    else:
        with pytest.raises(ModelError, match="busy"):
            agent.run_sync("go")
    assert len(model.requests) == min(failures, retries) + 1


async def test_retries_are_told() -> None:
    with ScriptedModel([busy(), busy(), "there"]) as model:
        events = await events_of(Agent(model))
    failed = [event for event in events if isinstance(event, ModelFailed)]
    assert failed == [ModelFailed(0, 1, "busy"), ModelFailed(0, 2, "busy")]


async def test_without_a_wish_of_the_model_s_the_pauses_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("agentkit.listener.sleep", sleep)
    failure = ModelError("busy", retryable=True)
    with ScriptedModel([failure, failure, failure, busy(7.0), "there"]) as model:
        await Agent(model, model_retries=4).run("go")
    assert pauses == [0.25, 0.5, 1.0, 7.0]


async def test_what_will_not_pass_is_not_tried_again() -> None:
    with ScriptedModel([ModelError("no such model")]) as model, pytest.raises(ModelError):
        await Agent(model).run("go")


class SpeaksThenFails:
    name = "speaks"
    num_asked = 0

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        self.num_asked += 1
        yield self._parts()

    async def _parts(self) -> AsyncIterator[ModelEvent]:
        yield TextPart("well")
        raise busy()


async def test_what_was_told_is_not_told_twice() -> None:
    model = SpeaksThenFails()
    with pytest.raises(ModelError):
        await Agent(model).run("go")
    assert model.num_asked == 1


async def test_seconds_in_the_model_are_limited() -> None:
    slow = ModelResponse(AssistantMessage(tool_calls=(call_add("1", 1, 1),)), ModelUsage(seconds=3))
    with ScriptedModel([slow, slow]) as model, pytest.raises(UsageLimitExceeded) as caught:
        await Agent(model, tools=[add]).run("go", usage_limits=UsageLimits(seconds=5))
    assert caught.value.limit == "seconds"


async def test_cancelling_a_local_model_gives_everything_back() -> None:
    model = local(2)
    agent = Agent(model, settings=ModelSettings(max_tokens=1500))
    with pytest.raises(RunCancelled) as caught:
        await cancelled_at_the_first_word(agent)
    stats = model.stats()
    assert (stats.live_sequences, stats.waiting_requests) == (0, 0)
    result = await agent.run(
        message_history=caught.value.messages, settings=ModelSettings(max_tokens=5)
    )
    await model._engine.aclose()
    assert result.output
