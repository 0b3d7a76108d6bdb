"""What users define and run."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Generic

import anyio

from agentkit.context import DepsT, RunContext
from agentkit.definition import Definition, Watcher, check_model, toolbox
from agentkit.messages import Message
from agentkit.models.base import Model, ModelSettings
from agentkit.output import OutputSpec
from agentkit.result import OutputT, RunResult
from agentkit.run import Run
from agentkit.strategy import Act, Strategy
from agentkit.stream import RunStream
from agentkit.tool import Tool
from agentkit.usage import UsageLimits
from agentkit.watch import watched


@dataclass(frozen=True, slots=True)
class _StandIn:
    """What runs of an agent use inside `Agent.override`."""

    definition: Definition
    deps: Any


_stand_ins: ContextVar[Mapping["Agent[Any, Any]", _StandIn]] = ContextVar(
    "agentkit_stand_ins", default=MappingProxyType({})
)


class Agent(Generic[DepsT, OutputT]):
    """A model, its tools, its instructions and the shape of its answers.

    An agent never changes and holds nothing of a run: define it once, at import, and run it
    from any number of tasks and threads.

    `strategy` decides the steps of a run; by default `Act()`.
    `instructions` is text, or a function (sync or async) of the `RunContext` that gives it at
    the start of each run. `retries` and `tool_timeout` (seconds) hold for tools that do not say
    otherwise: how often in a row the model may fail to call one, and how long it may take.
    `output_retries` is how often in a row an answer may fail to validate. At most
    `max_concurrent_tools` calls of a turn run at once. `telemetry`, such as
    `agentkit.telemetry.Telemetry()`, looks on while the agent runs.

    Raises `ToolDefinitionError` for tools that cannot be described or share a name, and
    `TypeError` or `ValueError` for other arguments that cannot work.
    """

    __slots__ = ("__weakref__", "_definition")

    def __init__(
        self,
        model: Model,
        *,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        output_type: type[OutputT] | UnionType = str,  # type: ignore[assignment]
        instructions: str | Callable[[RunContext[DepsT]], str | Awaitable[str]] = "",
        deps_type: type[DepsT] = NoneType,  # type: ignore[assignment]
        strategy: Strategy | None = None,
        settings: ModelSettings | None = None,
        retries: int = 1,
        output_retries: int = 1,
        tool_timeout: float | None = None,
        max_concurrent_tools: int | None = None,
        name: str = "agent",
        telemetry: Watcher | None = None,
    ) -> None:
        check_model(model)
        _check_least("retries", retries, 0)
        _check_least("output_retries", output_retries, 0)
        _check_least("max_concurrent_tools", max_concurrent_tools, 1)
        if tool_timeout is not None and tool_timeout <= 0:
            raise ValueError(f"tool_timeout is {tool_timeout}; give seconds above 0, or None")
        self._definition = Definition(
            model=model,
            tools=toolbox(tools, retries, tool_timeout),
            output=OutputSpec.of(output_type),
            instructions=instructions,
            deps_type=deps_type,
            strategy=strategy or Act(),
            settings=settings or ModelSettings(),
            retries=retries,
            output_retries=output_retries,
            tool_timeout=tool_timeout,
            max_concurrent_tools=max_concurrent_tools,
            name=name,
            telemetry=telemetry,
        )

    @property
    def name(self) -> str:
        return self._definition.name

    @property
    def model(self) -> Model:
        return self._definition.model

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(self._definition.tools.values())

    def with_tools(self, *tools: Tool | Callable[..., Any]) -> "Agent[DepsT, OutputT]":
        """A new agent that has these tools besides its own."""
        copy = object.__new__(type(self))
        copy._definition = self._definition.with_tools([*self.tools, *tools])
        return copy

    async def run(
        self,
        prompt: str = "",
        *,
        deps: DepsT | None = None,
        message_history: Sequence[Message] = (),
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
    ) -> RunResult[OutputT]:
        """Runs to the answer.

        `message_history` (`result.messages` of an earlier run) goes before `prompt`, which may
        be empty only if the history ends with something to answer. `settings` goes before the
        agent's, field by field. Cancelling the caller stops the model and the tools.

        Raises `ValueError` for an empty prompt, `UsageLimitExceeded`, `OutputRetriesExceeded`,
        `ToolRetriesExceeded`, `ModelError`, and `ToolCrashed` from what a tool raised.
        """
        return await watched(self._open(prompt, deps, message_history, usage_limits, settings))

    def run_sync(
        self,
        prompt: str = "",
        *,
        deps: DepsT | None = None,
        message_history: Sequence[Message] = (),
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
    ) -> RunResult[OutputT]:
        """`run` for callers without an event loop. Raises `RuntimeError` inside one."""
        if _in_event_loop():
            raise RuntimeError("an event loop runs in this thread: use `await agent.run(...)`")
        return anyio.run(
            partial(
                self.run,
                prompt,
                deps=deps,
                message_history=message_history,
                usage_limits=usage_limits,
                settings=settings,
            )
        )

    def run_stream(
        self,
        prompt: str = "",
        *,
        deps: DepsT | None = None,
        message_history: Sequence[Message] = (),
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
    ) -> RunStream[OutputT]:
        """`run`, watched: `async with agent.run_stream(...) as run: async for event in run`.
        See `RunStream`; the arguments are those of `run`."""
        return RunStream(self._open(prompt, deps, message_history, usage_limits, settings))

    @contextmanager
    def override(
        self,
        *,
        model: Model | None = None,
        tools: Iterable[Tool | Callable[..., Any]] | None = None,
        deps: DepsT | None = None,
    ) -> Iterator[None]:
        """Lets runs of this agent that begin inside use another model, other tools or other
        dependencies; for tests. Holds for the current task and the tasks it starts. Nested
        overrides replace what they name."""
        stand_in = self._stand_in()
        definition = stand_in.definition
        if model is not None:
            check_model(model)
            definition = replace(definition, model=model)
        if tools is not None:
            definition = definition.with_tools(tools)
        changed = _StandIn(definition, stand_in.deps if deps is None else deps)
        token = _stand_ins.set(MappingProxyType({**_stand_ins.get(), self: changed}))
        try:
            yield
        finally:
            _stand_ins.reset(token)

    def _stand_in(self) -> _StandIn:
        return _stand_ins.get().get(self) or _StandIn(self._definition, None)

    def _open(
        self,
        prompt: str,
        deps: Any,
        history: Sequence[Message],
        limits: UsageLimits | None,
        settings: ModelSettings | None,
    ) -> Run:
        stand_in = self._stand_in()
        return Run.open(
            stand_in.definition,
            prompt,
            deps=deps if stand_in.deps is None else stand_in.deps,
            history=history,
            limits=limits,
            settings=settings,
        )


def _check_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"{name} is {value}; give {least} or more")


def _in_event_loop() -> bool:
    try:
        anyio.get_cancelled_exc_class()
    except RuntimeError:  # what anyio raises, by whatever name, where no loop runs
        return False
    return True
