"""A model of ours as the model of a smolagents agent."""

import json
from typing import Any

import pytest

pytest.importorskip("smolagents", reason="needs smolagents: make test-adapters")

import smolagents
from smolagents import tool

from agentkit import AssistantMessage, ModelError, SystemMessage, ToolCall, UserMessage
from agentkit.adapters.smolagents import SmolagentsModel
from agentkit.models import ScriptedModel
from tests.agentkit.adapters.models import USAGE, saying, weights_in_a_thread
from tests.agentkit.support import SilentModel, call_add


class Add(smolagents.Tool):  # type: ignore[misc]
    name = "add"
    description = "Adds two numbers."
    inputs = {  # noqa: RUF012 - how smolagents wants it
        "a": {"type": "integer", "description": "one"},
        "b": {"type": "integer", "description": "another"},
    }
    output_type = "integer"

    def forward(self, a: int, b: int) -> int:
        return a + b


@tool  # type: ignore[untyped-decorator]
def total(rows: list[Any], names: dict[str, Any], more: list[dict[str, Any] | int]) -> int:
    """Adds rows.

    Args:
        rows: what to add
        names: what they are called
        more: more of them
    """
    return len(rows) + len(names) + len(more)


class Look(smolagents.Tool):  # type: ignore[misc]
    name = "look"
    description = "Looks at a picture, and listens."
    inputs = {  # noqa: RUF012 - how smolagents wants it
        "picture": {"type": "image", "description": "what to look at"},
        "sound": {"type": "audio", "description": "what to hear", "nullable": True},
        "either": {"type": ["any", "image"], "description": "whatever there is"},
        "type": {"type": ["audio", "image", "integer"], "description": "a kind"},
    }
    output_type = "string"

    def forward(self, picture: Any, either: Any, type: Any, sound: Any = None) -> str:
        return "a bike"


QUIET = smolagents.LogLevel.OFF
GO = [{"role": "user", "content": "go"}]


def test_a_tool_calling_agent() -> None:
    turns = [call_add("c1", 1, 2), ToolCall("c2", "final_answer", '{"answer":"3"}')]
    with ScriptedModel(turns) as model:
        agent = smolagents.ToolCallingAgent(
            tools=[Add()], model=SmolagentsModel(model, max_tokens=9), verbosity_level=QUIET
        )
        assert agent.run("1+2?") == "3"
    first, second = model.requests
    assert [tool.name for tool in first.tools] == ["add", "final_answer"]
    assert first.tools[0].parameters["required"] == ["a", "b"]
    assert first.settings.max_tokens == 9
    assert first.settings.stop is None
    assert not first.allow_final
    assert isinstance(first.messages[0], SystemMessage)
    assert any("3" in m.content for m in second.messages[2:] if isinstance(m, UserMessage))


def test_a_code_agent() -> None:
    with ScriptedModel(["Thought: easy\n<code>\nfinal_answer(1 + 2)\n"]) as model:
        agent = smolagents.CodeAgent(tools=[], model=SmolagentsModel(model), verbosity_level=QUIET)
        assert agent.run("1+2?") == 3
    assert "</code>" in (model.requests[0].settings.stop or ())


def test_a_code_agent_with_structured_steps() -> None:
    with ScriptedModel(['{"thought":"easy","code":"final_answer(1 + 2)"}']) as model:
        agent = smolagents.CodeAgent(
            tools=[],
            model=SmolagentsModel(model),
            use_structured_outputs_internally=True,
            verbosity_level=QUIET,
        )
        assert agent.run("1+2?") == 3
    assert model.requests[0].settings.stop is None  # a code of "</code>" stays whole
    schema = model.requests[0].output.json_schema
    assert schema is not None
    assert schema["required"] == ["thought", "code"]


