"""Agents: construction, overrides, the ways to run, sharing."""

import gc
import threading
import weakref
from dataclasses import dataclass
from typing import assert_type

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from agentkit import (
    Agent,
    AssistantMessage,
    Message,
    RunContext,
    SystemMessage,
    ToolCall,
    ToolDefinitionError,
    ToolMessage,
    UserMessage,
    tool,
)
from agentkit.models import FunctionModel, ModelRequest, ScriptedModel, TestModel
from tests.agentkit.support import add, call_add, shout


@dataclass(frozen=True)
class Deps:
    who: str


def whose(context: RunContext[Deps]) -> str:
    """Says whose run this is."""
    return context.deps.who


def test_run_sync() -> None:
    with ScriptedModel([call_add("c1", 1, 2), "3"]) as model:
        assert Agent(model, tools=[add]).run_sync("1+2?").output == "3"


@pytest.mark.anyio
async def test_run_sync_inside_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match=r"await agent\.run"):
        Agent(ScriptedModel([])).run_sync("go")


@pytest.mark.anyio
async def test_run_sync_in_a_thread_of_an_event_loop() -> None:
    agent = Agent(ScriptedModel(["a"]))
    result = await anyio.to_thread.run_sync(agent.run_sync, "go")
    assert result.output == "a"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_blocking_tool_may_run_an_event_loop_of_its_own(backend: str) -> None:
    """Also where the outer run's loop was begun by anyio, which leaves its name in a variable."""

    def ask(question: str) -> str:
        """Asks another agent."""
        first = Agent(ScriptedModel(["a"])).run_sync(question).output
        return first + anyio.run(Agent(ScriptedModel(["b"])).run, question).output

    model = ScriptedModel([ToolCall("c1", "ask", '{"question":"what?"}'), "done"])
    result = anyio.run(Agent(model, tools=[ask]).run, "go", backend=backend)
    assert [m.content for m in result.messages if isinstance(m, ToolMessage)] == ["ab"]


def test_run_sync_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    Agent(TestModel(), tools=[add]).run_sync("go")
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
        assert not thread.is_alive(), thread.name


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt(prompt: str) -> None:
    model = ScriptedModel([])
    with pytest.raises(ValueError, match="the prompt is empty"):
        Agent(model).run_sync(prompt)
    with pytest.raises(ValueError, match="the prompt is empty"):
        Agent(model).run_stream(prompt)
    with pytest.raises(ValueError, match="the prompt is empty"):
        Agent(model).run_sync(prompt, message_history=[AssistantMessage("hello")])


def test_a_prompt_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="the prompt is int"):
        Agent(ScriptedModel([])).run_sync(3)  # type: ignore[arg-type]


def test_an_empty_prompt_goes_on_from_a_question() -> None:
    with ScriptedModel(["a"]) as model:
        result = Agent(model).run_sync(message_history=[UserMessage("q")])
    assert result.messages == (UserMessage("q"), AssistantMessage("a"))
    assert result.new_messages == (AssistantMessage("a"),)


def test_a_history_with_an_unanswered_call() -> None:
    calling = AssistantMessage(tool_calls=(call_add("c7", 1, 2),))
    history: list[Message] = [UserMessage("q"), calling]
    with pytest.raises(ValueError, match=r"no result for the call 'c7' of 'add'"):
        Agent(ScriptedModel([])).run_sync("go", message_history=history)
    # An id may come back in a later turn; its earlier result does not answer the later call.
    repeated = [*history, ToolMessage("c7", "add", "3"), calling]
    with pytest.raises(ValueError, match="c7"):
        Agent(ScriptedModel([])).run_sync("go", message_history=repeated)


def test_two_tools_with_one_name() -> None:
    @tool(name="add")
    def other() -> str:
        """Another."""
        return ""

    with pytest.raises(ToolDefinitionError, match="two tools are named 'add'"):
        Agent(ScriptedModel([]), tools=[add, other])
    with pytest.raises(ToolDefinitionError, match="two tools are named 'add'"):
        Agent(ScriptedModel([]), tools=[add]).with_tools(add)


@pytest.mark.parametrize("model", ["smollm2", None, TestModel])
def test_something_that_is_no_model(model: object) -> None:
    with pytest.raises(TypeError, match="not a model"):
        Agent(model)  # type: ignore[arg-type]


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="retries is -1"):
        Agent(TestModel(), retries=-1)
    with pytest.raises(ValueError, match="output_retries is -1"):
        Agent(TestModel(), output_retries=-1)
    with pytest.raises(ValueError, match="max_concurrent_tools is 0"):
        Agent(TestModel(), max_concurrent_tools=0)
    with pytest.raises(ValueError, match="tool_timeout is 0"):
        Agent(TestModel(), tool_timeout=0)


def test_with_tools_leaves_the_agent_alone() -> None:
    agent = Agent(TestModel(), tools=[add])
    more = agent.with_tools(shout)
    assert [tool.name for tool in agent.tools] == ["add"]
    assert [tool.name for tool in more.tools] == ["add", "shout"]


def test_an_agent_cannot_be_changed() -> None:
    agent = Agent(TestModel())
    with pytest.raises(AttributeError):
        agent.name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        agent.note = "x"  # type: ignore[attr-defined]


def test_missing_dependencies() -> None:
    agent = Agent(ScriptedModel([]), deps_type=Deps, name="triage")
    with pytest.raises(TypeError, match=r"agent 'triage' needs dependencies.*Deps"):
        agent.run_sync("go")


