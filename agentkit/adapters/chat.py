"""Histories and tools in the form of chat completions, which several frameworks speak inside."""

from collections.abc import Iterable, Mapping
from typing import Any

from agentkit.errors import ModelError
from agentkit.json_schema import closed
from agentkit.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models.base import OutputFormat, ToolDefinition


def messages_of(chat: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Raises `ModelError` for content that is not text, and for unknown roles."""
    names: dict[str, str] = {}
    messages: list[Message] = []
    for turn in chat:
        text = _text(turn.get("content"))
        match turn["role"]:
            case "system" | "developer":
                messages.append(SystemMessage(text))
            case "user":
                messages.append(UserMessage(text))
            case "assistant":
                calls = tuple(_call(call) for call in turn.get("tool_calls") or ())
                names.update((call.call_id, call.name) for call in calls)
                messages.append(AssistantMessage(_with_refusal(text, turn), calls))
            case "tool":
                call_id = turn["tool_call_id"]
                messages.append(ToolMessage(call_id, names.get(call_id, "tool"), text))
            case role:
                raise ModelError(f"there is no role {role!r} in a chat with this model")
    return messages


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_part_text(part) for part in content)


def _with_refusal(text: str, turn: Mapping[str, Any]) -> str:
    return "\n".join(said for said in (text, turn.get("refusal")) if said)


def _part_text(part: Mapping[str, Any]) -> str:
    if part.get("type") != "text":
        raise ModelError(f"this model reads text only, and was given {part.get('type')!r}")
    return str(part["text"])


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(call["id"], function["name"], function["arguments"])


def tool_of(tool: Mapping[str, Any]) -> ToolDefinition:
    function = tool["function"]
    return definition(function["name"], function.get("description"), function["parameters"])


def definition(name: str, description: str | None, parameters: dict[str, Any]) -> ToolDefinition:
    """A tool whose arguments are those that are named: other frameworks mean that, and refuse
    calls with more, but do not all write it into their schemas."""
    return ToolDefinition(name, description or "", closed(parameters))


def json_output(schema: dict[str, Any]) -> OutputFormat:
    return OutputFormat(Any, closed(schema))
