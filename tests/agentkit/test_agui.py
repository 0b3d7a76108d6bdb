"""AG-UI events: of the protocol's form, and each thing that is opened is closed."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agentkit import (
    Agent,
    AgentError,
    ApprovalRequired,
    AssistantMessage,
    LogError,
    ModelError,
    ModelUsage,
    OutputCall,
    PartialOutput,
    PendingCall,
    PendingReason,
    PlanActReflect,
    ReviewRequired,
    RunCancelled,
    RunEvent,
    RunStarted,
    SQLiteSessions,
    ToolCall,
    ToolCrashed,
    ToolResultError,
    UnknownOutput,
    UsageLimits,
    handoff,
    tool,
)
from agentkit.agui import AgUiEncoder, AgUiEvent
from agentkit.models import ModelResponse, ScriptedModel
from tests.agentkit.support import add, call_add
from tests.agentkit.test_properties import echo, grumble, responses, texts

ACCEPT = '{"decision":"accept"}'


async def encoded(agent: Agent[Any, Any]) -> list[AgUiEvent]:
    encoder = AgUiEncoder("thread")
    events: list[AgUiEvent] = []
    async with agent.run_stream("go", usage_limits=UsageLimits(turns=6)) as run:
        try:
            async for event in run:
                events += encoder.encode(event)
        except AgentError as error:
            events += encoder.failed(error)
    return events


def check(events: list[AgUiEvent]) -> None:
    """Runs, steps, messages and calls nest as the protocol wants them."""
    assert events[0]["type"] == "RUN_STARTED"
    assert [e["type"] for e in events if e["type"] in ("RUN_FINISHED", "RUN_ERROR")] == [
        events[-1]["type"]
    ]
    is_open: set[tuple[str, str]] = set()
    for event in events:
        kind, _, part = event["type"].rpartition("_")
        place = (kind, event.get("messageId") or event.get("stepName") or event.get("toolCallId"))
        if kind.startswith(("TEXT_MESSAGE", "REASONING")):
            place = (kind, event["messageId"])
        elif kind == "TOOL_CALL":
            place = (kind, event["toolCallId"])
        match part:
            case "START" | "STARTED" if kind != "RUN":
                assert place not in is_open
                is_open.add(place)
            case "CONTENT" | "ARGS":
                assert place in is_open
            case "END" | "FINISHED" if kind != "RUN":
                is_open.remove(place)
            case "RESULT":
                assert place not in is_open
    assert is_open == set()


@given(st.lists(responses(texts), max_size=5))
@settings(max_examples=20)
def test_whatever_happens_all_that_opens_is_closed(script: list[ModelResponse]) -> None:
    agent = Agent(ScriptedModel(script), tools=[echo, grumble], retries=2)
    check(anyio.run(encoded, agent))


@dataclass
class Total:
    value: int


def everything() -> Agent[None, Total]:
    script = ['{"steps":["add"]}', call_add("c1", 1, 2), "three", '{"value":3}', ACCEPT]
    return Agent(ScriptedModel(script), tools=[add], output_type=Total, strategy=PlanActReflect())


def asking(answers: list[str]) -> Agent[None, str]:
    """An agent that asks another one, which fails where it has no answers."""
    expert = Agent(ScriptedModel(answers or ["no", "no"]), name="expert", output_type=int)
    call = ToolCall("c1", "expert", '{"prompt":"1+2?"}')
    return Agent(ScriptedModel([call, "done"]), tools=[expert.as_tool()])


@pytest.mark.anyio
@pytest.mark.parametrize(("answers", "end"), [(["3"], "SUBAGENT_FINISHED"), ([], "SUBAGENT_ERROR")])
async def test_the_events_of_an_agent_under_the_run(answers: list[str], end: str) -> None:
    events = await encoded(asking(answers))
    check([event for event in events if "subagentRunId" not in event])
    under = [event for event in events if "subagentRunId" in event]
    assert len({event["subagentRunId"] for event in under}) == 1
    assert under[0]["type"] == "SUBAGENT_STARTED"
    assert (under[0]["name"], under[0]["parentToolCallId"]) == ("expert", "c1")
    assert [event["type"] for event in under].count(end) == 1
    assert under[-1]["type"] == end


@pytest.mark.anyio
async def test_agents_under_agents_name_their_parents() -> None:
    call = ToolCall("c2", "agent", '{"prompt":"1+2?"}')
    middle = asking(["3"])
    outer = Agent(ScriptedModel([call, "done"]), tools=[middle.as_tool()])
    started = [each for each in await encoded(outer) if each["type"] == "SUBAGENT_STARTED"]
    assert [each["name"] for each in started] == ["agent", "expert"]
    assert "parentSubagentRunId" not in started[0]
    assert started[1]["parentSubagentRunId"] == started[0]["subagentRunId"]


@pytest.mark.anyio
async def test_events_are_json_whatever_is_no_number() -> None:
    def measured() -> list[float]:
        """Measures."""
        return [math.nan, math.inf, -math.inf, 0.5]

    called = '{"name":"measured","arguments":{}}'
    events = await encoded(Agent(ScriptedModel([called]), output=measured))
    assert events[-1]["result"] == ["NaN", "Infinity", "-Infinity", 0.5]
    told = PartialOutput(0, {"value": math.nan}, ())
    json.dumps([*events, *AgUiEncoder("thread").encode(told)], allow_nan=False)


@pytest.mark.anyio
async def test_every_kind_of_event() -> None:
    events = await encoded(everything())
    check(events)
    kinds = [event["type"] for event in events]
    assert kinds[:4] == [
        "RUN_STARTED",
        "STEP_STARTED",
        "REASONING_START",
        "REASONING_MESSAGE_START",
    ]
    for kind in ("TOOL_CALL_RESULT", "STATE_SNAPSHOT", "TEXT_MESSAGE_CONTENT", "CUSTOM"):
        assert kind in kinds
    activities = [event for event in events if event["type"] == "ACTIVITY_SNAPSHOT"]
    assert [event["activityType"] for event in activities] == ["PLAN", "REFLECTION"]
    assert activities[0]["content"] == {"steps": ["add"]}
    assert events[-1]["result"] == {"value": 3}
    [written] = [
        "".join(
            event["delta"]
            for event in events
            if event["type"] == "TEXT_MESSAGE_CONTENT" and event["messageId"].endswith("-3")
        )
    ]
    assert written == '{"value":3}'


@pytest.mark.anyio
async def test_the_protocol_s_own_models_take_them() -> None:
    events = pytest.importorskip("ag_ui.core.events", reason="needs ag-ui-protocol")
    adapter: Any = TypeAdapter(events.Event)
    failing = Agent(ScriptedModel(["hm", "hm"]), output_type=Total)
    agents = [everything(), failing, asking(["3"]), asking([])]
    told = [event for agent in agents for event in await encoded(agent)]
    call = OutputCall("pay", {"amount": 5})
    ends = [
        ApprovalRequired("run", [PendingCall(call_add("c1", 1, 2), PendingReason.APPROVAL)]),
        ReviewRequired("run", call),
        UnknownOutput("run", call),
        RunCancelled("stopped"),
    ]
    for end in ends:
        told += AgUiEncoder("thread", "run").failed(end)
    for event in told:
        assert adapter.validate_python(event).model_extra == {}  # no name it does not know


def test_an_output_of_unknown_outcome_waits_for_a_review() -> None:
    call = OutputCall("pay", {"amount": 5})
    [*_, event] = AgUiEncoder("thread").failed(UnknownOutput("run", call))
    shown = {"name": "pay", "arguments": {"amount": 5}}
    asked = {"id": "review", "reason": "unknown", "metadata": {"output": shown}}
    assert event["outcome"] == {"type": "interrupt", "interrupts": [asked]}


@pytest.mark.anyio
async def test_an_output_of_bytes_that_are_no_text() -> None:
    def draw(size: int) -> bytes:
        """Draws an image."""
        return b"\x89PNG" * size

    agent = Agent(ScriptedModel(['{"name":"draw","arguments":{"size":1}}']), output=draw)
    events = await encoded(agent)
    check(events)
    assert (events[-1]["type"], events[-1]["result"]) == ("RUN_FINISHED", str(b"\x89PNG"))


def test_the_table_has_every_event() -> None:
    page = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text(encoding="utf-8")
    for event in get_args(RunEvent):
        assert page.count(f"\n| `{event.__name__}` | ") == 1


def test_the_frontend_may_name_the_run() -> None:
    [event] = AgUiEncoder("thread", "theirs").encode(RunStarted("ours", "go"))
    assert (event["threadId"], event["runId"]) == ("thread", "theirs")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("secret"),
        ToolCrashed("pay", KeyError("secret")),
        ToolResultError("pay", object(), "secret"),
        LogError("the driver says: secret"),
    ],
)
def test_what_went_wrong_inside_is_not_told(error: Exception) -> None:
    [*_, event] = AgUiEncoder("thread").failed(error)
    code = type(error).__name__
    assert event == {"type": "RUN_ERROR", "message": "internal error", "code": code}


@pytest.mark.parametrize("error", [RunCancelled("stopped"), KeyError("x"), ModelError("away")])
def test_a_run_that_ends_before_it_began_begins(error: Exception) -> None:
    events = AgUiEncoder("thread", "run").failed(error)
    check(events)
    assert all(event.get("runId") in ("run", None) for event in events)


def costly(*answers: str | ToolCall, name: str) -> ScriptedModel:
    """Each answer costs 5 tokens in and 2 out."""
    usage = ModelUsage(input_tokens=5, output_tokens=2)
    messages = [
        AssistantMessage(each) if isinstance(each, str) else AssistantMessage(tool_calls=(each,))
        for each in answers
    ]
    return ScriptedModel([ModelResponse(each, usage) for each in messages], name=name)


@pytest.mark.anyio
async def test_usage_is_told_for_each_model() -> None:
    expert = Agent(costly("3", name="small"), name="expert")
    ask = ToolCall("c2", "expert", '{"prompt":"1+2?"}')
    clerk = Agent(costly(ask, "3", name="large"), tools=[expert.as_tool()], name="clerk")
    desk_model = costly(ToolCall("c1", "handoff_to_clerk", "{}"), name="small")
    events = await encoded(Agent(desk_model, tools=[handoff(clerk)]))
    check([event for event in events if "subagentRunId" not in event])
    told = [(each["model"], each["totalTokens"]) for each in events[-1]["usage"]]
    assert told == [("small", 14), ("large", 14)]


@pytest.mark.anyio
async def test_usage_of_a_resumed_run_is_its_own() -> None:
    def agent(*answers: str | ToolCall) -> Agent[None, str]:
        model = costly(*answers, name="m")
        return Agent(model, tools=[tool(requires_approval=True)(add)], sessions=sessions)

    async with SQLiteSessions(":memory:") as sessions:
        first = await encoded(agent(call_add("c1", 1, 2)))
        assert first[-1]["usage"][0]["totalTokens"] == 7
        [run] = await sessions.runs()
        encoder, events = AgUiEncoder("thread"), []
        async with agent("3").resume_stream(run.run_id, approvals={"c1": True}) as resumed:
            async for event in resumed:
                events += encoder.encode(event)
    check(events)
    assert events[-1]["usage"][0]["totalTokens"] == 7
