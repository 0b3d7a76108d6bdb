"""Answers read from chunks: no order of the pieces changes what was said."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentkit import AssistantMessage, ToolCall
from agentkit.models import TextPart, ToolCallPart, ToolCallStart
from agentkit.models.chat_completions import AnswerReader, Chunk, Failure
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
def test_any_body_can_be_shown(body: bytes) -> None:
    assert isinstance(Failure.of_body(body).message, str)
