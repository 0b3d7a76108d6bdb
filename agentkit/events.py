"""What a run tells while it runs. One class per event; all frozen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from agentkit.confidence import Confidence
from agentkit.decisions import PendingCall
from agentkit.decoding_trace import DecodingStats, DecodingTrace
from agentkit.messages import ModelUsage, ToolCall

JsonPath = tuple[str | int, ...]
"""A place in a JSON value: member names and list indices from the outside in."""


class StepKind(Enum):
    """What a step of the loop is for."""

    PLAN = "plan"
    ACT = "act"
    REFLECT = "reflect"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event of every run. `model` is the name of the agent's model. A resumed run
    tells the first `num_replayed_turns` answers, and what is known of their calls, once more."""

    run_id: str
    prompt: str
    model: str = ""
    num_replayed_turns: int = 0


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A turn of the model begins. `kind` is PLAN, ACT or REFLECT; an ACT step that ends without
    a tool call is reported as ANSWER in its `StepFinished`."""

    index: int
    kind: StepKind


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of answer text, plan text, or the JSON of a typed answer."""

    text: str


@dataclass(frozen=True, slots=True)
class PartialOutput:
    """What there is so far of the typed answer of turn `index`, as a JSON value.

    Later ones only add to it. Everything is final except what lies on the way to `open_path`,
    the place that is being written: what is there may still grow, in a string or with further
    members or items. With `open_path` None all is final and valid. What is final has been
    checked against the output type, as far as one can before the rest is there.
    """

    index: int
    value: Any
    open_path: JsonPath | None = None

    def is_closed(self, path: JsonPath) -> bool:
        """Whether what is at `path` is final."""
        return self.open_path is None or self.open_path[: len(path)] != path

    @property
    def closed(self) -> frozenset[JsonPath]:
        """The paths of all values that are final, those inside others included."""
        return frozenset(path for path in _paths(self.value, ()) if self.is_closed(path))


def _paths(value: Any, here: JsonPath) -> Iterator[JsonPath]:
    yield here
    children: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from _paths(child, (*here, key))


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model began to write a call of `name`."""

    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call's JSON arguments."""

    call_id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ModelAnswered:
    """The model has ended its answer of turn `index`; what it called and does not run yet runs
    next.

    `trace` tells how the answer was decoded, `confidence` how sure the decoder was; None for
    models that do not know.
    """

    index: int
    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: ModelUsage
    finish_reason: Literal["stop", "length"] = "stop"
    trace: DecodingTrace | None = field(default=None, repr=False)
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class PlanMade:
    """A PLAN step of turn `index` has its plan, reviewed if there is a review. `plan` is a
    `Plan`, or what else the strategy asked for."""

    index: int
    plan: Any


@dataclass(frozen=True, slots=True)
class Reflected:
    """A REFLECT step of turn `index` has its verdict on the draft answer: an `Accept` or a
    `Revise`, or what else the strategy asked for."""

    index: int
    verdict: Any


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A complete call was validated and the tool begins to run: after the turn's `ModelAnswered`,
    or before it in an agent with `eager_tools`."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call has its result. `content` is what the model will see."""

    call: ToolCall
    content: str
    is_error: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class CallsPending:
    """The turn's other calls are done and these wait for decisions. The run ends here, with
    `RunPaused`, until it is resumed."""

    calls: tuple[PendingCall, ...]


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A turn is over, tool results included. `output` is the plan, the verdict or the final
    output.

    `decoding` has the decoder's counts: tokens by mode, forwards, acceptance, cache hits, time
    spent on masks. It and `confidence` are None for models that do not know.
    """

    index: int
    kind: StepKind
    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: ModelUsage
    output: Any = None
    decoding: DecodingStats | None = field(default=None, repr=False)
    confidence: Confidence | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The model failed before it said anything, and is asked again. `attempt` counts from 1."""

    index: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """The answer did not validate; the model is asked again. `reason` is what it is told."""

    reason: str


@dataclass(frozen=True, slots=True)
class HistoryCompacted:
    """The model sees less of the history from turn `index` on: `after` messages instead of
    `before`, or shorter ones. The run keeps the whole."""

    index: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The run goes on with another agent: from the one named `giver` to the one named
    `receiver`, whose model is named `model`."""

    giver: str
    receiver: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class SubAgentEvent:
    """An event of the run of `agent`, which serves the tool call `call_id` of this run."""

    call_id: str
    agent: str
    event: "RunEvent"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of a run that succeeded."""

    output: Any


RunEvent = (
    RunStarted
    | StepStarted
    | ModelFailed
    | TextDelta
    | PartialOutput
    | ToolCallStarted
    | ToolCallDelta
    | ModelAnswered
    | ToolStarted
    | ToolFinished
    | CallsPending
    | PlanMade
    | Reflected
    | StepFinished
    | RetryRequested
    | HistoryCompacted
    | HandedOver
    | SubAgentEvent
    | RunFinished
)
"""What a run tells while it goes on, in the order in which it happens."""
