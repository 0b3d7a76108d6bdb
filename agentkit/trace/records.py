"""A run as it is told afterwards: what happened, and when. Times are seconds since its start."""

from dataclasses import dataclass
from enum import Enum

from agentkit.decoding_trace import DecodingTrace
from agentkit.events import StepKind
from agentkit.messages import ModelUsage


class Ending(Enum):
    """How a run ended."""

    UNFINISHED = "unfinished"  # it may still go on
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITS = "waits"  # for its owner's decisions; it may be resumed


@dataclass(frozen=True, slots=True)
class CallTrace:
    """One tool call. `result` and `ended` are None for a call that never came to its end."""

    call_id: str
    name: str
    arguments: str
    started: float
    ended: float | None = None
    result: str | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class TurnTrace:
    """One answer of the model, and the calls it made.

    `answered` is when the model was done, None where it was broken off; `text` is then what had
    been written. `decoding` is None for models that do not tell, and for broken-off answers.
    `retry` is what the model was told where its answer did not do.
    """

    index: int
    kind: StepKind
    started: float
    ended: float
    answered: float | None = None
    text: str = ""
    usage: ModelUsage = ModelUsage()
    decoding: DecodingTrace | None = None
    calls: tuple[CallTrace, ...] = ()
    retry: str = ""

    @property
    def asked(self) -> float:
        """When the model was asked: the zero of its forwards."""
        if self.answered is None or self.decoding is None:
            return self.started
        return max(self.answered - self.decoding.seconds, 0.0)


@dataclass(frozen=True, slots=True)
class RunTrace:
    """A run. `reason` is the error of one that failed."""

    prompt: str
    model: str
    turns: tuple[TurnTrace, ...]
    ending: Ending
    seconds: float
    reason: str = ""
