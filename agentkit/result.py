"""What a run leaves behind."""

from dataclasses import dataclass
from typing import Generic, Literal

from typing_extensions import TypeVar

from agentkit.events import StepFinished
from agentkit.messages import Message
from agentkit.usage import Usage

OutputT = TypeVar("OutputT", default=str)


@dataclass(frozen=True, slots=True)
class RunResult(Generic[OutputT]):
    """A run that succeeded.

    `messages` is the whole history, fit to be the `message_history` of a next run;
    `new_messages` is what this run added to the one it was given, instructions aside.
    `trace` has one record per turn. `finish_reason` is "length" where a free-text answer was
    cut at its token limit.
    """

    output: OutputT
    run_id: str
    usage: Usage
    messages: tuple[Message, ...]
    new_messages: tuple[Message, ...]
    trace: tuple[StepFinished, ...]
    finish_reason: Literal["stop", "length"] = "stop"
