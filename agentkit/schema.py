"""A function's signature and docstring as a description that a model can read."""

import functools
import inspect
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Annotated, Any, NotRequired, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typing_extensions import TypedDict

from agentkit.callables import (
    Function,
    bound_keywords,
    documentation_of,
    is_generator,
    is_lambda,
    name_of,
    namespace_of,
)
from agentkit.context import RunContext
from agentkit.docstring import parse_docstring
from agentkit.errors import ToolDefinitionError
from agentkit.json_schema import is_json
from agentkit.json_type import JsonType

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
_TYPES = "use str, int, float, bool, list, dict, Literal, Enum, dataclass, TypedDict or BaseModel"


@dataclass(frozen=True, slots=True, eq=False)
class FunctionArguments:
    """The arguments a model may give to one function. Immutable, shareable. `python_type` is the
    `TypedDict` of them."""

    tool: str
    python_type: Any
    _type: JsonType[dict[str, Any]] = field(repr=False)

    def validate(self, text: str) -> dict[str, Any]:
        """Keyword arguments with their Python types, only those that were given. Raises
        `ModelRetry` naming every argument that is missing, unknown or wrong."""
        return self._type.validate(text, f"arguments of {self.tool}")

    def bind(self, function: Function, arguments: dict[str, Any]) -> functools.partial[Any]:
        return functools.partial(function, **arguments)


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """What a model may know about a function. `parameters` is a JSON Schema; `takes_context`
    tells that the first parameter is a `RunContext`, which no model sees."""

    name: str
    description: str
    parameters: dict[str, Any]
    takes_context: bool
    arguments: FunctionArguments


@dataclass(frozen=True, slots=True)
class _Argument:
    """One parameter as the model sees it. `default` is `Parameter.empty` where there is none."""

    name: str
    annotation: Any
    default: Any

    @property
    def field_type(self) -> Any:
        is_required = self.default is Parameter.empty
        return self.annotation if is_required else NotRequired[self.annotation]


def describe(
    function: Function, name: str | None = None, description: str | None = None
) -> FunctionSchema:
    """Reads signature and docstring. `name` and `description` replace the function's own.

    Arguments that `functools.partial` has bound are not offered. Raises `ToolDefinitionError`
    naming the function, the parameter and the way to mend it.
    """
    name = name_of(function) if name is None else name
    check_function(name, function)
    if is_lambda(function):
        raise _refusal(name, None, "a lambda has no types and no docstring", "write a def")
    check_name(name)
    doc = parse_docstring(documentation_of(function))
    takes_context, arguments = _arguments(name, function, doc.parameters)
    python_type, arguments_type = _arguments_type(name, arguments)
    return FunctionSchema(
        name,
        doc.description if description is None else inspect.cleandoc(description).strip(),
        _with_defaults(arguments_type.schema, arguments),
        takes_context,
        FunctionArguments(name, python_type, arguments_type),
    )


def check_name(name: str) -> None:
    """Raises `ToolDefinitionError` for a name that some model would not take."""
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"{name!r} is no tool name: use 1 to 64 letters, digits, _ and -, not a digit or - "
            "first; set it with tool(name=...)"
        )


def check_function(name: str, function: Any) -> None:
    """Raises `ToolDefinitionError` for what cannot be called once to give one result."""
    if not callable(function):
        raise _refusal(name, None, f"{type(function).__name__} is not callable", "give a function")
    if isinstance(function, type):
        raise _refusal(name, None, "a class is not a tool", "write a function that makes one")
    if is_generator(function):
        raise _refusal(name, None, "a generator gives no single result", "return a list")


def _arguments(
    name: str, function: Function, descriptions: Mapping[str, str]
) -> tuple[bool, list[_Argument]]:
    """Whether the function takes a context, and its other parameters."""
    parameters = _parameters(name, function)
    annotated = [(p, _annotation(name, function, p)) for p in parameters]
    takes_context = bool(annotated) and _is_leading_context(*annotated[0])
    arguments = []
    for parameter, annotation in annotated[takes_context:]:
        problem = _problem(parameter, annotation)
        if problem is not None:
            raise _refusal(name, parameter.name, *problem)
        described = _described(annotation, descriptions.get(parameter.name))
        arguments.append(_Argument(parameter.name, described, parameter.default))
    return takes_context, arguments


def _parameters(name: str, function: Function) -> list[Parameter]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise _refusal(name, None, f"it has no signature ({error})", "wrap it in a def") from error
    bound = bound_keywords(function)
    return [parameter for parameter in parameters if parameter.name not in bound]


