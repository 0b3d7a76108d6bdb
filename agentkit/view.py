"""What a model sees of a run's history."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.compaction import Compaction, num_chars
from agentkit.messages import Message, SystemMessage


@dataclass(slots=True)
class HistoryView:
    """The instructions, then `head` in place of the messages before `start`, then the others.

    `start` counts behind the instructions. `chars_per_token` is what the model's own counts
    make of it; `measured`, while that has not been worked out, is how many messages the run had
    when the model last counted what it saw, and the tokens it counted.
    """

    head: tuple[Message, ...] = ()
    start: int = 0
    chars_per_token: float = 4.0
    measured: tuple[int, int] | None = None

    def of(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages that the model sees, where the run's are `messages`."""
        instructions, others = _split(messages)
        return (*instructions, *self.head, *others[self.start :])

    def measure(self, messages: Sequence[Message], num_tokens: int) -> None:
        """Takes note that the model counted `num_tokens` for what it saw of `messages`; 0 where
        it did not count. Costs the same however many they are."""
        if num_tokens:
            self.measured = len(messages), num_tokens

    def compact(self, messages: Sequence[Message], compaction: Compaction) -> bool:
        """Lets `compaction` decide what is seen from now on; whether it changed anything. The
        instructions stay as they are."""
        seen = self.of(messages)
        if self.measured is not None:
            num_messages, num_tokens = self.measured
            num_seen = num_chars(self.of(messages[:num_messages]))
            self.chars_per_token, self.measured = max(num_seen / num_tokens, 0.1), None
        num_tokens = round(num_chars(seen) / self.chars_per_token)
        shown = tuple(compaction.compact(seen, num_tokens))
        if shown == seen:
            return False
        self.head, self.start = _split(shown)[1], len(_split(messages)[1])
        return True


def _split(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The instructions, if there are any, and the others."""
    first = 1 if messages and isinstance(messages[0], SystemMessage) else 0
    return tuple(messages[:first]), tuple(messages[first:])
