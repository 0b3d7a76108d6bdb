"""From events to a trace, by a clock that the test moves."""

from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from agentkit import (
    Agent,
    ApprovalRequired,
    ModelAnswered,
    ModelError,
    ModelUsage,
    RetryRequested,
    RunEvent,
    RunFinished,
    RunStarted,
    SQLiteSessions,
    StepFinished,
    StepKind,
    StepStarted,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolCrashed,
    ToolFinished,
    ToolStarted,
)
from agentkit.messages import AssistantMessage
from agentkit.models import ModelResponse, ScriptedModel
from agentkit.trace import Ending, ForwardPurpose, Recorder, RunTrace
from tests.agentkit.support import HangingModel, add, call_add
from tests.agentkit.trace.samples import decoding, forwards, token

CALL = ToolCall("c1", "add", '{"a":1,"b":2}')
USAGE = ModelUsage(output_tokens=3)
DECODED = decoding([token("hi")], forwards(ForwardPurpose.NEXT))  # takes 60 ms


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def recorded(*events: tuple[float, RunEvent]) -> RunTrace:
    """The trace of events at seconds after the first."""
    clock = Clock()
    recorder = Recorder(clock)
    for at, event in events:
        clock.now = 100.0 + at
        recorder.add(event)
    return recorder.trace()


async def record(agent: Agent[Any, Any], recorder: Recorder) -> None:
    with recorder:
        async with agent.run_stream("go") as run:
            async for event in run:
                recorder.add(event)


START = (0.0, RunStarted("id", "go", "tiny"))


def test_a_turn_with_a_call() -> None:
    trace = recorded(
        START,
        (1.0, StepStarted(0, StepKind.ACT)),
        (1.5, ToolCallStarted("c1", "add")),
        (2.0, ModelAnswered(0, "", (CALL,), USAGE, trace=DECODED)),
        (2.5, ToolStarted(CALL)),
        (4.0, ToolFinished(CALL, "3", False, 1.5)),
        (4.5, StepFinished(0, StepKind.ACT, "", (CALL,), USAGE)),
        (5.0, StepStarted(1, StepKind.ACT)),
        (6.0, ModelAnswered(1, "three", (), USAGE)),
        (6.5, StepFinished(1, StepKind.ANSWER, "three", (), USAGE)),
        (7.0, RunFinished("three")),
    )
    assert (trace.prompt, trace.model, trace.ending, trace.seconds) == (
        "go",
        "tiny",
        Ending.FINISHED,
        7.0,
    )
    first, second = trace.turns
    assert (first.started, first.answered, first.ended) == (1.0, 2.0, 4.5)
    assert first.decoding is DECODED
    assert first.asked == pytest.approx(2.0 - 0.06)
    [call] = first.calls
    assert (call.name, call.arguments, call.result, call.is_error) == (
        "add",
        CALL.arguments,
        "3",
        False,
    )
    assert (call.started, call.ended) == (2.5, 4.0)
    assert (second.kind, second.text, second.asked) == (StepKind.ANSWER, "three", 5.0)


def test_a_turn_that_was_broken_off_keeps_what_was_written() -> None:
    trace = recorded(
        START,
        (1.0, StepStarted(0, StepKind.ACT)),
        (1.1, TextDelta("Let me. ")),
        (1.2, ToolCallStarted("c1", "add")),
        (1.3, ToolCallDelta("c1", '{"a"')),
    )
    [turn] = trace.turns
    assert trace.ending is Ending.UNFINISHED
    assert (turn.answered, turn.text, turn.ended) == (None, 'Let me. add {"a"', trace.seconds)


def test_a_call_that_never_ended() -> None:
    trace = recorded(
        START,
        (1.0, StepStarted(0, StepKind.ACT)),
        (2.0, ModelAnswered(0, "", (CALL,), USAGE)),
        (2.0, ToolStarted(CALL)),
    )
    [call] = trace.turns[0].calls
    assert (call.started, call.ended, call.result) == (2.0, None, None)


