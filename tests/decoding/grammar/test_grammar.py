"""The ways to make a grammar, apart from schemas."""

import json
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import outlines
import pytest
from outlines import types
from pydantic import BaseModel
from typing_extensions import TypedDict

from decoding.errors import GrammarError
from decoding.grammar import Grammar
from decoding.grammar.grammar import _compiled
from tests.decoding.grammar.conftest import SmallTokenizer


class Point(BaseModel):
    x: int
    tags: list[str] = []


@dataclass
class City:
    name: str
    people: int | None


class Movie(TypedDict):
    title: str


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("grammar", "accepted", "refused"),
    [
        (Grammar.regex(r"[a-c]+\d?"), ["a", "abc1"], ["", "1", "abc12", "d"]),
        (Grammar.regex(r"(?i)yes|no"), ["YES", "no"], ["yess", ""]),
        (Grammar.regex(r"(?!a)\w{2}"), ["ba"], ["ab", "b"]),
        (Grammar.regex(""), [""], ["a"]),
        (Grammar.choice(["a", 'q"\n', "é\u2028"]), ["a", 'q"\n', "é\u2028"], ["", "q", "aa"]),
        (Grammar.lark('start: "a" B\nB: /b+/'), ["ab", "abbb"], ["a", "b"]),
        (Grammar.output_type(int), ["3", "-10"], ["3.5", "x"]),
        (Grammar.output_type(bool), ["True", "False"], ["true"]),
        (Grammar.output_type(list[int]), ["[]", "[1, 2]"][1:], ["[1,2]", "1"]),
        (Grammar.output_type(Literal["yes", "no"]), ["yes"], ["maybe", '"yes"']),
        (Grammar.output_type(Colour), ["red", "blue"], ["RED"]),
        (Grammar.output_type(int | None), ["3", "None"], ["null"]),
        (Grammar.output_type(types.either("a", types.digit)), ["a", "7"], ["b"]),
        (Grammar.output_type("n = " + types.integer), ["n = 12"], ["n=12"]),
        (Grammar.output_type(outlines.regex("[ab]").exactly(2)), ["ab"], ["a", "abb"]),
        (
            Grammar.output_type(Point),
            ['{"x":1,"tags":["a"]}', '{"tags": [], "x": 2}'],
            ['{"x":"1"}'],
        ),
        (Grammar.output_type(City), ['{"name":"a","people":null}'], ['{"name":"a"}']),
        (Grammar.output_type(Movie), ['{"title":"a"}'], ["{}"]),
        (
            Grammar.output_type("<a>" + types.json_schema(Point)),
            ['<a>{"x":1}'],
            ['{"x":1}', '<a>{"x": 1}'],
        ),
        (Grammar.output_type(types.cfg('start: "x" | "y"')), ["x", "y"], ["z"]),
        (Grammar.json_schema(Point), ['{"x":1}'], ["{}", '{"x":1.5}']),
        (Grammar.json_schema(Movie | None), ["null", '{"title":""}'], ["{}"]),
        (Grammar.json_schema(Literal["a", 3]), ['"a"', "3"], ["a"]),
        (Grammar.json_schema('{"type": "null"}'), ["null"], ["1"]),
    ],
)
def test_texts(
    grammar: Grammar, accepted: list[str], refused: list[str], tokenizer: SmallTokenizer
) -> None:
    for text in accepted:
        assert grammar.accepts(text, tokenizer), text
    for text in refused:
        assert not grammar.accepts(text, tokenizer), text
    path = grammar.compile(tokenizer).matcher().closing_tokens(80)
    assert path is not None
    assert grammar.accepts(tokenizer.decode(path), tokenizer)


