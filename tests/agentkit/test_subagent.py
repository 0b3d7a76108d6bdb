"""Agents as tools of others, agents that take over, and runs that fork."""

import anyio
import pytest

from agentkit import (
    Agent,
    ApprovalRequired,
    AssistantMessage,
    CancelToken,
    DropMiddle,
    HandedOver,
    ModelError,
    ModelSettings,
    RunCancelled,
    RunContext,
    RunFinished,
    RunStarted,
    SQLiteSessions,
    StepStarted,
    SubAgentEvent,
    SystemMessage,
    ToolCall,
    ToolCrashed,
    ToolMessage,
    UsageLimitExceeded,
    UsageLimits,
    UserMessage,
    handoff,
    tool,
)
from agentkit.messages import ModelUsage
from agentkit.models import FunctionModel, ModelRequest, ModelResponse, ScriptedModel
from agentkit.usage import Usage
from tests.agentkit.support import HangingModel, add, call_add, events_of
from tests.agentkit.test_local import local

pytestmark = pytest.mark.anyio
ASK = ToolCall("c1", "expert", '{"prompt":"1+2?"}')


def costing(answer: AssistantMessage, tokens: int) -> ModelResponse:
    return ModelResponse(answer, ModelUsage(output_tokens=tokens, forwards=1))


async def test_an_agent_as_a_tool() -> None:
    calls = AssistantMessage(tool_calls=(call_add("x", 1, 2),))
    inner = ScriptedModel([costing(calls, 5), costing(AssistantMessage("3"), 7)])
    outer = ScriptedModel(
        [costing(AssistantMessage(tool_calls=(ASK,)), 11), costing(AssistantMessage("It is 3"), 13)]
    )
    expert = Agent(inner, tools=[add], instructions="Add.", name="expert")
    agent = Agent(outer, tools=[expert.as_tool(description="Adds.")])
    with inner, outer:
        result = await agent.run("what is 1+2?")
    assert inner.requests[0].messages == (SystemMessage("Add."), UserMessage("1+2?"))
    assert outer.requests[0].tools[0].description == "Adds."
    assert result.messages[2] == ToolMessage("c1", "expert", "3")
    assert result.usage == Usage(turns=4, tool_calls=2, output_tokens=36, forwards=4)
    [sub_run] = result.sub_runs
    assert (sub_run.agent, sub_run.call_id, len(sub_run.trace)) == ("expert", "c1", 2)
    assert sum(step.usage.output_tokens for step in result.all_steps) == 36


async def test_its_events_are_told() -> None:
    with ScriptedModel(["3"]) as inner, ScriptedModel([ASK, "done"]) as outer:
        agent = Agent(outer, tools=[Agent(inner, name="expert").as_tool()])
        events = await events_of(agent)
    told = [event for event in events if isinstance(event, SubAgentEvent)]
    assert {(event.call_id, event.agent) for event in told} == {("c1", "expert")}
    assert isinstance(told[0].event, RunStarted)
    assert told[-1].event == RunFinished("3")


async def test_the_limits_hold_for_both() -> None:
    def answer(request: ModelRequest) -> ModelResponse:
        call = ASK if request.tools[0].name == "expert" else call_add("x", 1, 2)
        return costing(AssistantMessage(tool_calls=(call,)), 10)

    expert = Agent(FunctionModel(answer), tools=[add], name="expert")
    agent = Agent(FunctionModel(answer), tools=[expert.as_tool()])
    with pytest.raises(UsageLimitExceeded) as caught:
        await agent.run("go", usage_limits=UsageLimits(output_tokens=45))
    result = caught.value.messages[2]
    assert isinstance(result, ToolMessage)
    assert result.is_error
    assert "expert gave no answer: the run reached its limit output_tokens=35" in result.content


async def test_dependencies_are_handed_on() -> None:
    def whose(context: RunContext[str]) -> str:
        """Says whose."""
        return f"{context.deps} at {context.depth}"

    inner = ScriptedModel([ToolCall("x", "whose", "{}"), "done"])
    expert = Agent(inner, tools=[whose], deps_type=str, name="expert")
    agent = Agent(ScriptedModel([ASK, "done"]), tools=[expert.as_tool()], deps_type=str)
    await agent.run("go", deps="mine")
    assert inner.requests[1].messages[-1] == ToolMessage("x", "whose", "mine at 1")


