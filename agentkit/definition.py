"""An agent's parts, resolved and checked once; what every run of it reads."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from agentkit.compaction import Compaction
from agentkit.context import RunContext
from agentkit.decisions import Decision, OnUnknown
from agentkit.errors import OutputTypeError, ToolDefinitionError
from agentkit.journal import Journal, Unlogged
from agentkit.models.base import Model, ModelSettings
from agentkit.output import OutputSpec
from agentkit.sessions.journal import NewJournal, ResumedJournal
from agentkit.sessions.sessions import Sessions
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
    model_retries: int
    model_timeout: float | None
    max_result_chars: int | None
    compaction: Compaction | None
    name: str
    sessions: Sessions | None = None
    telemetry: "Watcher | None" = None
    eager_tools: bool = False

    def __post_init__(self) -> None:
        """Raises `OutputTypeError` for an output function whose result a log could not keep."""
        if self.sessions is not None:
            check_kept(self.output)

    @property
    def waiting_tools(self) -> tuple[str, ...]:
        """Those that may make a run wait, which needs a log."""
        return tuple(tool.name for tool in self.tools.values() if tool.may_wait)

    def new_journal(self, run_id: str, session: str | None = None) -> Journal:
        """Remembers a new run. Raises `ValueError` where sessions are missing that the run
        needs."""
        if self.sessions is not None:
            return NewJournal(self.sessions.log, run_id, self.name, session)
        waiting = self.waiting_tools
        if session is not None or waiting:
            why = f"tools that may wait: {', '.join(waiting)}" if waiting else "session=..."
            raise ValueError(
                f"agent {self.name!r} has no sessions, which it needs for {why}; give "
                "Agent(..., sessions=SQLiteSessions(path))"
            )
        return Unlogged()

    def resumed_journal(
        self,
        run_id: str,
        approvals: Mapping[str, Decision],
        review: Decision | None,
        on_unknown: OnUnknown,
    ) -> Journal:
        """Remembers a run that its log knows. Raises `ValueError` without sessions."""
        if self.sessions is None:
            raise ValueError(
                f"agent {self.name!r} has no sessions to resume from; give "
                "Agent(..., sessions=SQLiteSessions(path))"
            )
        return ResumedJournal(self.sessions.log, run_id, approvals, review, on_unknown)

    def with_tools(self, tools: Iterable[Tool | Callable[..., Any]]) -> "Definition":
        """The same agent with these tools and no others."""
        return replace(
            self, tools=toolbox(tools, self.retries, self.tool_timeout, self.max_result_chars)
        )


class Watcher(Protocol):
    """Looks on while runs go; `agentkit.telemetry.Telemetry` is one. Shareable by any number of
    runs."""

    def watch(
        self, definition: Definition, run_id: str, usage: Callable[[], Usage]
    ) -> AbstractContextManager[Callable[[Definition], Definition]]:
        """Entered in the run's task before the run begins, left when it has ended, failed,
        paused or been cancelled. `usage` gives what the run has cost so far. The function that is
        given gives, for each agent that acts in the run, one with models and tools that do the
        same and are looked at; it is called often."""
        ...


def toolbox(
    tools: Iterable[Tool | Callable[..., Any]],
    retries: int,
    timeout: float | None,
    max_result_chars: int | None = None,
) -> Mapping[str, Tool]:
    """Tools by name, functions converted, the other arguments filled in where a tool leaves
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
            max_result_chars=max_result_chars
            if tool.max_result_chars is None
            else tool.max_result_chars,
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


def check_kept(output: OutputSpec) -> None:
    """Raises `OutputTypeError` for an output function whose result a log could not keep."""
    for name, function in output.functions.items():
        if function.returned is None:
            raise OutputTypeError(
                f"(what {name!r} returns)", "an agent with sessions writes it down"
            )
