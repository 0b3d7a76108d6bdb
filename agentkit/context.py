"""What a tool or an instructions function may know about the run it serves."""

from dataclasses import dataclass, field
from typing import Generic, Protocol

from typing_extensions import TypeVar

from agentkit.events import RunEvent
from agentkit.messages import Message
from agentkit.result import SubRun
from agentkit.usage import Usage, UsageLimits


class Host(Protocol):
    """A run, as the runs of agents that it uses as tools see it."""

    def tell(self, event: RunEvent) -> None:
        """Tells an event of the run under this one."""
        ...

    def charge(self, run: SubRun, usage: Usage) -> None:
        """Counts what the run under this one has used up; it is over."""
        ...


DepsT = TypeVar("DepsT", default=None)


@dataclass(frozen=True, slots=True)
class RunContext(Generic[DepsT]):
    """A frozen view of one run at one moment.

    `deps` is what the caller of the run passed in. For a tool, `tool_name` and `call_id` name
    the call being served, and `retry` counts how often in a row the model has already failed
    to call this tool correctly; elsewhere they are "", "" and 0. `depth` is 0 in a run that
    somebody began, 1 in that of an agent which it uses as a tool, and so on; `limits` is what
    the run may still use up.
    """

    deps: DepsT
    run_id: str
    usage: Usage
    messages: tuple[Message, ...]
    tool_name: str = ""
    call_id: str = ""
    retry: int = 0
    depth: int = 0
    limits: UsageLimits = UsageLimits()
    host: Host | None = field(default=None, repr=False, compare=False)
