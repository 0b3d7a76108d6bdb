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
        counts = {count.name: getattr(turn, count.name) for count in fields(turn)}
        return self + Usage(turns=1, **counts)

    def __add__(self, other: "Usage") -> "Usage":
        sums = {
            count.name: getattr(self, count.name) + getattr(other, count.name)
            for count in fields(self)
            if count.name != "modes"
        }
        return Usage(**sums, modes=dict(Counter(self.modes) + Counter(other.modes)))


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """What a run may use up. None means no limit. `seconds` are those spent in the model; for a
    limit on all of the run's time give it a `timeout`.

    Limits are looked at before each turn and before tools run, so a final answer that
    overruns one is still delivered, and no tool acts for a run that could not go on; but for
    one that started while the model wrote (`Agent(eager_tools=True)`).
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

    def left(self, usage: Usage) -> "UsageLimits":
        """What of these limits `usage` leaves."""
        limits = {limit.name: getattr(self, limit.name) for limit in fields(self)}
        return UsageLimits(
            **{
                name: None if allowed is None else max(allowed - getattr(usage, name), 0)
                for name, allowed in limits.items()
            }
        )

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