def test_a_call_that_could_not_begin_and_a_retry() -> None:
    trace = recorded(
        START,
        (1.0, StepStarted(0, StepKind.ACT)),
        (2.0, ModelAnswered(0, "", (CALL,), USAGE)),
        (3.0, ToolFinished(CALL, "unknown", True, 0.0)),
        (3.0, StepFinished(0, StepKind.ANSWER, "", (CALL,), USAGE)),
        (3.0, RetryRequested("mend it")),
    )
    [turn] = trace.turns
    assert turn.retry == "mend it"
    assert (turn.calls[0].started, turn.calls[0].ended) == (3.0, 3.0)
    assert turn.calls[0].is_error


def test_a_trace_taken_earlier_does_not_change() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.add(RunStarted("id", "go"))
    recorder.add(StepStarted(0, StepKind.ACT))
    early = recorder.trace()
    recorder.add(ToolStarted(CALL))
    assert early.turns[0].calls == ()
    assert len(recorder.trace().turns[0].calls) == 1


def test_events_that_cannot_come_now() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="before RunStarted"):
        recorder.add(TextDelta("x"))
    recorder.add(RunStarted("id", "go"))
    with pytest.raises(ValueError, match="before StepStarted"):
        recorder.add(TextDelta("x"))
    with pytest.raises(ValueError, match="one run"):
        recorder.add(RunStarted("id", "go"))
    assert Recorder().trace().seconds == 0.0


@pytest.mark.anyio
async def test_a_run_that_finishes() -> None:
    scripted = ModelResponse(AssistantMessage("three"), USAGE, trace=DECODED)
    recorder = Recorder()
    model = ScriptedModel([call_add("c1", 1, 2), scripted])
    await record(Agent(model, tools=[add]), recorder)
    trace = recorder.trace()
    assert (trace.ending, trace.model, trace.reason) == (Ending.FINISHED, "scripted", "")
    assert [turn.kind for turn in trace.turns] == [StepKind.ACT, StepKind.ANSWER]
    assert trace.turns[0].calls[0].result == "3"
    assert trace.turns[1].decoding is DECODED
    times = [0.0]
    for turn in trace.turns:
        assert turn.answered is not None
        times += [turn.started, turn.answered, turn.ended]
    assert times == sorted(times)
    assert trace.seconds >= times[-1]


@pytest.mark.anyio
async def test_a_run_that_fails() -> None:
    def crash() -> str:
        """Never works."""
        raise ZeroDivisionError("by nought")

    recorder = Recorder()
    agent = Agent(ScriptedModel([ToolCall("c1", "crash", "{}")]), tools=[crash])
    with pytest.raises(ToolCrashed):
        await record(agent, recorder)
    trace = recorder.trace()
    assert trace.ending is Ending.FAILED
    assert "by nought" in trace.reason
    [turn] = trace.turns
    assert turn.answered is not None
    assert turn.calls[0].result is None


@pytest.mark.anyio
async def test_a_run_that_waits() -> None:
    async with SQLiteSessions(":memory:") as sessions:
        model = ScriptedModel([call_add("c1", 1, 2)])
        asking = Tool.from_function(add, requires_approval=True)
        recorder = Recorder()
        with pytest.raises(ApprovalRequired):
            await record(Agent(model, tools=[asking], sessions=sessions), recorder)
    trace = recorder.trace()
    assert (trace.ending, trace.reason) == (Ending.WAITS, "")


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_and_one_that_is_left() -> None:
    model = HangingModel()
    cancelled, left = Recorder(), Recorder()

    async with anyio.create_task_group() as group:
        group.start_soon(record, Agent(model), cancelled)
        await model.spoke.wait()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert cancelled.trace().ending is Ending.CANCELLED
    assert cancelled.trace().turns[0].text == "well"
    with left:
        async with Agent(HangingModel()).run_stream("go") as run:
            left.add(await anext(run))
    assert left.trace().ending is Ending.CANCELLED
    assert left.trace().turns == ()


def test_an_error_after_the_end_changes_nothing() -> None:
    recorder = Recorder()
    recorder.add(START[1])
    recorder.add(RunFinished("x"))
    with pytest.raises(ModelError), recorder:
        raise ModelError("late")
    assert (recorder.trace().ending, recorder.trace().reason) == (Ending.FINISHED, "")