def instructions_of(model: ScriptedModel) -> str:
    first = model.requests[0].messages[0]
    assert isinstance(first, SystemMessage)
    return first.content


def test_instructions_from_a_function() -> None:
    def write(context: RunContext[Deps]) -> str:
        return f"Help {context.deps.who} with {context.messages[-1].content}"  # type: ignore[union-attr]

    with ScriptedModel(["a"]) as model:
        Agent(model, instructions=write, deps_type=Deps).run_sync("sums", deps=Deps("Ann"))
    assert instructions_of(model) == "Help Ann with sums"


def test_instructions_from_an_async_function() -> None:
    async def write(context: RunContext[None]) -> str:
        await anyio.lowlevel.checkpoint()
        return "Help."

    with ScriptedModel(["a"]) as model:
        Agent(model, instructions=write).run_sync("go")
    assert instructions_of(model) == "Help."


def test_override_model_tools_and_deps() -> None:
    agent = Agent(ScriptedModel([]), tools=[add], deps_type=Deps)
    model = ScriptedModel([ToolCall("c1", "whose", "{}"), "a"])
    with model, agent.override(model=model, tools=[whose], deps=Deps("test")):
        result = agent.run_sync("go", deps=Deps("real"))
    message = result.messages[2]
    assert isinstance(message, ToolMessage)
    assert message.content == "test"


def test_overrides_nest_and_end() -> None:
    agent = Agent(FunctionModel(lambda request: "own"), tools=[add])
    outer = FunctionModel(lambda request: f"outer {len(request.tools)}")
    inner = FunctionModel(lambda request: f"inner {len(request.tools)}")
    with agent.override(model=outer, tools=[]):
        with agent.override(model=inner):
            assert agent.run_sync("go").output == "inner 0"
        assert agent.run_sync("go").output == "outer 0"
        with pytest.raises(LookupError), agent.override(model=inner):
            raise LookupError
        assert agent.run_sync("go").output == "outer 0"
    assert agent.run_sync("go").output == "own"


def test_an_override_is_for_one_agent() -> None:
    one = Agent(FunctionModel(lambda request: "one"))
    two = Agent(FunctionModel(lambda request: "two"))
    with one.override(model=FunctionModel(lambda request: "other")):
        assert two.run_sync("go").output == "two"


@pytest.mark.anyio
async def test_an_override_is_for_one_task() -> None:
    agent = Agent(FunctionModel(lambda request: "own"))
    inside, checked = anyio.Event(), anyio.Event()
    outputs: list[str] = []

    async def overriding() -> None:
        with agent.override(model=FunctionModel(lambda request: "other")):
            inside.set()
            await checked.wait()
            outputs.append((await agent.run("go")).output)

    async def plain() -> None:
        await inside.wait()
        outputs.append((await agent.run("go")).output)
        checked.set()

    async with anyio.create_task_group() as group:
        group.start_soon(overriding)
        group.start_soon(plain)
    assert outputs == ["own", "other"]


@pytest.mark.anyio
async def test_an_override_is_taken_when_the_run_begins() -> None:
    agent = Agent(FunctionModel(lambda request: "own"))
    with agent.override(model=FunctionModel(lambda request: "other")):
        run = agent.run_stream("go")
    async with run:
        async for _ in run:
            pass
    assert run.result.output == "other"


@pytest.mark.anyio
async def test_concurrent_runs_of_one_agent_share_nothing() -> None:
    everyone_called = anyio.Event()
    num_calls = 0

    async def meet(context: RunContext[Deps], name: str) -> str:
        """Waits until every run has called it."""
        nonlocal num_calls
        num_calls += 1
        if num_calls == 10:
            everyone_called.set()
        await everyone_called.wait()
        return f"{name} {context.deps.who}"

    def answer(request: ModelRequest) -> str | AssistantMessage:
        last = request.messages[-1]
        if isinstance(last, ToolMessage):
            return last.content
        assert isinstance(last, UserMessage)
        return AssistantMessage(tool_calls=(ToolCall("c", "meet", f'{{"name":"{last.content}"}}'),))

    agent = Agent(FunctionModel(answer), tools=[meet], deps_type=Deps)
    outputs: dict[int, str] = {}
    run_ids: set[str] = set()

    async def one(number: int) -> None:
        result = await agent.run(f"p{number}", deps=Deps(f"d{number}"))
        outputs[number] = result.output
        run_ids.add(result.run_id)
        assert len(result.messages) == 4
        assert result.usage.turns == 2

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(one, number)
    assert outputs == {number: f"p{number} d{number}" for number in range(10)}
    assert len(run_ids) == 10


def test_nothing_keeps_an_agent_alive() -> None:
    agent = Agent(TestModel(), tools=[shout])
    with agent.override(model=TestModel(text="other")):
        assert agent.run_sync("go").output == "other"
    gone = weakref.ref(agent)
    del agent
    gc.collect()
    assert gone() is None


def test_types_are_inferred() -> None:
    """For the type checker; at run time only that these agents can be made."""
    assert_type(Agent(TestModel()), Agent[None, str])
    assert_type(Agent(TestModel(), output_type=Deps), Agent[None, Deps])
    agent = Agent(TestModel(), output_type=int, deps_type=Deps)
    assert_type(agent, Agent[Deps, int])
    assert_type(agent.run_sync("go", deps=Deps("me")).output, int)
