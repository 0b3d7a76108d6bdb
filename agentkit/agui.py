"""A run's events as events of the AG-UI protocol 1.0, for frontends that speak it.

The table is in `docs/streaming.md`. Events are dictionaries in the protocol's JSON form: send each
as one `data:` line of a text/event-stream.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from pydantic_core import from_json, to_json

from agentkit.decisions import PendingReason
from agentkit.errors import (
    AgentError,
    LogError,
    ReviewRequired,
    RunCancelled,
    RunInterrupted,
    RunPaused,
    ToolCrashed,
    ToolResultError,
    UnknownOutput,
)
from agentkit.events import (
    HandedOver,
    HistoryCompacted,
    ModelAnswered,
    ModelFailed,
    PartialOutput,
    PlanMade,
    Reflected,
    RetryRequested,
    RunEvent,
    RunFinished,
    RunStarted,
    StepFinished,
    StepKind,
    StepStarted,
    SubAgentEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
)
from agentkit.lenient_json import lenient_json
from agentkit.messages import ModelUsage

PROTOCOL_VERSION = "1.0"

# These quote what tools, drivers and values say, and nobody wrote that for a browser.
_INSIDE = (ToolCrashed, ToolResultError, LogError)

AgUiEvent = dict[str, Any]


class AgUiEncoder:
    """Encodes one run, event by event, in the order in which they come.

    `thread_id` names the conversation; `run_id` replaces the run's own id, for frontends that
    choose it. The text of plans and verdicts is told as reasoning, that of answers as a message.
    A run that fails has no event of its own here: encode the error with `failed`.
    """

    def __init__(self, thread_id: str, run_id: str | None = None) -> None:
        self._thread_id = thread_id
        self._given_run_id = run_id
        self._run_id = run_id or ""
        self._has_started = False
        self._num_replayed = 0
        self._model = ""
        self._step: StepStarted | None = None
        self._text_open = False
        self._calls_open: list[str] = []
        self._usage: dict[str, list[ModelUsage]] = {}  # by model
        self._agents: dict[str, _SubAgent] = {}

    def encode(self, event: RunEvent) -> list[AgUiEvent]:
        """The protocol's events for `event`; most have one."""
        return list(self._encoded(event))

    def failed(self, error: BaseException) -> list[AgUiEvent]:
        """The end of a run that ended with `error`, what was open closed before it; also of one
        that never began. A run that waits for its owner ends with an interrupt for each call, by
        its id, or with one named "review". Of errors inside only the kind is told."""
        events = [
            *([] if self._has_started else [self._start()]),
            *(each for agent in self._agents.values() for each in agent.gave_up("interrupted")),
            *self._close(),
            *self._close_step(),
        ]
        if isinstance(error, RunCancelled):
            cancelled = {"type": "cancelled"}
            return [*events, self._run("RUN_FINISHED", outcome=cancelled, **self._spent())]
        if isinstance(error, RunPaused):
            return [*events, self._run("RUN_FINISHED", outcome=_waits(error), **self._spent())]
        is_told = isinstance(error, AgentError) and not isinstance(error, _INSIDE)
        message = str(error) if is_told else "internal error"
        code = type(error).__name__
        return [*events, {"type": "RUN_ERROR", "message": message, "code": code, **self._spent()}]

    def _encoded(self, event: RunEvent) -> Iterator[AgUiEvent]:
        match event:
            case RunStarted(run_id, _, model, num_replayed):
                self._run_id, self._model = self._given_run_id or run_id, model
                self._num_replayed = num_replayed
                yield self._start()
            case StepStarted():
                self._step = event
                yield {"type": "STEP_STARTED", "stepName": self._step_name}
            case TextDelta() | ToolCallStarted() | ToolCallDelta() | ModelAnswered():
                yield from self._written(event)
            case ToolStarted(call):
                yield _custom("tool_started", {"toolCallId": call.call_id})
            case ToolFinished():
                yield from self._close_agent(event)
                yield self._result(event)
            case PartialOutput() | PlanMade() | Reflected():
                yield self._typed(event)
            case StepFinished():
                yield from self._close_step()
            case SubAgentEvent(call_id, name, inner):
                agent = self._agents.get(call_id) or self._begin_agent(call_id, name)
                yield from agent.encode(inner)
            case HandedOver(model=model):
                self._model = model
                yield _told(event)
            case RetryRequested() | ModelFailed() | HistoryCompacted():
                yield _told(event)
            case RunFinished(output):
                result = _shown(output)
                success = {"type": "success"}
                yield self._run("RUN_FINISHED", result=result, outcome=success, **self._spent())

    def _begin_agent(self, call_id: str, name: str) -> "_SubAgent":
        run_id = f"{self._message_id}-{call_id}"
        agent = _SubAgent(self._thread_id, run_id, call_id, name, self._usage)
        self._agents[call_id] = agent
        return agent

    def _close_agent(self, event: ToolFinished) -> Iterator[AgUiEvent]:
        """Ends an agent that gave no answer to the call."""
        agent = self._agents.pop(event.call.call_id, None)
        if agent is not None and event.is_error:
            yield from agent.gave_up(event.content)

    def _written(
        self, event: TextDelta | ToolCallStarted | ToolCallDelta | ModelAnswered
    ) -> Iterator[AgUiEvent]:
        """What the model writes."""
        match event:
            case TextDelta(text):
                yield from self._open_text()
                yield {**self._text("CONTENT"), "delta": text}
            case ToolCallStarted(call_id, name):
                self._calls_open.append(call_id)
                start = {"toolCallId": call_id, "toolCallName": name}
                yield {"type": "TOOL_CALL_START", **start, "parentMessageId": self._message_id}
            case ToolCallDelta(call_id, arguments):
                yield {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": arguments}
            case ModelAnswered(index=index, usage=usage):
                if index >= self._num_replayed:  # the others are on an earlier run's bill
                    self._usage.setdefault(self._model, []).append(usage)
                yield from self._close()

    def _typed(self, event: PartialOutput | PlanMade | Reflected) -> AgUiEvent:
        match event:
            case PartialOutput(_, value, open_path):
                place = None if open_path is None else list(open_path)
                return {
                    "type": "STATE_SNAPSHOT",
                    "snapshot": {
                        "step": self._step_name,
                        "output": _finite(value),
                        "openPath": place,
                    },
                }
            case PlanMade(_, content):
                kind = "PLAN"
            case Reflected(_, content):
                kind = "REFLECTION"
        shown = _shown(content)
        return {
            "type": "ACTIVITY_SNAPSHOT",
            "messageId": f"{self._message_id}-{kind.lower()}",
            "activityType": kind,
            "content": shown if isinstance(shown, dict) else {"value": shown},
        }

    def _result(self, event: ToolFinished) -> AgUiEvent:
        call_id = event.call.call_id
        return {
            "type": "TOOL_CALL_RESULT",
            "messageId": f"{self._message_id}-{call_id}",
            "toolCallId": call_id,
            "content": event.content,
            "role": "tool",
            "metadata": {"isError": event.is_error, "seconds": event.seconds},
        }

    @property
    def _step_name(self) -> str:
        return "" if self._step is None else f"{self._step.index}: {self._step.kind.value}"

    @property
    def _message_id(self) -> str:
        return f"{self._run_id}-{0 if self._step is None else self._step.index}"

    def _text(self, part: str) -> AgUiEvent:
        is_reasoning = self._step is not None and self._step.kind is not StepKind.ACT
        kind = "REASONING" if is_reasoning else "TEXT"
        return {"type": f"{kind}_MESSAGE_{part}", "messageId": self._message_id}

    def _open_text(self) -> Iterator[AgUiEvent]:
        if not self._text_open:
            self._text_open = True
            start = self._text("START")
            is_reasoning = start["type"].startswith("REASONING")
            if is_reasoning:
                yield {"type": "REASONING_START", "messageId": self._message_id}
            yield {**start, "role": "reasoning" if is_reasoning else "assistant"}

    def _close(self) -> Iterator[AgUiEvent]:
        """Ends the text or the call that is being written."""
        if self._text_open:
            self._text_open = False
            end = self._text("END")
            yield end
            if end["type"].startswith("REASONING"):
                yield {"type": "REASONING_END", "messageId": self._message_id}
        while self._calls_open:
            yield {"type": "TOOL_CALL_END", "toolCallId": self._calls_open.pop(0)}

    def _close_step(self) -> Iterator[AgUiEvent]:
        if self._step is not None:
            yield {"type": "STEP_FINISHED", "stepName": self._step_name}
            self._step = None

    def _start(self) -> AgUiEvent:
        self._has_started = True
        return self._run("RUN_STARTED", protocolVersion=PROTOCOL_VERSION)

    def _run(self, kind: str, **more: Any) -> AgUiEvent:
        return {"type": kind, "threadId": self._thread_id, "runId": self._run_id, **more}

    def _spent(self) -> AgUiEvent:
        return {"usage": _usage(self._usage)} if self._usage else {}


class _SubAgent:
    """The run of an agent that serves a call of the run."""

    def __init__(
        self,
        thread_id: str,
        run_id: str,
        call_id: str,
        name: str,
        usage: dict[str, list[ModelUsage]],
    ) -> None:
        self._encoder = AgUiEncoder(thread_id, run_id)
        self._encoder._usage = usage  # the protocol has one bill for a run and its agents
        self._run_id = run_id
        self._call_id = call_id
        self._name = name
        self._is_over = False

    def encode(self, event: RunEvent) -> Iterator[AgUiEvent]:
        for encoded in self._encoder.encode(event):
            yield self._attributed(encoded)

    def gave_up(self, reason: str) -> Iterator[AgUiEvent]:
        if not self._is_over:
            *closing, _ = self._encoder.failed(RunInterrupted(reason))
            yield from map(self._attributed, closing)
            yield {"type": "SUBAGENT_ERROR", "subagentRunId": self._run_id, "message": reason}

    def _attributed(self, event: AgUiEvent) -> AgUiEvent:
        mine = {"subagentRunId": self._run_id}
        if event["type"] == "RUN_STARTED":
            start = {"name": self._name, "parentToolCallId": self._call_id}
            return {"type": "SUBAGENT_STARTED", **mine, **start}
        if event["type"] == "RUN_FINISHED":
            self._is_over = True
            return {"type": "SUBAGENT_FINISHED", **mine, "result": event["result"]}
        if event["type"] == "SUBAGENT_STARTED":
            return {"parentSubagentRunId": self._run_id} | event
        return mine | event  # one that is attributed to an agent under this one stays with it


def _told(event: RetryRequested | ModelFailed | HistoryCompacted | HandedOver) -> AgUiEvent:
    """What the protocol has no event for."""
    match event:
        case RetryRequested():
            name = "retry_requested"
        case ModelFailed():
            name = "model_failed"
        case HistoryCompacted():
            name = "history_compacted"
        case HandedOver():
            name = "handed_over"
    return _custom(name, asdict(event))


def _waits(error: RunPaused) -> dict[str, Any]:
    """The outcome of a run that waits."""
    if isinstance(error, ReviewRequired | UnknownOutput):
        reason = "review" if isinstance(error, ReviewRequired) else PendingReason.UNKNOWN.value
        shown = _shown(error.output)
        interrupts = [{"id": "review", "reason": reason, "metadata": {"output": shown}}]
    else:
        interrupts = [
            {
                "id": each.call.call_id,
                "reason": each.reason.value,
                "message": f"{each.call.name} {each.call.arguments}",
                "toolCallId": each.call.call_id,
            }
            for each in error.pending
        ]
    return {"type": "interrupt", "interrupts": interrupts}


def _shown(value: Any) -> Any:
    return _finite(lenient_json(value))


def _finite(value: Any) -> Any:
    """The JSON value with "NaN", "Infinity" and "-Infinity" for what JSON has no numbers for."""
    match value:
        case float() if not isfinite(value):
            return from_json(to_json(value, inf_nan_mode="strings"))
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list():
            return [_finite(each) for each in value]
        case _:
            return value


def _custom(name: str, value: AgUiEvent) -> AgUiEvent:
    return {"type": "CUSTOM", "name": f"agentkit.{name}", "value": value}


def _usage(by_model: Mapping[str, Sequence[ModelUsage]]) -> list[AgUiEvent]:
    """One entry for each model."""
    entries = []
    for model, turns in by_model.items():
        given = sum(turn.input_tokens for turn in turns)
        written = sum(turn.output_tokens for turn in turns)
        entries.append(
            {
                "model": model,
                "inputTokens": given,
                "cachedInputTokens": sum(turn.cached_input_tokens for turn in turns),
                "outputTokens": written,
                "totalTokens": given + written,
            }
        )
    return entries
