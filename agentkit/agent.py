"""What users define and run."""

import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Generic, get_args

import anyio

from agentkit.arguments import (
    check_able,
    check_instructions,
    check_kind,
    check_least,
    check_messages,
    check_name,
    check_seconds,
)
from agentkit.cancel import CancelToken
from agentkit.compaction import Compaction
from agentkit.context import DepsT, RunContext
from agentkit.decisions import Decision, OnUnknown
from agentkit.definition import Definition, Watcher, check_model, toolbox
from agentkit.errors import ModelRetry, ToolError
from agentkit.messages import Message
from agentkit.models.base import Model, ModelSettings
from agentkit.output import OutputSpec
from agentkit.result import OutputT, RunResult
from agentkit.run import Run
from agentkit.sessions.sessions import Sessions
from agentkit.strategy import Act, Strategy
from agentkit.stream import RunStream
from agentkit.subagent import ask_under
from agentkit.tool import Tool
from agentkit.usage import UsageLimits
from agentkit.watch import watched

Output = Callable[..., Awaitable[OutputT] | OutputT] | type[OutputT]
"""What an agent's `output` may be, or be a list of."""


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

    `output` is a function that the model calls with its final answer, whose return value is the
    run's output, or a list of such functions and types; it takes the place of `output_type`. What
    it raises as `ModelRetry` has the answer written again.
    `strategy` decides the steps of a run; by default `Act()`.
    `instructions` is text, or a function (sync or async) of the `RunContext` that gives it at
    the start of each run. `retries` and `tool_timeout` (seconds) hold for tools that do not say
    otherwise: how often in a row the model may fail to call one, and how long it may take.
    `output_retries` is how often in a row an answer may fail to validate. At most
    `max_concurrent_tools` calls of a turn run at once. With `eager_tools` a call of an idempotent
    tool begins as soon as it is complete, while the model still writes the rest of its answer. An
    answer may take `model_timeout` seconds. A model that fails before it said anything, in a way
    that may pass (`ModelError.retryable`), is asked up to `model_retries` times more. Of a tool
    result longer than `max_result_chars` the model sees the start and the end; `compaction`
    decides what it sees of a long history.

    With `sessions` every run is written to their log as it happens, can be resumed after its
    process ended, may belong to a conversation, and may wait for approvals. `telemetry`, such as
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
        output: Output[OutputT] | Sequence[Output[OutputT]] | None = None,
        instructions: str | Callable[[RunContext[DepsT]], str | Awaitable[str]] = "",
        deps_type: type[DepsT] = NoneType,  # type: ignore[assignment]
        strategy: Strategy | None = None,
        settings: ModelSettings | None = None,
        retries: int = 1,
        output_retries: int = 1,
        tool_timeout: float | None = None,
        max_concurrent_tools: int | None = None,
        eager_tools: bool = False,
        model_retries: int = 2,
        model_timeout: float | None = None,
        max_result_chars: int | None = 20_000,
        compaction: Compaction | None = None,
        name: str = "agent",
        sessions: Sessions | None = None,
        telemetry: Watcher | None = None,
    ) -> None:
        check_model(model)
        check_least("retries", retries, 0)
        check_least("output_retries", output_retries, 0)
        check_least("max_concurrent_tools", max_concurrent_tools, 1)
        check_least("model_retries", model_retries, 0)
        check_least("max_result_chars", max_result_chars, 1)
        check_seconds("tool_timeout", tool_timeout)
        check_seconds("model_timeout", model_timeout)
        check_instructions(instructions)
        check_name(name)
        check_able("strategy", strategy, "steps", "a strategy, such as PlanAct()")
        check_able("compaction", compaction, "compact", "DropMiddle(max_tokens=...)")
        check_able("telemetry", telemetry, "watch", "Telemetry()")
        check_kind("settings", settings, ModelSettings, "ModelSettings(...)")
        check_kind("sessions", sessions, Sessions, "sessions, such as SQLiteSessions(path)")
        self._definition = Definition(
            model=model,
            tools=toolbox(tools, retries, tool_timeout, max_result_chars),
            output=OutputSpec.of(_output(output_type, output)),
            instructions=instructions,
            deps_type=deps_type,
            strategy=strategy or Act(),
            settings=settings or ModelSettings(),
            retries=retries,
            output_retries=output_retries,
            tool_timeout=tool_timeout,
            max_concurrent_tools=max_concurrent_tools,
            model_retries=model_retries,
            model_timeout=model_timeout,
            max_result_chars=max_result_chars,
            compaction=compaction,
            name=name,
            sessions=sessions,
            telemetry=telemetry,
            eager_tools=eager_tools,
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
        timeout: float | None = None,  # noqa: ASYNC109 - its error carries the history
        cancel: CancelToken | None = None,
        session: str | None = None,
    ) -> RunResult[OutputT]:
        """Runs to the answer.

        `message_history` (`result.messages` of an earlier run) goes before `prompt`, which may
        be empty only if the history ends with something to answer. `settings` goes before the
        agent's, field by field. The run may take `timeout` seconds, and `cancel` cancels it from
        any task or thread; both raise an error with the history so far. Cancelling the caller
        stops the model and the tools as well. A `session` names a conversation in the agent's
        sessions to go on with, in place of a history.

        Raises `ValueError` for an empty prompt, `UsageLimitExceeded`, `OutputRetriesExceeded`,
        `ToolRetriesExceeded`, `ModelError`, `RunTimeout`, `RunCancelled`, and `ToolCrashed`
        from what a tool raised; with sessions, also `RunPaused` where calls wait for decisions,
        `SessionBusy`, `LogError`, and `RunTaken` where somebody else resumed or abandoned it.
        """
        return await watched(
            self._open(
                prompt, deps, message_history, usage_limits, settings, timeout, cancel, session
            )
        )

    def run_sync(
        self,
        prompt: str = "",
        *,
        deps: DepsT | None = None,
        message_history: Sequence[Message] = (),
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        session: str | None = None,
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
                timeout=timeout,
                cancel=cancel,
                session=session,
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
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        session: str | None = None,
    ) -> RunStream[OutputT]:
        """`run`, watched: `async with agent.run_stream(...) as run: async for event in run`.
        See `RunStream`; the arguments are those of `run`."""
        return RunStream(
            self._open(
                prompt, deps, message_history, usage_limits, settings, timeout, cancel, session
            )
        )

    async def resume(
        self,
        run_id: str,
        *,
        approvals: Mapping[str, Decision] = MappingProxyType({}),
        review: Decision | None = None,
        on_unknown: OnUnknown = OnUnknown.RAISE,
        deps: DepsT | None = None,
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `run`
        cancel: CancelToken | None = None,
    ) -> RunResult[OutputT]:
        """Goes on with a run of this agent's sessions that was killed, cancelled, failed, or
        waits; in any process. Gives the result of a run that has finished once more.

        What is in the log is told again, without asking the model or running a tool. A call
        that began and has no result runs again if its tool is idempotent; else its outcome is
        unknown, and `on_unknown` holds. `approvals` decide on calls by their id: True, False,
        `Denied(reason)`, other arguments, or `Returned(value)`; `review` does so on a plan that
        waits (see `ask_owner`). The other arguments are those of `run`; give them again, since
        the log does not hold them.

        Raises what `run` raises, and `UnknownRun`, `UnknownOutcome`, `DecisionError`, and
        `ReplayDiverged` where the agent does not do what the log says it did.
        """
        return await watched(
            self._reopen(
                run_id, approvals, review, on_unknown, deps, usage_limits, settings, timeout, cancel
            )
        )

    def resume_sync(
        self,
        run_id: str,
        *,
        approvals: Mapping[str, Decision] = MappingProxyType({}),
        review: Decision | None = None,
        on_unknown: OnUnknown = OnUnknown.RAISE,
        deps: DepsT | None = None,
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> RunResult[OutputT]:
        """`resume` for callers without an event loop. Raises `RuntimeError` inside one."""
        if _in_event_loop():
            raise RuntimeError("an event loop runs in this thread: use `await agent.resume(...)`")
        run = self._reopen(
            run_id, approvals, review, on_unknown, deps, usage_limits, settings, timeout, cancel
        )
        return anyio.run(watched, run)

    def resume_stream(
        self,
        run_id: str,
        *,
        approvals: Mapping[str, Decision] = MappingProxyType({}),
        review: Decision | None = None,
        on_unknown: OnUnknown = OnUnknown.RAISE,
        deps: DepsT | None = None,
        usage_limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> RunStream[OutputT]:
        """`resume`, watched. `RunStarted.num_replayed_turns` says how much was told before."""
        return RunStream(
            self._reopen(
                run_id, approvals, review, on_unknown, deps, usage_limits, settings, timeout, cancel
            )
        )

    def as_tool(
        self,
        name: str | None = None,
        description: str | None = None,
        *,
        timeout: float | None = None,
        max_depth: int = 4,
    ) -> Tool:
        """A tool by which another agent asks this one, in a run of its own without the other's
        history.

        The other run's dependencies are handed on, its limits hold for both (of several that are
        asked at once each begins with all that is left), what this agent uses up counts there,
        and cancelling one cancels the other. A failure of this agent's model to answer validly or
        within the limits goes back to the asking model. Agents that ask agents are refused beyond
        `max_depth`.
        """

        called = name or self.name

        async def ask(context: RunContext[Any], prompt: str) -> Any:
            """Asks an agent.

            Args:
                prompt: the question, with all that is needed to answer it
            """
            if not prompt.strip():
                raise ModelRetry("prompt: it is empty")
            if context.depth >= max_depth:
                raise ToolError(f"agents may ask agents {max_depth} deep; do it without {called}")
            return await ask_under(self._open(prompt, context.deps), context)

        return Tool.from_function(
            ask,
            name=called,
            description=description or f"Ask the agent {self.name}.",
            timeout=timeout,
        )

    def definition(self) -> Definition:
        """The agent's parts as runs that begin now see them."""
        return self._stand_in().definition

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
        history: Sequence[Message] = (),
        limits: UsageLimits | None = None,
        settings: ModelSettings | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        session: str | None = None,
    ) -> Run:
        check_messages(history, get_args(Message))
        _check_bounds(limits, settings, timeout, cancel)
        check_kind("session", session, str, "the name of a session")
        if session is not None and history:
            raise ValueError("give a session or a message_history, not both")
        run_id = uuid.uuid4().hex
        stand_in = self._stand_in()
        return Run.open(
            stand_in.definition,
            prompt,
            deps=deps if stand_in.deps is None else stand_in.deps,
            history=history,
            limits=limits,
            settings=settings,
            timeout=timeout,
            tokens=() if cancel is None else (cancel,),
            run_id=run_id,
            journal=stand_in.definition.new_journal(run_id, session),
        )

    def _reopen(
        self,
        run_id: str,
        approvals: Mapping[str, Decision],
        review: Decision | None,
        on_unknown: OnUnknown,
        deps: Any,
        limits: UsageLimits | None,
        settings: ModelSettings | None,
        timeout: float | None,
        cancel: CancelToken | None,
    ) -> Run:
        _check_bounds(limits, settings, timeout, cancel)
        check_kind("approvals", approvals, Mapping, "decisions by call id, such as {id: True}")
        if not isinstance(on_unknown, OnUnknown):
            raise TypeError(f"on_unknown is {on_unknown!r}; give a member of OnUnknown")
        stand_in = self._stand_in()
        return Run.open(
            stand_in.definition,
            None,
            deps=deps if stand_in.deps is None else stand_in.deps,
            history=(),
            limits=limits,
            settings=settings,
            timeout=timeout,
            tokens=() if cancel is None else (cancel,),
            run_id=run_id,
            journal=stand_in.definition.resumed_journal(run_id, approvals, review, on_unknown),
        )


def _check_bounds(
    limits: UsageLimits | None,
    settings: ModelSettings | None,
    timeout: float | None,
    cancel: CancelToken | None,
) -> None:
    check_kind("usage_limits", limits, UsageLimits, "UsageLimits(...)")
    check_kind("settings", settings, ModelSettings, "ModelSettings(...)")
    check_kind("cancel", cancel, CancelToken, "a CancelToken()")
    check_seconds("timeout", timeout)


def _output(output_type: Any, output: Any) -> Any:
    if output is None:
        return output_type
    if output_type is not str:
        raise ValueError("give output_type or output, not both; a list in output holds types too")
    return output


def _in_event_loop() -> bool:
    try:
        anyio.get_cancelled_exc_class()
    except RuntimeError:  # what anyio raises, by whatever name, where no loop runs
        return False
    return True
