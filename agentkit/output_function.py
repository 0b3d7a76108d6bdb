"""Functions that a model calls with its final answer."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Literal, get_type_hints

from agentkit.callables import namespace_of, python_function
from agentkit.context import RunContext
from agentkit.errors import ModelRetry, OutputTypeError, ToolResultError
from agentkit.json_type import JsonType
from agentkit.schema import FunctionArguments
from agentkit.tool import Tool

Function = Callable[..., Any] | Tool


@dataclass(frozen=True)
class OutputCall:
    """A final answer that calls an output function, validated and not yet made. `name` is the
    function's, `arguments` are keyword arguments with their Python types."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class OutputFunction:
    """A function whose return value is a run's output.

    `python_type` is the type of its `OutputCall`s. `returned` is the return type as JSON, by which
    a log keeps what the function returned; None for a type without a JSON Schema.
    """

    tool: Tool
    python_type: Any
    returned: JsonType[Any] | None = field(repr=False)

    @classmethod
    def of(cls, function: Function) -> "OutputFunction":
        """Raises `ToolDefinitionError` for a function that no model can call, and `ValueError` for
        a tool that waits for somebody."""
        tool = function if isinstance(function, Tool) else Tool.from_function(function)
        if tool.may_wait or not isinstance(tool.arguments, FunctionArguments):
            raise ValueError(
                f"output function {tool.name!r}: it cannot be a tool that waits or was made from a "
                "schema; give a function, and review its calls with Step(review=...)"
            )
        call = make_dataclass(
            f"{tool.name}_call",
            [("name", Literal[tool.name]), ("arguments", tool.arguments.python_type)],
            bases=(OutputCall,),
            frozen=True,
            namespace={"__doc__": tool.description or None},
        )
        return cls(tool, call, _returned(tool))

    async def call(self, arguments: dict[str, Any], context: RunContext[Any]) -> Any:
        """What the function returns. Raises what `Tool.call` raises."""
        return await self.tool.invoke(arguments, context)

    def written(self, value: Any) -> str:
        """The returned `value` as JSON for a log. Raises `ToolResultError` for one that JSON cannot
        carry, or that is not of the function's return type."""
        name = self.tool.name
        if self.returned is None:
            raise ToolResultError(name, value, "its return type has no JSON Schema")
        try:
            text = json.dumps(self.returned.dump(value), ensure_ascii=False, allow_nan=False)
            self.returned.validate(text, name)
        except (ModelRetry, ValueError, TypeError) as error:
            raise ToolResultError(name, value, str(error)) from error
        return text

    def read(self, text: str) -> Any:
        """The inverse of `written`. Raises `ModelRetry` for what is not."""
        if self.returned is None:
            raise OutputTypeError(self.tool.name, "it was logged by another version")
        return self.returned.validate(text, self.tool.name)


def _returned(tool: Tool) -> JsonType[Any] | None:
    definition = python_function(tool.function)
    try:
        hints = get_type_hints(
            inspect.unwrap(definition), namespace_of(tool.function), include_extras=True
        )
        return JsonType.of(hints.get("return", Any))
    except Exception:  # noqa: BLE001 - any library's type hooks may run here
        return None
