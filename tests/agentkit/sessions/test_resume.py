"""Runs that go on: what is told again, what is done again, what is not known."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import (
    Act,
    Agent,
    AssistantMessage,
    CallsPending,
    LogError,
    ModelError,
    ModelRetry,
    OnUnknown,
    PendingCall,
    PendingReason,
    PlanAct,
    ReplayDiverged,
    Returned,
    RunContext,
    RunEvent,
    RunPaused,
    RunStarted,
    RunState,
    RunStream,
    RunTaken,
    SessionBusy,
    Sessions,
    SQLiteSessions,
    Step,
    SystemMessage,
    Tool,
    ToolCall,
    ToolCrashed,
    ToolError,
    ToolMessage,
    UnknownOutcome,
    UnknownRun,
    UserMessage,
    tool,
)
from agentkit.cli.once import as_json
from agentkit.models import ModelResponse, ScriptedModel, TestModel
from agentkit.models.scripted import ScriptedTurn
from agentkit.sessions.log import RunLog
from agentkit.sessions.records import Answered, Began, CallBegan, CallEnded, Finished, Record
from tests.agentkit.support import HangingModel, add, call_add, shout
from tests.documents import blocks_of

pytestmark = pytest.mark.anyio
CALL = call_add("c1", 1, 2)


@pytest.fixture
async def sessions(anyio_backend: str) -> AsyncIterator[Sessions]:
    async with SQLiteSessions(":memory:") as opened:
        yield opened


class Counted:
    """Adds, and counts how often."""

    def __init__(self) -> None:
        self.num_runs = 0

    def tool(self, *, idempotent: bool = False) -> Tool:
        @tool(name="add", idempotent=idempotent)
        def counted(a: int, b: int) -> int:
            """Adds two numbers."""
            self.num_runs += 1
            return a + b

        return counted


def scripted(
    sessions: Sessions, turns: Sequence[ScriptedTurn], *tools: Any, **options: Any
) -> Agent[None, str]:
    return Agent(ScriptedModel(turns), tools=tools, sessions=sessions, **options)


async def crashed(sessions: Sessions, *records: Record, session: str | None = None) -> str:
    """A run whose process was killed after these records."""
    first = (Began("agent", "1+2?"), Answered(AssistantMessage(tool_calls=(CALL,))))
    await sessions.log.begin("run", [*first, *records], "agent", session, None)
    return "run"


async def state_of(sessions: Sessions, run_id: str) -> RunState:
    return (await sessions.log.read(run_id)).info.state


async def read(stream: RunStream[Any], events: list[RunEvent]) -> None:
    async with stream as run:
        async for event in run:
            events.append(event)


async def events_of(stream: RunStream[Any]) -> list[RunEvent]:
    events: list[RunEvent] = []
    await read(stream, events)
    return events


async def test_a_call_that_never_began_runs(sessions: Sessions) -> None:
    run_id, counted = await crashed(sessions), Counted()
    result = await scripted(sessions, ["3"], counted.tool()).resume(run_id)
    assert result.output == "3"
    assert counted.num_runs == 1


async def test_an_unknown_outcome_is_raised(sessions: Sessions) -> None:
    run_id, counted = await crashed(sessions, CallBegan(0)), Counted()
    agent = scripted(sessions, ["3"], counted.tool())
    pending = (PendingCall(CALL, PendingReason.UNKNOWN),)
    for _ in range(2):  # asking again changes nothing
        events: list[RunEvent] = []
        with pytest.raises(UnknownOutcome, match="may have taken effect") as caught:
            await read(agent.resume_stream(run_id), events)
        assert caught.value.pending == pending
        assert events[-1] == CallsPending(pending)
        assert await sessions.pending(run_id) == pending
        assert await state_of(sessions, run_id) is RunState.PAUSED
    assert counted.num_runs == 0
    result = await agent.resume(run_id, approvals={"c1": Returned(3)})
    assert result.messages[2] == ToolMessage("c1", "add", "3")
    assert counted.num_runs == 0
    assert await sessions.pending(run_id) == ()


async def test_an_unknown_outcome_is_told(sessions: Sessions) -> None:
    run_id, counted = await crashed(sessions, CallBegan(0)), Counted()
    agent = scripted(sessions, ["I shall look"], counted.tool())
    result = await agent.resume(run_id, on_unknown=OnUnknown.TELL_MODEL)
    told = result.messages[2]
    assert isinstance(told, ToolMessage)
    assert told.is_error
    assert "may have taken effect" in told.content
    assert counted.num_runs == 0
    assert await sessions.messages("none") == ()


@pytest.mark.parametrize("idempotent", [True, False])
async def test_an_unknown_outcome_is_repeated(sessions: Sessions, idempotent: bool) -> None:
    run_id, counted = await crashed(sessions, CallBegan(0)), Counted()
    agent = scripted(sessions, ["3"], counted.tool(idempotent=idempotent))
    choice = OnUnknown.RAISE if idempotent else OnUnknown.REPEAT
    result = await agent.resume(run_id, on_unknown=choice)
    assert result.messages[2] == ToolMessage("c1", "add", "3")
    assert counted.num_runs == 1


@pytest.mark.parametrize("name", ["usage_limits", "settings", "cancel", "on_unknown"])
async def test_wrong_arguments_leave_the_run_as_it_was(sessions: Sessions, name: str) -> None:
    run_id, counted = await crashed(sessions, CallBegan(0)), Counted()
    agent = scripted(sessions, ["3"], counted.tool())
    with pytest.raises(UnknownOutcome):
        await agent.resume(run_id)
    before = await sessions.log.read(run_id)
    wrong: dict[str, Any] = {name: 5}
    with pytest.raises(TypeError, match=f"{name} is 5"):
        await agent.resume(run_id, **wrong)
    assert await sessions.log.read(run_id) == before


async def test_recovery_as_documented_goes_on_past_what_waits(
    sessions: Sessions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Answered(AssistantMessage(tool_calls=(CALL,)))
    for run_id, name in (("ready", "agent"), ("unknown", "agent"), ("strange", "another")):
        begun = [CallBegan(0)] if run_id == "unknown" else []
        records = [Began(name, "1+2?"), said, *begun]
        await sessions.log.begin(run_id, records, name, None, None)
    script = tmp_path / "block.py"  # a file, because tools are described from their source
    script.write_text(blocks_of("docs/durability.md")[0].removesuffix("anyio.run(main)\n"))
    names: dict[str, Any] = {}
    exec(compile(script.read_text(), str(script), "exec"), names)
    await names["recover"](scripted(sessions, ["3"], Counted().tool()), sessions)
    states = [await state_of(sessions, each) for each in ("ready", "unknown", "strange")]
    assert states == [RunState.FINISHED, RunState.PAUSED, RunState.RUNNING]
    assert "run unknown waits for a word" in capsys.readouterr().out


async def test_a_word_to_repeat(sessions: Sessions) -> None:
    run_id, counted = await crashed(sessions, CallBegan(0)), Counted()
    agent = scripted(sessions, ["3"], counted.tool())
    await agent.resume(run_id, approvals={"c1": True})
    assert counted.num_runs == 1


async def test_a_finished_run_is_told_again(sessions: Sessions) -> None:
    counted = Counted()
    turns = [AssistantMessage("Let me.", (CALL,)), ModelResponse(AssistantMessage("3"))]
    agent = scripted(sessions, turns, counted.tool(), instructions=lambda context: "Add.")
    told = await events_of(agent.run_stream("1+2?"))
    assert isinstance(told[0], RunStarted)
    run_id = told[0].run_id
    before = await sessions.log.read(run_id)

    def changed(context: RunContext[None]) -> str:
        raise AssertionError("the log knows the instructions")

    again = scripted(sessions, [], counted.tool(), instructions=changed)
    retold = await events_of(again.resume_stream(run_id))
    assert retold[0] == replace(told[0], num_replayed_turns=2)
    assert without_seconds(retold[1:]) == without_seconds(
        event for event in told[1:] if type(event).__name__ != "ToolStarted"
    )
    assert (await again.resume(run_id)).messages[0] == SystemMessage("Add.")
    assert counted.num_runs == 1
    assert await sessions.log.read(run_id) == before


def without_seconds(events: Any) -> list[RunEvent]:
    return [replace(event, seconds=0.0) if hasattr(event, "seconds") else event for event in events]


async def test_a_failed_run_goes_on_where_it_failed(sessions: Sessions) -> None:
    counted = Counted()
    with pytest.raises(ModelError, match="away"):
        await scripted(sessions, [CALL, ModelError("away")], counted.tool()).run(
            "1+2?", session="s"
        )
    (run,) = await sessions.runs("s")
    assert run.state is RunState.FAILED
    result = await scripted(sessions, ["3"], counted.tool()).resume(run.run_id)
    assert counted.num_runs == 1
    assert await sessions.messages("s") == result.messages


async def test_a_crashed_call_has_an_unknown_outcome(sessions: Sessions) -> None:
    @tool(name="add")
    def crash(a: int, b: int) -> int:
        """Adds, nearly."""
        raise RuntimeError("boom")

    with pytest.raises(ToolCrashed):
        await scripted(sessions, [CALL], crash).run("go")
    (run,) = await sessions.runs()
    with pytest.raises(UnknownOutcome):
        await scripted(sessions, [], crash).resume(run.run_id)


async def test_a_cancelled_run_goes_on(sessions: Sessions) -> None:
    model = HangingModel()
    agent = Agent(model, sessions=sessions)
    async with agent.run_stream("hi", session="s") as run:
        await model.spoke.wait()
    assert await state_of(sessions, run.run_id) is RunState.STOPPED
    await scripted(sessions, ["instead"]).run("hi", session="t")  # other sessions are free
    result = await scripted(sessions, ["hello"]).resume(run.run_id)
    assert result.messages == (UserMessage("hi"), AssistantMessage("hello"))


class SlowLog:
    """A database that answers late, whenever a record of that kind was written."""

    def __init__(self, log: RunLog, kind: type) -> None:
        self._log, self._kind = log, kind
        self.is_writing = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, run_id: str, position: int, records: Any, state: Any) -> None:
        await self._log.append(run_id, position, records, state)
        if any(isinstance(each, self._kind) for each in records):
            self.is_writing.set()
            await anyio.sleep(0.1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio has no other way to cancel
async def test_a_run_that_has_finished_is_not_stopped_by_the_loop(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowLog(sessions._log, Finished)
    monkeypatch.setattr(sessions, "_log", slow)
    task = asyncio.create_task(scripted(sessions, ["hi"]).run("go", session="s"))
    await slow.is_writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = await sessions.runs("s")
    assert run.state is RunState.FINISHED
    assert [m.content for m in await sessions.messages("s") if isinstance(m, UserMessage)] == ["go"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio has no other way to cancel
@pytest.mark.parametrize("kind", [Answered, CallBegan, CallEnded])
async def test_the_loop_s_own_way_to_cancel_leaves_no_run_open(
    sessions: Sessions, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = scripted(sessions, [CALL, "3"], add)
    slow = SlowLog(sessions._log, kind)
    monkeypatch.setattr(sessions, "_log", slow)
    task = asyncio.create_task(agent.run("go", session="s"))
    await slow.is_writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = await sessions.runs("s")
    assert run.state is RunState.STOPPED
    result = await scripted(sessions, ["3"], tool(add, idempotent=True)).resume(run.run_id)
    assert result.output == "3"


async def test_an_error_that_no_log_can_hold_is_told(sessions: Sessions) -> None:
    @tool(name="add")
    def crash(a: int, b: int) -> int:
        """Adds, nearly."""
        raise RuntimeError("no file \udce9")

    with pytest.raises(ToolCrashed, match="no file"):
        await scripted(sessions, [CALL], crash).run("go", session="s")
    (run,) = await sessions.runs("s")
    assert run.state is RunState.FAILED


async def test_an_abandoned_run_stops_by_itself(sessions: Sessions) -> None:
    @tool(name="add")
    async def abandon(ctx: RunContext[None], a: int, b: int) -> int:
        """Gives the run up while it runs."""
        await sessions.abandon(ctx.run_id)
        return a + b

    agent = scripted(sessions, [CALL], abandon)
    with pytest.raises(RunTaken):
        await agent.run("go", session="s")
    (run,) = await sessions.runs("s")
    assert run.state is RunState.FAILED
    await sessions.abandon(run.run_id)  # an ended run stays as it is
    assert (await scripted(sessions, ["hi"]).run("next", session="s")).output == "hi"


async def test_two_owners_do_not_both_act(sessions: Sessions) -> None:
    run_id, counted = await crashed(sessions), Counted()
    outcomes: list[object] = []

    async def resume() -> None:
        try:
            result = await scripted(sessions, ["3"], counted.tool()).resume(run_id)
            outcomes.append(result.output)
        except (RunTaken, UnknownOutcome) as error:
            outcomes.append(type(error))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(resume)
    assert counted.num_runs == 1
    assert len(outcomes) == 4
    assert "3" in outcomes or UnknownOutcome in outcomes


async def test_another_agent_cannot_go_on(sessions: Sessions) -> None:
    await scripted(sessions, [CALL, "3"], add).run("go")
    (run,) = await sessions.runs()
    with pytest.raises(ReplayDiverged, match="now asked"):
        await scripted(sessions, [], add, strategy=PlanAct()).resume(run.run_id)
    longer = Agent(TestModel(), output_type=list[int], sessions=sessions)
    with pytest.raises(ReplayDiverged, match="finished, and would now go on from turn 1"):
        await longer.resume(run.run_id)


async def test_a_second_run_goes_on_with_the_conversation(sessions: Sessions) -> None:
    def turns() -> list[ScriptedTurn]:
        return [CALL, AssistantMessage("3", model="m", token_ids=(5, 6)), "again"]

    agent = scripted(sessions, turns(), add, instructions="Add.")
    first = await agent.run("1+2?", session="s")
    second = await agent.run("sure?", session="s")
    plain = Agent(ScriptedModel(turns()), tools=[add], instructions="Add.")
    expected = await plain.run("1+2?")
    expected = await plain.run("sure?", message_history=expected.messages)
    assert second.messages == expected.messages
    assert second.new_messages == expected.new_messages
    assert await sessions.messages("s") == second.messages
    assert [run.parent for run in await sessions.runs("s")] == [None, first.run_id]
    began = (await sessions.log.read(second.run_id)).records[0]
    assert isinstance(began, Began)
    assert began.history == ()  # it is in the first run's records


async def test_a_session_without_its_failures(sessions: Sessions) -> None:
    agent = scripted(sessions, ["one", ModelError("away"), "three"])
    await agent.run("first", session="s")
    with pytest.raises(ModelError):
        await agent.run("second", session="s")
    result = await agent.run("third", session="s")
    said = [message.content for message in result.messages if isinstance(message, UserMessage)]
    assert said == ["first", "third"]
    failed = (await sessions.runs("s"))[1]
    with pytest.raises(SessionBusy):
        await agent.resume(failed.run_id)
    assert await sessions.forget("s") == 3
    assert await sessions.messages("s") == ()


async def test_a_given_history_is_kept(sessions: Sessions) -> None:
    history = (SystemMessage("old"), UserMessage("x"), AssistantMessage("y"))
    for instructions in ("", "new"):
        agent = scripted(sessions, ["z"], instructions=instructions)
        result = await agent.run("go", message_history=history)
        again = await agent.resume(result.run_id)
        assert again == result
        assert again.messages[0] == SystemMessage(instructions or "old")
    follow_up = await scripted(sessions, ["well"]).run(message_history=history[:2])
    assert await scripted(sessions, []).resume(follow_up.run_id) == follow_up


async def test_what_needs_sessions() -> None:
    agent = Agent(TestModel(), tools=[tool(requires_approval=True)(shout)])
    with pytest.raises(ValueError, match="tools that may wait: shout"):
        await agent.run("go")
    with pytest.raises(ValueError, match=r"needs for session=\.\.\."):
        await Agent(TestModel()).run("go", session="s")
    with pytest.raises(ValueError, match="no sessions to resume from"):
        await Agent(TestModel()).resume("x")


async def test_what_cannot_be_resumed(sessions: Sessions) -> None:
    agent = scripted(sessions, [])
    with pytest.raises(UnknownRun):
        await agent.resume("x")
    with pytest.raises(UnknownRun):
        await sessions.abandon("x")
    with pytest.raises(ValueError, match="not both"):
        await agent.run("go", session="s", message_history=[UserMessage("x")])
    await sessions.aclose()
    with pytest.raises(LogError, match="closed"):
        await agent.run("go")


async def test_names_may_repeat_within_a_turn(sessions: Sessions) -> None:
    """Calls are told apart by their place, whatever a model calls them."""
    calls = (ToolCall("x", "add", '{"a":1,"b":1}'), ToolCall("x", "add", '{"a":2,"b":2}'))
    first = scripted(sessions, [calls, ModelError("away")], add)
    with pytest.raises(ModelError):
        await first.run("go")
    (run,) = await sessions.runs()
    result = await scripted(sessions, ["done"], add).resume(run.run_id)
    assert [m.content for m in result.messages if isinstance(m, ToolMessage)] == ["2", "4"]


async def test_errors_that_are_not_unicode_are_written_as_escapes(sessions: Sessions) -> None:
    bad, told = "only caf\udce9", "only caf\\udce9"

    def look() -> str:
        """Looks."""
        raise ToolError(bad)

    def check(context: RunContext[None], answer: str) -> str:
        if answer == "no":
            raise ModelRetry(bad)
        return answer

    turns = [ToolCall("c", "look", "{}"), "no", "yes"]
    strategy = Act(Step(review=check))
    result = await scripted(sessions, turns, look, strategy=strategy).run("go", session="s")
    assert [message.content for message in result.messages[2::2]] == [told, told]
    assert await sessions.messages("s") == result.messages
    assert await scripted(sessions, [], look, strategy=strategy).resume(result.run_id) == result
    assert as_json(result).encode()


def test_in_a_program_without_a_loop(tmp_path: object) -> None:
    sessions = SQLiteSessions(f"{tmp_path}/runs.db", fsync=False)
    agent = Agent(
        ScriptedModel([ToolCall("c", "shout", '{"text":"ho"}'), "done"]),
        tools=[tool(requires_approval=True)(shout)],
        sessions=sessions,
    )
    with pytest.raises(RunPaused) as caught:
        agent.run_sync("go", session="s")
    again = Agent(
        ScriptedModel(["done"]), tools=[tool(requires_approval=True)(shout)], sessions=sessions
    )
    result = again.resume_sync(caught.value.run_id, approvals={"c": True})
    assert result.output == "done"
    anyio.run(sessions.aclose)
