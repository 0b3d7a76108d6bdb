"""The seam between a run and what remembers it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from agentkit.decisions import Decision, OnUnknown, PendingReason
from agentkit.messages import Message
from agentkit.models.base import Model, ModelEvent, ModelRequest
from agentkit.tool import Tool


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run began, or begins, where a log knows it better than the caller.

    `instructions` None means that they are still to be made. `num_turns` counts the model's
    answers that will be told again from the log.
    """

    prompt: str
    history: Sequence[Message]
    instructions: str | None = None
    num_turns: int = 0


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


class Journal(Protocol):
    """Remembers one run. What it already knows is not done again."""

    @property
    def on_unknown(self) -> OnUnknown: ...

    async def recall(
        self, prompt: str, history: Sequence[Message], tools: Mapping[str, Tool]
    ) -> Beginning:
        """How the run begins. Comes first."""
        ...

    def kept(
        self, messages: Sequence[Message], num_given: int
    ) -> AbstractAsyncContextManager[None]:
        """The run, from its first step to its end, which is written down. `messages` grows while
        the run goes on; the first `num_given` are not the run's own."""
        ...

    def stream(
        self, model: Model, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        """The answer of this turn: remembered, or the model's."""
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

    def known_review(self) -> ReviewOutcome | None:
        """What came of the review of this turn's answer, where that is known."""
        ...

    async def review_ended(self, outcome: ReviewOutcome) -> None:
        """Writes down what came of the review of this turn's answer."""
        ...

    def decided_review(self) -> Decision | None:
        """What the run's owner decided on this turn's answer, where they just did."""
        ...

    async def pauses(self, pending: Mapping[int, PendingReason]) -> None:
        """The run is about to end with `RunPaused`, waiting for these calls of the turn, or for
        a review."""
        ...


class Unlogged:
    """Remembers nothing."""

    on_unknown = OnUnknown.RAISE

    async def recall(
        self, prompt: str, history: Sequence[Message], tools: Mapping[str, Tool]
    ) -> Beginning:
        return Beginning(prompt, history)

    def kept(
        self, messages: Sequence[Message], num_given: int
    ) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def stream(
        self, model: Model, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        return model.stream(request)

    def state_of(self, index: int) -> CallState:
        return CallState()

    async def call_begins(self, index: int) -> None:
        return

    async def call_ended(self, index: int, outcome: CallOutcome) -> None:
        return

    def known_review(self) -> ReviewOutcome | None:
        return None

    async def review_ended(self, outcome: ReviewOutcome) -> None:
        return

    def decided_review(self) -> Decision | None:
        return None

    async def pauses(self, pending: Mapping[int, PendingReason]) -> None:
        return
