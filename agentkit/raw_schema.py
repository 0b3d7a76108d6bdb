"""JSON Schemas that somebody else wrote, and arguments under them. Adapter to `jsonschema`,
which is imported on first use: most programs never need it, and it takes a third of the time
that `import agentkit` may take."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentkit.errors import ModelRetry, ToolDefinitionError
from agentkit.json_type import parse_json, refusal, show_path

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator
    from referencing import Resource
    from referencing._core import Resolver

_MAX_MESSAGE = 200
_MOST_KEPT = 2**16  # letters of a schema: requests bring up to 16 MiB


@dataclass(frozen=True, slots=True, eq=False)
class RawArguments:
    """The arguments of a tool that is described by a schema. Immutable, shareable."""

    tool: str
    _validator: "Validator" = field(repr=False)

    def validate(self, text: str) -> dict[str, Any]:
        """The arguments object as it is. Raises `ModelRetry` naming what does not fit."""
        subject = f"arguments of {self.tool}"
        value: dict[str, Any] = parse_json(text, subject)
        try:
            errors = sorted(self._validator.iter_errors(value), key=_location)
        except RecursionError as error:
            raise ModelRetry(f"{subject}: nested too deeply") from error
        if errors:
            raise refusal(subject, map(_problem, errors))
        return value

    def bind(
        self, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> functools.partial[Any]:
        return functools.partial(function, arguments)


def own_copy(tool: str, schema: Any) -> dict[str, Any]:
    """`schema` as plain JSON values that nobody else can change. Raises `ToolDefinitionError`
    unless it is a JSON object that describes an object."""
    try:
        copy = json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise _refusal(tool, f"not JSON ({error})") from error
    if not isinstance(copy, dict) or copy.get("type") != "object":
        raise _refusal(tool, 'arguments are always an object: write "type": "object"')
    return copy


def raw_arguments(tool: str, schema: dict[str, Any]) -> RawArguments:
    """Compiles `schema` under Draft 2020-12, or the draft that its `$schema` names.

    References must resolve inside the schema, so validation never opens a connection. Raises
    `ToolDefinitionError` for a schema that could only fail later.
    """
    from jsonschema import Draft202012Validator, FormatChecker, SchemaError
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY, UnknownDialect, specification_with

    dialect = str(schema.get("$schema", Draft202012Validator.META_SCHEMA["$schema"]))
    try:
        resource = specification_with(dialect).create_resource(schema)
        draft: Any = validator_for(schema, Draft202012Validator)
        draft.check_schema(schema, format_checker=FormatChecker(["regex"]))
        _check_references(resource, EMPTY_REGISTRY.resolver_with_root(resource))
        validator = draft(schema, registry=EMPTY_REGISTRY)
        validator.is_valid({})
    except UnknownDialect as error:
        raise _refusal(tool, f"$schema {error.uri!r} is no draft known here") from error
    except SchemaError as error:
        raise _refusal(tool, f"{error.json_path}: {_short(error.message)}") from error
    except Unresolvable as error:
        raise _refusal(tool, f"{error.ref!r} refers to nothing in the schema") from error
    except RecursionError as error:
        raise _refusal(tool, "it refers to itself without end") from error
    return RawArguments(tool, validator)


def schema_problem(schema: dict[str, Any]) -> str | None:
    """What is wrong with `schema` under Draft 2020-12, or the draft that its `$schema` names; None
    for a JSON Schema. References are not followed."""
    text = json.dumps(schema)
    return _known_problem_in(text) if len(text) <= _MOST_KEPT else _problem_in(text)


@functools.lru_cache(maxsize=256)  # a check takes milliseconds, and agents send the same again
def _known_problem_in(text: str) -> str | None:
    return _problem_in(text)


def _problem_in(text: str) -> str | None:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    schema = json.loads(text)
    is_named = isinstance(schema.get("$schema"), str)
    draft = validator_for(schema, Draft202012Validator) if is_named else Draft202012Validator
    try:
        draft.check_schema(schema)
    except SchemaError as error:
        return f"{error.json_path}: {_short(error.message)}"
    except RecursionError:
        return "it is nested too deeply"
    return None


def _check_references(resource: "Resource[Any]", resolver: "Resolver[Any]") -> None:
    if isinstance(resource.contents, dict):
        for keyword in resource.contents.keys() & {"$ref", "$dynamicRef"}:
            resolver.lookup(resource.contents[keyword])
    for subresource in resource.subresources():
        _check_references(subresource, resolver.in_subresource(subresource))


def _location(error: "ValidationError") -> str:
    return str(error.json_path)


def _problem(error: "ValidationError") -> str:
    message = _short(error.message)
    return f"{show_path(error.absolute_path)}: {message}" if error.absolute_path else message


def _short(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "..."


def _refusal(tool: str, problem: str) -> ToolDefinitionError:
    return ToolDefinitionError(f"tool {tool!r}: its parameters are not a usable schema: {problem}")