def test_types_that_only_smolagents_knows() -> None:
    model = ScriptedModel([saying("hm")])
    SmolagentsModel(model).generate(GO, tools_to_call_from=[total, Look()])
    total_tool, look = model.requests[0].tools
    properties = total_tool.parameters["properties"]
    assert properties["rows"] == {"type": "array", "items": {}, "description": "what to add"}
    assert properties["names"]["additionalProperties"] == {}
    kinds = {name: each.get("type") for name, each in look.parameters["properties"].items()}
    assert kinds == {
        "picture": "string",
        "sound": "string",
        "either": None,
        "type": ["string", "integer"],
    }
    assert look.parameters["required"] == ["picture", "either", "type"]


def test_calls_with_anything_in_them_are_valid() -> None:
    with weights_in_a_thread(1) as local:
        model = SmolagentsModel(local, max_tokens=120, temperature=1.0, seed=1)
        message = model.generate(GO, tools_to_call_from=[total, Look()])
    assert message.tool_calls
    named = {"total": {"rows", "names", "more"}, "look": {"picture", "either", "type"}}
    for call in message.tool_calls:
        assert json.loads(call.function.arguments).keys() >= named[call.function.name]


@pytest.mark.parametrize(
    ("choice", "stop"), [("required", None), ("auto", None), ("none", ("Observation:",))]
)
def test_stop_strings_hold_where_no_tool_may_be_called(
    choice: str, stop: tuple[str, ...] | None
) -> None:
    model = ScriptedModel([call_add("c", 1, 2) if choice == "required" else "hm"])
    SmolagentsModel(model).generate(
        GO, ["Observation:"], tools_to_call_from=[Add()], tool_choice=choice
    )
    assert model.requests[0].settings.stop == stop


def test_a_model_that_tells_no_parts_is_streamed() -> None:
    said = AssistantMessage("Let me.", (call_add("c1", 1, 2),))
    deltas = list(SmolagentsModel(SilentModel([said])).generate_stream(GO))
    assert "".join(delta.content or "" for delta in deltas) == "Let me."
    assert smolagents.models.agglomerate_stream_deltas(deltas).tool_calls[0].id == "c1"


def test_answers_are_streamed_and_counted() -> None:
    model = SmolagentsModel(ScriptedModel([saying("a longer answer"), saying("again")]))
    deltas = list(model.generate_stream(GO))
    pieces = [delta.content for delta in deltas if delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == "a longer answer"
    message = model.generate([{"role": "user", "content": [{"type": "text", "text": "go"}]}])
    assert message.content == "again"
    assert message.token_usage.input_tokens == USAGE.input_tokens
    assert message.token_usage.output_tokens == USAGE.output_tokens


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_weights_calls_are_valid(seed: int) -> None:
    with weights_in_a_thread(seed) as local:
        model = SmolagentsModel(local, max_tokens=120, temperature=1.0, seed=seed)
        agent = smolagents.ToolCallingAgent(
            tools=[Add()], model=model, max_steps=3, verbosity_level=QUIET
        )
        agent.run("go")
        assert local.stats().live_sequences == 0
    steps = [each for each in agent.memory.steps if isinstance(each, smolagents.ActionStep)]
    assert steps
    for step in steps[:3]:  # a fourth says that the steps are used up
        assert step.error is None
        assert step.tool_calls


def test_a_stream_that_is_left_stops_the_model() -> None:
    with weights_in_a_thread(0) as local:
        model = SmolagentsModel(local, max_tokens=1000)
        deltas: Any = model.generate_stream([{"role": "user", "content": "hi"}])
        next(deltas)
        deltas.close()
        assert local.stats().live_sequences == 0


def test_errors_of_the_model() -> None:
    model = SmolagentsModel(ScriptedModel([ModelError("no weights")]))
    with pytest.raises(ModelError, match="no weights"):
        model.generate(GO)


def test_what_cannot_be_followed() -> None:
    model = SmolagentsModel(ScriptedModel([AssistantMessage("x")]))
    with pytest.raises(ModelError, match="num_beams"):
        model.generate(GO, num_beams=3)
    with pytest.raises(ModelError, match="json_object"):
        model.generate(GO, response_format={"type": "json_object"})
