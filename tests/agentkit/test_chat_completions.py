"""Answers read from chunks: no order of the pieces changes what was said."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentkit import AssistantMessage, ToolCall, UserMessage
from agentkit.models import TextPart, ToolCallPart, ToolCallStart
from agentkit.models.base import ModelRequest
from agentkit.models.chat_completions import AnswerReader, Chunk, Failure, Wire, request_body
from tests.agentkit.chat_server import call, delta, end

PIECES = st.lists(st.text(min_size=1, max_size=4), max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> tuple[AssistantMessage, list[dict[str, Any]]]:
    """An answer, and chunks that tell it: each call's in order, the calls' mixed at will."""
    said = draw(PIECES)
    arguments = draw(st.lists(PIECES.filter(bool), max_size=3))
    queues = [[delta(content=piece) for piece in said]]
    for index, pieces in enumerate(arguments):
        start = call(index, "", call_id=f"c{index}", name="go")
        queues.append([start, *(call(index, piece) for piece in pieces)])
    chunks: list[dict[str, Any]] = []
    while queues := [queue for queue in queues if queue]:
        chunks.append(draw(st.sampled_from(queues)).pop(0))
    by_start = [
        fragment["id"]
        for chunk in chunks
        for fragment in chunk["choices"][0]["delta"].get("tool_calls", ())
        if "id" in fragment
    ]
    calls = tuple(
        ToolCall(call_id, "go", "".join(arguments[int(call_id[1:])])) for call_id in by_start
    )
    return AssistantMessage("".join(said), calls), [*chunks, end()]


@given(answers())
def test_pieces_in_any_order(answer: tuple[AssistantMessage, list[dict[str, Any]]]) -> None:
    message, chunks = answer
    reader = AnswerReader()
    parts = [part for chunk in chunks for part in reader.push(Chunk.model_validate(chunk))]
    assert list(reader.finish()) == []
    assert reader.message == message
    assert "".join(part.text for part in parts if isinstance(part, TextPart)) == message.text
    for made in message.tool_calls:
        start = parts.index(ToolCallStart(made.call_id, made.name))
        pieces = [
            (index, part.arguments)
            for index, part in enumerate(parts)
            if isinstance(part, ToolCallPart) and part.call_id == made.call_id
        ]
        assert all(index > start for index, _ in pieces)
        assert "".join(piece for _, piece in pieces) == made.arguments


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.sampled_from(["error", "message", "code"]), v),
        max_leaves=6,
    )
)
def test_whatever_a_server_says_went_wrong_can_be_said(given: Any) -> None:
    failure = Failure.of(given)
    assert isinstance(failure.message, str)
    assert len(failure.message) <= 500


@given(st.binary(max_size=40))
@example(b"[" * 10**5)
def test_any_body_can_be_shown(body: bytes) -> None:
    assert isinstance(Failure.of_body(body).message, str)


def read(*chunks: dict[str, Any]) -> AssistantMessage:
    reader = AnswerReader()
    for chunk in chunks:
        list(reader.push(Chunk.model_validate(chunk)))
    list(reader.finish())
    return reader.message


def whole(arguments: str, **more: Any) -> dict[str, Any]:
    """A call told in one piece."""
    return delta(tool_calls=[{"function": {"name": "go", "arguments": arguments}, **more}])


@pytest.mark.parametrize(
    "marks",
    [
        [{"index": 0, "id": "a"}, {"index": 0, "id": "b"}],  # the same index for all
        [{"index": 0}, {"index": 0}],
        [{"index": 0, "id": ""}, {"index": 0, "id": ""}],
        [{"id": "a"}, {"id": "b"}],
        [{}, {}],
        [{"id": ""}, {"id": ""}],
        [{"index": None, "id": None}, {"index": None, "id": None}],
    ],
)
def test_calls_that_are_told_whole_stay_apart(marks: list[dict[str, Any]]) -> None:
    told = (whole(f'{{"x":{number}}}', **mark) for number, mark in enumerate(marks))
    message = read(*told, end("tool_calls"))
    assert [call.arguments for call in message.tool_calls] == ['{"x":0}', '{"x":1}']
    assert len({call.call_id for call in message.tool_calls}) == 2


def test_pieces_behind_a_call_of_the_same_index_are_its_own() -> None:
    pieces = [call(0, part) for part in ('{"x":', "1}")]
    message = read(whole("", index=0, id="a"), whole("", index=0, id="b"), *pieces, end())
    assert [call.arguments for call in message.tool_calls] == ["{}", '{"x":1}']


def test_nulls_say_nothing() -> None:
    chunks = [{"choices": None}, {"choices": [{"delta": None, "finish_reason": None}]}]
    message = read(*chunks, delta(content="hi"), {"choices": [{"delta": None}]}, end())
    assert message.text == "hi"


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "", "nothing", '{"a": NaN}', "[" * 5000])
def test_arguments_that_are_no_object_are_sent_as_one(arguments: str) -> None:
    """Servers that read a history's arguments refuse the request otherwise."""
    said = AssistantMessage(tool_calls=(ToolCall("c", "go", arguments), ToolCall("d", "go", "{}")))
    body = request_body(Wire("m"), ModelRequest((UserMessage("hi"), said)))
    sent = [call["function"]["arguments"] for call in body["messages"][1]["tool_calls"]]
    assert json.loads(sent[0]) == {"invalid": arguments}
    assert sent[1] == "{}"