async def test_depth_is_bounded() -> None:
    def answer(request: ModelRequest) -> AssistantMessage:
        last = request.messages[-1]
        if isinstance(last, ToolMessage):
            return AssistantMessage(f"({last.content})")
        return AssistantMessage(tool_calls=(ASK,))

    async def expert(context: RunContext, prompt: str) -> str:
        """Asks itself."""
        return str(await agent.as_tool(max_depth=2).function(context, prompt))

    agent = Agent(FunctionModel(answer), tools=[expert], name="expert")
    result = await agent.run("go")
    assert result.output == "(((agents may ask agents 2 deep; do it without expert)))"
    assert result.usage.turns == 6


async def test_cancelled_together() -> None:
    model, token = HangingModel(), CancelToken()
    agent = Agent(ScriptedModel([ASK]), tools=[Agent(model, name="expert").as_tool()])
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await model.spoke.wait()
                token.cancel()

            group.start_soon(stop)
            with pytest.raises(RunCancelled) as caught:
                await agent.run("go", cancel=token)
    assert model.num_open == 0
    assert caught.value.usage is not None
    assert isinstance(caught.value.messages[-1], ToolMessage)


async def test_a_broken_agent_is_a_broken_tool() -> None:
    inner = ScriptedModel([ModelError("gone")])
    agent = Agent(ScriptedModel([ASK]), tools=[Agent(inner, name="expert").as_tool()])
    with pytest.raises(ToolCrashed) as caught:
        await agent.run("go")
    assert isinstance(caught.value.__cause__, ModelError)


async def test_a_context_made_by_hand() -> None:
    context = RunContext(deps=None, run_id="", usage=Usage(), messages=())
    tool = Agent(ScriptedModel(["3"]), name="expert").as_tool()
    assert await tool.call({"prompt": "1+2?"}, context) == "3"


async def test_an_empty_question_goes_back() -> None:
    call = ToolCall("c1", "expert", '{"prompt":" "}')
    with ScriptedModel([]) as inner, ScriptedModel([call, "done"]) as outer:
        result = await Agent(outer, tools=[Agent(inner, name="expert").as_tool()]).run("go")
    assert result.messages[2] == ToolMessage("c1", "expert", "prompt: it is empty", is_error=True)


TRANSFER = ToolCall("c1", "handoff_to_clerk", "{}")


async def test_a_handoff() -> None:
    clerk_model = ScriptedModel([call_add("x", 1, 2), "3"])
    clerk = Agent(clerk_model, tools=[add], instructions="Add.", output_type=int, name="clerk")
    desk_model = ScriptedModel([TRANSFER])
    desk = Agent(desk_model, tools=[handoff(clerk)], instructions="Send on.", name="desk")
    with clerk_model, desk_model:
        events = []
        async with desk.run_stream("1+2?") as run:
            events = [event async for event in run]
    result = run.result
    assert result.output == 3  # type: ignore[comparison-overlap]
    assert result.agent == "clerk"
    assert result.usage.turns == 3
    [first, *_] = clerk_model.requests
    assert first.messages == (
        SystemMessage("Add."),
        UserMessage("1+2?"),
        AssistantMessage(tool_calls=(TRANSFER,)),
        ToolMessage("c1", "handoff_to_clerk", "clerk goes on from here."),
    )
    assert [each.name for each in first.tools] == ["add"]
    assert HandedOver("desk", "clerk", "scripted") in events
    assert [event.index for event in events if isinstance(event, StepStarted)] == [0, 1, 2]
    assert result.new_messages == result.messages[1:]


async def test_a_handoff_to_one_without_instructions() -> None:
    clerk = Agent(ScriptedModel(["hello"]), name="clerk")
    desk = Agent(ScriptedModel([TRANSFER]), tools=[handoff(clerk)], instructions="Send on.")
    result = await desk.run("hi")
    assert result.messages[0] == UserMessage("hi")
    assert result.new_messages == result.messages


