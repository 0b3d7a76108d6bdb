"""An answer of a model as chat completions have it: whole, or in chunks.

Source: the OpenAI API reference, "Chat Completions", the chat completion (chunk) object.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentkit.messages import ModelUsage, ToolCall
from agentkit.models.base import (
    ModelEvent,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolCallStart,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Completion:
    """What all the parts of one answer have in common. With `tells_usage` its chunks end with one
    that has the usage, and the others say that they have none."""

    model: str
    tells_usage: bool = False
    completion_id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, response: ModelResponse) -> Json:
        message = response.message
        answer: Json = {"role": "assistant", "content": message.text or None, "refusal": None}
        if message.tool_calls:
            answer["tool_calls"] = [_call(call) for call in message.tool_calls]
        else:
            answer["content"] = message.text
        choice = {
            "index": 0,
            "message": answer,
            "logprobs": None,
            "finish_reason": _finish_reason(response),
        }
        return self._head("chat.completion") | {
            "choices": [choice],
            "usage": _usage(response.usage),
        }

    def chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        usage = {"usage": None} if self.tells_usage else {}
        return self._head("chat.completion.chunk") | {"choices": [choice]} | usage

    def last_chunks(self, response: ModelResponse) -> Iterator[Json]:
        yield self.chunk({}, _finish_reason(response))
        if self.tells_usage:
            head = self._head("chat.completion.chunk")
            yield head | {"choices": [], "usage": _usage(response.usage)}

    def _head(self, kind: str) -> Json:
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


class Deltas:
    """The parts of an answer as deltas; calls are numbered as they begin."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def of(self, part: ModelEvent) -> Json | None:
        """None for parts that chunks do not tell."""
        match part:
            case TextPart(text):
                return {"content": text}
            case ToolCallStart(call_id, name):
                place = self._places[call_id] = len(self._places)
                function = {"name": name, "arguments": ""}
                call = {"index": place, "id": call_id, "type": "function", "function": function}
                return {"tool_calls": [call]}
            case ToolCallPart(call_id, arguments):
                place = self._places[call_id]
                return {"tool_calls": [{"index": place, "function": {"arguments": arguments}}]}
            case _:
                return None


def _call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _finish_reason(response: ModelResponse) -> str:
    if response.finish_reason == "length":
        return "length"
    return "tool_calls" if response.message.tool_calls else "stop"


def _usage(usage: ModelUsage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
    }
