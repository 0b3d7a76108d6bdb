"""From a schema to its formula.

Every keyword is read by exactly one function, is an annotation, or is refused by name.
"""

from collections.abc import Callable
from typing import Any

from decoding.grammar.schema import keywords
from decoding.grammar.schema.arguments import list_in, use, uses
from decoding.grammar.schema.document import ALL_ASSERTIONS, SchemaNode
from decoding.grammar.schema.formula import (
    FALSE,
    NUMBERS,
    TRUE,
    Formula,
    Kind,
    KindIs,
    One,
    Use,
    equals,
    every,
    negate,
    one_of_values,
    some,
)
from decoding.grammar.schema.unevaluated import unevaluated_items, unevaluated_properties

Read = Callable[[SchemaNode], Formula]

_KINDS = {
    "null": {Kind.NULL},
    "boolean": {Kind.BOOLEAN},
    "integer": {Kind.INTEGER},
    "number": set(NUMBERS),
    "string": {Kind.STRING},
    "array": {Kind.ARRAY},
    "object": {Kind.OBJECT},
}
_FLAGS_OF_DRAFT_4 = ("exclusiveMinimum", "exclusiveMaximum")


def read(node: SchemaNode) -> Formula:
    """The formula of a schema. Raises `GrammarError` for a keyword that cannot be enforced."""
    if isinstance(node.contents, bool):
        return TRUE if node.contents else FALSE
    present = [keyword for keyword in node.contents if keyword in node.dialect.assertions]
    if "$ref" in present and node.dialect.ref_hides_siblings:
        present = ["$ref"]
    else:
        _refuse_other_drafts(node)
    return every(_READERS[keyword](node) for keyword in present)


def _refuse_other_drafts(node: SchemaNode) -> None:
    for keyword in node.contents:
        is_flag = keyword in _FLAGS_OF_DRAFT_4 and isinstance(node.contents[keyword], bool)
        if is_flag and node.dialect.draft == 4:
            continue
        if keyword in ALL_ASSERTIONS and keyword not in node.dialect.assertions:
            raise node.error(
                keyword,
                f"is no keyword of the schema's draft ({node.dialect.uri}); "
                "declare the draft it belongs to in '$schema', or leave it out",
            )


def _type(node: SchemaNode) -> Formula:
    value = node.contents["type"]
    kinds: set[Kind] = set()
    for name in [value] if isinstance(value, str) else list_in(node, "type"):
        if not isinstance(name, str) or name not in _KINDS:
            raise node.error("type", f"names no type: {name!r}")
        kinds |= _KINDS[name]
        if name == "integer" and node.dialect.whole_floats_are_integers:
            kinds.add(Kind.WHOLE)
    return KindIs(frozenset(kinds))


def _enum(node: SchemaNode) -> Formula:
    return _finite(node, "enum", one_of_values, list_in(node, "enum"))


def _const(node: SchemaNode) -> Formula:
    return _finite(node, "const", equals, node.contents["const"])


def _finite(node: SchemaNode, keyword: str, make: Callable[[Any], Formula], value: Any) -> Formula:
    try:
        return make(value)
    except (OverflowError, ValueError) as error:
        raise node.error(keyword, "holds a number beyond a double's range") from error


def _ref(node: SchemaNode) -> Formula:
    return Use(node.target())


def _dynamic_ref(node: SchemaNode) -> Formula:
    raise node.error("$dynamicRef", "is not supported; use '$ref'")


def _recursive_ref(node: SchemaNode) -> Formula:
    raise node.error("$recursiveRef", "is not supported; use '$ref'")


def _all_of(node: SchemaNode) -> Formula:
    return every(uses(node, "allOf"))


def _any_of(node: SchemaNode) -> Formula:
    return some(uses(node, "anyOf"))


def _one_of(node: SchemaNode) -> Formula:
    parts = uses(node, "oneOf")
    return parts[0] if len(parts) == 1 else One(tuple(parts))


def _not(node: SchemaNode) -> Formula:
    return negate(use(node, "not"))


def _if(node: SchemaNode) -> Formula:
    condition = use(node, "if")
    then = use(node, "then") if "then" in node.contents else TRUE
    otherwise = use(node, "else") if "else" in node.contents else TRUE
    if then == otherwise == TRUE:
        return TRUE
    return some([every([condition, then]), every([negate(condition), otherwise])])


def _nothing(node: SchemaNode) -> Formula:
    return TRUE  # read together with the keyword it belongs to


def _once_for_members(node: SchemaNode, keyword: str) -> Formula:
    first = next(each for each in node.contents if each in _MEMBER_KEYWORDS)
    return keywords.members(node) if keyword == first else TRUE


_MEMBER_KEYWORDS = ("properties", "patternProperties", "additionalProperties")

_READERS: dict[str, Read] = {
    "$ref": _ref,
    "$dynamicRef": _dynamic_ref,
    "$recursiveRef": _recursive_ref,
    "additionalItems": _nothing,
    "allOf": _all_of,
    "anyOf": _any_of,
    "const": _const,
    "contains": keywords.contains,
    "dependencies": keywords.dependencies,
    "dependentRequired": keywords.dependent_required,
    "dependentSchemas": keywords.dependent_schemas,
    "enum": _enum,
    "exclusiveMaximum": keywords.exclusive_maximum,
    "exclusiveMinimum": keywords.exclusive_minimum,
    "format": keywords.format,
    "if": _if,
    "items": keywords.items,
    "maxItems": keywords.max_items,
    "maxLength": keywords.max_length,
    "maxProperties": keywords.max_properties,
    "maximum": keywords.maximum,
    "minItems": keywords.min_items,
    "minLength": keywords.min_length,
    "minProperties": keywords.min_properties,
    "minimum": keywords.minimum,
    "multipleOf": keywords.multiple_of,
    "not": _not,
    "oneOf": _one_of,
    "pattern": keywords.pattern,
    "prefixItems": keywords.prefix_items,
    "propertyNames": keywords.property_names,
    "required": keywords.required,
    "type": _type,
    "unevaluatedItems": unevaluated_items,
    "unevaluatedProperties": unevaluated_properties,
    "uniqueItems": keywords.unique_items,
    **{
        keyword: lambda node, keyword=keyword: _once_for_members(node, keyword)  # type: ignore[misc]
        for keyword in _MEMBER_KEYWORDS
    },
}