def test_calls_and_an_answer_in_one_grammar(tokenizer: SmallTokenizer) -> None:
    grammar = Grammar.lark(
        """
        start: call+ | answer   // "%json" in a comment or a string is no schema
        call: "<call>" (add | "%json") "</call>"
        add: %json {"type": "object", "properties": {"name": {"const": "add"},
                    "a": {"type": "integer"}}, "required": ["name", "a"],
                    "additionalProperties": false}
        answer: /[^<](.|\\n)*/ | %json {"type": "array", "items": {"oneOf": [{"type": "null"},
                    {"type": "integer"}]}}
        """
    )
    for text in ('<call>{"name":"add","a":1}</call>' * 2, "[null,3]", "<call>%json</call>", "hm\n"):
        assert grammar.accepts(text, tokenizer), text
    for text in ('<call>{"a":1,"name":"add"}</call>', '<call>{"name":"add"}</call>', "<call>", ""):
        assert not grammar.accepts(text, tokenizer), text
    matcher = grammar.compile(tokenizer).matcher()
    for token in tokenizer.encode("<call>{"):
        matcher.accept(token)
    assert tokenizer.decode(matcher.forced_tokens()) == '"name":"add","a":'


def test_schemas_in_lark_get_white_space_only_when_asked(tokenizer: SmallTokenizer) -> None:
    text = 'start: %json {"type": "array", "items": {"type": "null"}}'
    assert not Grammar.lark(text).accepts("[null, null]", tokenizer)
    assert Grammar.lark(text, whitespace=True).accepts("[ null,\n null ]", tokenizer)


@pytest.mark.parametrize("words", ["json", "json0_ json1_", "json" + "_" * 10**6])
def test_names_of_rules_are_none_of_the_text(words: str, tokenizer: SmallTokenizer) -> None:
    schema = json.dumps({"type": "integer", "description": words})
    begun = time.monotonic()
    grammar = Grammar.lark(f'start: json0 | %json {schema}\njson0: "a"')
    assert time.monotonic() - begun < 5
    assert grammar.accepts("a", tokenizer)
    assert grammar.accepts("12", tokenizer)


SPACED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string"}},
        "at": {"enum": [{"x": 1, "y": [2, 3]}, "here"]},
        "more": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"tags": []},
        {"tags": ["a,b:c", "d"], "at": {"x": 1, "y": [2, 3]}},
        {"at": "here", "more": {"p": None, "q": None}},
    ],
)
def test_spaced_schemas_are_spelled_as_json_usually_is(
    document: Any, tokenizer: SmallTokenizer
) -> None:
    grammar = Grammar.lark(f"start: %json {json.dumps(SPACED)}", spaced=True)
    spaced, compact = json.dumps(document), json.dumps(document, separators=(",", ":"))
    assert grammar.accepts(spaced, tokenizer)
    assert grammar.accepts(compact, tokenizer) is (compact == spaced)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Grammar.lark('start: %json {"uniqueItems": true}'), "'uniqueItems'"),
        (lambda: Grammar.lark("start: %json {"), "not followed by JSON"),
        (lambda: Grammar.lark('start: %lark { start: "a" }'), "'%lark'"),
        (lambda: Grammar.lark('start "a"'), "refused"),
        (lambda: Grammar.regex("("), "no regular expression"),
        (lambda: Grammar.regex(r"(a)\1"), "groupref"),
        (lambda: Grammar.choice([]), "at least one"),
        (lambda: Grammar.choice("abc"), "a list"),
        (lambda: Grammar.output_type(object()), "no output type"),
        (lambda: Grammar.output_type("a" + types.cfg('start: "x"')), "use it alone"),
        (lambda: Grammar.json_schema("{"), "not JSON"),
        (lambda: Grammar.json_schema(type("Own", (), {})), "no JSON schema"),
    ],
)
def test_refusals(make: Any, reason: str) -> None:
    with pytest.raises(GrammarError, match=reason):
        make()


def test_grammars_are_equal_by_content_and_show_themselves_shortly() -> None:
    one, same = Grammar.json_schema({"type": "null"}), Grammar.json_schema('{"type": "null"}')
    assert (one, hash(one)) == (same, hash(same))
    assert one != Grammar.json_schema({"type": "boolean"})
    assert len(repr(Grammar.json_schema({}))) < 120


def test_a_few_megabytes_of_compiled_grammars_are_kept() -> None:
    tokenizer = SmallTokenizer()
    for number in range(6):
        text = f'start: "{number}"\n// {"x" * 10**6}\n'
        grammar = Grammar.lark(text)
        assert grammar.compile(tokenizer) is grammar.compile(tokenizer)
    kept = [len(source) for source, _ in _compiled[tokenizer]]
    assert 2 <= len(kept) <= 4
    assert min(kept) >= 10**6
