"""Grammars against `jsonschema`, over random schemas and documents."""

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from decoding.errors import GrammarError
from decoding.grammar import Grammar
from tests.decoding.grammar.conftest import SmallTokenizer, random_text
from tests.decoding.grammar.strategies import documents, schemas

_settings = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
_tokenizer = SmallTokenizer()


def judge(schema: Any, document: Any) -> bool:
    """By `jsonschema`, formats asserted. Schemas that lead it around in circles are skipped."""
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        return bool(validator(schema, format_checker=validator.FORMAT_CHECKER).is_valid(document))
    except RecursionError:
        reject()


def check_accepts(schema: dict[str, Any], tests: list[Any]) -> bool:
    """Whether the schema was accepted; fails where a verdict differs."""
    try:
        grammar = Grammar.json_schema(schema)
    except GrammarError as error:
        if "no JSON document is valid" not in error.reason:
            return False
        for document in tests:
            assert not judge(schema, document), "refused as empty, but it is not"
        return True
    for document in tests:
        expected = judge(schema, document)
        got = grammar.accepts(json.dumps(document), _tokenizer)
        assert got == expected, f"{document!r} is {expected} and the grammar says {got}"
    return True


def check_generates(schema: dict[str, Any], seed: int, budget: int) -> bool:
    """Whether a text was generated; fails where it is not valid."""
    try:
        grammar = Grammar.json_schema(schema)
    except GrammarError:
        return False
    tokens = random_text(grammar.compile(_tokenizer).matcher(), budget, seed)
    if tokens is None:
        return False
    assert len(tokens) <= budget
    text = _tokenizer.decode(tokens)
    assert judge(schema, json.loads(text)), f"{text} was generated and is not valid"
    return True


@_settings
@given(schemas, st.lists(documents, min_size=5, max_size=12))
def test_accepts_what_jsonschema_finds_valid(schema: dict[str, Any], tests: list[Any]) -> None:
    check_accepts(schema, tests)


@_settings
@given(schemas, st.integers(0, 1000))
def test_random_tokens_under_a_closing_budget_make_valid_json(
    schema: dict[str, Any], seed: int
) -> None:
    check_generates(schema, seed, budget=120)
