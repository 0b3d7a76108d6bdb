"""The chat completions protocol, without any input or output: a request's JSON, an answer's chunks.

Source: the OpenAI API reference, "Chat Completions" (create, streaming).
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from agentkit.errors import ModelError
from agentkit.messages import (
    AssistantMessage,
    Message,
    ModelUsage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models.base import (
    ModelRequest,
    OutputFormat,
    TextPart,
    ToolCallPart,
    ToolCallStart,
    ToolDefinition,
)

Json = dict[str, Any]

_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Wire:
    """How a server wants its requests. `strict` asks it to hold to schemas; `max_tokens` is
    the name it knows for the token budget."""

    model: str
    strict: bool = False
    max_tokens: str = "max_tokens"


def request_body(wire: Wire, request: ModelRequest) -> Json:
    """The JSON of a streamed request. What the settings leave open is left out."""
    settings = request.settings
    body: Json = {
        "model": wire.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(wire, tool) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request)
    if request.output.json_schema is not None and request.allow_final:
        body["response_format"] = _response_format(wire, request.output)
    chosen = {
        wire.max_tokens: settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seed": settings.seed,
        "stop": settings.stop,
    }
    return body | {name: value for name, value in chosen.items() if value is not None}


def _message(message: Message) -> Json:
    match message:
        case SystemMessage(content) | UserMessage(content):
            return {"role": message.role, "content": content}
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
        case AssistantMessage(text, ()):
            return {"role": "assistant", "content": text}
        case AssistantMessage(text, calls):
            return {
                "role": "assistant",
                "content": text or None,
                "tool_calls": [
                    {
                        "id": call.call_id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": _sendable(call)},
                    }
                    for call in calls
                ],
            }


def _sendable(call: ToolCall) -> str:
    """A call's arguments. Those that are no JSON object, as when they were cut off, are told as
    the member of one: some servers read what they are sent, and refuse the whole request."""
    return call.arguments if _is_object(call.arguments) else json.dumps({"invalid": call.arguments})


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text, allow_inf_nan=False), dict)
    except ValueError:
        return False


def _tool(wire: Wire, tool: ToolDefinition) -> Json:
    function: Json = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    if wire.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(request: ModelRequest) -> str:
    if not request.allow_calls:
        return "none"
    return "auto" if request.allow_final else "required"


def _response_format(wire: Wire, output: OutputFormat) -> Json:
    answer: Json = {"name": "answer", "schema": output.json_schema}
    if wire.strict:
        answer["strict"] = True
    return {"type": "json_schema", "json_schema": answer}


class FunctionDelta(BaseModel):
    name: str | None = None
    arguments: str | None = None


class CallDelta(BaseModel):
    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(BaseModel):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(BaseModel):
    delta: Delta | None = None
    finish_reason: str | None = None


class PromptDetails(BaseModel):
    cached_tokens: int | None = None


class ChunkUsage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None


class Chunk(BaseModel):
    """One event of a streamed answer; what is not read here is passed over."""

    choices: list[Choice] | None = None
    usage: ChunkUsage | None = None
    error: Any = None


@dataclass(slots=True)
class _Call:
    call_id: str
    name: str
    arguments: str = ""


@dataclass(slots=True)
class AnswerReader:
    """Reads an answer from its chunks. Afterwards `text`, `calls` and `usage` hold it.

    `finish_reason` is the server's word, None until the answer is over.
    """

    text: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    usage: ChunkUsage = field(default_factory=ChunkUsage)
    _calls: list[_Call] = field(default_factory=list)
    _latest: dict[int | str, _Call] = field(default_factory=dict)  # by index or id

    def push(self, chunk: Chunk) -> Iterator[TextPart | ToolCallStart | ToolCallPart]:
        """Takes the next chunk. Raises `ModelError` for a tool call without a name."""
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices or ():
            delta = choice.delta or Delta()
            if delta.content:
                self.text += delta.content
                yield TextPart(delta.content)
            self.refusal += delta.refusal or ""
            for fragment in delta.tool_calls or ():
                yield from self._take(fragment)
            self.finish_reason = choice.finish_reason or self.finish_reason

    def _take(self, fragment: CallDelta) -> Iterator[ToolCallStart | ToolCallPart]:
        """A piece of a call. Those of several calls may alternate."""
        function = fragment.function or FunctionDelta()
        call = self._continued(fragment, function.name)
        if call is None:
            if not function.name:
                raise ModelError(f"the server began a tool call without a name: {fragment}")
            call_id = fragment.id or f"call-{uuid.uuid4().hex}"
            call = _Call(call_id, function.name)
            self._calls.append(call)
            yield ToolCallStart(call.call_id, call.name)
        for key in (fragment.index, fragment.id):
            if key is not None and key != "":
                self._latest[key] = call
        if function.arguments:
            call.arguments += function.arguments
            yield ToolCallPart(call.call_id, function.arguments)

    def _continued(self, fragment: CallDelta, name: str | None) -> _Call | None:
        """The call that a fragment goes on with; None where it begins one. `index` tells calls
        apart; some servers leave it out or give all the same, and then a name with another id, or
        behind arguments that are whole, begins a call."""
        if fragment.id and (known := self._latest.get(fragment.id)):
            return known
        if fragment.index is not None:
            call = self._latest.get(fragment.index)
            begins = name and call and (fragment.id or _is_object(call.arguments))
            return None if begins else call
        return None if name or fragment.id or not self._calls else self._calls[-1]

    def finish(self) -> Iterator[ToolCallPart]:
        """Ends the answer. Some servers write nothing for a call without arguments."""
        for call in self._calls:
            if not call.arguments and self.finish_reason != "length":
                call.arguments = "{}"
                yield ToolCallPart(call.call_id, "{}")

    @property
    def message(self) -> AssistantMessage:
        calls = (ToolCall(call.call_id, call.name, call.arguments) for call in self._calls)
        return AssistantMessage(self.text, tuple(calls))

    def model_usage(self, seconds: float) -> ModelUsage:
        """What the server counted; 0 for what it does not tell."""
        details = self.usage.prompt_tokens_details or PromptDetails()
        return ModelUsage(
            input_tokens=self.usage.prompt_tokens,
            cached_input_tokens=details.cached_tokens or 0,
            output_tokens=self.usage.completion_tokens,
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """What a server says went wrong. `code` is its word or number for it, "" for none."""

    message: str
    code: str = ""

    @classmethod
    def of(cls, given: Any) -> "Failure":
        """From a body or chunk that the protocol allows, or from any other JSON value."""
        error = given.get("error", given) if isinstance(given, Mapping) else given
        if not isinstance(error, Mapping):
            return cls(str(error)[:_SHOWN])
        message = str(error.get("message") or json.dumps(error))
        return cls(message[:_SHOWN], str(error.get("code") or error.get("type") or ""))

    @classmethod
    def of_body(cls, body: bytes) -> "Failure":
        try:
            return cls.of(json.loads(body))
        except (ValueError, RecursionError):
            return cls(body.decode("utf-8", "replace").strip()[:_SHOWN])
