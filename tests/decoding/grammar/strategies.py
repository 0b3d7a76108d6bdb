"""Random schemas over a small vocabulary, and documents that often come close to them."""

from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "ab", "c")
_TEXTS = ("", "a", "b", "ab", "aab", "é", '"', "a\nb", "2024-02-29", "2023-02-29", "x@y.z", "1.5")
_NUMBERS = (-2, -1, 0, 1, 2, 3, 10, 0.5, 1.5, -0.5, 2.0, 0.1, 12345678901234567890)
_PATTERNS = ("^a", "b$", "^a*$", "a.b", "^(a|é)$", "^[^a]*$", r"\d", "^(?!a)", "")
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.sampled_from(_NUMBERS), st.sampled_from(_TEXTS)
)
documents: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
_small = st.integers(0, 3)
_bounds = st.sampled_from([-1, 0, 1, 2, 0.5, 1.5, 3])
_names = st.sampled_from(NAMES)


def _maybe(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


_numeric = _maybe(
    {
        "minimum": _bounds,
        "maximum": _bounds,
        "exclusiveMinimum": _bounds,
        "exclusiveMaximum": _bounds,
        "multipleOf": st.sampled_from([1, 2, 3, 0.5, 2.0]),
    }
)
_textual = _maybe(
    {
        "minLength": _small,
        "maxLength": _small,
        "pattern": st.sampled_from(_PATTERNS),
        "format": st.sampled_from(["date", "email", "own"]),
    }
)


def _listed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return _maybe(
        {
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minItems": _small,
            "maxItems": _small,
            "contains": inner,
            "minContains": _small,
            "maxContains": _small,
            "uniqueItems": st.booleans(),
            "unevaluatedItems": inner,
        }
    )


def _named(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return _maybe(
        {
            "properties": st.dictionaries(_names, inner, max_size=3),
            "patternProperties": st.dictionaries(
                st.sampled_from(["^a", "b", "c"]), inner, max_size=2
            ),
            "additionalProperties": inner,
            "required": st.lists(_names, unique=True, max_size=2),
            "propertyNames": inner,
            "minProperties": _small,
            "maxProperties": _small,
            "dependentRequired": st.dictionaries(_names, st.lists(_names, max_size=1), max_size=1),
            "dependentSchemas": st.dictionaries(_names, inner, max_size=1),
            "unevaluatedProperties": inner,
        }
    )


def _combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    few = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        _maybe({"allOf": few, "anyOf": few}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner}, optional={"then": inner, "else": inner}),
        st.just({"$ref": "#/$defs/d"}),
    )


_typed = st.fixed_dictionaries(
    {
        "type": st.one_of(
            st.sampled_from(_TYPES),
            st.lists(st.sampled_from(_TYPES), max_size=3, min_size=1, unique=True),
        )
    }
)
_fixed = st.one_of(
    st.fixed_dictionaries({"const": documents}),
    st.fixed_dictionaries({"enum": st.lists(documents, min_size=1, max_size=3)}),
)


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {keyword: value for part in parts for keyword, value in part.items()}


def _subschemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    kinds = [_typed, _numeric, _textual, _listed(inner), _named(inner), _combined(inner), _fixed]
    return st.lists(st.one_of(kinds), min_size=1, max_size=3).map(_merged)


subschemas: st.SearchStrategy[Any] = st.recursive(
    st.one_of(_typed, _numeric, _textual, _fixed, st.booleans()), _subschemas, max_leaves=6
)
schemas: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda root, definition: {
        **(root if isinstance(root, dict) else {"allOf": [root]}),
        "$defs": {"d": definition},
    },
    subschemas,
    st.one_of(_typed, _numeric, _textual, _fixed, _named(st.just({"$ref": "#"}))),
)
