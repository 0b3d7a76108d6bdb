"""Runs of more than one agent, and runs whose model does not see all, go on as well."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from agentkit import (
    Agent,
    ApprovalRequired,
    DropMiddle,
    ModelError,
    ModelUsage,
    PlanAct,
    RunContext,
    RunState,
    Sessions,
    SQLiteSessions,
    SystemMessage,
    ToolCall,
    UserMessage,
    ask_owner,
    handoff,
    tool,
)
from agentkit.messages import AssistantMessage
from agentkit.models import FunctionModel, ModelRequest, ModelResponse, ScriptedModel
from tests.agentkit.support import add, call_add
from tests.agentkit.test_agui import check, encoded

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sessions(anyio_backend: str) -> AsyncIterator[Sessions]:
    async with SQLiteSessions(":memory:") as opened:
        yield opened


async def test_a_run_that_was_handed_over_waits_and_goes_on(sessions: Sessions) -> None:
    written: list[str] = []

    def instructions(context: RunContext[None]) -> str:
        written.append("Pay.")
        return written[-1]

    @tool(requires_approval=True)
    def pay(amount: int) -> str:
        """Pays."""
        return f"paid {amount}"

    def clerk(*turns: str | ToolCall) -> Agent[None, str]:
        cashier = Agent(
            ScriptedModel(turns), tools=[pay], instructions=instructions, name="cashier"
        )
        return Agent(
            ScriptedModel([ToolCall("c1", "handoff_to_cashier", "{}")]),
            tools=[handoff(cashier)],
            instructions="Ask the cashier.",
            sessions=sessions,
        )

    with pytest.raises(ApprovalRequired) as caught:
        await clerk(ToolCall("c2", "pay", '{"amount":5}')).run("5, please", session="s")
    run_id = caught.value.run_id
    result = await clerk("done").resume(run_id, approvals={"c2": {"amount": 4}})
    assert result.output == "done"
    assert result.messages[0] == SystemMessage("Pay.")
    assert result.new_messages == result.messages[1:]
    assert written == ["Pay."]
    assert await sessions.messages("s") == result.messages
    assert await clerk().resume(run_id) == result


async def test_an_output_function_behind_a_handoff_is_remembered(sessions: Sessions) -> None:
    made: list[int] = []

    def pay(amount: int) -> str:
        """Pays."""
        made.append(amount)
        return f"paid {amount}"

    def clerk(*turns: str) -> Agent[None, Any]:
        cashier = Agent(ScriptedModel(turns), output=pay, name="cashier")
        return Agent(
            ScriptedModel([ToolCall("c1", "handoff_to_cashier", "{}")]),
            tools=[handoff(cashier)],
            sessions=sessions,
        )

    call = '{"name":"pay","arguments":{"amount":5}}'
    result = await clerk(call).run("5, please", session="s")
    (run,) = await sessions.runs("s")
    again = await clerk().resume(run.run_id)
    assert again.output == result.output == "paid 5"
    assert made == [5]


async def test_a_session_does_not_keep_another_agent_s_instructions(sessions: Sessions) -> None:
    cashier = Agent(ScriptedModel(["paid"]), instructions="You are a cashier.", name="cashier")
    model = ScriptedModel([ToolCall("c1", "handoff_to_cashier", "{}"), "hello"])
    clerk = Agent(model, tools=[handoff(cashier)], sessions=sessions)
    first = await clerk.run("pay", session="s")
    assert first.messages[0] == SystemMessage("You are a cashier.")
    second = await clerk.run("hi", session="s")
    assert not any(isinstance(message, SystemMessage) for message in second.messages)
    assert second.messages[: len(first.messages) - 1] == first.messages[1:]
    assert await sessions.messages("s") == second.messages
    (_, run) = await sessions.runs("s")
    assert await clerk.resume(run.run_id) == second


async def test_a_history_that_is_cut_for_the_model(sessions: Sessions) -> None:
    """What the model sees is the same as in a run that was not disturbed."""

    def agent(fails_at: int, seen: list[ModelRequest]) -> Agent[None, str]:
        def answer(request: ModelRequest) -> ModelResponse:
            assert request.session in ("whole", "s")
            seen.append(replace(request, session=None))
            turn = sum(len(m.tool_calls) for m in request.messages if hasattr(m, "tool_calls"))
            text = request.messages[-1].content if request.messages else ""
            if len(seen) == fails_at:
                raise ModelError("away")
            if "done" in text or len(seen) > 20:
                return ModelResponse(AssistantMessage("end"), ModelUsage(10))
            last = int(text) if text.isdigit() else turn
            if last >= 6:
                return ModelResponse(AssistantMessage("end"), ModelUsage(200))
            return ModelResponse(
                AssistantMessage(tool_calls=(call_add(f"c{last}", last, 1),)), ModelUsage(200)
            )

        return Agent(
            FunctionModel(answer),
            tools=[add],
            compaction=DropMiddle(max_tokens=20, keep_last=1),
            sessions=sessions,
        )

    whole: list[ModelRequest] = []
    expected = await agent(0, whole).run("go", session="whole")
    assert any(
        isinstance(message, UserMessage) and "left out" in message.content
        for message in whole[-1].messages
    )
    before: list[ModelRequest] = []
    with pytest.raises(ModelError, match="away"):
        await agent(5, before).run("go", session="s")
    (run,) = await sessions.runs("s")
    after: list[ModelRequest] = []
    result = await agent(0, after).resume(run.run_id)
    assert (result.output, result.messages) == (expected.output, expected.messages)
    assert [*before[:-1], *after] == whole
    assert await sessions.messages("s") == expected.messages


async def test_what_an_asked_agent_used_up_is_kept(sessions: Sessions) -> None:
    expert = Agent(
        ScriptedModel([ModelResponse(AssistantMessage("42"), ModelUsage(7, output_tokens=3))]),
        name="expert",
    )
    ask = ToolCall("c1", "expert", '{"prompt":"why?"}')
    asking = Agent(
        ScriptedModel([ask, ModelError("away")]), tools=[expert.as_tool()], sessions=sessions
    )
    with pytest.raises(ModelError):
        await asking.run("go")
    (run,) = await sessions.runs()
    again = Agent(ScriptedModel(["so"]), tools=[expert.as_tool()], sessions=sessions)
    result = await again.resume(run.run_id)
    assert result.output == "so"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (7, 3)
    assert result.usage.turns == 3


async def test_a_fork_is_a_run_of_its_own(sessions: Sessions) -> None:
    agent = Agent(ScriptedModel(["one", "two"]), sessions=sessions)
    async with agent.run_stream("first", session="s") as run:
        events = [event async for event in run]
        async with run.fork("second") as branch:
            events += [event async for event in branch]
    assert events
    assert branch.result.output == "two"
    assert [each.state for each in await sessions.runs()] == [RunState.FINISHED] * 2
    assert await sessions.messages("s") == run.result.messages
    assert await agent.resume(branch.run_id) == branch.result


async def test_a_frontend_is_asked(sessions: Sessions) -> None:
    @tool(requires_approval=True)
    def pay(amount: int) -> str:
        """Pays."""
        return f"paid {amount}"

    call = ToolCall("c1", "pay", '{"amount":5}')
    events = await encoded(Agent(ScriptedModel([call]), tools=[pay], sessions=sessions))
    check(events)
    asked = {
        "id": "c1",
        "reason": "approval",
        "message": 'pay {"amount":5}',
        "toolCallId": "c1",
    }
    assert events[-1]["outcome"] == {"type": "interrupt", "interrupts": [asked]}
    plan = ScriptedModel(['{"steps":["look"]}'])
    reviewed = Agent(plan, strategy=PlanAct(review=ask_owner), sessions=sessions)
    asked = {"id": "review", "reason": "review", "metadata": {"output": {"steps": ["look"]}}}
    events = await encoded(reviewed)
    check(events)
    assert events[-1]["outcome"] == {"type": "interrupt", "interrupts": [asked]}
