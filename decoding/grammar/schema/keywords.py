"""The formulas of keywords about one kind of value: numbers, strings, arrays, objects."""

from decoding.grammar.schema.arguments import (
    count_in,
    mapping_in,
    matches_in,
    names_in,
    number_in,
    use,
    uses,
)
from decoding.grammar.schema.document import SchemaNode
from decoding.grammar.schema.formats import STANDARD_FORMATS
from decoding.grammar.schema.formula import (
    ARRAYS,
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
    LongerThan,
    MemberCount,
    Members,
    MultipleOf,
    Names,
    Not,
    On,
    SomeItems,
    Unique,
    Use,
    at_most,
    every,
    some,
)


def minimum(node: SchemaNode) -> Formula:
    strict = node.dialect.draft == 4 and node.contents.get("exclusiveMinimum") is True
    return On(NUMBERS, AtLeast(number_in(node, "minimum"), strict))


def maximum(node: SchemaNode) -> Formula:
    strict = node.dialect.draft == 4 and node.contents.get("exclusiveMaximum") is True
    return On(NUMBERS, at_most(number_in(node, "maximum"), strict=strict))


def exclusive_minimum(node: SchemaNode) -> Formula:
    return On(NUMBERS, AtLeast(number_in(node, "exclusiveMinimum"), strict=True))


def exclusive_maximum(node: SchemaNode) -> Formula:
    return On(NUMBERS, at_most(number_in(node, "exclusiveMaximum"), strict=True))


def multiple_of(node: SchemaNode) -> Formula:
    divisor = number_in(node, "multipleOf")
    if divisor <= 0:
        raise node.error("multipleOf", "must be more than 0")
    value = node.contents["multipleOf"]
    return On(NUMBERS, MultipleOf(value, isinstance(value, float), f"{node.location}/multipleOf"))


def min_length(node: SchemaNode) -> Formula:
    return On(STRINGS, LongerThan(count_in(node, "minLength")))


def max_length(node: SchemaNode) -> Formula:
    return On(STRINGS, Not(LongerThan(count_in(node, "maxLength") + 1)))


def pattern(node: SchemaNode) -> Formula:
    return On(STRINGS, matches_in(node, "pattern", node.contents["pattern"]))


def format(node: SchemaNode) -> Formula:
    name = node.contents["format"]
    if not isinstance(name, str):
        raise node.error("format", "must be a string")
    if name in STANDARD_FORMATS:
        return On(STRINGS, HasFormat(name, f"{node.location}/format"))
    return TRUE  # a name of the schema's own: an annotation, as the standard has it


def items(node: SchemaNode) -> Formula:
    value = node.contents["items"]
    if isinstance(value, list):
        if node.dialect.draft == 2020:
            raise node.error("items", "as a list is 'prefixItems' in draft 2020-12")
        rest = use(node, "additionalItems") if "additionalItems" in node.contents else TRUE
        prefix = tuple(Use(node.child("items", index)) for index in range(len(value)))
        return On(ARRAYS, Items(prefix, rest))
    before = node.contents.get("prefixItems")  # which is refused elsewhere if it is no list
    skipped = len(before) if node.dialect.draft == 2020 and isinstance(before, list) else 0
    return On(ARRAYS, Items((TRUE,) * skipped, use(node, "items")))


def prefix_items(node: SchemaNode) -> Formula:
    return On(ARRAYS, Items(tuple(uses(node, "prefixItems")), TRUE))


def min_items(node: SchemaNode) -> Formula:
    return On(ARRAYS, ItemCount(count_in(node, "minItems")))


def max_items(node: SchemaNode) -> Formula:
    return On(ARRAYS, Not(ItemCount(count_in(node, "maxItems") + 1)))


def contains(node: SchemaNode) -> Formula:
    part = use(node, "contains")
    least, most = 1, None
    if node.dialect.draft >= 2019:
        least = count_in(node, "minContains") if "minContains" in node.contents else 1
        most = count_in(node, "maxContains") if "maxContains" in node.contents else None
    location = f"{node.location}/contains"
    at_least = SomeItems(part, 0, least, location) if least else TRUE
    few = TRUE if most is None else Not(SomeItems(part, 0, most + 1, location))
    return On(ARRAYS, every([at_least, few]))


def unique_items(node: SchemaNode) -> Formula:
    return (
        On(ARRAYS, Unique(f"{node.location}/uniqueItems")) if node.contents["uniqueItems"] else TRUE
    )


def members(node: SchemaNode) -> Formula:
    contents = node.contents
    named = tuple(
        (name, Use(node.child("properties", name))) for name in mapping_in(node, "properties")
    )
    patterns = tuple(
        (
            matches_in(node, "patternProperties", pattern),
            Use(node.child("patternProperties", pattern)),
        )
        for pattern in mapping_in(node, "patternProperties")
    )
    rest = use(node, "additionalProperties") if "additionalProperties" in contents else TRUE
    return On(OBJECTS, Members(named, patterns, rest))


def required(node: SchemaNode) -> Formula:
    return On(OBJECTS, All(tuple(Has(name, TRUE) for name in names_in(node, "required"))))


def property_names(node: SchemaNode) -> Formula:
    return On(OBJECTS, Names(use(node, "propertyNames")))


def min_properties(node: SchemaNode) -> Formula:
    location = f"{node.location}/minProperties"
    return On(OBJECTS, MemberCount(count_in(node, "minProperties"), location))


def max_properties(node: SchemaNode) -> Formula:
    location = f"{node.location}/maxProperties"
    return On(OBJECTS, Not(MemberCount(count_in(node, "maxProperties") + 1, location)))


def dependent_required(node: SchemaNode) -> Formula:
    return _dependent(node, "dependentRequired")


def dependent_schemas(node: SchemaNode) -> Formula:
    return _dependent(node, "dependentSchemas")


def dependencies(node: SchemaNode) -> Formula:
    return _dependent(node, "dependencies")


def _dependent(node: SchemaNode, keyword: str) -> Formula:
    rules: list[Formula] = []
    for name, needed in mapping_in(node, keyword).items():
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
