"""A model of ours as the model of a pydantic-ai agent."""

from typing import Any

import anyio
import pytest

pytest.importorskip("pydantic_ai", reason="needs pydantic-ai-slim: make test-adapters")

from pydantic import BaseModel, Field
from pydantic_ai import Agent, BinaryContent, ToolOutput, capture_run_messages
from pydantic_ai.exceptions import ModelAPIError, UnsupportedSettingWarning, UserError
from pydantic_ai.messages import (
    CachePoint,
    CompactionPart,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.settings import ModelSettings

from agentkit import AssistantMessage, ModelError, SystemMessage, ToolCall, ToolMessage, UserMessage
from agentkit.adapters.pydantic_ai import PydanticAIModel
from agentkit.models import ScriptedModel
from tests.agentkit.adapters.models import USAGE, CountingModel, saying, weights
from tests.agentkit.support import HangingModel, SilentModel, call_add


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the only one that pydantic-ai runs under


pytestmark = pytest.mark.anyio


class Order(BaseModel):
    item: str = Field(max_length=5)
    pieces: int = Field(ge=1, le=9)


def adding(model: Any, **options: Any) -> Agent[None, Any]:
    agent = Agent(PydanticAIModel(model), instructions="Add.", **options)

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    return agent


async def test_tools_and_history() -> None:
    turns: list[Any] = [
        AssistantMessage("Hm.", (call_add("c1", 1, 2), call_add("c2", 3, 4))),
        saying("done"),
    ]
    with ScriptedModel(turns) as model:
        result = await adding(model).run("go", model_settings=ModelSettings(max_tokens=9, seed=3))
    first, second = model.requests
    assert first.messages == (SystemMessage("Add."), UserMessage("go"))
    assert first.settings.max_tokens == 9
    assert first.settings.seed == 3
    [tool] = first.tools
    assert (tool.name, tool.description) == ("add", "Adds two numbers.")
    assert tool.parameters["required"] == ["a", "b"]
    assert second.messages[2:] == (
        turns[0],
        ToolMessage("c1", "add", "3"),
        ToolMessage("c2", "add", "7"),
    )
    assert result.output == "done"
    assert result.usage.input_tokens == USAGE.input_tokens
    assert result.usage.cache_read_tokens == USAGE.cached_input_tokens
    assert result.usage.output_tokens == USAGE.output_tokens
    assert result.usage.details["forwards"] == USAGE.forwards


async def test_a_typed_answer_beside_tools() -> None:
    with ScriptedModel(['{"item":"tea","pieces":2}']) as model:
        result = await adding(model, output_type=Order).run("go")
    assert result.output == Order(item="tea", pieces=2)
    [request] = model.requests
    assert request.output.json_schema is not None
    assert request.output.json_schema["properties"]["pieces"]["maximum"] == 9
    assert request.allow_final
    assert [tool.name for tool in request.tools] == ["add"]


async def test_an_answer_by_tool_must_be_a_call() -> None:
    call = ToolCall("c", "final_result", '{"item":"tea","pieces":2}')
    with ScriptedModel([call]) as model:
        result = await adding(model, output_type=ToolOutput(Order)).run("go")
    assert result.output == Order(item="tea", pieces=2)
    assert not model.requests[0].allow_final
    assert [tool.name for tool in model.requests[0].tools] == ["add", "final_result"]


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [("auto", (True, True)), ("none", (False, True))],  # a run refuses "required" by itself
)
async def test_tool_choice(choice: Any, allowed: tuple[bool, bool]) -> None:
    model = ScriptedModel(["x"])
    agent = adding(model)
    await agent.run("go", model_settings=ModelSettings(tool_choice=choice))
    assert (model.requests[0].allow_calls, model.requests[0].allow_final) == allowed


async def test_without_functions_an_answer_by_tool_is_a_call_still() -> None:
    call = ToolCall("c", "final_result", '{"item":"tea","pieces":2}')
    settings = ModelSettings(tool_choice="none")
    with ScriptedModel([call]) as model:
        agent = adding(model, output_type=ToolOutput(Order))
        result = await agent.run("go", model_settings=settings)
    assert result.output == Order(item="tea", pieces=2)
    [request] = model.requests
    assert [tool.name for tool in request.tools] == ["final_result"]
    assert (request.allow_calls, request.allow_final) == (True, False)


async def test_a_model_that_tells_no_parts_is_streamed() -> None:
    said = AssistantMessage(tool_calls=(call_add("c1", 1, 2),))
    agent = adding(SilentModel([said, AssistantMessage("3")]))
    async with agent.run_stream("go") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    assert pieces == ["3"]


async def test_text_is_streamed() -> None:
    agent = adding(ScriptedModel([call_add("c1", 1, 2), "a longer answer"]))
    async with agent.run_stream("go") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert "".join(pieces) == "a longer answer"


async def test_leaving_a_stream_stops_the_model() -> None:
    model = HangingModel()
    with anyio.fail_after(5):
        async with Agent(PydanticAIModel(model)).run_stream("go") as run:
            async for _ in run.stream_text(delta=True, debounce_by=None):
                break
    assert model.num_open == 0


