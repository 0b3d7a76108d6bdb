"""Histories that are cut when they grow too long for the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agentkit.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage

LEFT_OUT = "[Earlier messages were left out here.]"
RESULT_LEFT_OUT = "[This result was left out.]"


class Compaction(Protocol):
    """Decides what a model sees of a history. The run keeps the whole of it."""

    def compact(self, messages: Sequence[Message], num_tokens: int) -> Sequence[Message]:
        """The messages to show instead of `messages`, which take about `num_tokens` tokens; the
        same ones where nothing is to be done.

        Asked before each turn, and given what it made of the history before. What it leaves
        unchanged at the start need not be encoded again. A call must not be left without its
        result.
        """
        ...


@dataclass(frozen=True, slots=True)
class DropMiddle:
    """Above `max_tokens`, leaves out the middle: all but the instructions, the first
    `keep_first` exchanges and the last `keep_last`.

    An exchange is a user's message, or an answer of the model with its tool results. What
    stays at the head is not encoded again, and so the rest costs only the last exchanges.
    """

    max_tokens: int
    keep_first: int = 1
    keep_last: int = 4

    def __post_init__(self) -> None:
        _check(self.max_tokens, self.keep_last)
        if self.keep_first < 0:
            raise ValueError(f"keep_first is {self.keep_first}; give 0 or more")

    def compact(self, messages: Sequence[Message], num_tokens: int) -> Sequence[Message]:
        """See `Compaction.compact`."""
        if num_tokens <= self.max_tokens:
            return messages
        exchanges = _exchanges(messages)
        instructions = 1 if isinstance(messages[0], SystemMessage) else 0
        first = self.keep_first + instructions
        last = max(len(exchanges) - self.keep_last, 0)
        left_out = UserMessage(LEFT_OUT)
        if all(exchange == [left_out] for exchange in exchanges[first:last]):
            return messages
        head = [message for exchange in exchanges[:first] for message in exchange]
        tail = [message for exchange in exchanges[last:] for message in exchange]
        return [*head, left_out, *tail]


@dataclass(frozen=True, slots=True)
class DropResults:
    """Above `max_tokens`, empties all tool results but the last `keep_last`. The calls stay."""

    max_tokens: int
    keep_last: int = 2

    def __post_init__(self) -> None:
        _check(self.max_tokens, self.keep_last)

    def compact(self, messages: Sequence[Message], num_tokens: int) -> Sequence[Message]:
        """See `Compaction.compact`."""
        if num_tokens <= self.max_tokens:
            return messages
        results = [at for at, message in enumerate(messages) if isinstance(message, ToolMessage)]
        old = set(results[: -self.keep_last])
        return [
            replace(message, content=RESULT_LEFT_OUT)
            if at in old and isinstance(message, ToolMessage)
            else message
            for at, message in enumerate(messages)
        ]


def num_chars(messages: Sequence[Message]) -> int:
    """The characters a model reads in them."""
    return sum(map(_chars, messages))


def _chars(message: Message) -> int:
    if isinstance(message, AssistantMessage):
        calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
        return len(message.text) + calls
    return len(message.content)


def _exchanges(messages: Sequence[Message]) -> list[list[Message]]:
    exchanges: list[list[Message]] = []
    for message in messages:
        if isinstance(message, ToolMessage) and exchanges:
            exchanges[-1].append(message)
        else:
            exchanges.append([message])
    return exchanges


def _check(max_tokens: int, keep_last: int) -> None:
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; give 1 or more")
    if keep_last < 1:
        raise ValueError(f"keep_last is {keep_last}; give 1 or more, the last is yet to be read")
