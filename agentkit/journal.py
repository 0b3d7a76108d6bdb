"""The seam between a run and what remembers it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from agentkit.decisions import Decision, OnUnknown, PendingReason
from agentkit.messages import Message, ToolCall
from agentkit.models.base import Model, ModelEvent, ModelRequest
from agentkit.tool import Tool
from agentkit.usage import Usage


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run began, or begins, where a log knows it better than the caller.

    `num_turns` counts the model's answers that will be told again from the log. `usage` is that
    of agents used as tools, in calls that will not be made again.
    """

    prompt: str
    history: Sequence[Message]
    num_turns: int = 0
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of a call, as the model is told. `retry` tells that the model called wrongly
    and may try again."""

    content: str
    is_error: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class CallState:
    """What is known of a call. `has_begun` without an outcome: it may have taken effect.
    `arguments` is JSON that replaces the model's."""

    outcome: CallOutcome | None = None
    has_begun: bool = False
    is_approved: bool = False
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """What a review let pass, as text, or why it let nothing pass."""

    passed: str = ""
    reason: str | None = None


Parts = AbstractAsyncContextManager[AsyncIterator[ModelEvent]]


class Journal(Protocol):
    """Remembers one run. What it already knows is not done again."""

    @property
    def on_unknown(self) -> OnUnknown: ...

    @property
    def is_kept(self) -> bool:
        """Whether there will be somebody to tell it again to: what cannot be written matters."""
        ...

    async def recall(self, prompt: str, history: Sequence[Message]) -> Beginning:
        """How the run begins. Comes first."""
        ...

    def kept(self) -> AbstractAsyncContextManager[None]:
        """The run, from its first step to its end. What it fails with is written down."""
        ...

    async def finishes(self, messages: Sequence[Message]) -> None:
        """The run's last answer is its result."""
        ...

    async def instructions(self, write: Callable[[], Awaitable[str]]) -> str:
        """The instructions of the agent that goes on now: remembered, or as `write` gives them."""
        ...

    def stream(self, model: Model, request: ModelRequest, messages: Sequence[Message]) -> Parts:
        """The answer of this turn: remembered, then without any `ToolCallEnd`, or the model's.
        `messages` are the run's, of which the request may show a part."""
        ...

    async def decide(self, calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> None:
        """Takes what the run's owner has decided on these calls of the turn. Raises
        `DecisionError`."""
        ...

    def state_of(self, index: int) -> CallState:
        """What is known of call `index` of the turn."""
        ...

    async def call_begins(self, index: int) -> None:
        """Returns when it is safe to let the call take effect."""
        ...

    async def call_ended(self, index: int, outcome: CallOutcome) -> None:
        """Writes down what came of a call, unless it is known."""
        ...

    def charged(self, usage: Usage) -> None:
        """An agent that a call asked has used this up."""
        ...

    def known_review(self) -> ReviewOutcome | None:
        """What came of the review of this turn's answer, where that is known."""
        ...

    async def review_ended(self, outcome: ReviewOutcome) -> None:
        """Writes down what came of the review of this turn's answer."""
        ...

    def decided_review(self) -> Decision | None:
        """What the run's owner decided on this turn's answer, where they just did."""
        ...

    def output_state(self) -> CallState:
        """What is known of the call of an output function that is this turn's answer."""
        ...

    async def output_begins(self) -> None:
        """Returns when it is safe to let that call take effect."""
        ...

    async def output_ended(self, outcome: CallOutcome) -> None:
        """Writes down what came of that call: what the function returned, as JSON, or why the
        answer has to be written again."""
        ...

    async def pauses(self, pending: Mapping[int, PendingReason]) -> None:
        """The run is about to end with `RunPaused`, waiting for these calls of the turn, or for
        a review."""
        ...


class Unlogged:
    """Remembers nothing."""

    on_unknown = OnUnknown.RAISE
    is_kept = False

    async def recall(self, prompt: str, history: Sequence[Message]) -> Beginning:
        return Beginning(prompt, history)

    def kept(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def finishes(self, messages: Sequence[Message]) -> None:
        return

    async def instructions(self, write: Callable[[], Awaitable[str]]) -> str:
        return await write()

    def stream(self, model: Model, request: ModelRequest, messages: Sequence[Message]) -> Parts:
        return model.stream(request)

    async def decide(self, calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> None:
        return

    def state_of(self, index: int) -> CallState:
        return CallState()

    async def call_begins(self, index: int) -> None:
        return

    async def call_ended(self, index: int, outcome: CallOutcome) -> None:
        return

    def charged(self, usage: Usage) -> None:
        return

    def known_review(self) -> ReviewOutcome | None:
        return None

    async def review_ended(self, outcome: ReviewOutcome) -> None:
        return

    def decided_review(self) -> Decision | None:
        return None

    def output_state(self) -> CallState:
        return CallState()

    async def output_begins(self) -> None:
        return

    async def output_ended(self, outcome: CallOutcome) -> None:
        return

    async def pauses(self, pending: Mapping[int, PendingReason]) -> None:
        return
