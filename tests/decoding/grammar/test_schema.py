"""Schemas by hand: what they accept, and what is refused and where."""

import json
from typing import Any

import pytest

from decoding.errors import GrammarError
from decoding.grammar import Grammar
from tests.decoding.grammar.conftest import SmallTokenizer, random_text
from tests.decoding.grammar.test_differential import judge

_D4 = "http://json-schema.org/draft-04/schema#"
_D7 = "http://json-schema.org/draft-07/schema#"
_2019 = "https://json-schema.org/draft/2019-09/schema"
_POINT = {
    "type": "object",
    "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    "required": ["x", "y"],
    "additionalProperties": False,
}
_LIST = {
    "$ref": "#/$defs/l",
    "$defs": {
        "l": {
            "anyOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {"v": {"type": "integer"}, "n": {"$ref": "#/$defs/l"}},
                    "required": ["v", "n"],
                    "additionalProperties": False,
                },
            ]
        }
    },
}
_SHAPE = {
    "oneOf": [
        {
            "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}},
            "required": ["kind", "r"],
        },
        {
            "properties": {"kind": {"const": "square"}, "a": {"type": "number"}},
            "required": ["kind", "a"],
        },
    ],
    "type": "object",
}

# (schema, valid documents, invalid documents)
CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "anything": ({}, [None, 1, "x", [], {"a": [{}]}], []),
    "types": ({"type": ["integer", "null"]}, [None, 3, -3, 3.0, 10**30], ["3", 3.5, True, []]),
    "draft 4 integers": ({"$schema": _D4, "type": "integer"}, [3], [3.0, 3.5]),
    "draft 4 numbers": ({"$schema": _D4, "type": "number"}, [3, 3.0, 3.5, 1e300], ["3"]),
    "draft 4 enum": ({"$schema": _D4, "enum": [1]}, [1, 1.0], [True, 2]),
    "draft 4 bounds": (
        {"$schema": _D4, "type": "number", "minimum": 1, "exclusiveMinimum": True},
        [1.5, 2],
        [1, 1.0, 0],
    ),
    "mixed drafts": (
        {"items": {"$schema": _D4, "type": "integer"}, "contains": {"type": "integer"}},
        [[1], [1, 2]],
        [[1.0], []],
    ),
    "any order": (
        _POINT,
        [{"x": 1, "y": 2}, {"y": 1, "x": 0.25}],
        [{"x": 1}, {"x": 1, "y": 2, "z": 3}],
    ),
    "const object": (
        {"const": {"a": [1, {"b": None}]}},
        [{"a": [1, {"b": None}]}, {"a": [1.0, {"b": None}]}],
        [{"a": [True, {"b": None}]}, {"a": [1]}, {}],
    ),
    "enum with siblings": (
        {"enum": ["a", "bb", 3, None], "minLength": 2},
        ["bb", 3, None],
        ["a", 4],
    ),
    "empty enum strings": (
        {"enum": ["", '"', "\n", "\u007f"]},
        ["", '"', "\n", "\u007f"],
        [" ", "n"],
    ),
    "length in characters": (
        {"type": "string", "maxLength": 2},
        ["", "éé", "\n\t", "😀😀"],
        ["abc"],
    ),
    "pattern is searched": ({"pattern": "b+c"}, ["abbcd", "bc", 3], ["b", "", "cb"]),
    "pattern with anchors inside": ({"pattern": "(^|/)a(/|$)"}, ["a", "x/a", "a/b"], ["ab", "xa"]),
    "pattern with look-ahead": (
        {"type": "string", "pattern": "^(?!no)\\w+$"},
        ["yes", "n"],
        ["no", "nor", ""],
    ),
    "pattern and length": (
        {"type": "string", "pattern": "^a*$", "minLength": 2, "maxLength": 3},
        ["aa", "aaa"],
        ["a", "aaaa", "ab"],
    ),
    "escapes in a pattern": ({"pattern": r'^["\\/\n]{2}$'}, ['"\\', "/\n"], ["aa"]),
    "dates": (
        {"type": "string", "format": "date"},
        ["2024-02-29", "2000-02-29"],
        ["2023-02-29", "1900-02-29", "0000-01-01", "2024-1-1"],
    ),
    "times": (
        {"format": "date-time"},
        ["2024-01-31T23:59:59.5Z", "2024-01-31t00:00:00+05:30", 3],
        ["2024-01-31 00:00:00Z", "2024-01-31T24:00:00Z"],
    ),
    "addresses": (
        {"anyOf": [{"type": "string", "format": f} for f in ("ipv4", "ipv6", "email")]},
        ["127.0.0.1", "::1", "1:2::7:8", "a.b@c.org", '"a b"@c'],
        ["256.0.0.1", ":::", "a", "1::2::3"],
    ),
    "links": (
        {"type": "string", "format": "uri"},
        ["http://a/b?c#d", "urn:x:y", "a://[::1]:80/"],
        ["/a", "a b:c", "http://[::1"],
    ),
    "no address": ({"type": "string", "not": {"format": "email"}}, ["", "a.b"], ["a@b.cd", "@"]),
    "one of two formats": (
        {"type": "string", "oneOf": [{"format": "email"}, {"format": "uri"}]},
        ["a@b.cd", "http://a/b"],
        ["mailto:a@b.cd", "http://a@b/"],
    ),
    "no time": (
        {"type": "string", "not": {"format": "date-time"}, "maxLength": 24},
        ["noon", "2024-02-30T00:00:00Z"],
        ["2024-02-29T23:59:59Z"],
    ),
    "one of two formats that no text has both of": (
        {"type": "string", "oneOf": [{"format": "ipv4"}, {"format": "date"}]},
        ["1.2.3.4", "2024-02-29"],
        ["", "1.2.3"],
    ),
    "bounds of hundreds of digits": (
        {"type": "number", "minimum": 0, "maximum": 1.7976931348623157e308},
        [0, 0.5, 7, 10**300],
        [-1],
    ),
    "integers between long bounds": (
        {"type": "integer", "minimum": 10**40 + 9, "maximum": 3 * 10**40 - 7},
        [10**40 + 9, 10**40 + 10, 2 * 10**40, 3 * 10**40 - 7],
        [10**40 + 8, 3 * 10**40 - 6, 10**39, 10**41],
    ),
    "unknown formats mean nothing": ({"format": "own-name", "type": "string"}, ["", "x"], [1]),
    "exact bounds": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        [1, 0.3, 1e-7, 1.0],
        [0, 1.0000000000000002, -1, 0.0],
    ),
    "bounds at the edge of doubles": (
        {"type": "number", "exclusiveMaximum": 0.1},
        [0.09999999999999999, -5],
        [0.1, 0.10000000000000002],
    ),
    "large integers": (
        {"type": "integer", "minimum": 2**70, "maximum": 2**70 + 5},
        [2**70, 2**70 + 5],
        [2**70 - 1, 2**70 + 6],
    ),
    "multiples": (
        {"type": "number", "multipleOf": 0.5, "minimum": -1},
        [0, 0.5, 7, -1, 2.5],
        [0.25, -1.5],
    ),
    "multiples of integers": ({"multipleOf": 3}, [0, 9, -6, "x", 3.0], [1, 0.5]),
    "multiples in a short range": (
        {"type": "integer", "minimum": 0, "maximum": 20, "not": {"multipleOf": 3}},
        [1, 20],
        [0, 3, 21],
    ),
    "tuples": (
        {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        [[], ["a"], ["a", 1]],
        [[1], ["a", 1, 1]],
    ),
    "old tuples": (
        {"$schema": _D7, "items": [{"type": "string"}], "additionalItems": {"type": "null"}},
        [[], ["a"], ["a", None]],
        [[None], ["a", 1]],
    ),
    "array lengths": (
        {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "boolean"}},
        [[True], [True, False]],
        [[], [1], [True] * 3],
    ),
    "contains": (
        {"type": "array", "contains": {"const": 1}, "minContains": 2, "maxContains": 3},
        [[1, 1], [0, 1, 1, 1]],
        [[1], [1] * 4, []],
    ),
    "contains in a bounded array": (
        {"contains": {"type": "null"}, "items": {"type": ["null", "integer"]}, "maxItems": 3},
        [[None], [1, None, 2]],
        [[], [1, 2], [1, 1, 1, None]],
    ),
    "distinct listed items": (
        {"items": {"enum": ["a", "b", 1, None]}, "uniqueItems": True, "minItems": 2},
        [["a", "b"], [None, 1, "b", "a"]],
        [["a"], ["a", "a"], ["a", "c"]],
    ),
    "more distinct items than there are": (
        {
            "anyOf": [
                {"items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 3, "type": "array"},
                {"const": "none"},
            ]
        },
        ["none"],
        [[1, 2], [1, 2, 1]],
    ),
    "old contains": ({"$schema": _D7, "contains": {"type": "null"}}, [[None]], [[], [1]]),
    "open objects": (
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "additionalProperties": {"type": "string"},
        },
        [{"b": "x", "a": 1}, {}],
        [{"b": 1}, {"a": "x"}],
    ),
    "required without properties": ({"required": ["é", 'q"']}, [{'q"': 1, "é": 2}, 3], [{"é": 1}]),
    "patterns of names": (
        {
            "patternProperties": {"^a": {"type": "integer"}, "b$": {"minimum": 5}},
            "additionalProperties": False,
        },
        [{"a": 1, "xb": 6, "ab": 5}, {"xb": "s"}],
        [{"ab": 1}, {"c": 1}, {"a": "s"}],
    ),
    "names": (
        {"propertyNames": {"maxLength": 2}, "minProperties": 1},
        [{"ab": 1}],
        [{}, {"abc": 1}],
    ),
    "number of members": (
        {
            "properties": {"a": {}, "b": {}, "c": {}},
            "additionalProperties": False,
            "minProperties": 2,
            "maxProperties": 2,
        },
        [{"a": 1, "c": 1}],
        [{"a": 1}, {"a": 1, "b": 1, "c": 1}],
    ),
    "dependent names": (
        {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"maxProperties": 1}}},
        [{"a": 1, "b": 1}, {"b": 1}, {"c": 1}],
        [{"a": 1}, {"c": 1, "d": 1}],
    ),
    "old dependencies": (
        {"$schema": _D7, "dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        [{"a": 1, "b": 1}, {"c": 1, "d": 1}],
        [{"a": 1}, {"c": 1}],
    ),
    "all of": (
        {
            "allOf": [
                {"properties": {"a": {"minimum": 1}}},
                {"properties": {"a": {"maximum": 2}}, "required": ["a"]},
            ]
        },
        [{"a": 1.5}, {"a": "x"}],
        [{"a": 3}, {}],
    ),
    "any of with siblings": (
        {
            "type": "object",
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            "additionalProperties": {"type": "null"},
        },
        [{"a": None}, {"b": None, "a": None}],
        [{}, {"a": 1}],
    ),
    "one of that overlap": (
        {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"},
        [{"a": 1}, {"b": 1}],
        [{"a": 1, "b": 1}, {}],
    ),
    "one of kinds of numbers": (
        {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
        [1, 2.5, "x"],
        [3, 1.5],
    ),
    "one of by a constant": (
        _SHAPE,
        [{"kind": "circle", "r": 1}, {"a": 1, "kind": "square"}],
        [{"kind": "circle"}, {"kind": "x", "r": 1}],
    ),
    "not": (
        {"type": ["string", "integer"], "not": {"enum": ["a", 3]}},
        ["b", "aa", 4],
        ["a", 3, None],
    ),
    "not required": (
        {"type": "object", "not": {"required": ["a", "b"]}},
        [{}, {"a": 1}],
        [{"b": 1, "a": 1}],
    ),
    "not a pattern": (
        {"type": "string", "not": {"pattern": "^[ab]+$"}},
        ["", "c", "abc"],
        ["a", "abab"],
    ),
    "some other member": (
        {"type": "object", "not": {"additionalProperties": {"type": "integer"}}},
        [{"a": "x"}, {"b": None, "a": 1}],
        [{}, {"a": 1}],
    ),
    "if then else": (
        {
            "if": {"properties": {"a": {"const": 1}}, "required": ["a"]},
            "then": {"required": ["b"]},
            "else": {"required": ["c"]},
        },
        [{"a": 1, "b": 2}, {"c": 1}],
        [{"a": 1, "c": 1}, {"b": 1}],
    ),
    "recursion": (
        _LIST,
        [None, {"v": 1, "n": {"v": 2, "n": None}}],
        [{}, {"v": 1}, {"v": 1, "n": 3}],
    ),
    "siblings of a reference": (
        {"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s", "maxLength": 1},
        ["", "a"],
        ["ab", 1],
    ),
    "old siblings of a reference": (
        {
            "$schema": _D7,
            "definitions": {"s": {"type": "string"}},
            "properties": {"a": {"$ref": "#/definitions/s", "maxLength": 1}},
        },
        [{"a": "abc"}],
        [{"a": 1}],
    ),
    "references by id and anchor": (
        {
            "$defs": {
                "a": {"$id": "http://x/y", "type": "integer"},
                "b": {"$anchor": "here", "type": "null"},
            },
            "items": {"anyOf": [{"$ref": "http://x/y"}, {"$ref": "#here"}]},
        },
        [[1, None]],
        [["x"]],
    ),
    "references with escapes": (
        {"$defs": {"a/b~c%": {"type": "null"}}, "items": {"$ref": "#/$defs/a~1b~0c%25"}},
        [[None]],
        [[1]],
    ),
    "unevaluated members": (
        {
            "allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/b"}],
            "$defs": {"b": {"patternProperties": {"^b": {"type": "integer"}}}},
            "unevaluatedProperties": {"type": "null"},
        },
        [{"a": 1, "bb": 1, "c": None}, {}],
        [{"c": 1}, {"bb": None}],
    ),
    "unevaluated items": (
        {"allOf": [{"prefixItems": [{"type": "string"}]}], "unevaluatedItems": False},
        [[], ["a"]],
        [["a", 1], [1]],
    ),
    "boolean schemas": ({"properties": {"a": True, "b": False}}, [{"a": 1}, {}], [{"b": 1}]),
    "annotations": (
        {
            "type": "null",
            "title": "t",
            "x-note": {"minimum": "?"},
            "exampels": [],
            "$comment": "c",
            "deprecated": True,
        },
        [None],
        [1],
    ),
    "2019-09": (
        {
            "$schema": _2019,
            "items": [{"type": "null"}],
            "additionalItems": False,
            "dependentRequired": {"a": ["b"]},
        },
        [[None], []],
        [[1], [None, 1]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, tokenizer: SmallTokenizer) -> None:
    schema, valid, invalid = CASES[name]
    grammar = Grammar.json_schema(schema)
    for document, expected in [
        *((each, True) for each in valid),
        *((each, False) for each in invalid),
    ]:
        assert judge(schema, document) is expected, f"the case itself is wrong about {document!r}"
        for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=2)):
            assert grammar.accepts(text, tokenizer) is expected, text
    for seed in range(3):
        tokens = random_text(grammar.compile(tokenizer).matcher(), 150, seed)
        assert tokens is not None
        text = tokenizer.decode(tokens)
        assert judge(schema, json.loads(text)), text


