"""What a run leaves in its log: one small record for each thing that happened.

Nothing is written twice: a record never repeats what an earlier one of the run, or a run before
it in the session, already says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from agentkit.confidence import Confidence
from agentkit.decisions import PendingReason
from agentkit.decoding_trace import DecodingStats, DecodingTrace
from agentkit.messages import AssistantMessage, Message, ModelUsage
from agentkit.models.base import ModelResponse
from agentkit.usage import Usage


@dataclass(frozen=True, slots=True)
class Began:
    """The first record of every run. `history` is what the caller gave; empty where the run
    goes on from another in the log."""

    agent: str
    prompt: str
    history: tuple[Annotated[Message, Field(discriminator="role")], ...] = ()


@dataclass(frozen=True, slots=True)
class Instructed:
    """The instructions of the agent that goes on from here: the run's, or one handed over to."""

    content: str


@dataclass(frozen=True, slots=True)
class Said:
    """The loop said this on the user's behalf: a step's prompt, or a retry request."""

    content: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The model ended an answer. The records of its calls follow, before the next answer.
    `decoding` is what the decoder counted, where there is one."""

    message: AssistantMessage
    usage: ModelUsage = ModelUsage()
    finish_reason: Literal["stop", "length"] = "stop"
    confidence: Confidence | None = None
    decoding: DecodingStats | None = None

    @classmethod
    def of(cls, response: ModelResponse) -> "Answered":
        """Leaves out the trace of single tokens, which is larger than all the rest."""
        return cls(
            response.message,
            response.usage,
            response.finish_reason,
            response.confidence,
            None if response.trace is None else response.trace.stats,
        )

    def response(self) -> ModelResponse:
        """The answer, as the model may give it once more."""
        trace = None if self.decoding is None else DecodingTrace((), stats=self.decoding)
        return ModelResponse(self.message, self.usage, self.finish_reason, trace, self.confidence)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What came of the review of the last answer; the fields of a `ReviewOutcome`."""

    passed: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CallApproved:
    """Call `index` of the last answer may run (again), with `arguments` (JSON) if given."""

    index: int
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class CallBegan:
    """Call `index` of the last answer is about to take effect."""

    index: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """What came of call `index` of the last answer; the fields of a `CallOutcome`."""

    index: int
    content: str
    is_error: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class OutputBegan:
    """The output function that the last answer calls is about to take effect."""


@dataclass(frozen=True, slots=True)
class OutputEnded:
    """What came of that call: what the function returned, as JSON, or with `retry` why the answer
    has to be written again."""

    content: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Charged:
    """What an agent has used up that a call asked."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Resumed:
    """Whoever wrote this owns the run from here on."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The run waits for decisions: indices of calls of the last answer, and why each waits. None
    where it is the answer that waits for a review."""

    pending: tuple[tuple[int, PendingReason], ...] = ()


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was cancelled."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended with an error."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last answer is the run's."""


Record = (
    Began
    | Instructed
    | Said
    | Answered
    | Reviewed
    | CallApproved
    | CallBegan
    | CallEnded
    | OutputBegan
    | OutputEnded
    | Charged
    | Resumed
    | Paused
    | Stopped
    | Failed
    | Finished
)

_KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "began": Began,
        "instructed": Instructed,
        "said": Said,
        "answered": Answered,
        "reviewed": Reviewed,
        "call approved": CallApproved,
        "call began": CallBegan,
        "call ended": CallEnded,
        "output began": OutputBegan,
        "output ended": OutputEnded,
        "charged": Charged,
        "resumed": Resumed,
        "paused": Paused,
        "stopped": Stopped,
        "failed": Failed,
        "finished": Finished,
    }
)
_NAMES = MappingProxyType({record: kind for kind, record in _KINDS.items()})


def encode(record: Record) -> tuple[str, str]:
    """The record's kind and its body, a JSON object. Raises `ValueError` for text that is not
    Unicode."""
    kind = _NAMES[type(record)]
    is_short = not isinstance(record, Began)  # whose messages are told apart by a default
    return kind, _adapter(kind).dump_json(record, exclude_defaults=is_short).decode()


def decode(kind: str, body: str) -> Record:
    """The inverse of `encode`. Raises `ValueError` for what no version up to this one wrote."""
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is no kind of record")
    record: Record = _adapter(kind).validate_json(body)
    return record


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(_KINDS[kind])
