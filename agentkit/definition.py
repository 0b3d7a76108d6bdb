"""An agent's parts, resolved and checked once; what every run of it reads."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from agentkit.context import RunContext
from agentkit.errors import ToolDefinitionError
from agentkit.models.base import Model, ModelSettings
from agentkit.output import OutputSpec
from agentkit.strategy import Strategy
from agentkit.tool import Tool
from agentkit.usage import Usage

Instructions = str | Callable[[RunContext[Any]], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Definition:
    """`tools` are keyed by name, with the agent's defaults for time-out and retries filled in."""

    model: Model
    tools: Mapping[str, Tool]
    output: OutputSpec
    instructions: Instructions
    deps_type: Any
    strategy: Strategy
    settings: ModelSettings
    retries: int
    output_retries: int
    tool_timeout: float | None
    max_concurrent_tools: int | None
    name: str
    telemetry: "Watcher | None" = None

    def with_tools(self, tools: Iterable[Tool | Callable[..., Any]]) -> "Definition":
        """The same agent with these tools and no others."""
        return replace(self, tools=toolbox(tools, self.retries, self.tool_timeout))


class Watcher(Protocol):
    """Looks on while runs go; `agentkit.telemetry.Telemetry` is one. Shareable by any number of
    runs."""

    def watch(
        self, definition: Definition, run_id: str, usage: Callable[[], Usage]
    ) -> AbstractContextManager[Definition]:
        """Entered in the run's task before the run begins, left when it has ended, failed or
        been cancelled. The run goes by the definition that is given back, which must do the
        same; `usage` gives what it has cost so far."""
        ...


def toolbox(
    tools: Iterable[Tool | Callable[..., Any]], retries: int, timeout: float | None
) -> Mapping[str, Tool]:
    """Tools by name, functions converted, `retries` and `timeout` filled in where a tool leaves
    them open. Raises `ToolDefinitionError` for two tools with one name and for what cannot be
    a tool."""
    named: dict[str, Tool] = {}
    for given in tools:
        tool = given if isinstance(given, Tool) else Tool.from_function(given)
        if tool.name in named:
            raise ToolDefinitionError(
                f"two tools are named {tool.name!r}; rename one with @tool(name=...)"
            )
        named[tool.name] = replace(
            tool,
            retries=retries if tool.retries is None else tool.retries,
            timeout=timeout if tool.timeout is None else tool.timeout,
        )
    return MappingProxyType(named)


def check_model(model: object) -> None:
    """Raises `TypeError` for anything that cannot stream an answer."""
    if isinstance(model, type) or not callable(getattr(model, "stream", None)):
        given = model.__name__ if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"model is {given}, which is not a model; give an instance such as "
            "agentkit.models.LocalModel(...) or TestModel()"
        )
