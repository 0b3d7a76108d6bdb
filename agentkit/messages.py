"""The history of a run: plain frozen records, oldest first."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """Standing instructions."""

    content: str
    role: Literal["system"] = "system"


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What the user said, or what the loop says on the user's behalf (a retry request)."""

    content: str
    role: Literal["user"] = "user"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a tool. `arguments` is the JSON text as the model wrote it."""

    call_id: str
    name: str
    arguments: str

    def parsed(self) -> Any:
        """The arguments as a JSON value. Raises `json.JSONDecodeError` for malformed text,
        which only models that decode without a grammar can produce."""
        return json.loads(self.arguments)


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """One answer of a model: text, tool calls, or text followed by tool calls.

    `token_ids` are the ids an in-process model decoded, with `model` naming whose they are,
    so that the next turn can re-use what is already encoded. Other models leave both empty.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    role: Literal["assistant"] = "assistant"


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """What came of a tool call, as shown to the model. `is_error` marks a failure the model
    may mend (bad arguments, unknown tool, time-out, `ModelRetry`)."""

    call_id: str
    name: str
    content: str
    is_error: bool = False
    role: Literal["tool"] = "tool"


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage
"""One entry of a history."""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model answer cost. Counts are tokens and forwards; `seconds` is wall time.

    `forwards` counts every draft, denoise, verify and commit forward after prefill and is 0
    for models that do not tell. `modes` gives tokens committed per decoding mode.
    """

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
