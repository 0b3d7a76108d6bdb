"""From the events of a run to its trace."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from types import TracebackType

from agentkit.errors import RunCancelled, RunPaused
from agentkit.events import (
    ModelAnswered,
    RetryRequested,
    RunEvent,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
)
from agentkit.messages import ToolCall
from agentkit.trace.records import CallTrace, Ending, RunTrace, TurnTrace


class Recorder:
    """Collects one run's events, with the time at which each is added.

    As a context manager around the run it also notes how the run ended, and lets every error
    through. `trace` gives what happened so far, at any time. `clock` counts seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._start: RunStarted | None = None
        self._zero = 0.0
        self._end: float | None = None
        self._ending = Ending.UNFINISHED
        self._reason = ""
        self._turns: list[_Turn] = []

    def add(self, event: RunEvent) -> None:
        """Takes the next event. Raises `ValueError` for one that cannot come now: each run
        needs a recorder of its own, from its first event on."""
        if isinstance(event, RunStarted):
            if self._start is not None:
                raise ValueError("a Recorder is for one run; make another one for the next")
            self._start, self._zero = event, self._clock()
            return
        if self._start is None:
            raise ValueError(f"{event!r} came before RunStarted; add a run's events from the first")
        now = self._now()
        match event:
            case StepStarted(index, kind):
                self._turns.append(_Turn(TurnTrace(index, kind, now, now)))
            case RunFinished():
                self._finish(Ending.FINISHED)
            case _:
                if not self._turns:
                    raise ValueError(f"{event!r} came before StepStarted")
                self._turns[-1].add(event, now)

    def trace(self) -> RunTrace:
        """The run so far."""
        now = self._now() if self._end is None else self._end
        return RunTrace(
            prompt="" if self._start is None else self._start.prompt,
            model="" if self._start is None else self._start.model,
            turns=tuple(turn.frozen(now) for turn in self._turns),
            ending=self._ending,
            seconds=now,
            reason=self._reason,
        )

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ending is not Ending.UNFINISHED:
            return
        if isinstance(error, RunPaused):
            self._finish(Ending.WAITS)
        elif isinstance(error, Exception) and not isinstance(error, RunCancelled):
            self._finish(Ending.FAILED, str(error) or type(error).__name__)
        else:  # cancelled by the event loop, Ctrl-C, or left early
            self._finish(Ending.CANCELLED)

    def _now(self) -> float:
        return 0.0 if self._start is None else self._clock() - self._zero

    def _finish(self, ending: Ending, reason: str = "") -> None:
        self._end = self._now()
        self._ending, self._reason = ending, reason


@dataclass(slots=True)
class _Turn:
    """A turn while it goes on."""

    trace: TurnTrace
    written: list[str] = field(default_factory=list)
    calls: dict[str, CallTrace] = field(default_factory=dict)
    is_over: bool = False

    def add(self, event: RunEvent, now: float) -> None:
        match event:
            case TextDelta(text):
                self.written.append(text)
            case ToolCallStarted(_, name):
                self.written.append(f"{name} ")
            case ToolCallDelta(_, arguments):
                self.written.append(arguments)
            case ModelAnswered():
                self._answer(event, now)
            case ToolStarted(call):
                self.calls[call.call_id] = _begun(call, now)
            case ToolFinished(call, content, is_error):
                begun = self.calls.get(call.call_id, _begun(call, now))
                self.calls[call.call_id] = replace(
                    begun, ended=now, result=content, is_error=is_error
                )
            case StepFinished(kind=kind):
                self.is_over = True
                self.trace = replace(self.trace, kind=kind, ended=now)
            case RetryRequested(reason):
                self.trace = replace(self.trace, retry=reason)

    def _answer(self, event: ModelAnswered, now: float) -> None:
        self.trace = replace(
            self.trace, answered=now, text=event.text, usage=event.usage, decoding=event.trace
        )

    def frozen(self, now: float) -> TurnTrace:
        trace = replace(self.trace, calls=tuple(self.calls.values()))
        if trace.answered is None:
            trace = replace(trace, text="".join(self.written))
        return trace if self.is_over else replace(trace, ended=now)


def _begun(call: ToolCall, now: float) -> CallTrace:
    return CallTrace(call.call_id, call.name, call.arguments, started=now)
