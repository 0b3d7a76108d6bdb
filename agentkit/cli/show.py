"""A run's events as text for a terminal."""

from rich.console import Console

from agentkit.events import (
    HandedOver,
    ModelFailed,
    RetryRequested,
    RunEvent,
    RunFinished,
    StepFinished,
    StepKind,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolFinished,
)
from agentkit.messages import ModelUsage

_LONGEST_RESULT = 400
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


class EventPrinter:
    """Shows the events of one run after another on `console`, each as it comes.

    With `answers` False the final answer is left to the caller, so text appears only once its
    turn is known not to be the answer. Not for several runs at once.
    """

    def __init__(self, console: Console, *, answers: bool = True) -> None:
        self._console = console
        self._answers = answers
        self._in_line = False
        self._call_id = ""

    def show(self, event: RunEvent) -> None:
        """Prints what is to be seen of `event`; many events show nothing."""
        match event:
            case StepStarted(kind=StepKind.PLAN | StepKind.REFLECT as kind):
                self._line(kind.value, "dim")
            case TextDelta(text):
                if self._answers:
                    self._write(text)
            case ToolCallStarted(call_id, name):
                self._call_id = call_id
                self.end_line()
                self._write(f"→ {name} ", "cyan")
            case ToolCallDelta(call_id, arguments):
                if call_id == self._call_id:
                    self._write(arguments, "cyan")
            case ToolFinished():
                self._result(event)
            case StepFinished():
                self._finish_step(event)
            case RetryRequested() | ModelFailed() | HandedOver():
                self._interjection(event)
            case RunFinished():
                self.end_line()

    def _interjection(self, event: RetryRequested | ModelFailed | HandedOver) -> None:
        match event:
            case RetryRequested(reason):
                self._line(f"asked again: {reason}", "yellow")
            case ModelFailed(reason=reason):
                self._line(f"model failed, asked again: {reason}", "yellow")
            case HandedOver(giver, receiver):
                self._line(f"{giver} hands over to {receiver}", "dim")

    def end_line(self) -> None:
        """Goes to the start of a new line, unless there already; also for a run that broke off."""
        if self._in_line:
            self._write("\n")

    def _result(self, event: ToolFinished) -> None:
        content = event.content
        if len(content) > _LONGEST_RESULT:
            content = f"{content[:_LONGEST_RESULT]}... ({len(content)} characters)"
        marker, style = ("✗", "red") if event.is_error else ("←", "green")
        self._line(f"{marker} {event.call.name}: {content} ({event.seconds:.2f} s)", style)

    def _finish_step(self, event: StepFinished) -> None:
        if not self._answers and event.kind is not StepKind.ANSWER and event.text:
            self._line(event.text)
        self.end_line()
        status = status_line(event.usage)
        if status:
            self._line(f"{event.kind.value} · {status}", "dim")

    def _line(self, text: str, style: str = "") -> None:
        self.end_line()
        self._write(f"{text}\n", style)

    def _write(self, text: str, style: str = "") -> None:
        if not text:
            return
        self._console.print(
            shown(text),
            style=style or None,
            end="",
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
        )
        self._in_line = not text.endswith("\n")


def status_line(usage: ModelUsage) -> str:
    """What one turn cost, for example "autoregressive · 12 tokens · 1.00 per forward · 0 of 31
    prompt tokens cached"; empty for models that count nothing."""
    if not (usage.input_tokens or usage.output_tokens):
        return ""
    parts = [" + ".join(usage.modes), f"{usage.output_tokens} tokens"]
    if usage.forwards:
        parts.append(f"{usage.tokens_per_forward:.2f} per forward")
    parts.append(f"{usage.cached_input_tokens} of {usage.input_tokens} prompt tokens cached")
    return " · ".join(part for part in parts if part)


def shown(text: str) -> str:
    """`text` with control characters spelt out: neither a model nor a tool steers the terminal."""
    return text.translate(_CONTROLS)