async def test_agents_hand_to_and_fro_within_the_limits() -> None:
    back = ToolCall("c2", "handoff_to_desk", "{}")
    models = {"desk": ScriptedModel([TRANSFER] * 9), "clerk": ScriptedModel([back] * 9)}
    clerk: Agent = Agent(models["clerk"], name="clerk")
    desk: Agent = Agent(models["desk"], name="desk", tools=[handoff(clerk)])
    clerk_tools = [handoff(desk)]
    with clerk.override(tools=clerk_tools), pytest.raises(UsageLimitExceeded):
        await desk.run("go", usage_limits=UsageLimits(turns=7))
    assert len(models["desk"].requests) == 4


async def test_a_handoff_needs_its_dependencies() -> None:
    clerk = Agent(ScriptedModel([]), name="clerk", deps_type=str)
    desk: Agent = Agent(ScriptedModel([TRANSFER]), tools=[handoff(clerk)])
    with pytest.raises(TypeError, match="'clerk' needs dependencies"):
        await desk.run("go")


async def test_a_handoff_forgets_what_the_giver_s_instructions_took() -> None:
    transfer = AssistantMessage(tool_calls=(TRANSFER,))
    desk_model = ScriptedModel([ModelResponse(transfer, ModelUsage(input_tokens=3_000))])
    clerk_model = ScriptedModel(["hello"])
    clerk = Agent(
        clerk_model,
        instructions="Be kind.",
        compaction=DropMiddle(max_tokens=500, keep_last=1),
        name="clerk",
    )
    desk = Agent(desk_model, tools=[handoff(clerk)], instructions="x" * 12_000)
    history = (UserMessage("What is it?"), AssistantMessage("A shop.")) * 3
    result = await desk.run("hi", message_history=history)
    [seen] = [request.messages for request in clerk_model.requests]
    assert seen == result.messages[:-1]
    assert seen[1:8] == (*history, UserMessage("hi"))


async def test_a_handoff_to_tools_that_wait_needs_a_log() -> None:
    waiting = tool(add, requires_approval=True)
    clerk = Agent(ScriptedModel([call_add("x", 1, 2)]), tools=[waiting], name="clerk")
    model = ScriptedModel([TRANSFER] * 2)
    with pytest.raises(ValueError, match=r"'clerk' has tools that may wait \(add\).*sessions"):
        await Agent(model, tools=[handoff(clerk)]).run("go")
    async with SQLiteSessions(":memory:") as sessions:
        with pytest.raises(ApprovalRequired):
            await Agent(model, tools=[handoff(clerk)], sessions=sessions).run("go")


async def test_a_fork_goes_on_from_the_history() -> None:
    model = FunctionModel(lambda request: f"{len(request.messages)}")
    agent = Agent(model, instructions="Count.")
    async with agent.run_stream("one") as run:
        async for _ in run:
            pass
        forks = [run.fork(prompt) for prompt in ("two", "three")]
    for fork in forks:
        async with fork as branch:
            async for _ in branch:
                pass
        assert branch.result.messages[:3] == run.result.messages
        assert branch.result.output == "4"


async def test_a_fork_of_a_run_whose_tools_are_busy() -> None:
    started = anyio.Event()

    async def linger() -> str:
        """Never returns."""
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    model = ScriptedModel([ToolCall("c", "linger", "{}"), "forked"])
    async with Agent(model, tools=[linger]).run_stream("go") as run:
        await started.wait()
        async with run.fork("what now?") as branch:
            async for _ in branch:
                pass
    assert branch.result.output == "forked"
    result = model.requests[1].messages[2]
    assert isinstance(result, ToolMessage)
    assert "forked here" in result.content


async def test_forks_share_the_cache() -> None:
    model = local(3)
    agent = Agent(model, settings=ModelSettings(max_tokens=40))
    async with agent.run_stream("hello there, this is long enough to matter") as run:
        async for _ in run:
            pass
        fork = run.fork("go on")
    async with fork as branch:
        async for _ in branch:
            pass
    await model._engine.aclose()
    [first], [second] = run.result.trace, branch.result.trace
    shared = first.usage.input_tokens + first.usage.output_tokens - 1
    assert second.usage.cached_input_tokens >= shared
