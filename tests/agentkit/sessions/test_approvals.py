"""Calls that wait for somebody, and what may be decided on them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field
from pydantic.alias_generators import to_camel

from agentkit import (
    Act,
    Agent,
    AgentError,
    ApprovalRequired,
    CallsPending,
    Decision,
    DecisionError,
    Denied,
    PendingCall,
    PendingReason,
    Plan,
    PlanAct,
    ReplayDiverged,
    ResultRequired,
    Returned,
    ReviewRequired,
    RunContext,
    RunState,
    Sessions,
    SQLiteSessions,
    Step,
    StrategyError,
    ToolCall,
    ToolCrashed,
    ToolMessage,
    UnknownOutcome,
    UserMessage,
    ask_owner,
    tool,
)
from agentkit.models import ScriptedModel
from agentkit.models.scripted import ScriptedTurn
from agentkit.sessions.records import CallApproved, CallBegan

pytestmark = pytest.mark.anyio


def call(call_id: str, name: str, path: str = "a") -> ToolCall:
    return ToolCall(call_id, name, f'{{"path":"{path}"}}')


@dataclass(slots=True)
class Desk:
    """An agent with tools that wait, and what they did."""

    sessions: Sessions
    done: list[str] = field(default_factory=list)

    def agent(self, *turns: ScriptedTurn, **options: Any) -> Agent[None, str]:
        @tool
        def read(path: str) -> str:
            """Reads."""
            self.done.append(f"read {path}")
            return f"text of {path}"

        @tool(requires_approval=True)
        def remove(path: str) -> str:
            """Removes."""
            self.done.append(f"remove {path}")
            return f"removed {path}"

        @tool(requires_approval=lambda arguments: arguments["path"].startswith("/"))
        def write(path: str) -> str:
            """Writes."""
            self.done.append(f"write {path}")
            return f"wrote {path}"

        @tool(deferred=True)
        def send(path: str) -> str:
            """Sends."""
            raise AssertionError("a deferred tool never runs")

        @tool(deferred=True, requires_approval=True)
        def publish(path: str) -> str:
            """Publishes."""
            raise AssertionError("a deferred tool never runs")

        return Agent(
            ScriptedModel(turns),
            tools=[read, remove, write, send, publish],
            sessions=self.sessions,
            **options,
        )

    async def paused(self, *calls: ToolCall) -> str:
        """The id of a run that waits after these calls."""
        with pytest.raises(AgentError) as caught:
            await self.agent(calls).run("go", session="s")
        assert isinstance(caught.value, ApprovalRequired | ResultRequired)
        return caught.value.run_id

    async def results(self, run_id: str, **approvals: Decision) -> list[ToolMessage]:
        """What the model is told once the run is resumed, by an agent made anew."""
        result = await self.agent("done").resume(run_id, approvals=approvals)
        assert result.output == "done"
        assert await self.sessions.messages("s") == result.messages
        return [message for message in result.messages if isinstance(message, ToolMessage)]


@pytest.fixture
async def desk(anyio_backend: str) -> AsyncIterator[Desk]:
    async with SQLiteSessions(":memory:") as sessions:
        yield Desk(sessions)


async def test_a_run_waits_once_the_other_calls_are_done(desk: Desk) -> None:
    calls = (call("c1", "read"), call("c2", "remove"), call("c3", "send"), call("c4", "none"))
    pending = (
        PendingCall(calls[1], PendingReason.APPROVAL),
        PendingCall(calls[2], PendingReason.RESULT),
    )
    run, events = desk.agent(calls).run_stream("go"), []

    async def read() -> None:
        async with run:
            async for event in run:
                events.append(event)

    with pytest.raises(ApprovalRequired, match="'c2' of 'remove'") as caught:
        await read()
    assert events[-1] == CallsPending(pending)
    assert caught.value.pending == pending
    assert caught.value.run_id == run.run_id
    assert await desk.sessions.pending(run.run_id) == pending
    (info,) = await desk.sessions.runs()
    assert info.state is RunState.PAUSED
    assert desk.done == ["read a"]
    approvals: dict[str, Decision] = {"c2": True, "c3": Returned("sent")}
    result = await desk.agent("done").resume(run.run_id, approvals=approvals)
    assert [m.content for m in result.messages if isinstance(m, ToolMessage)][:3] == [
        "text of a",
        "removed a",
        "sent",
    ]
    assert desk.done == ["read a", "remove a"]


@pytest.mark.parametrize(
    ("decision", "told", "is_error", "done"),
    [
        (True, "removed a", False, ["remove a"]),
        (False, "Not run: the user does not allow it", True, []),
        (Denied("too late"), "Not run: too late", True, []),
        (
            {"path": "b"},
            'Ran with other arguments: {"path":"b"}\nremoved b',
            False,
            ["remove b"],
        ),
        (Returned([1, 2]), "[1,2]", False, []),
    ],
)
async def test_every_decision(
    desk: Desk, decision: Decision, told: str, is_error: bool, done: list[str]
) -> None:
    run_id = await desk.paused(call("c1", "remove"))
    assert await desk.results(run_id, c1=decision) == [ToolMessage("c1", "remove", told, is_error)]
    assert desk.done == done


async def test_a_rule_decides_which_calls_wait(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "write", "/etc"), call("c2", "write", "etc"))
    assert desk.done == ["write etc"]
    assert [each.call.call_id for each in await desk.sessions.pending(run_id)] == ["c1"]
    await desk.results(run_id, c1=True)
    assert desk.done == ["write etc", "write /etc"]


async def test_a_rule_that_fails_is_a_bug(desk: Desk) -> None:
    @tool(requires_approval=lambda arguments: arguments["nothing"])
    def ask(path: str) -> str:
        """Asks."""
        return path

    agent = Agent(ScriptedModel([call("c1", "ask")]), tools=[ask], sessions=desk.sessions)
    with pytest.raises(ToolCrashed, match="KeyError"):
        await agent.run("go")


async def test_one_decision_after_the_other(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "remove", "x"), call("c2", "remove", "y"))
    with pytest.raises(ApprovalRequired) as caught:
        await desk.agent().resume(run_id, approvals={"c2": True})
    assert [each.call.call_id for each in caught.value.pending] == ["c1"]
    assert desk.done == ["remove y"]
    await desk.results(run_id, c1=True)
    assert desk.done == ["remove y", "remove x"]


async def test_an_approved_call_of_a_deferred_tool_waits_for_its_result(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "publish"))
    with pytest.raises(ResultRequired):
        await desk.agent().resume(run_id, approvals={"c1": True})
    assert await desk.results(run_id, c1=Returned("out")) == [ToolMessage("c1", "publish", "out")]


async def test_a_paused_run_resumed_without_a_word_waits_on(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "remove"))
    with pytest.raises(ApprovalRequired):
        await desk.agent().resume(run_id)
    assert desk.done == []


async def test_an_approval_outlives_its_process(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "remove"))
    num_records = len((await desk.sessions.log.read(run_id)).records)
    await desk.sessions.log.reopen(run_id, num_records, [CallApproved(0, '{"path":"z"}')])
    await desk.results(run_id)
    assert desk.done == ["remove z"]


@pytest.mark.parametrize(
    ("name", "approvals", "match"),
    [
        ("remove", {"c9": True}, r"no call 'c9' waits for a decision; those that do: \['c1'\]"),
        ("remove", {"c1": "yes"}, "is no decision"),
        ("remove", {"c1": None}, "is no decision"),
        ("remove", {"c1": {"path": 3}}, "path"),
        ("remove", {"c1": {"road": "b"}}, "road"),
        ("remove", {"c1": Returned(object())}, "JSON cannot carry"),
        ("remove", {"c1": {"path": object()}}, "'c1': JSON cannot carry"),
        ("remove", {"c1": {"path": "caf\udce9"}}, "'c1': JSON cannot carry"),
        ("send", {"c1": True}, r"deferred; give its result as Returned"),
    ],
)
async def test_what_cannot_be_decided(
    desk: Desk, name: str, approvals: dict[str, Any], match: str
) -> None:
    run_id = await desk.paused(call("c1", name))
    waiting = await desk.sessions.pending(run_id)
    with pytest.raises(DecisionError, match=match):
        await desk.agent().resume(run_id, approvals=approvals)
    with pytest.raises(DecisionError, match="waits for a review"):
        await desk.agent().resume(run_id, review=True)
    assert await desk.sessions.pending(run_id) == waiting
    await desk.results(run_id, c1=False)
    assert desk.done == []


async def test_a_resume_by_the_wrong_agent_changes_nothing_that_waits(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "remove"), call("c2", "remove", "b"))
    with pytest.raises(ApprovalRequired):
        await desk.agent().resume(run_id, approvals={"c2": True})
    with pytest.raises(ReplayDiverged):
        await desk.agent(strategy=PlanAct()).resume(run_id)
    (waiting,) = await desk.sessions.pending(run_id)
    assert waiting.call.call_id == "c1"
    await desk.results(run_id, c1=False)
    assert desk.done == ["remove b"]


async def test_a_tool_that_is_gone(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "remove"))
    agent = Agent(ScriptedModel(["done"]), sessions=desk.sessions)
    with pytest.raises(DecisionError, match="has no tool 'remove'"):
        await agent.resume(run_id, approvals={"c1": True})
    await agent.resume(run_id, approvals={"c1": False})


PLAN = '{"steps":["look"]}'


@pytest.mark.parametrize(
    ("decision", "turns", "steps", "said"),
    [
        (True, ["done"], ("look",), None),
        ({"steps": ["ask"]}, ["done"], ("ask",), 'Replaced by: {"steps":["ask"]}'),
        (Returned(Plan(("ask",))), ["done"], ("ask",), 'Replaced by: {"steps":["ask"]}'),
    ],
)
async def test_a_plan_waits_for_its_owner(
    desk: Desk, decision: Decision, turns: list[str], steps: tuple[str, ...], said: str | None
) -> None:
    strategy = PlanAct(review=ask_owner)
    with pytest.raises(ReviewRequired, match=r"look") as caught:
        await desk.agent(PLAN, strategy=strategy).run("go", session="s")
    assert caught.value.output == Plan(("look",))
    run_id = caught.value.run_id
    (info,) = await desk.sessions.runs()
    assert info.state is RunState.PAUSED
    agent = desk.agent(*turns, strategy=strategy)
    result = await agent.resume(run_id, review=decision)
    assert result.trace[0].output == Plan(steps)
    texts = [message.content for message in result.messages if isinstance(message, UserMessage)]
    assert [text for text in texts if text.startswith("Replaced")] == ([said] if said else [])
    assert await desk.sessions.messages("s") == result.messages
    assert await agent.resume(run_id) == result


async def test_a_plan_is_written_again(desk: Desk) -> None:
    strategy = PlanAct(review=ask_owner)
    with pytest.raises(ReviewRequired) as caught:
        await desk.agent(PLAN, strategy=strategy).run("go")
    run_id = caught.value.run_id
    better = desk.agent('{"steps":["ask"]}', "done", strategy=strategy)
    with pytest.raises(ReviewRequired) as again:
        await better.resume(run_id, review=Denied("Ask first."))
    assert again.value.output == Plan(("ask",))
    with pytest.raises(DecisionError, match="steps"):
        await better.resume(run_id, review={"steps": []})
    for bad in ({"steps": [object()]}, Returned(object())):
        with pytest.raises(DecisionError, match="review: JSON cannot carry"):
            await better.resume(run_id, review=bad)
    assert (await desk.sessions.runs())[0].state is RunState.PAUSED
    assert (await better.resume(run_id, review=True)).output == "done"


async def test_a_review_is_not_asked_twice(desk: Desk) -> None:
    asked: list[Plan] = []

    def ask(context: RunContext[None], plan: Plan) -> Plan:
        asked.append(plan)
        return Plan(("edited",))

    with pytest.raises(AgentError, match="asked for one more"):
        await desk.agent(PLAN, strategy=PlanAct(review=ask)).run("go")
    (run,) = await desk.sessions.runs()
    result = await desk.agent("done", strategy=PlanAct(review=ask)).resume(run.run_id)
    assert asked == [Plan(("look",))]
    assert result.trace[0].output == Plan(("edited",))


@dataclass(frozen=True)
class Stay:
    nights: int


class Trip(BaseModel):
    """Written by its aliases, with a number that is computed."""

    model_config = ConfigDict(alias_generator=to_camel)

    num_nights: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def price(self) -> int:
        return 90 * self.num_nights


class Parcel(BaseModel):
    """Whose alias is for writing alone."""

    weight: int = Field(serialization_alias="kg")


def edited_in_place(context: RunContext[None], trip: Trip) -> Trip:
    trip.num_nights = 5
    return trip


def of_other_types(context: RunContext[None], plan: Plan) -> Any:
    return Plan([*plan.steps])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("review", "output_type", "answer", "passed", "is_told"),
    [
        (edited_in_place, Trip, '{"numNights":2}', Trip(numNights=5), True),
        (lambda _, trip: trip, Trip, '{"numNights":2}', Trip(numNights=2), False),
        (lambda _, parcel: parcel, Parcel, '{"weight":2}', Parcel(weight=2), False),
        (of_other_types, Plan, '{"steps":["a"]}', Plan(("a",)), False),
    ],
)
async def test_a_reviewed_answer_is_told_again_as_it_passed(
    desk: Desk, review: Any, output_type: Any, answer: str, passed: Any, is_told: bool
) -> None:
    def agent(*turns: str) -> Agent[None, Any]:
        strategy = Act(Step(review=review, allow_calls=False))
        return desk.agent(*turns, strategy=strategy, output_type=output_type)

    result = await agent(answer).run("go", session="s")
    assert result.output == passed
    assert isinstance(result.messages[-1], UserMessage) is is_told
    (run,) = await desk.sessions.runs()
    assert await agent().resume(run.run_id) == result


async def test_a_review_that_gives_nothing_is_the_developer_s_fault(desk: Desk) -> None:
    strategy = PlanAct(review=lambda context, plan: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(StrategyError, match="no valid output"):
        await desk.agent(PLAN, strategy=strategy).run("go")


async def test_a_reviewed_text_has_to_be_unicode(desk: Desk) -> None:
    strategy = Act(Step(review=ask_owner))
    with pytest.raises(ReviewRequired) as caught:
        await desk.agent("hi", strategy=strategy).run("go")
    agent, run_id = desk.agent(strategy=strategy), caught.value.run_id
    with pytest.raises(DecisionError, match="review: JSON cannot carry"):
        await agent.resume(run_id, review=Returned("caf\udce9"))
    assert (await agent.resume(run_id, review=Returned("hello"))).output == "hello"


async def test_reasons_that_are_not_unicode_are_written_as_escapes(desk: Desk) -> None:
    reason, told = "no caf\udce9", "no caf\\udce9"
    run_id = await desk.paused(call("c1", "remove"))
    [result] = await desk.results(run_id, c1=Denied(reason))
    assert result.content == f"Not run: {told}"
    strategy = PlanAct(review=ask_owner)
    with pytest.raises(ReviewRequired) as caught:
        await desk.agent(PLAN, strategy=strategy).run("go")
    better = desk.agent(PLAN, "done", strategy=strategy)
    with pytest.raises(ReviewRequired):
        await better.resume(caught.value.run_id, review=Denied(reason))
    done = await better.resume(caught.value.run_id, review=True)
    assert UserMessage(told) in done.messages


async def test_an_output_function_s_outcome_that_its_owner_gives_has_its_type(desk: Desk) -> None:
    def book(nights: int) -> Stay:
        """Books."""
        raise RuntimeError("the line is dead")

    def agent(*turns: str) -> Agent[None, Any]:
        return Agent(ScriptedModel(turns), output=book, sessions=desk.sessions)

    with pytest.raises(ToolCrashed):
        await agent('{"name":"book","arguments":{"nights":2}}').run("go")
    (run,) = await desk.sessions.runs()
    with pytest.raises(DecisionError):
        await agent().resume(run.run_id, review=Returned({"nights": "two"}))
    result = await agent().resume(run.run_id, review=Returned({"nights": 2}))
    assert result.output == Stay(2)
    assert (await agent().resume(run.run_id)).output == Stay(2)


async def test_what_was_approved_and_waits_for_its_result_is_pending(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "publish"))
    with pytest.raises(ResultRequired):
        await desk.agent().resume(run_id, approvals={"c1": True})
    (waiting,) = await desk.sessions.pending(run_id)
    assert waiting == PendingCall(call("c1", "publish"), PendingReason.RESULT)


async def test_what_was_approved_and_has_an_unknown_outcome_is_pending(desk: Desk) -> None:
    run_id = await desk.paused(call("c1", "remove"))
    records = (await desk.sessions.log.read(run_id)).records
    begun = [CallApproved(0), CallBegan(0)]  # as of a process that was killed then
    await desk.sessions.log.reopen(run_id, len(records), begun)
    with pytest.raises(UnknownOutcome):
        await desk.agent().resume(run_id)
    (waiting,) = await desk.sessions.pending(run_id)
    assert waiting.reason is PendingReason.UNKNOWN


async def test_a_refused_resume_leaves_a_closed_run_closed(desk: Desk) -> None:
    with pytest.raises(AgentError, match="asked for one more"):
        await desk.agent(call("c1", "read")).run("go", session="s")
    (run,) = await desk.sessions.runs()
    assert run.state is RunState.FAILED
    with pytest.raises(ReplayDiverged):  # once the log is open
        await desk.agent(strategy=PlanAct()).resume(run.run_id)
    (run,) = await desk.sessions.runs()
    assert run.state is RunState.FAILED
    assert (await desk.agent("hello").run("hi", session="s")).output == "hello"