@pytest.mark.parametrize("name", CASES)
def test_white_space_only_adds_white_space(name: str, tokenizer: SmallTokenizer) -> None:
    schema, valid, invalid = CASES[name]
    grammar = Grammar.json_schema(schema, whitespace=True)
    compiled = grammar.compile(tokenizer)
    for document in valid:
        assert grammar.accepts(json.dumps(document), tokenizer)
    assert not any(grammar.accepts(json.dumps(document), tokenizer) for document in invalid)
    tokens = random_text(compiled.matcher(), 200, 5)
    assert tokens is not None
    assert judge(schema, json.loads(tokenizer.decode(tokens)))


# (schema, keyword named, location)
REFUSED: list[tuple[Any, str, str]] = [
    (
        {"properties": {"a/b": {"uniqueItems": True}}},
        "'uniqueItems'",
        "/properties/a~1b/uniqueItems",
    ),
    ({"items": {"type": "string", "format": "regex"}}, "'format'", "/items/format"),
    ({"items": {}, "prefixItems": 3}, "'prefixItems'", "/prefixItems"),
    ({"allOf": [{"pattern": r"(a)\1"}]}, "'pattern'", "/allOf/0/pattern"),
    ({"pattern": r"\bword"}, "'pattern'", "/pattern"),
    ({"pattern": "("}, "'pattern'", "/pattern"),
    ({"patternProperties": {"(?<=a)b": {}}}, "'patternProperties'", "/patternProperties"),
    (
        {"unevaluatedProperties": False, "anyOf": [{"properties": {"a": {}}}] * 9},
        "'unevaluatedProperties'",
        "/unevaluatedProperties",
    ),
    ({"$dynamicRef": "#x"}, "'$dynamicRef'", "/$dynamicRef"),
    ({"items": {"$ref": "http://elsewhere/x"}}, "'$ref'", "/items/$ref"),
    ({"$ref": "#/$defs/none"}, "'$ref'", "/$ref"),
    ({"dependencies": {"a": ["b"]}}, "'dependencies'", "/dependencies"),
    ({"$schema": _D4, "const": 1}, "'const'", "/const"),
    ({"items": [{"type": "null"}]}, "'items'", "/items"),
    ({"type": "number", "multipleOf": 0.01}, "'multipleOf'", "/multipleOf"),
    ({"type": "number", "multipleOf": 0}, "'multipleOf'", "/multipleOf"),
    ({"minProperties": 5}, "number of properties", "/minProperties"),
    ({"type": "strnig"}, "'type'", "/type"),
    ({"type": 3}, "'type'", "/type"),
    ({"required": "a"}, "'required'", "/required"),
    ({"required": [1]}, "'required'", "/required"),
    ({"minimum": "3"}, "'minimum'", "/minimum"),
    ({"minLength": -1}, "'minLength'", "/minLength"),
    ({"properties": [1]}, "'properties'", "/properties"),
    ({"properties": {"a": 3}}, "must be an object or a boolean", "/properties/a"),
    ({"allOf": [{"$ref": "#"}]}, "refers to itself", ""),
    ({"$schema": "http://json-schema.org/draft-03/schema#"}, "draft 3", "/$schema"),
    ([], "must be an object or a boolean", ""),
    (False, "no JSON document is valid", ""),
    ({"type": "string", "pattern": "^a$", "minLength": 2}, "no JSON document is valid", ""),
    (
        {
            "$ref": "#/$defs/x",
            "$defs": {
                "x": {
                    "type": "object",
                    "properties": {"x": {"$ref": "#/$defs/x"}},
                    "required": ["x"],
                }
            },
        },
        "no JSON document is valid",
        "",
    ),
]


