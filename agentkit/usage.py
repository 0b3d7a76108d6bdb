"""What a run has cost, and what it may cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from agentkit.errors import UsageLimitExceeded
from agentkit.messages import Message, ModelUsage


@dataclass(frozen=True, slots=True)
class Usage:
    """The sum over a run so far. `seconds` is the time spent in the model, not in tools."""

    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    forced_tokens: int = 0
    forwards: int = 0
    seconds: float = 0.0
    modes: Mapping[str, int] = field(default_factory=dict)

    @property
    def tokens_per_forward(self) -> float:
        """New tokens per forward; 0.0 where no forward was counted."""
        return self.output_tokens / self.forwards if self.forwards else 0.0

    def with_turn(self, turn: ModelUsage) -> "Usage":
        """These counts and one more turn."""
        return Usage(
            turns=self.turns + 1,
            tool_calls=self.tool_calls,
            input_tokens=self.input_tokens + turn.input_tokens,
            cached_input_tokens=self.cached_input_tokens + turn.cached_input_tokens,
            output_tokens=self.output_tokens + turn.output_tokens,
            forced_tokens=self.forced_tokens + turn.forced_tokens,
            forwards=self.forwards + turn.forwards,
            seconds=self.seconds + turn.seconds,
            modes=dict(Counter(self.modes) + Counter(turn.modes)),
        )


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """What a run may use up. None means no limit. `seconds` are those spent in the model; for a
    limit on all of the run's time give it a `timeout`.

    Limits are looked at before each turn and before tools run, so a final answer that
    overruns one is still delivered, and no tool acts for a run that could not go on.
    """

    turns: int | None = 25
    tool_calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    forwards: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            allowed = getattr(self, limit.name)
            if allowed is not None and allowed < 0:
                raise ValueError(f"UsageLimits.{limit.name} is {allowed}; give 0 or more, or None")

    def check(self, usage: Usage, new_calls: int = 0, messages: Sequence[Message] = ()) -> None:
        """Raises `UsageLimitExceeded`, carrying `messages`, where `usage` leaves no room for a
        further turn, or for `new_calls` tool calls and the turn that would read their results."""
        spent = {
            "turns": (self.turns, usage.turns + 1),
            "tool_calls": (self.tool_calls, usage.tool_calls + new_calls),
            "input_tokens": (self.input_tokens, usage.input_tokens + 1),
            "output_tokens": (self.output_tokens, usage.output_tokens + 1),
            "forwards": (self.forwards, usage.forwards + 1),
            "seconds": (self.seconds, usage.seconds),
        }
        for name, (allowed, needed) in spent.items():
            if allowed is not None and needed > allowed:
                raise UsageLimitExceeded(name, allowed, messages)
