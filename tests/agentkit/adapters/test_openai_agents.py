"""A model of ours as the model of an agent of the OpenAI Agents SDK."""

import json
from typing import Any

import anyio
import pytest

pytest.importorskip("agents", reason="needs openai-agents: make test-adapters")

import agents
from agents.items import ToolCallItem, ToolCallOutputItem
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import ResponseTextDeltaEvent
from openai.types.shared import Reasoning
from pydantic import BaseModel, Field

from agentkit import (
    AssistantMessage,
    ModelError,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.adapters.openai_agents import OpenAIAgentsModel
from agentkit.models import ScriptedModel
from tests.agentkit.adapters.models import USAGE, saying, weights
from tests.agentkit.support import HangingModel, SilentModel, call_add

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the only one that the SDK runs under


@pytest.fixture(autouse=True)
def no_tracing() -> None:
    agents.set_tracing_disabled(True)


class Order(BaseModel):
    item: str = Field(max_length=5)
    pieces: int


@agents.function_tool
def add(a: int, b: int) -> int:
    """Adds two numbers.

    Args:
        a: one
        b: another
    """
    return a + b


def agent_on(model: Any, **options: Any) -> agents.Agent[None]:
    return agents.Agent(
        "sums", instructions="Add.", tools=[add], model=OpenAIAgentsModel(model), **options
    )


async def test_tools_and_history() -> None:
    turns: list[Any] = [
        AssistantMessage("Hm.", (call_add("c1", 1, 2), call_add("c2", 3, 4))),
        saying("done"),
    ]
    with ScriptedModel(turns) as model:
        result = await agents.Runner.run(
            agent_on(model, model_settings=agents.ModelSettings(max_tokens=9)), "go"
        )
    first, second = model.requests
    assert first.messages == (SystemMessage("Add."), UserMessage("go"))
    assert first.settings.max_tokens == 9
    [tool] = first.tools
    assert (tool.name, tool.description) == ("add", "Adds two numbers.")
    assert second.messages[2:] == (
        turns[0],
        ToolMessage("c1", "add", "3"),
        ToolMessage("c2", "add", "7"),
    )
    assert result.final_output == "done"
    usage = result.context_wrapper.usage
    assert usage.requests == 2
    assert usage.input_tokens == USAGE.input_tokens
    assert usage.input_tokens_details.cached_tokens == USAGE.cached_input_tokens
    assert usage.output_tokens == USAGE.output_tokens


async def test_a_typed_answer_beside_tools() -> None:
    with ScriptedModel(['{"item":"tea","pieces":2}']) as model:
        result = await agents.Runner.run(agent_on(model, output_type=Order), "go")
    assert result.final_output == Order(item="tea", pieces=2)
    [request] = model.requests
    assert request.output.json_schema is not None
    assert request.allow_final
    assert [tool.name for tool in request.tools] == ["add"]


async def test_handoffs_are_tools() -> None:
    other = agents.Agent("other", model=OpenAIAgentsModel(ScriptedModel(["mine now"])))
    model = ScriptedModel([ToolCall("c", "transfer_to_other", "{}")])
    result = await agents.Runner.run(agent_on(model, handoffs=[other]), "go")
    assert result.final_output == "mine now"
    assert result.last_agent is other


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [("auto", (True, True)), ("none", (False, True)), ("required", (True, False))],
)
async def test_tool_choice(choice: Any, allowed: tuple[bool, bool]) -> None:
    model = ScriptedModel([call_add("c", 1, 2) if choice == "required" else "x", "x"])
    settings = agents.ModelSettings(tool_choice=choice)
    await agents.Runner.run(agent_on(model, model_settings=settings), "go")
    assert (model.requests[0].allow_calls, model.requests[0].allow_final) == allowed


async def test_a_model_that_tells_no_parts_is_streamed() -> None:
    said = AssistantMessage(tool_calls=(call_add("c1", 1, 2),))
    run = agents.Runner.run_streamed(agent_on(SilentModel([said, AssistantMessage("3")])), "go")
    assert [event async for event in run.stream_events()]
    assert run.final_output == "3"


async def test_text_is_streamed() -> None:
    run = agents.Runner.run_streamed(
        agent_on(ScriptedModel([call_add("c1", 1, 2), saying("a longer answer")])), "go"
    )
    events = [event async for event in run.stream_events()]
    pieces = [
        event.data.delta
        for event in events
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]
    assert len(pieces) > 1
    assert "".join(pieces) == run.final_output == "a longer answer"
    assert run.context_wrapper.usage.output_tokens == USAGE.output_tokens


async def test_cancelling_a_stream_stops_the_model() -> None:
    model = HangingModel()
    run = agents.Runner.run_streamed(agent_on(model), "go")
    with anyio.fail_after(5):
        async for event in run.stream_events():
            if event.type == "raw_response_event" and isinstance(
                event.data, ResponseTextDeltaEvent
            ):
                run.cancel()
        while model.num_open:
            await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_weights_calls_and_answers_are_valid(seed: int) -> None:
    settings = agents.ModelSettings(max_tokens=120, temperature=1.0)
    async with weights(seed) as model:
        agent = agent_on(model, output_type=Order, model_settings=settings)
        result = await agents.Runner.run(agent, "go", max_turns=30)
    assert isinstance(result.final_output, Order)
    calls = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert outputs == [sum(json.loads(call.arguments).values()) for call in calls]  # type: ignore[union-attr]