@pytest.mark.parametrize(("schema", "names", "location"), REFUSED)
def test_refusals_name_keyword_and_place(schema: Any, names: str, location: str) -> None:
    with pytest.raises(GrammarError) as caught:
        Grammar.json_schema(schema)
    assert names in caught.value.reason
    assert caught.value.location == location


def test_email_is_the_mailbox_of_rfc_5321_where_jsonschema_asks_for_an_at_sign(
    tokenizer: SmallTokenizer,
) -> None:
    grammar = Grammar.json_schema({"format": "email"})
    assert judge({"format": "email"}, "a@")
    assert not grammar.accepts('"a@"', tokenizer)


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', "NaN", "-Infinity", "1e999", "01", '"\\ud800"', "{", "", " ", "[1,]", "nul"],
)
def test_what_is_not_strict_json_is_accepted_nowhere(text: str, tokenizer: SmallTokenizer) -> None:
    assert not Grammar.json_schema({}).accepts(text, tokenizer)


def test_spelling_carries_no_meaning(tokenizer: SmallTokenizer) -> None:
    grammar = Grammar.json_schema({"enum": [{"a/é": [150, 0.5, ""]}]})
    assert grammar.accepts(' {"a\\/\\u00e9" :\n[1.5E+2, 5e-1, ""]}\t', tokenizer)
    assert not grammar.accepts('{"a/é":[150,0.51,""]}', tokenizer)


def test_properties_are_written_in_the_schemas_order(tokenizer: SmallTokenizer) -> None:
    names = ["z", "a", "m", "b"]
    schema = {
        "properties": {name: {"const": 1} for name in names},
        "required": sorted(names),
        "type": "object",
    }
    matcher = Grammar.json_schema(schema).compile(tokenizer).matcher()
    assert tokenizer.decode(matcher.closing_tokens(99) or ()).startswith('{"z":1,"a":1,"m":1,"b":1')


def test_json_is_compact_and_mostly_forced(tokenizer: SmallTokenizer) -> None:
    matcher = Grammar.json_schema(_POINT).compile(tokenizer).matcher()
    assert tokenizer.decode(matcher.forced_tokens()) == '{"x":'


def test_a_repeated_name_cannot_change_what_a_text_means(tokenizer: SmallTokenizer) -> None:
    schema = {"type": "object", "not": {"additionalProperties": {"type": "integer"}}}
    compiled = Grammar.json_schema(schema).compile(tokenizer)
    assert compiled.accepts('{"a":1,"a":"x"}')
    assert not compiled.accepts('{"a":"x","a":1}')
