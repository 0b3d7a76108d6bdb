"""What a run's final answer must be, and the check that it is."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType, MappingProxyType, MethodType
from typing import Any, Generic, Union

from typing_extensions import TypeVar

from agentkit.errors import ModelRetry, OutputTypeError
from agentkit.events import JsonPath
from agentkit.json_type import JsonType
from agentkit.models.base import OutputFormat
from agentkit.output_function import OutputFunction
from agentkit.schema import first_line
from agentkit.tool import Tool

T = TypeVar("T", default=Any)

# Not all that can be called: so can most types. Other objects are made tools first.
_FUNCTIONS = (Tool, FunctionType, MethodType, functools.partial)


def _none() -> Mapping[str, OutputFunction]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class OutputSpec(Generic[T]):
    """An output type, compiled. Immutable; shareable by any number of runs.

    Exactly `str` is free text, taken as it is. Every other type is JSON under
    `format.json_schema`: pydantic models, dataclasses, TypedDicts, enums, literals, numbers,
    lists, dicts, None, and unions of them. A `str` inside a union is a JSON string, in quotes;
    so is a constrained one such as `Annotated[str, Field(max_length=80)]`.

    A function stands for its calls, `{"name": ..., "arguments": {...}}`, which validate as
    `OutputCall`s; a list is the union of the types and functions in it.
    """

    format: OutputFormat
    _type: JsonType[T] | None = field(repr=False)
    functions: Mapping[str, OutputFunction] = field(default_factory=_none)

    @classmethod
    def of(cls, output_type: Any) -> "OutputSpec[Any]":
        """Raises `OutputTypeError`, a `TypeError`, for a type without a JSON Schema, and
        `ToolDefinitionError` or `ValueError` for a function that cannot be one of output."""
        if output_type is str:
            return cls(OutputFormat(), None)
        alternatives = _alternatives(output_type)
        functions: dict[str, OutputFunction] = {}
        for each in alternatives:
            if isinstance(each, OutputFunction):
                if each.tool.name in functions:
                    raise ValueError(f"two output functions are named {each.tool.name!r}")
                functions[each.tool.name] = each
        types = tuple(
            each.python_type if isinstance(each, OutputFunction) else each for each in alternatives
        )
        python_type = types[0] if len(types) == 1 else Union[types]  # noqa: UP007 - of a tuple
        try:
            json_type = JsonType.of(python_type)
        except Exception as error:
            raise OutputTypeError(output_type, first_line(error)) from error
        return cls(
            OutputFormat(python_type, json_type.schema), json_type, MappingProxyType(functions)
        )

    def with_functions(self, change: Callable[[Tool], Tool]) -> "OutputSpec[T]":
        """The same output, its functions' tools changed to others of the same description."""
        functions = {
            name: replace(function, tool=change(function.tool))
            for name, function in self.functions.items()
        }
        return replace(self, functions=MappingProxyType(functions))

    def validate(self, text: str) -> T | str:
        """The output that a model's `text` stands for. Raises `ModelRetry` saying what to
        mend."""
        return text if self._type is None else self._type.validate(text, "answer")

    def check_closed(self, value: Any, open_path: JsonPath) -> None:
        """Raises `ValueError` where something in the JSON value `value` that is not on the way
        to `open_path`, and so will not change, cannot be part of an output."""
        if self._type is not None:
            self._type.check_closed(value, open_path)

    def is_same(self, text: str, other: str) -> bool:
        """Whether two texts stand for the same output, in whatever order their members come."""
        if text == other:  # values of some types equal nothing but themselves
            return True
        try:
            return self.validate(text) == self.validate(other)
        except ModelRetry:  # of a type that does not take back what is written of it
            return False

    def written(self, output: Any) -> str:
        """The text that stands for `output`."""
        if self._type is None:
            return str(output)
        return json.dumps(self._type.dump(output), ensure_ascii=False, separators=(",", ":"))


def _alternatives(output_type: Any) -> Sequence[Any]:
    """The types and functions of an output, each function described."""
    if isinstance(output_type, list | tuple) and not output_type:
        raise ValueError("output is empty; give a function, a type, or a list of them")
    given = output_type if isinstance(output_type, list | tuple) else (output_type,)
    return [OutputFunction.of(each) if isinstance(each, _FUNCTIONS) else each for each in given]
