"""The models without weights."""

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from agentkit import (
    Agent,
    AssistantMessage,
    ModelError,
    ModelSettings,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models import (
    FunctionModel,
    Model,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    OutputFormat,
    ScriptedModel,
    TestModel,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolCallStart,
    ToolDefinition,
)
from decoding import Sampling
from tests.agentkit.support import add, call_add, shout

REQUEST = ModelRequest((UserMessage("go"),))


async def parts_of(model: Model, request: ModelRequest = REQUEST) -> list[ModelEvent]:
    async with model.stream(request) as stream:
        return [part async for part in stream]


@pytest.mark.anyio
async def test_a_script_is_told_in_pieces() -> None:
    message = AssistantMessage("Let me add.", (call_add("c1", 1, 2), ToolCall("c2", "go", "{}")))
    parts = await parts_of(ScriptedModel([message]))
    assert parts[-1] == ModelResponse(message)
    assert sum(isinstance(part, ModelResponse) for part in parts) == 1
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    assert len(texts) > 1
    assert "".join(texts) == message.text
    for call in message.tool_calls:
        start = parts.index(ToolCallStart(call.call_id, call.name))
        pieces = [
            part.arguments
            for part in parts[start:]
            if isinstance(part, ToolCallPart) and part.call_id == call.call_id
        ]
        assert "".join(pieces) == call.arguments
        assert parts[parts.index(ToolCallEnd(call)) - 1] == ToolCallPart(call.call_id, pieces[-1])


@pytest.mark.anyio
async def test_a_script_takes_calls_messages_responses_and_errors() -> None:
    call = call_add("c1", 1, 2)
    response = ModelResponse(AssistantMessage("x"), finish_reason="length")
    model = ScriptedModel(["text", call, [call, call], response, OSError("broken")])
    assert [(await parts_of(model))[-1] for _ in range(4)] == [
        ModelResponse(AssistantMessage("text")),
        ModelResponse(AssistantMessage(tool_calls=(call,))),
        ModelResponse(AssistantMessage(tool_calls=(call, call))),
        response,
    ]
    with pytest.raises(OSError, match="broken"):
        await parts_of(model)
    model.assert_consumed()
    assert model.requests == (REQUEST,) * 5


@pytest.mark.anyio
async def test_a_script_that_is_over() -> None:
    model = ScriptedModel(["only"])
    await parts_of(model)
    with pytest.raises(ModelError, match="the script has 1 turns and was asked for one more"):
        await parts_of(model)


def test_a_script_that_was_not_used_up() -> None:
    model = ScriptedModel(["one", "two"])
    with pytest.raises(AssertionError, match="1 of 2 scripted turns"), model:
        Agent(model).run_sync("go")


def test_an_unused_script_does_not_hide_an_error() -> None:
    with pytest.raises(LookupError), ScriptedModel(["one"]):
        raise LookupError


@pytest.mark.parametrize("turn", [[], ["text"], 3])
def test_something_that_is_no_turn(turn: Any) -> None:
    with pytest.raises(TypeError, match="no turn of a script"):
        ScriptedModel([turn])


def test_a_script_that_is_bare_text() -> None:
    with pytest.raises(TypeError, match=r"give its turns in a list: \['Hi\.'\]"):
        ScriptedModel("Hi.")


@pytest.mark.anyio
async def test_functions_sync_and_async() -> None:
    async def later(request: ModelRequest) -> AssistantMessage:
        return AssistantMessage("later")

    assert (await parts_of(FunctionModel(lambda request: "now")))[-1] == ModelResponse(
        AssistantMessage("now")
    )
    assert (await parts_of(FunctionModel(later)))[-1] == ModelResponse(AssistantMessage("later"))


@pytest.mark.anyio
async def test_a_function_that_gives_no_answer() -> None:
    with pytest.raises(TypeError, match="gave NoneType"):
        await parts_of(FunctionModel(lambda request: None))  # type: ignore[arg-type,return-value]


class Order(BaseModel):
    item: Literal["tea", "cake"]
    pieces: int
    note: str | None


def order(what: Order, urgent: bool = False) -> str:
    """Orders something."""
    return f"{what.pieces} {what.item} {urgent}"


def test_test_model_calls_every_tool_once_and_answers() -> None:
    result = Agent(TestModel(), tools=[add, shout, order]).run_sync("go")
    [calls] = [message for message in result.messages if isinstance(message, AssistantMessage)][:-1]
    answers = [message for message in result.messages if isinstance(message, ToolMessage)]
    assert [call.name for call in calls.tool_calls] == ["add", "shout", "order"]
    assert len({call.call_id for call in calls.tool_calls}) == 3
    assert not any(message.is_error for message in answers)
    assert result.output == "done"


def test_test_model_makes_typed_answers() -> None:
    result = Agent(TestModel(), output_type=Order).run_sync("go")
    assert isinstance(result.output, Order)


def test_test_model_says_the_same_every_time() -> None:
    agent = Agent(TestModel(text="fine"), tools=[order], output_type=str)
    assert agent.run_sync("go").messages == agent.run_sync("go").messages


def test_test_model_calls_again_when_the_user_speaks_again() -> None:
    agent = Agent(TestModel(), tools=[shout])
    first = agent.run_sync("go")
    second = agent.run_sync("again", message_history=first.messages)
    assert sum(isinstance(message, ToolMessage) for message in second.new_messages) == 1


def test_test_model_calls_the_tools_it_is_told_to() -> None:
    result = Agent(TestModel(call_tools=["shout"]), tools=[add, shout]).run_sync("go")
    answers = [message for message in result.messages if isinstance(message, ToolMessage)]
    assert [message.name for message in answers] == ["shout"]


@pytest.mark.anyio
async def test_test_model_keeps_to_what_the_turn_allows() -> None:
    tools = (ToolDefinition("go", "Goes.", {"type": "object", "properties": {}}),)
    no_calls = ModelRequest((UserMessage("go"),), tools, allow_calls=False)
    assert (await parts_of(TestModel(), no_calls))[-1] == ModelResponse(AssistantMessage("done"))
    called = (UserMessage("go"), AssistantMessage(tool_calls=(ToolCall("c", "go", "{}"),)))
    no_answer = ModelRequest((*called, ToolMessage("c", "go", "")), tools, allow_final=False)
    response = (await parts_of(TestModel(), no_answer))[-1]
    assert isinstance(response, ModelResponse)
    assert [call.name for call in response.message.tool_calls] == ["go"]


@pytest.mark.anyio
async def test_test_model_cannot_invent_everything() -> None:
    schema = {"type": "string", "pattern": "^[A-Z]{3}$"}
    request = ModelRequest((UserMessage("go"),), output=OutputFormat(str, schema))
    with pytest.raises(ModelError, match="FunctionModel"):
        await parts_of(TestModel(), request)


@pytest.mark.anyio
async def test_test_model_answers_json() -> None:
    request = ModelRequest((UserMessage("go"),), output=OutputFormat(int, {"type": "integer"}))
    response = (await parts_of(TestModel(), request))[-1]
    assert isinstance(response, ModelResponse)
    assert json.loads(response.message.text) == 0


@pytest.mark.parametrize(
    "model",
    [ScriptedModel([], name="me"), FunctionModel(lambda r: "", name="me"), TestModel(name="me")],
)
def test_models_have_names(model: Model) -> None:
    assert model.name == "me"


def test_a_step_s_temperature_goes_before_that_of_an_agent_s_sampling() -> None:
    given = ModelSettings(sampling=Sampling(temperature=0.7, min_p=0.1, seed=1))
    over = given.updated(ModelSettings(temperature=0.0))
    assert over.sampling == Sampling(temperature=0.0, min_p=0.1, seed=1)
    assert given.updated(ModelSettings(seed=3)).sampling == Sampling(0.7, min_p=0.1, seed=3)
    assert given.updated(ModelSettings(max_tokens=3)).sampling is given.sampling
    other = ModelSettings(temperature=0.2).updated(given)
    assert other.sampling is given.sampling