async def test_cancelling_a_stream_stops_the_model() -> None:
    model = CountingModel()
    num_pieces = 0
    async with Agent(PydanticAIModel(model)).run_stream("go") as run:
        async for _ in run.stream_text(delta=True, debounce_by=None):
            num_pieces += 1
            if num_pieces == 3:
                await run.cancel()
        last = run.all_messages()[-1]
    assert num_pieces == model.num_said == 3
    assert isinstance(last, ModelResponse)
    assert last.state == "interrupted"


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_weights_calls_and_answers_are_valid(seed: int) -> None:
    settings = ModelSettings(max_tokens=120, temperature=1.0, seed=seed)
    calls: list[tuple[str, int]] = []
    async with weights(seed) as model:
        agent = Agent(PydanticAIModel(model), output_type=Order, retries=0)

        @agent.tool_plain
        def order(item: str, pieces: int) -> str:
            """Orders.

            Args:
                item: what
                pieces: how many
            """
            calls.append((item, pieces))
            return "ordered"

        with capture_run_messages() as messages:
            result = await agent.run("go", model_settings=settings)
    assert isinstance(result.output, Order)
    parts = [part for message in messages for part in message.parts]
    assert len(calls) == sum(isinstance(part, ToolCallPart) for part in parts)
    assert all(part.outcome == "success" for part in parts if isinstance(part, ToolReturnPart))


async def test_a_second_run_re_uses_what_the_first_encoded() -> None:
    settings = ModelSettings(max_tokens=60)
    async with weights(3) as model:
        agent = Agent(PydanticAIModel(model))
        first = await agent.run("hi there, how are you today?", model_settings=settings)
        second = await agent.run(
            "and again?", message_history=first.all_messages(), model_settings=settings
        )
    # All but the end token of the answer is encoded by then.
    known = first.usage.input_tokens + first.usage.output_tokens - 1
    assert second.usage.cache_read_tokens >= known


async def test_errors_of_the_model() -> None:
    agent = Agent(PydanticAIModel(ScriptedModel([ModelError("no weights"), ModelError("still")])))
    with pytest.raises(ModelAPIError, match="no weights"):
        await agent.run("go")
    with pytest.raises(ModelAPIError, match="still"):
        async with agent.run_stream("go"):
            pass


async def test_errors_of_the_program_are_left_alone() -> None:
    async def stream(model: Any) -> None:
        async with Agent(PydanticAIModel(model)).run_stream("go"):
            raise ValueError("mine")

    async with weights(1) as model:
        with pytest.raises(ValueError, match=r"^mine$"):
            await stream(model)


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty", "top_k", "logit_bias"])
async def test_settings_that_cannot_be_followed(name: str) -> None:
    settings: Any = {name: {"x": 1} if name == "logit_bias" else 1}
    with pytest.raises(UserError, match=f"cannot follow {name}"):
        await Agent(PydanticAIModel(ScriptedModel(["x"]))).run("go", model_settings=settings)


async def test_settings_of_requests_are_warned_of() -> None:
    agent = Agent(PydanticAIModel(ScriptedModel(["x"])))
    with pytest.warns(UnsupportedSettingWarning, match="max_retries"):
        await agent.run("go", model_settings=ModelSettings(max_retries=3))


async def test_the_model_is_told_of_files_that_tools_return() -> None:
    kinds = ["image/png", "application/pdf", "audio/wav", "video/mp4"]
    model = ScriptedModel([ToolCall("c", "look", "{}"), "x"])
    agent = Agent(PydanticAIModel(model))

    @agent.tool_plain
    def look() -> list[Any]:
        return ["a bike", *(BinaryContent(b"x", media_type=kind) for kind in kinds)]

    await agent.run("go")
    [result] = [each for each in model.requests[1].messages if isinstance(each, ToolMessage)]
    assert "a bike" in result.content
    assert [kind for kind in kinds if kind in result.content] == kinds


async def test_other_files_that_tools_return_are_refused() -> None:
    agent = Agent(PydanticAIModel(ScriptedModel([ToolCall("c", "look", "{}"), "x"])))

    @agent.tool_plain
    def look() -> UploadedFile:
        return UploadedFile("f1", provider_name="openai", media_type="image/png")

    with pytest.raises(UserError, match="UploadedFile"):
        await agent.run("go")


async def test_cache_points_and_summaries() -> None:
    model = ScriptedModel(["x"])
    summary = ModelRequest(parts=[CompactionPart("Two teas."), UserPromptPart("Yes.")])
    await Agent(PydanticAIModel(model)).run(["a", CachePoint(), "b"], message_history=[summary])
    said = [each.content for each in model.requests[0].messages if isinstance(each, UserMessage)]
    assert len(said) == 3
    assert "summary" in said[0]
    assert "Two teas." in said[0]
    assert said[1:] == ["Yes.", "a\nb"]


async def test_what_is_no_text_is_refused() -> None:
    agent = Agent(PydanticAIModel(ScriptedModel([])))
    picture = BinaryContent(b"x", media_type="image/png")
    with pytest.raises(UserError, match="BinaryContent"):
        await agent.run(["look", picture])
