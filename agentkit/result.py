"""What a run leaves behind."""

from dataclasses import dataclass
from typing import Generic, Literal

from typing_extensions import TypeVar

from agentkit.events import StepFinished
from agentkit.messages import Message
from agentkit.usage import Usage

OutputT = TypeVar("OutputT", default=str)


@dataclass(frozen=True, slots=True)
class SubRun:
    """The run of an agent that served as a tool. `trace` has one record per turn."""

    call_id: str
    agent: str
    trace: tuple[StepFinished, ...]
    sub_runs: tuple["SubRun", ...] = ()

    @property
    def all_steps(self) -> tuple[StepFinished, ...]:
        """The turns of this run and of all under it."""
        return _all_steps(self.trace, self.sub_runs)


def _all_steps(
    trace: tuple[StepFinished, ...], sub_runs: tuple[SubRun, ...]
) -> tuple[StepFinished, ...]:
    return (*trace, *(step for run in sub_runs for step in run.all_steps))


@dataclass(frozen=True, slots=True)
class RunResult(Generic[OutputT]):
    """A run that succeeded.

    `messages` is the whole history, fit to be the `message_history` of a next run;
    `new_messages` is what this run added to the one it was given, instructions aside.
    `trace` has one record per turn, with what the decoder counted. `sub_runs` are those of
    agents that served as tools; what they cost is part of `usage`. `agent` names the one that
    answered: after a handoff another than was asked. `finish_reason` is "length" where a
    free-text answer was cut at its token limit.
    """

    output: OutputT
    run_id: str
    usage: Usage
    messages: tuple[Message, ...]
    new_messages: tuple[Message, ...]
    trace: tuple[StepFinished, ...]
    finish_reason: Literal["stop", "length"] = "stop"
    sub_runs: tuple[SubRun, ...] = ()
    agent: str = ""

    @property
    def all_steps(self) -> tuple[StepFinished, ...]:
        """The turns of this run and of all under it."""
        return _all_steps(self.trace, self.sub_runs)