async def test_a_second_run_re_uses_what_the_first_encoded() -> None:
    async with weights(3) as model:
        agent = agents.Agent("chat", model=OpenAIAgentsModel(model))
        agent.model_settings = agents.ModelSettings(max_tokens=60)
        first = await agents.Runner.run(agent, "hi there, how are you today?")
        turns: list[Any] = [*first.to_input_list(), {"role": "user", "content": "and again?"}]
        second = await agents.Runner.run(agent, turns)
    usage, again = first.context_wrapper.usage, second.context_wrapper.usage
    # All but the end token of the answer is encoded by then.
    known = usage.input_tokens + usage.output_tokens - 1
    assert again.input_tokens_details.cached_tokens >= known


async def test_errors_of_the_model() -> None:
    with pytest.raises(ModelError, match="no weights"):
        await agents.Runner.run(agent_on(ScriptedModel([ModelError("no weights")])), "go")


@pytest.mark.parametrize(
    "settings",
    [
        agents.ModelSettings(presence_penalty=0.5),
        agents.ModelSettings(parallel_tool_calls=False),
        agents.ModelSettings(tool_choice="add"),
        agents.ModelSettings(reasoning=Reasoning(effort="xhigh")),
        agents.ModelSettings(verbosity="high"),
        agents.ModelSettings(extra_args={"top_k": 3}),
        agents.ModelSettings(extra_body={"top_k": 3}),
    ],
)
async def test_settings_that_cannot_be_followed(settings: agents.ModelSettings) -> None:
    agent = agent_on(ScriptedModel([]), model_settings=settings)
    with pytest.raises(agents.UserError, match="cannot"):
        await agents.Runner.run(agent, "go")


async def test_what_nobody_set_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_DEFAULT_MODEL", raising=False)
    assert agents.models.get_default_model_settings().verbosity

    class Provider(agents.ModelProvider):
        def get_model(self, model_name: str | None) -> agents.Model:
            return OpenAIAgentsModel(ScriptedModel(["x"]))

    config = agents.RunConfig(model_provider=Provider())
    result = await agents.Runner.run(agents.Agent("a"), "go", run_config=config)
    assert result.final_output == "x"


@pytest.mark.parametrize("stop", ["!", ["!"]])
async def test_settings_that_are_followed(stop: Any) -> None:
    extra = {"seed": 3, "stop": stop, "user": None}
    settings = agents.ModelSettings(extra_args=extra, extra_body={}, parallel_tool_calls=True)
    model = ScriptedModel(["x"])
    await agents.Runner.run(agent_on(model, model_settings=settings), "go")
    assert model.requests[0].settings.seed == 3
    assert model.requests[0].settings.stop == ("!",)


@pytest.mark.parametrize("given", ["previous_response_id", "conversation_id"])
async def test_conversations_that_a_server_keeps_are_refused(given: str) -> None:
    kept: dict[str, Any] = {given: "one"}
    with pytest.raises(agents.UserError, match=given):
        await agents.Runner.run(agent_on(ScriptedModel(["x"])), "go", **kept)


async def test_prompts_that_a_server_keeps_are_refused() -> None:
    with pytest.raises(agents.UserError, match="prompt"):
        await agents.Runner.run(agent_on(ScriptedModel(["x"]), prompt={"id": "one"}), "go")


async def test_results_without_their_calls_are_refused() -> None:
    model = ScriptedModel([call_add("c1", 1, 2), "x"])
    with pytest.raises(agents.UserError, match=r"'c1'.*auto_previous_response_id"):
        await agents.Runner.run(agent_on(model), "go", auto_previous_response_id=True)


async def test_responses_have_no_id_that_a_server_would_know() -> None:
    run = agents.Runner.run_streamed(agent_on(ScriptedModel(["x"])), "go")
    async for _ in run.stream_events():
        pass
    assert [each.response_id for each in run.raw_responses] == [FAKE_RESPONSES_ID]


async def test_pictures_from_tools_are_refused() -> None:
    @agents.function_tool
    def look() -> list[Any]:
        """Looks."""
        image = agents.ToolOutputImage(image_url="data:image/png;base64,eA==")
        return [agents.ToolOutputText(text="a bike"), image]

    model = ScriptedModel([ToolCall("c", "look", "{}"), "x"])
    agent = agents.Agent("looks", tools=[look], model=OpenAIAgentsModel(model))
    with pytest.raises(ModelError, match=r"text only.*image_url"):
        await agents.Runner.run(agent, "go")


async def test_a_refusal_in_the_history_is_seen() -> None:
    refusal = {"type": "refusal", "refusal": "I won't."}
    said = {"type": "message", "role": "assistant", "id": "m", "status": "completed"}
    turns: list[Any] = [said | {"content": [refusal]}, {"role": "user", "content": "please"}]
    model = ScriptedModel(["x"])
    await agents.Runner.run(agent_on(model), turns)
    assert model.requests[0].messages[1:] == (AssistantMessage("I won't."), UserMessage("please"))


async def test_hosted_tools_and_pictures_are_refused() -> None:
    search = agents.Agent(
        "s", tools=[agents.WebSearchTool()], model=OpenAIAgentsModel(ScriptedModel([]))
    )
    with pytest.raises(agents.UserError, match="Hosted tools"):
        await agents.Runner.run(search, "go")
    picture = {"type": "input_image", "image_url": "data:image/png;base64,eA==", "detail": "auto"}
    turns: list[Any] = [{"role": "user", "content": [picture]}]
    with pytest.raises(ModelError, match="text only"):
        await agents.Runner.run(agent_on(ScriptedModel([])), turns)
