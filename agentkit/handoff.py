"""Tools by which one agent hands a run over to another."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from agentkit.definition import Definition
from agentkit.messages import ToolCall, ToolMessage
from agentkit.tool import Tool


class Receiver(Protocol):
    """An agent, as one that may be handed a run."""

    @property
    def name(self) -> str: ...

    def definition(self) -> Definition: ...


@dataclass(frozen=True, slots=True)
class Handoff:
    """The function of a handoff tool. The loop, not the call, hands the run over."""

    to: Receiver

    def __call__(self) -> str:
        return f"{self.to.name} goes on from here."


def handoff(agent: Receiver, *, name: str | None = None, description: str | None = None) -> Tool:
    """A tool that hands the run over to `agent`: after the turn in which it is called, the same
    history goes on with that agent's model, instructions, tools, output type and strategy.

    Usage, limits and time-out are those of the run, and so are its dependencies. The tool is
    called `handoff_to_<name of the agent>` where `name` does not say otherwise.
    """

    def hand_over() -> str:
        raise AssertionError("replaced below")

    described = Tool.from_function(
        hand_over,
        name=name or f"handoff_to_{agent.name}",
        description=description or f"Hand the conversation over to {agent.name}.",
        idempotent=True,
    )
    return replace(described, function=Handoff(agent))


def receiver_of(
    calls: Iterable[ToolCall], results: Iterable[ToolMessage], definition: Definition
) -> Definition | None:
    """The agent to which the first good call of a handoff tool hands the run over."""
    for call, result in zip(calls, results, strict=True):
        tool = definition.tools.get(call.name)
        if tool is not None and isinstance(tool.function, Handoff) and not result.is_error:
            return tool.function.to.definition()
    return None
