"""The state of one run."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from types import NoneType
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.context import RunContext
from agentkit.definition import Definition, check_kept
from agentkit.errors import (
    ModelRetry,
    OutputRetriesExceeded,
    RunCancelled,
    RunInterrupted,
    RunPaused,
    RunTimeout,
    StrategyError,
    ToolRetriesExceeded,
)
from agentkit.events import (
    HandedOver,
    HistoryCompacted,
    ModelAnswered,
    PlanMade,
    Reflected,
    RetryRequested,
    RunEvent,
    StepFinished,
    StepKind,
    StepStarted,
    TextDelta,
)
from agentkit.history import instructed, opening
from agentkit.journal import Journal, ReviewOutcome, Unlogged
from agentkit.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models.base import Model, ModelRequest, ModelResponse, ModelSettings
from agentkit.output import OutputSpec
from agentkit.result import RunResult, SubRun
from agentkit.review import decided
from agentkit.step import Review, Step, Turn
from agentkit.tool import Tool
from agentkit.unicode import as_unicode
from agentkit.usage import Usage, UsageLimits
from agentkit.view import HistoryView


def _ignore(event: RunEvent) -> None:
    """Nobody watches the run."""


def _as_it_is(definition: Definition) -> Definition:
    return definition


@dataclass(slots=True)
class Run:
    """Everything that changes while an agent runs; the one mutable record of a run.

    `messages` only grows, but for the instructions at its head. `num_given` counts those at its
    start that are not this run's. `emit` is told every event as it happens and must not block.
    `served` are the results of the turn's calls so far, by the index of the call;
    `partial_text` is what there is of the answer that is being written. `settings` are the
    caller's alone; `view` is what the model sees of the messages. `look` is how the run's
    `Watcher` looks at an agent.
    """

    definition: Definition
    deps: Any
    prompt: str
    messages: list[Message]
    num_given: int
    limits: UsageLimits
    settings: ModelSettings
    journal: Journal = field(default_factory=Unlogged)
    timeout: float | None = None
    tokens: tuple[CancelToken, ...] = ()
    depth: int = 0
    emit: Callable[[RunEvent], None] = _ignore
    look: Callable[[Definition], Definition] = _as_it_is
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    usage: Usage = field(default_factory=Usage)
    trace: list[StepFinished] = field(default_factory=list)
    tool_failures: dict[str, int] = field(default_factory=dict)
    output_failures: int = 0
    sub_runs: list[SubRun] = field(default_factory=list)
    view: HistoryView = field(default_factory=HistoryView)
    served: dict[int, ToolMessage] = field(default_factory=dict)
    partial_text: str = ""

    @classmethod
    def open(
        cls,
        definition: Definition,
        prompt: str | None,
        *,
        deps: Any,
        history: Sequence[Message],
        limits: UsageLimits | None,
        settings: ModelSettings | None,
        run_id: str,
        journal: Journal,
        timeout: float | None = None,
        tokens: tuple[CancelToken, ...] = (),
    ) -> "Run":
        """A run that has not begun; with `prompt` None the journal knows how it did. Raises
        `ValueError` or `TypeError` for a prompt, a history or dependencies it cannot begin
        with."""
        _check_deps(definition, deps)
        return cls(
            definition,
            deps,
            prompt or "",
            messages=[] if prompt is None else opening(prompt, history),
            num_given=len(history),
            run_id=run_id,
            journal=journal,
            limits=limits or UsageLimits(),
            settings=settings or ModelSettings(),
            timeout=timeout,
            tokens=tokens,
        )

    @property
    def is_watched(self) -> bool:
        """Whether anybody is told the events."""
        return self.emit is not _ignore

    def emit_all(self, events: Iterable[RunEvent]) -> None:
        for event in events:
            self.emit(event)

    def context(self, tool_name: str = "", call_id: str = "") -> RunContext[Any]:
        """The run as a tool or an instructions function sees it now."""
        return RunContext(
            deps=self.deps,
            run_id=self.run_id,
            usage=self.usage,
            messages=tuple(self.messages),
            tool_name=tool_name,
            call_id=call_id,
            retry=self.tool_failures.get(tool_name, 0),
            depth=self.depth,
            limits=self.limits.left(self.usage),
            host=self,
        )

    def tell(self, event: RunEvent) -> None:
        """See `Host`."""
        self.emit(event)

    def charge(self, run: SubRun, usage: Usage) -> None:
        """See `Host`."""
        self.sub_runs.append(run)
        self.journal.charged(usage)
        self.usage += usage

    async def recall(self) -> int:
        """Begins as the journal says; gives how many turns it knows already."""
        beginning = await self.journal.recall(self.prompt, self.messages[: self.num_given])
        self.prompt = beginning.prompt
        self.messages = opening(beginning.prompt, beginning.history)
        self.num_given = len(beginning.history)
        self.usage = beginning.usage
        return beginning.num_turns

    async def instruct(self) -> None:
        """Puts the agent's instructions at the head of the messages."""
        instructions = await self.journal.instructions(self._write_instructions)
        before = len(self.messages)
        self.messages = instructed(self.messages, instructions)
        self.num_given += len(self.messages) - before

    async def _write_instructions(self) -> str:
        instructions = self.definition.instructions
        if callable(instructions):
            written = instructions(self.context())
            instructions = await written if isawaitable(written) else written
        return instructions

    def hand_over(self, definition: Definition) -> None:
        """Lets another agent go on.

        Raises `TypeError` where it needs other dependencies, `ValueError` where its tools wait and
        no log keeps the run, and `OutputTypeError` for an output function whose result a log that
        keeps it could not hold.
        """
        _check_deps(definition, self.deps)
        self._check_memory(definition)
        self.emit(HandedOver(self.definition.name, definition.name, definition.model.name))
        self.definition = definition
        self.view.measured = None  # with the other agent's instructions
        if isinstance(self.messages[0], SystemMessage):  # the other agent's
            self.messages = self.messages[1:]
            self.num_given -= 1
        self.tool_failures, self.output_failures = {}, 0

    def _check_memory(self, definition: Definition) -> None:
        if self.journal.is_kept:
            check_kept(definition.output)
        elif definition.waiting_tools:
            raise ValueError(
                f"agent {definition.name!r} has tools that may wait "
                f"({', '.join(definition.waiting_tools)}), and the agent that began the run has no "
                "sessions; give that one Agent(..., sessions=SQLiteSessions(path))"
            )

    def compact(self) -> None:
        """Lets the agent's compaction decide what the model sees from now on."""
        compaction, before = self.definition.compaction, len(self.view.of(self.messages))
        if compaction is not None and self.view.compact(self.messages, compaction):
            after = len(self.view.of(self.messages))
            self.emit(HistoryCompacted(len(self.trace), before, after))

    @property
    def model(self) -> Model:
        return self.look(self.definition).model

    def tools_of(self, step: Step) -> Mapping[str, Tool]:
        return self.look(self.definition).tools if step.allow_calls else {}

    def output_of(self, step: Step) -> OutputSpec:
        if step.output_type is None:
            return self.look(self.definition).output
        output = OutputSpec.of(step.output_type)
        if self.journal.is_kept:
            check_kept(output)
        return output

    def begin_turn(self, step: Step) -> None:
        """Raises `UsageLimitExceeded` where no further turn is allowed."""
        self.limits.check(self.usage, messages=self.messages)
        self.emit(StepStarted(len(self.trace), step.kind))
        self.compact()

    def request(self, step: Step, output: OutputSpec) -> ModelRequest:
        """What the model is asked for the next turn."""
        tools = self.tools_of(step)
        if not (tools or step.allow_final):
            raise StrategyError("a step with allow_final=False needs an agent with tools")
        return ModelRequest(
            messages=self.view.of(self.messages),
            tools=tuple(tool.definition for tool in self.definition.tools.values()),
            output=output.format,
            settings=self.definition.settings.updated(self.settings).updated(step.settings),
            allow_calls=step.allow_calls,
            allow_final=step.allow_final,
            grammar=step.grammar,
        )

    def hear(self, text: str) -> None:
        """Takes a further piece of the answer's text, and tells it."""
        self.partial_text += text
        self.emit(TextDelta(text))

    def add_response(self, response: ModelResponse) -> None:
        """Takes the model's answer of this turn, and tells it."""
        message, usage = response.message, response.usage
        self.served, self.partial_text = {}, ""
        self.view.measure(self.messages, usage.input_tokens)
        self.messages.append(message)
        self.usage = self.usage.with_turn(usage)
        self.emit(
            ModelAnswered(
                len(self.trace),
                message.text,
                message.tool_calls,
                usage,
                response.finish_reason,
                response.trace,
                response.confidence,
            )
        )

    def begin_calls(self, calls: Sequence[ToolCall]) -> None:
        """Raises `UsageLimitExceeded` where so many calls are not allowed."""
        self.limits.check(self.usage, len(calls), self.history("a usage limit was reached"))
        self.usage = replace(self.usage, tool_calls=self.usage.tool_calls + len(calls))

    def history(self, reason: str) -> tuple[Message, ...]:
        """The messages so far, as a later run can go on from them: calls that have no result yet
        get one that says `reason`."""
        last = self.messages[-1] if self.messages else None
        calls = last.tool_calls if isinstance(last, AssistantMessage) else ()
        results = (
            self.served.get(index)
            or ToolMessage(call.call_id, call.name, f"not finished: {reason}", is_error=True)
            for index, call in enumerate(calls)
        )
        return (*self.messages, *results)

    def interrupted(self) -> RunInterrupted:
        """The error of a run that was stopped from outside."""
        if any(token.is_cancelled for token in self.tokens):
            reason = "the run was cancelled"
            kind: type[RunInterrupted] = RunCancelled
        else:
            reason = f"the run did not end within its timeout of {self.timeout} seconds"
            kind = RunTimeout
        return kind(reason, self.history(reason), self.usage, self.partial_text)

    def finish_turn(
        self,
        kind: StepKind,
        response: ModelResponse,
        results: tuple[ToolMessage, ...] = (),
        output: Any = None,
    ) -> Turn:
        """Tells that the turn is over and keeps the record for the trace."""
        message, usage = response.message, response.usage
        finished = StepFinished(
            len(self.trace),
            kind,
            message.text,
            message.tool_calls,
            usage,
            output,
            decoding=None if response.trace is None else response.trace.stats,
            confidence=response.confidence,
        )
        if kind is StepKind.PLAN and output is not None:
            self.emit(PlanMade(len(self.trace), output))
        if kind is StepKind.REFLECT and output is not None:
            self.emit(Reflected(len(self.trace), output))
        self.messages += results
        self.trace.append(finished)
        self.emit(finished)
        return Turn(
            kind, message, results, usage, output, response.finish_reason, response.confidence
        )

    async def reviewed(self, step: Step, output: OutputSpec, answer: Any) -> Any:
        """The answer that the step's review lets pass. Where that is another one than the
        model's, the model is told."""
        if step.review is None:
            return answer
        known, before = self.journal.known_review(), output.written(answer)
        if known is None:
            passed, text = await self._review(step.review, output, answer, before)
        elif known.reason is None:
            passed, text = output.validate(known.passed), known.passed
        else:
            raise ModelRetry(known.reason)
        if not output.is_same(text, before):
            self.messages.append(UserMessage(f"Replaced by: {text}"))
        return passed

    async def _review(
        self, review: Review, output: OutputSpec, answer: Any, before: str
    ) -> tuple[Any, str]:
        """Asks the reviewer, and writes down what came of it: the answer and its text. One that is
        another than `before`, or kept, is what its text stands for: it is valid, and as it will be
        when it is told again."""
        decision = self.journal.decided_review()
        try:
            if decision is not None:
                passed = decided(decision, output, answer)
            else:
                given = review(self.context(), answer)
                passed = await given if isawaitable(given) else given
        except ModelRetry as error:
            await self.journal.review_ended(ReviewOutcome(reason=as_unicode(str(error))))
            raise
        except RunPaused:
            await self.journal.pauses({})
            raise
        text = output.written(passed)
        if self.journal.is_kept or text != before:
            try:
                passed = output.validate(text)
            except ModelRetry as error:
                raise StrategyError(
                    f"a review let pass what is no valid output: {error}"
                ) from error
        await self.journal.review_ended(ReviewOutcome(text))
        return passed, text

    def request_retry(self, error: ModelRetry) -> None:
        """Asks the model for another answer. Raises `OutputRetriesExceeded` when it has had its
        retries."""
        reason, allowed = as_unicode(str(error)), self.definition.output_retries
        self.output_failures += 1
        if self.output_failures > allowed:
            raise OutputRetriesExceeded(allowed, reason) from error
        self.emit(RetryRequested(reason))
        self.messages.append(UserMessage(reason))

    def count_tool_failures(self, reasons: Mapping[str, str | None]) -> None:
        """Counts one turn's calls: by tool, the reason of its last bad call or None where all
        its calls were good, which clears its count. Raises `ToolRetriesExceeded`."""
        for name, reason in reasons.items():
            failures = self.tool_failures.get(name, 0) + 1 if reason is not None else 0
            self.tool_failures[name] = failures
            tool = self.definition.tools.get(name)
            allowed = self.definition.retries if tool is None else tool.retries or 0
            if reason is not None and failures > allowed:
                raise ToolRetriesExceeded(name, allowed, reason)

    def result(self, answer: Turn) -> RunResult[Any]:
        return RunResult(
            output=answer.output,
            run_id=self.run_id,
            usage=self.usage,
            messages=tuple(self.messages),
            new_messages=tuple(self.messages[self.num_given :]),
            trace=tuple(self.trace),
            finish_reason=answer.finish_reason,
            sub_runs=tuple(self.sub_runs),
            agent=self.definition.name,
        )


def _check_deps(definition: Definition, deps: Any) -> None:
    needed = definition.deps_type
    if deps is None and isinstance(needed, type) and needed not in (NoneType, object):
        raise TypeError(
            f"agent {definition.name!r} needs dependencies: pass deps=... ({needed.__name__})"
        )
