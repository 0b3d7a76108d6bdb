"""How one turn is taken, and what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from agentkit.confidence import Confidence
from agentkit.context import RunContext
from agentkit.events import StepKind
from agentkit.messages import AssistantMessage, ModelUsage, ToolMessage
from agentkit.models.base import ModelSettings

Review = Callable[[RunContext[Any], Any], Any | Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Budget:
    """What one answer of the model may cost: `tokens` written, and `seconds` waited for it.

    None leaves either to the settings of the run and of the agent. An answer that reaches
    `tokens` ends there, validly where a grammar holds; one that takes more than `seconds` is a
    `ModelTimeout`.
    """

    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"Budget.tokens is {self.tokens}; give 1 or more, or None")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"Budget.seconds is {self.seconds}; give seconds above 0, or None")


@dataclass(frozen=True, slots=True)
class Step:
    """How to take one turn.

    `mode`, `grammar` and `sampling` are records of the in-process decoder, for example
    `decoding.SelfSpeculation()`, `decoding.Grammar.regex(...)` and `decoding.Sampling(...)`;
    `sampling` may also be a `ModelSettings`, which every model understands. Together with
    `budget` they go before the settings of the run and of the agent. `max_tokens` is short for
    `budget=Budget(tokens=...)`. `best_of` is how many answers the in-process decoder writes, of
    which it takes the one it is surest of.

    A `grammar` replaces the one made from the output type, so the step must not allow calls.
    `prompt` is said to the model on the user's behalf before the turn. `output_type` None means
    the agent's. With `allow_calls` False the turn has to be an answer, with `allow_final` False
    it has to be a tool call.

    `review(context, output)`, sync or async, is shown the valid output of the step: it gives
    it back, gives another in its place, or raises `ModelRetry` to have it written again.
    """

    kind: StepKind = StepKind.ACT
    mode: Any = None
    max_tokens: int | None = None
    prompt: str = ""
    output_type: Any = None
    allow_calls: bool = True
    allow_final: bool = True
    grammar: Any = None
    sampling: Any = None
    budget: Budget = Budget()
    review: Review | None = None
    best_of: int | None = None

    def __post_init__(self) -> None:
        if not (self.allow_calls or self.allow_final):
            raise ValueError("a Step must allow tools, a final answer, or both")
        if self.grammar is not None and self.allow_calls:
            raise ValueError("a Step with a grammar cannot allow calls: set allow_calls=False")
        if None not in (self.max_tokens, self.budget.tokens):
            raise ValueError("give a Step max_tokens or budget=Budget(tokens=...), not both")
        if self.best_of is not None and self.best_of < 1:
            raise ValueError(f"Step.best_of is {self.best_of}; give 1 or more, or None")

    @property
    def settings(self) -> ModelSettings:
        """What the step decides about decoding."""
        sampling = self.sampling
        if isinstance(sampling, ModelSettings):
            temperature, top_p, seed = sampling.temperature, sampling.top_p, sampling.seed
            own = ModelSettings(temperature=temperature, top_p=top_p, seed=seed)
        else:
            own = ModelSettings(sampling=sampling)
        tokens = self.max_tokens if self.budget.tokens is None else self.budget.tokens
        return own.updated(ModelSettings(mode=self.mode, max_tokens=tokens, best_of=self.best_of))


@dataclass(frozen=True, slots=True)
class Turn:
    """One valid model answer and what came of it: tool results, or an output.

    `kind` is the step's, except that an ACT turn without tool calls is an ANSWER.
    `finish_reason` is "length" where a free-text answer was cut at its token limit.
    `confidence` is None for models that do not know.
    """

    kind: StepKind
    message: AssistantMessage
    results: tuple[ToolMessage, ...] = ()
    usage: ModelUsage = field(default_factory=ModelUsage)
    output: Any = None
    finish_reason: Literal["stop", "length"] = "stop"
    confidence: Confidence | None = None

    @property
    def is_final(self) -> bool:
        """No tool was called: `output` is a plan, a verdict or an answer."""
        return not self.message.tool_calls
