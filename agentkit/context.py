"""What a tool or an instructions function may know about the run it serves."""

from dataclasses import dataclass
from typing import Generic

from typing_extensions import TypeVar

from agentkit.messages import Message
from agentkit.usage import Usage

DepsT = TypeVar("DepsT", default=None)


@dataclass(frozen=True, slots=True)
class RunContext(Generic[DepsT]):
    """A frozen view of one run at one moment.

    `deps` is what the caller of the run passed in. For a tool, `tool_name` and `call_id` name
    the call being served, and `retry` counts how often in a row the model has already failed
    to call this tool correctly; elsewhere they are "", "" and 0.
    """

    deps: DepsT
    run_id: str
    usage: Usage
    messages: tuple[Message, ...]
    tool_name: str = ""
    call_id: str = ""
    retry: int = 0
