"""Ways to tell a model which functions there are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.bfcl import Function, json_type

Describe = Callable[[Sequence[Function]], str]


def as_json(functions: Sequence[Function]) -> str:
    """A line of JSON for each, with the data's own names of types."""
    return "\n".join(each.spelled for each in functions)


def as_signatures(functions: Sequence[Function]) -> str:
    """A line for each: name(parameter: type (description), ...): description."""
    return "\n".join(f"- {_signature(each, described=True)}" for each in functions)


def as_bare_signatures(functions: Sequence[Function]) -> str:
    """The same without the parameters' descriptions."""
    return "\n".join(f"- {_signature(each, described=False)}" for each in functions)


def as_sections(functions: Sequence[Function]) -> str:
    """A Markdown section for each, with a list of its parameters."""
    return "\n".join(map(_section, functions))


def _signature(function: Function, *, described: bool) -> str:
    required = function.parameters.get("required", ())
    parameters = (
        f"{name}{'' if name in required else '?'}: {json_type(spec)}"
        + (f" ({spec['description']})" if described and spec.get("description") else "")
        for name, spec in _properties(function).items()
    )
    return f"{function.name}({', '.join(parameters)}): {function.description}"


def _section(function: Function) -> str:
    required = function.parameters.get("required", ())
    lines = [f"## {function.name}", function.description, "Arguments:"]
    lines += [
        f"- {name} ({json_type(spec)}{'' if name in required else ', optional'}): "
        f"{spec.get('description', '')}{_options(spec)}"
        for name, spec in _properties(function).items()
    ]
    return "\n".join(lines)


def _options(spec: Mapping[str, Any]) -> str:
    told = f" One of: {', '.join(map(str, spec['enum']))}." if "enum" in spec else ""
    return told + (f" Default: {spec['default']}." if "default" in spec else "")


def _properties(function: Function) -> Mapping[str, Mapping[str, Any]]:
    properties: Mapping[str, Mapping[str, Any]] = function.parameters["properties"]
    return properties
