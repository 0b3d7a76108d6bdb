"""From the keywords of a schema to its formula.

Every keyword is read by exactly one function here, is an annotation, or is refused by name.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from decoding.grammar.pattern import PatternError, search_language
from decoding.grammar.schema.document import ALL_ASSERTIONS, SchemaNode
from decoding.grammar.schema.formats import FORMATS, STANDARD_FORMATS
from decoding.grammar.schema.formula import (
    ARRAYS,
    FALSE,
    NUMBERS,
    OBJECTS,
    STRINGS,
    TRUE,
    All,
    AtLeast,
    Formula,
    Has,
    HasFormat,
    ItemCount,
    Items,
    Kind,
    KindIs,
    LongerThan,
    Matches,
    MemberCount,
    Members,
    MultipleOf,
    Names,
    Not,
    On,
    One,
    SomeItems,
    Unique,
    Use,
    at_most,
    equals,
    every,
    exact,
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
    for name in [value] if isinstance(value, str) else _list(node, "type"):
        if not isinstance(name, str) or name not in _KINDS:
            raise node.error("type", f"names no type: {name!r}")
        kinds |= _KINDS[name]
        if name == "integer" and node.dialect.whole_floats_are_integers:
            kinds.add(Kind.WHOLE)
    return KindIs(frozenset(kinds))


def _enum(node: SchemaNode) -> Formula:
    return _finite(node, "enum", one_of_values, _list(node, "enum"))


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
    return every(_uses(node, "allOf"))


def _any_of(node: SchemaNode) -> Formula:
    return some(_uses(node, "anyOf"))


def _one_of(node: SchemaNode) -> Formula:
    parts = _uses(node, "oneOf")
    return parts[0] if len(parts) == 1 else One(tuple(parts))


def _not(node: SchemaNode) -> Formula:
    return negate(_use(node, "not"))


def _if(node: SchemaNode) -> Formula:
    condition = _use(node, "if")
    then = _use(node, "then") if "then" in node.contents else TRUE
    otherwise = _use(node, "else") if "else" in node.contents else TRUE
    if then == otherwise == TRUE:
        return TRUE
    return some([every([condition, then]), every([negate(condition), otherwise])])


def _minimum(node: SchemaNode) -> Formula:
    strict = node.dialect.draft == 4 and node.contents.get("exclusiveMinimum") is True
    return On(NUMBERS, AtLeast(_number(node, "minimum"), strict))


def _maximum(node: SchemaNode) -> Formula:
    strict = node.dialect.draft == 4 and node.contents.get("exclusiveMaximum") is True
    return On(NUMBERS, at_most(_number(node, "maximum"), strict=strict))


def _exclusive_minimum(node: SchemaNode) -> Formula:
    return On(NUMBERS, AtLeast(_number(node, "exclusiveMinimum"), strict=True))


def _exclusive_maximum(node: SchemaNode) -> Formula:
    return On(NUMBERS, at_most(_number(node, "exclusiveMaximum"), strict=True))


def _multiple_of(node: SchemaNode) -> Formula:
    divisor = _number(node, "multipleOf")
    if divisor <= 0:
        raise node.error("multipleOf", "must be more than 0")
    value = node.contents["multipleOf"]
    return On(NUMBERS, MultipleOf(value, isinstance(value, float), f"{node.location}/multipleOf"))


def _min_length(node: SchemaNode) -> Formula:
    return On(STRINGS, LongerThan(_count(node, "minLength")))


def _max_length(node: SchemaNode) -> Formula:
    return On(STRINGS, Not(LongerThan(_count(node, "maxLength") + 1)))


def _pattern(node: SchemaNode) -> Formula:
    return On(STRINGS, _matches(node, "pattern", node.contents["pattern"]))


def _format(node: SchemaNode) -> Formula:
    name = node.contents["format"]
    if not isinstance(name, str):
        raise node.error("format", "must be a string")
    if name in FORMATS:
        return On(STRINGS, HasFormat(name, f"{node.location}/format"))
    if name in STANDARD_FORMATS:
        return On(STRINGS, HasFormat(name, f"{node.location}/format"))
    return TRUE  # a name of the schema's own: an annotation, as the standard has it


def _items(node: SchemaNode) -> Formula:
    value = node.contents["items"]
    if isinstance(value, list):
        if node.dialect.draft == 2020:
            raise node.error("items", "as a list is 'prefixItems' in draft 2020-12")
        rest = _use(node, "additionalItems") if "additionalItems" in node.contents else TRUE
        prefix = tuple(Use(node.child("items", index)) for index in range(len(value)))
        return On(ARRAYS, Items(prefix, rest))
    skipped = len(node.contents.get("prefixItems", ())) if node.dialect.draft == 2020 else 0
    return On(ARRAYS, Items((TRUE,) * skipped, _use(node, "items")))


def _prefix_items(node: SchemaNode) -> Formula:
    return On(ARRAYS, Items(tuple(_uses(node, "prefixItems")), TRUE))


def _min_items(node: SchemaNode) -> Formula:
    return On(ARRAYS, ItemCount(_count(node, "minItems")))


def _max_items(node: SchemaNode) -> Formula:
    return On(ARRAYS, Not(ItemCount(_count(node, "maxItems") + 1)))


def _contains(node: SchemaNode) -> Formula:
    part = _use(node, "contains")
    least, most = 1, None
    if node.dialect.draft >= 2019:
        least = _count(node, "minContains") if "minContains" in node.contents else 1
        most = _count(node, "maxContains") if "maxContains" in node.contents else None
    location = f"{node.location}/contains"
    at_least = SomeItems(part, 0, least, location) if least else TRUE
    few = TRUE if most is None else Not(SomeItems(part, 0, most + 1, location))
    return On(ARRAYS, every([at_least, few]))


def _unique_items(node: SchemaNode) -> Formula:
    return (
        On(ARRAYS, Unique(f"{node.location}/uniqueItems")) if node.contents["uniqueItems"] else TRUE
    )


def _members(node: SchemaNode) -> Formula:
    contents = node.contents
    named = tuple(
        (name, Use(node.child("properties", name))) for name in _mapping(node, "properties")
    )
    patterns = tuple(
        (
            _matches(node, "patternProperties", pattern),
            Use(node.child("patternProperties", pattern)),
        )
        for pattern in _mapping(node, "patternProperties")
    )
    rest = _use(node, "additionalProperties") if "additionalProperties" in contents else TRUE
    return On(OBJECTS, Members(named, patterns, rest))


def _required(node: SchemaNode) -> Formula:
    return On(OBJECTS, All(tuple(Has(name, TRUE) for name in _names(node, "required"))))


def _property_names(node: SchemaNode) -> Formula:
    return On(OBJECTS, Names(_use(node, "propertyNames")))


def _min_properties(node: SchemaNode) -> Formula:
    location = f"{node.location}/minProperties"
    return On(OBJECTS, MemberCount(_count(node, "minProperties"), location))


def _max_properties(node: SchemaNode) -> Formula:
    location = f"{node.location}/maxProperties"
    return On(OBJECTS, Not(MemberCount(_count(node, "maxProperties") + 1, location)))


def _dependent_required(node: SchemaNode) -> Formula:
    return _dependent(node, "dependentRequired")


def _dependent_schemas(node: SchemaNode) -> Formula:
    return _dependent(node, "dependentSchemas")


def _dependencies(node: SchemaNode) -> Formula:
    return _dependent(node, "dependencies")


def _dependent(node: SchemaNode, keyword: str) -> Formula:
    rules: list[Formula] = []
    for name, needed in _mapping(node, keyword).items():
        if isinstance(needed, str):
            needed = [needed]
        if isinstance(needed, list):
            if not all(isinstance(each, str) for each in needed):
                raise node.error(keyword, "must list strings")
            implied = every(Has(each, TRUE) for each in needed)
        else:
            implied = Use(node.child(keyword, name))
        rules.append(some([Not(Has(name, TRUE)), implied]))
    return On(OBJECTS, every(rules))


def _unevaluated_items(node: SchemaNode) -> Formula:
    return unevaluated_items(node)


def _unevaluated_properties(node: SchemaNode) -> Formula:
    return unevaluated_properties(node)


def _nothing(node: SchemaNode) -> Formula:
    return TRUE  # read together with the keyword it belongs to


def _once_for_members(node: SchemaNode, keyword: str) -> Formula:
    first = next(each for each in node.contents if each in _MEMBER_KEYWORDS)
    return _members(node) if keyword == first else TRUE


_MEMBER_KEYWORDS = ("properties", "patternProperties", "additionalProperties")

_READERS: dict[str, Read] = {
    "$ref": _ref,
    "$dynamicRef": _dynamic_ref,
    "$recursiveRef": _recursive_ref,
    "additionalItems": _nothing,
    "allOf": _all_of,
    "anyOf": _any_of,
    "const": _const,
    "contains": _contains,
    "dependencies": _dependencies,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "enum": _enum,
    "exclusiveMaximum": _exclusive_maximum,
    "exclusiveMinimum": _exclusive_minimum,
    "format": _format,
    "if": _if,
    "items": _items,
    "maxItems": _max_items,
    "maxLength": _max_length,
    "maxProperties": _max_properties,
    "maximum": _maximum,
    "minItems": _min_items,
    "minLength": _min_length,
    "minProperties": _min_properties,
    "minimum": _minimum,
    "multipleOf": _multiple_of,
    "not": _not,
    "oneOf": _one_of,
    "pattern": _pattern,
    "prefixItems": _prefix_items,
    "propertyNames": _property_names,
    "required": _required,
    "type": _type,
    "unevaluatedItems": _unevaluated_items,
    "unevaluatedProperties": _unevaluated_properties,
    "uniqueItems": _unique_items,
    **{
        keyword: lambda node, keyword=keyword: _once_for_members(node, keyword)  # type: ignore[misc]
        for keyword in _MEMBER_KEYWORDS
    },
}


def _use(node: SchemaNode, keyword: str) -> Formula:
    child = node.child(keyword)
    if isinstance(child.contents, bool):
        return TRUE if child.contents else FALSE
    return Use(child)


def _uses(node: SchemaNode, keyword: str) -> list[Formula]:
    return [Use(node.child(keyword, index)) for index in range(len(_list(node, keyword)))]


def _list(node: SchemaNode, keyword: str) -> list[Any]:
    value = node.contents[keyword]
    if not isinstance(value, list):
        raise node.error(keyword, "must be a list")
    return value


def _names(node: SchemaNode, keyword: str) -> list[str]:
    names = _list(node, keyword)
    if not all(isinstance(name, str) for name in names):
        raise node.error(keyword, "must be a list of strings")
    return names


def _mapping(node: SchemaNode, keyword: str) -> Mapping[str, Any]:
    value = node.contents.get(keyword, {})
    if not isinstance(value, Mapping):
        raise node.error(keyword, "must be an object")
    return value


def _number(node: SchemaNode, keyword: str) -> Fraction:
    value = node.contents[keyword]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise node.error(keyword, "must be a number")
    try:
        return exact(value)
    except (ValueError, OverflowError) as error:
        raise node.error(keyword, "must be within a double's range") from error


def _count(node: SchemaNode, keyword: str) -> int:
    value = _number(node, keyword)
    if value.denominator != 1 or value < 0:
        raise node.error(keyword, "must be an integer of at least 0")
    return int(value)


def _matches(node: SchemaNode, keyword: str, pattern: Any) -> Matches:
    if not isinstance(pattern, str):
        raise node.error(keyword, "must be a string")
    try:
        search_language(pattern)
    except PatternError as error:
        raise node.error(keyword, f"cannot be enforced: {error}") from error
    return Matches(pattern, f"{node.location}/{keyword}")
