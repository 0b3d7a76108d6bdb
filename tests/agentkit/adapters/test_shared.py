"""What the adapters share: histories as chat completions, remembered answers, closed schemas."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentkit import (
    AssistantMessage,
    ModelError,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.adapters.answers import Answers
from agentkit.adapters.chat import definition, messages_of
from agentkit.messages import Message
from agentkit.models import ModelRequest
from agentkit.models.chat_completions import Wire, request_body

CALL = ToolCall("c1", "add", '{"a":1,"b":2}')
TEXT = st.text(max_size=5)
ANSWERS = st.builds(
    AssistantMessage,
    TEXT,
    st.lists(
        st.builds(
            ToolCall,
            st.uuids().map(str),
            st.sampled_from(["add", "go"]),
            st.dictionaries(TEXT, st.integers(), max_size=2).map(json.dumps),
        ),
        max_size=2,
    ).map(tuple),
)


@given(st.lists(st.one_of(st.builds(SystemMessage, TEXT), st.builds(UserMessage, TEXT), ANSWERS)))
def test_a_history_survives_the_way_through_chat_completions(history: list[Any]) -> None:
    results = [
        ToolMessage(call.call_id, call.name, "done")
        for message in history
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls
    ]
    request = ModelRequest((*history, *results))
    assert messages_of(request_body(Wire("m"), request)["messages"]) == list(request.messages)


def test_what_is_no_text_or_role_is_refused() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages_of([{"role": "user", "content": parts}]) == [UserMessage("a\nb")]
    with pytest.raises(ModelError, match="text only"):
        messages_of([{"role": "user", "content": [{"type": "image_url"}]}])
    with pytest.raises(ModelError, match="role 'oracle'"):
        messages_of([{"role": "oracle", "content": ""}])


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        ({"refusal": "I won't."}, "I won't."),
        ({"content": None, "refusal": "I won't."}, "I won't."),
        ({"content": "Hm.", "refusal": "I won't."}, "Hm.\nI won't."),
        ({"content": "Hm.", "refusal": None}, "Hm."),
    ],
)
def test_a_refusal_is_said_too(turn: dict[str, Any], text: str) -> None:
    assert messages_of([{"role": "assistant"} | turn]) == [AssistantMessage(text)]


def test_answers_are_found_however_their_arguments_are_written() -> None:
    answers = Answers()
    said = AssistantMessage("Hm.", (CALL,), "m", (1, 2, 3))
    answers.keep(said)
    again = AssistantMessage("Hm.", (ToolCall("c1", "add", '{"b": 2, "a": 1}'),))
    assert answers.restored([UserMessage("go"), again]) == (UserMessage("go"), said)


def test_answers_are_found_whose_arguments_nobody_can_read() -> None:
    answers = Answers()
    said = AssistantMessage("", (ToolCall("c1", "add", "[" * 10**5),), "m", (1, 2, 3))
    answers.keep(said)
    assert answers.restored([replace(said, token_ids=())]) == (said,)


def test_calls_that_are_equal_keep_their_own_ids() -> None:
    answers = Answers()
    answers.keep(AssistantMessage("", (ToolCall("call-1-1", "go", '{"a":1}'),), "m", (1, 2)))
    answers.keep(AssistantMessage("", (ToolCall("call-2-1", "go", '{"a":1}'),), "m", (1, 2)))
    history: list[Message] = [
        AssistantMessage("", (ToolCall("call-1-1", "go", '{"a": 1}'),)),
        ToolMessage("call-1-1", "go", "done"),
        AssistantMessage("", (ToolCall("call-2-1", "go", '{"a": 1}'),)),
        ToolMessage("call-2-1", "go", "done"),
    ]
    assert answers.restored(history) == (
        AssistantMessage("", (ToolCall("call-1-1", "go", '{"a":1}'),), "m", (1, 2)),
        history[1],
        AssistantMessage("", (ToolCall("call-2-1", "go", '{"a":1}'),), "m", (1, 2)),
        history[3],
    )


@pytest.mark.parametrize(
    "other",
    [
        AssistantMessage("Ha.", (CALL,)),
        AssistantMessage("Hm.", (ToolCall("c1", "add", '{"a":1,"b":3}'),)),
        AssistantMessage("Hm.", (ToolCall("c1", "sub", CALL.arguments),)),
        AssistantMessage("Hm.", (CALL, CALL)),
    ],
)
def test_an_answer_that_was_changed_is_another(other: AssistantMessage) -> None:
    answers = Answers()
    answers.keep(AssistantMessage("Hm.", (CALL,), "m", (1, 2, 3)))
    assert answers.restored([other]) == (other,)


def test_only_the_last_answers_are_kept() -> None:
    answers = Answers()
    said = [AssistantMessage(str(number), (), "m", (number + 1,)) for number in range(600)]
    for message in said:
        answers.keep(message)
    found = answers.restored([AssistantMessage(message.text) for message in said])
    assert [message in found for message in said] == [False] * 88 + [True] * 512


def test_objects_are_closed_where_their_schema_leaves_it_open() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "integer"}}}
    wide = {"type": "object", "properties": {}, "additionalProperties": True}
    schema = {
        "type": "object",
        "properties": {"properties": inner, "wide": wide, "any": {"type": "object"}},
    }
    tool = definition("t", None, schema)
    validator = Draft202012Validator(tool.parameters)
    assert validator.is_valid({"properties": {"b": 1}, "wide": {"x": 1}, "any": {"x": 1}})
    assert not validator.is_valid({"x": 1})
    assert not validator.is_valid({"properties": {"x": 1}})
    assert tool.description == ""
    assert "additionalProperties" not in schema


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"a": {}}, "required": ["a"]},
                   {"properties": {"b": {}}, "required": ["b"]}]},
        {"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}, "required": ["b"]}]},
        {"allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {}}}],
         "$defs": {"A": {"properties": {"a": {}}}}},
        {"allOf": [{"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}, {"properties": {"b": {}}}],
         "$defs": {"A": {"$ref": "#/$defs/C"}, "C": {"properties": {"a": {}}}}},
        {"properties": {"a": {}}, "$ref": "#/$defs/B", "$defs": {"B": {"properties": {"b": {}}}}},
        {"properties": {"a": {}, "b": {}}, "not": {"properties": {"a": {"const": 2}}},
         "required": ["a"]},
    ],
)  # fmt: skip
def test_what_holds_together_stays_open(schema: dict[str, Any]) -> None:
    """A value that the schema as it was given allows stays allowed."""
    value = {"a": 1, "b": 1}
    assert Draft202012Validator(schema).is_valid(value)
    assert Draft202012Validator(definition("t", None, schema).parameters).is_valid(value)