def _annotation(name: str, function: Function, parameter: Parameter) -> Any:
    """The parameter's type, with string annotations evaluated."""
    if parameter.annotation is Parameter.empty:
        return Parameter.empty
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hints = get_type_hints(holder, namespace_of(function), include_extras=True)
    except Exception as error:
        problem = f"its type {parameter.annotation!r} cannot be resolved ({error})"
        fix = "import or define the type at module level, not in a function or TYPE_CHECKING block"
        raise _refusal(name, parameter.name, problem, fix) from error
    return hints[parameter.name]


def _is_context(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, RunContext)


def _is_leading_context(parameter: Parameter, annotation: Any) -> bool:
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return parameter.kind in positional and _is_context(annotation)


def _problem(parameter: Parameter, annotation: Any) -> tuple[str, str] | None:
    """What is wrong with a parameter, and the fix."""
    match parameter.kind:
        case Parameter.VAR_POSITIONAL | Parameter.VAR_KEYWORD:
            return "a model cannot fill it: it has no name of its own", "write named parameters"
        case Parameter.POSITIONAL_ONLY:
            return "it is positional-only", "remove the / from the signature"
    if annotation is Parameter.empty and parameter.name in ("self", "cls"):
        return "the method is not bound", "make the tool from an object: tool(thing.method)"
    if annotation is Parameter.empty:
        return "it has no type", f"write one, such as {parameter.name}: str"
    if _is_context(annotation):
        return "a RunContext must be the first parameter", "move it to the front"
    if isinstance(parameter.default, FieldInfo):
        return "its default is a pydantic Field", "write Annotated[type, Field(...)] = default"
    return _field_problem(annotation)


def _field_problem(annotation: Any) -> tuple[str, str] | None:
    for info in _field_infos(annotation):
        if info.default is not PydanticUndefined or info.default_factory is not None:
            return "its default is inside a pydantic Field", "write it in the signature"
        if info.alias is not None or info.validation_alias is not None:
            return "it has a pydantic alias", "rename the parameter"
    return None


def _field_infos(annotation: Any) -> Iterator[FieldInfo]:
    if get_origin(annotation) is Annotated:
        yield from (extra for extra in get_args(annotation) if isinstance(extra, FieldInfo))


def _described(annotation: Any, description: str | None) -> Any:
    """The type with the docstring's words, unless the type brings its own."""
    if not description or any(info.description for info in _field_infos(annotation)):
        return annotation
    return Annotated[annotation, Field(description=description)]


def _arguments_type(
    name: str, arguments: Iterable[_Argument]
) -> tuple[Any, JsonType[dict[str, Any]]]:
    python_type = _typed_dict(name, arguments)
    try:
        return python_type, JsonType.of(python_type)
    except Exception as error:
        raise _type_refusal(name, arguments, error) from error


def _typed_dict(name: str, arguments: Iterable[_Argument]) -> Any:
    """One type for all arguments. Unlike a model's fields, its keys may have any name, and what
    was not given stays away, so that the function's own defaults apply."""
    fields = {argument.name: argument.field_type for argument in arguments}
    typed_dict = cast("Any", TypedDict)(name, fields)
    typed_dict.__pydantic_config__ = ConfigDict(extra="forbid")
    return typed_dict


def _with_defaults(schema: dict[str, Any], arguments: Iterable[_Argument]) -> dict[str, Any]:
    """The schema with those defaults that the model could write itself."""
    properties = dict(schema["properties"])
    for argument in arguments:
        if argument.default is not Parameter.empty:
            json_type = JsonType.of(argument.annotation)
            if is_json(argument.default) and json_type.accepts(argument.default):
                default = json_type.dump(argument.default)
                properties[argument.name] = properties[argument.name] | {"default": default}
    return schema | {"properties": properties}


def _type_refusal(
    name: str, arguments: Iterable[_Argument], error: Exception
) -> ToolDefinitionError:
    """Blames the first parameter whose type fails on its own."""
    for argument in arguments:
        try:
            JsonType.of(_typed_dict(name, [argument]))
        except Exception as cause:  # noqa: BLE001 - any library's type hooks may run here
            problem = f"its type has no JSON Schema ({first_line(cause)})"
            return _refusal(name, argument.name, problem, _TYPES)
    return _refusal(name, None, f"it has no JSON Schema ({first_line(error)})", _TYPES)


def first_line(error: BaseException) -> str:
    """The sentence of a library's error that tells the cause."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _refusal(tool: str, parameter: str | None, problem: str, fix: str) -> ToolDefinitionError:
    where = f"tool {tool!r}" if parameter is None else f"tool {tool!r}, parameter {parameter!r}"
    return ToolDefinitionError(f"{where}: {problem}; {fix}")
