"""The JSON Schema of a Python type, without noise and as strict as the type allows."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from agentkit.lenient_json import lenient_json

Schema = dict[str, Any]

_REF = "#/$defs/"
_ONE = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAP = ("properties", "patternProperties", "dependentSchemas", "$defs")
_TOGETHER = {"allOf", "not", "if", "then", "else", "dependentSchemas"}
_ANNOTATIONS = frozenset({"description", "default", "examples", "deprecated"})


def json_schema(adapter: TypeAdapter[Any]) -> Schema:
    """The schema of what `adapter` accepts as JSON.

    Objects with named properties are closed unless their type asks for more; titles are
    dropped; a definition that is used once, or is no more than a leaf, is written in place.
    Recursion stays in `$defs`. Raises what pydantic raises for a type that JSON
    cannot carry.
    """
    return _inline(_tidy(adapter.json_schema(schema_generator=_Generator)))


def is_open(schema: Schema) -> bool:
    """Whether some object with named properties also takes others."""
    here = "properties" in schema and schema.get("additionalProperties") is not False
    return here or any(map(is_open, _subschemas(schema)))


def closed(schema: Schema) -> Schema:
    """`schema` with every object closed that names its properties and says nothing of others.

    What holds together with other schemas, as the branches of `allOf` do, stays as it is: closed
    branches would refuse each other's properties.
    """
    shared = _referenced_together(schema)

    def close(node: Schema) -> Schema:
        has_properties = "properties" in node
        left = _TOGETHER | ({"anyOf", "oneOf"} if has_properties else set())
        inner = _map_subschemas({k: v for k, v in node.items() if k not in left}, close)
        if _map_at(node, "$defs"):
            inner["$defs"] = {
                name: node["$defs"][name] if name in shared else definition
                for name, definition in inner["$defs"].items()
            }
        result = {key: inner.get(key, value) for key, value in node.items()}
        if has_properties and not (left | {"$ref"}) & node.keys():
            result.setdefault("additionalProperties", False)
        return result

    return close(schema)


def _referenced_together(schema: Schema) -> set[str]:
    """The definitions that hold together with other schemas somewhere."""
    found: set[str] = set()

    def visit(node: Schema, together: bool) -> None:
        beside = together or "properties" in node
        name = _referenced(node)
        if name is not None and beside and name not in found:
            found.add(name)
            definition = _map_at(schema, "$defs").get(name)
            visit(definition if isinstance(definition, dict) else {}, True)
        for key, value in node.items():
            is_same_value = key in _TOGETHER or (key in ("anyOf", "oneOf") and beside)
            for subschema in _subschemas({key: value}):
                visit(subschema, is_same_value)

    visit(schema, False)
    return found


class _Generator(GenerateJsonSchema):
    """A set is an array on the wire: repeats are legal JSON for it and collapse on arrival, so
    the schema does not forbid them (and decoding never has to remember earlier items)."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        default = super().get_default_value(schema)
        return default if is_json(default) else NoDefault

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        return _without(super().set_schema(schema), "uniqueItems")

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        return _without(super().frozenset_schema(schema), "uniqueItems")

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        """Its items are checked only when they are read, and can be read only once. An error
        of pydantic's own would only leave it out of a union, without a word."""
        raise TypeError("an Iterable is checked too late, as it is read; write list or Sequence")


def _tidy(schema: Schema) -> Schema:
    tidy = _without(_map_subschemas(schema, _tidy), "title")
    if "properties" in tidy:
        tidy.setdefault("additionalProperties", False)
    if tidy.pop("discriminator", None) is not None and "oneOf" in tidy:
        # The branches differ in their tag, so "exactly one" and "any" accept the same values.
        tidy["anyOf"] = tidy.pop("oneOf")
    return tidy


def is_json(value: Any) -> bool:
    """Whether JSON can spell it: it has no infinities and no NaN, which pydantic writes as null
    inside some others."""
    try:
        json.dumps(lenient_json(value), allow_nan=False)
    except ValueError:
        return False
    return True


def _inline(schema: Schema) -> Schema:
    definitions: dict[str, Schema] = schema.get("$defs", {})
    uses = Counter(_references(schema))
    # Each cycle keeps one definition at least: the one it is entered by has two uses.
    inlined = {
        name: definition
        for name, definition in definitions.items()
        if uses[name] == 1 or not any(_subschemas(definition))
    }

    def resolve(node: Schema) -> Schema:
        target = inlined.get(_referenced(node) or "")
        siblings = _without(node, "$ref")
        if target is None or not _ANNOTATIONS.issuperset(siblings):
            return _map_subschemas(node, resolve)
        return resolve(target) | siblings

    body = resolve(_without(schema, "$defs"))
    resolved = {name: resolve(definition) for name, definition in definitions.items()}
    used = _reachable(body, resolved)
    kept = {name: definition for name, definition in resolved.items() if name in used}
    return body | {"$defs": kept} if kept else body


def _reachable(schema: Schema, definitions: dict[str, Schema]) -> set[str]:
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(definitions[name])
    return found


def _references(schema: Schema) -> Iterator[str]:
    if (name := _referenced(schema)) is not None:
        yield name
    for subschema in _subschemas(schema):
        yield from _references(subschema)


def _referenced(schema: Schema) -> str | None:
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_REF):
        return reference.removeprefix(_REF)
    return None


def _subschemas(schema: Schema) -> Iterator[Schema]:
    """The direct subschemas that are objects. Property names, constants and defaults are data
    and never mistaken for keywords."""
    found: list[Any] = [schema.get(key) for key in _ONE]
    for key in _LIST:
        found.extend(_list_at(schema, key))
    for key in _MAP:
        found.extend(_map_at(schema, key).values())
    return (subschema for subschema in found if isinstance(subschema, dict))


def _map_subschemas(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, dict) else value

    result = dict(schema)
    for key in schema.keys() & set(_ONE):
        result[key] = changed(schema[key])
    for key in _LIST:
        if subschemas := _list_at(schema, key):
            result[key] = [changed(value) for value in subschemas]
    for key in _MAP:
        if named := _map_at(schema, key):
            result[key] = {name: changed(value) for name, value in named.items()}
    return result


def _list_at(schema: Schema, key: str) -> list[Any]:
    """What else is there is no keyword: an older draft may mean anything by its name."""
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _map_at(schema: Schema, key: str) -> dict[str, Any]:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}
