"""What a turn looks like in text: every turn that is written is read back, in any pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentkit.messages import (
    AssistantMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models.base import (
    ModelRequest,
    OutputFormat,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolCallStart,
    ToolDefinition,
)
from agentkit.models.dialect import Spelling, TurnReader, chat_messages, turn_grammar, written
from decoding import Grammar
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
TOOL = ToolDefinition(
    "find",
    "Find a text.",
    {
        "type": "object",
        "properties": {"text": {"type": "string", "description": "what to find"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
OTHER = ToolDefinition("now", "The time.", {"type": "object", "additionalProperties": False})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
calls = st.lists(
    st.tuples(st.sampled_from(["find", "now"]), st.dictionaries(st.text(), values, max_size=3)),
    min_size=1,
    max_size=3,
)


def request(**kwargs: object) -> ModelRequest:
    return ModelRequest((UserMessage("hi"),), (TOOL, OTHER), **kwargs)  # type: ignore[arg-type]


def read(
    text: str, cuts: list[int], spelling: Spelling = Spelling.COMPACT, *, may_call: bool = True
) -> tuple[TurnReader, list[object]]:
    bounds = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    reader, parts = TurnReader("c", spelling, may_call), []
    for first, last in pairwise(bounds):
        parts += list(reader.push(text[first:last]))
    reader.finish()
    return reader, parts


@given(calls, st.lists(st.integers(0, 10**4), max_size=8), st.sampled_from(Spelling))
def test_calls_are_read_back_in_any_pieces(
    given_calls: list[tuple[str, dict[str, object]]], cuts: list[int], spelling: Spelling
) -> None:
    message = AssistantMessage(
        tool_calls=tuple(
            ToolCall(f"c{index}", name, spelling.spell(json.dumps(arguments)))
            for index, (name, arguments) in enumerate(given_calls, 1)
        )
    )
    reader, parts = read(written(message, spelling), cuts, spelling)
    assert tuple(reader.calls) == message.tool_calls
    assert reader.text == ""
    starts = [part.name for part in parts if isinstance(part, ToolCallStart)]
    assert starts == [call.name for call in message.tool_calls]
    for call in message.tool_calls:
        pieces = [
            part.arguments
            for part in parts
            if isinstance(part, ToolCallPart) and part.call_id == call.call_id
        ]
        assert "".join(pieces) == call.arguments
    for call in message.tool_calls:
        end = parts.index(ToolCallEnd(call))
        assert isinstance(parts[end - 1], ToolCallPart)
        assert not any(
            isinstance(p, ToolCallPart) and p.call_id == call.call_id for p in parts[end:]
        )
    assert sum(isinstance(part, ToolCallEnd) for part in parts) == len(message.tool_calls)


@given(st.text(min_size=1).filter(lambda text: text[0] != "<"), st.lists(st.integers(0, 99)))
@example("}", [])
@example("}</tool_call> is how it ends", [1, 4])
@example("<b>bold</b>", [1])
def test_an_answer_is_passed_on_as_it_comes(text: str, cuts: list[int]) -> None:
    reader, parts = read(text, cuts)
    assert reader.text == text
    assert "".join(part.text for part in parts if isinstance(part, TextPart)) == text
    assert reader.calls == []


@pytest.mark.parametrize("text", ["<", '<tool_call>{"na', '<tool_call>{"name":"fi'])
def test_what_is_left_of_a_call_is_no_answer(text: str) -> None:
    reader, parts = read(text, [])
    assert (reader.text, reader.calls, parts) == ("", [], [])


@given(st.text(min_size=1), st.lists(st.integers(0, 99)))
@example("<", [])
@example("<tool", [2])
@example('<tool_call>{"name":"x","arguments":{"a":1}}</tool_call> is how', [9, 40])
def test_where_no_call_may_come_all_is_text(text: str, cuts: list[int]) -> None:
    reader, parts = read(text, cuts, may_call=False)
    assert reader.text == text
    assert "".join(part.text for part in parts if isinstance(part, TextPart)) == text
    assert reader.calls == []


@given(calls, st.integers(1, 200))
def test_a_call_that_was_cut_off_is_kept_as_far_as_it_goes(
    given_calls: list[tuple[str, dict[str, object]]], count: int
) -> None:
    name, arguments = given_calls[0]
    text = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
    whole = written(AssistantMessage(tool_calls=(ToolCall("c1", name, text),)))
    reader, _ = read(whole[: len(whole) - count], [])
    assert len(reader.calls) <= 1
    for call in reader.calls:
        assert text.startswith(call.arguments)


@pytest.mark.parametrize("spelling", Spelling)
def test_calls_of_others_are_spelled_as_the_grammar_has_them(spelling: Spelling) -> None:
    def line(arguments: str, token_ids: tuple[int, ...] = ()) -> str:
        call = ToolCall("c1", "find", arguments)
        return written(AssistantMessage(tool_calls=(call,), token_ids=token_ids), spelling)

    source = turn_grammar(request(), spelling) or ""
    grammar = Grammar.lark(source, spaced=spelling is Spelling.SPACED)
    for given_spelling in Spelling:
        assert grammar.accepts(line(given_spelling.spell('{"text": "a,b:ü"}')), TOKENIZER)
    assert '{ "text":"a"}' in line('{ "text":"a"}', token_ids=(1,))
    assert '{"text":"cut' in line('{"text":"cut')
    assert "[" * 10**5 in line("[" * 10**5)
    assert spelling.open in chat_messages(request(), spelling)[0]["content"]


def test_the_grammar_is_the_union_of_all_calls_and_the_answer() -> None:
    source = turn_grammar(request())
    assert source is not None
    grammar = Grammar.lark(source)
    good = '<tool_call>{"name":"find","arguments":{"text":"a"}}</tool_call>'
    also = '<tool_call>{"name":"now","arguments":{}}</tool_call>'
    assert grammar.accepts(good, TOKENIZER)
    assert grammar.accepts(good + also, TOKENIZER)
    assert grammar.accepts("It is noon. < is fine in here.", TOKENIZER)
    assert not grammar.accepts("<tool_call>", TOKENIZER)
    assert not grammar.accepts(good.replace("find", "fund"), TOKENIZER)
    assert not grammar.accepts(good.replace('"a"', "1"), TOKENIZER)
    assert not grammar.accepts(good + " and text", TOKENIZER)


def test_a_turn_can_be_limited_to_calls_or_to_an_answer() -> None:
    call = '<tool_call>{"name":"now","arguments":{}}</tool_call>'
    only_calls = Grammar.lark(turn_grammar(request(allow_final=False)) or "")
    assert only_calls.accepts(call, TOKENIZER)
    assert not only_calls.accepts("noon", TOKENIZER)
    only_answer = Grammar.lark(turn_grammar(request(allow_calls=False)) or "")
    assert not only_answer.accepts(call, TOKENIZER)
    assert only_answer.accepts("noon", TOKENIZER)


def test_a_typed_answer_is_json_beside_the_calls() -> None:
    output = OutputFormat(int, {"type": "integer"})
    grammar = Grammar.lark(turn_grammar(request(output=output)) or "")
    assert grammar.accepts("12", TOKENIZER)
    assert not grammar.accepts("twelve", TOKENIZER)
    assert grammar.accepts('<tool_call>{"name":"now","arguments":{}}</tool_call>', TOKENIZER)


def test_free_text_without_tools_has_no_grammar() -> None:
    assert turn_grammar(ModelRequest((UserMessage("hi"),))) is None


def test_the_history_becomes_turns_that_every_template_knows() -> None:
    call = ToolCall("1", "find", '{"text":"a"}')
    history = (
        SystemMessage("Be brief."),
        UserMessage("Find a."),
        AssistantMessage(tool_calls=(call, ToolCall("2", "now", "{}"))),
        ToolMessage("1", "find", "line 3"),
        ToolMessage("2", "now", "noon"),
    )
    chat = chat_messages(ModelRequest(history, (TOOL, OTHER)))
    assert [turn["role"] for turn in chat] == ["system", "user", "assistant", "user"]
    assert chat[0]["content"].startswith("Be brief.")
    assert "find(text: string (what to find)): Find a text." in chat[0]["content"]
    assert chat[3]["content"] == "Result of find: line 3\nResult of now: noon"
    without_calls = chat_messages(ModelRequest(history, (TOOL, OTHER), allow_calls=False))
    assert without_calls == chat
