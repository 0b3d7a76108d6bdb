"""Made-up values satisfy their schemas; jsonschema judges."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentkit.errors import ModelError
from agentkit.models.sample import sample


def ranges() -> st.SearchStrategy[dict[str, Any]]:
    bound = st.integers(-50, 50)
    return st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": bound,
            "exclusiveMinimum": bound,
            "maximum": bound,
            "exclusiveMaximum": bound,
            "multipleOf": st.sampled_from([1, 2, 5, 7]),
        },
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.integers(0, 5), st.integers(0, 5)).map(
        lambda sizes: {"type": "string", "minLength": sizes[0], "maxLength": sum(sizes)}
    )


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner, "minItems": st.integers(0, 2)}
    )


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def build(properties: dict[str, Any], num_required: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:num_required],
            "additionalProperties": False,
        }

    names = st.sampled_from(["a", "b", "c d"])
    return st.builds(build, st.dictionaries(names, inner, max_size=3), st.integers(0, 3))


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.one_of(
        ranges(),
        strings(),
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.just({"type": ["string", "null"]}),
        st.just({"const": [1, {"x": None}]}),
        st.just({"enum": ["red", 2]}),
        st.just({"$ref": "#/$defs/tree"}),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            objects(inner),
            arrays(inner),
            st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
            objects(inner).map(lambda s: {"allOf": [s, {"type": "object"}]}),
        ),
        max_leaves=8,
    )


TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
    },
    "required": ["name", "next"],
    "additionalProperties": False,
}


@given(schemas())
def test_samples_are_valid_or_refused(schema: dict[str, Any]) -> None:
    schema = {**schema, "$defs": {"tree": TREE}}
    try:
        value = sample(schema)
    except ModelError:
        return
    Draft202012Validator(schema).validate(value)


@given(st.integers(-50, 50), st.integers(0, 20), st.sampled_from(["integer", "number"]))
def test_numbers_of_a_range_are_found(low: int, width: int, kind: str) -> None:
    schema = {"type": kind, "minimum": low, "maximum": low + width}
    assert low <= sample(schema) <= low + width


@pytest.mark.parametrize("kind", ["date", "date-time", "uuid", "email", "uri"])
def test_formats(kind: str) -> None:
    schema = {"type": "string", "format": kind}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        sample(schema)
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a$"},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": "array", "items": {"type": "null"}, "minItems": 2, "uniqueItems": True},
        {"anyOf": []},
        {"type": "array", "minItems": 1, "items": False},
        {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
        {"$ref": "#/$defs/missing"},
        {"type": "object", "minProperties": 1, "additionalProperties": False},
    ],
)
def test_what_cannot_be_made_up_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="cannot make up a value"):
        sample(schema)
