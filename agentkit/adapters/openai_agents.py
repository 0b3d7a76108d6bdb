"""A model of this package as the model of an agent of the OpenAI Agents SDK.

Histories and answers go through the SDK's own bridge between its items and chat completions, the
one its other model adapters use.
"""

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal, cast

from agentkit.adapters.answers import Answers
from agentkit.adapters.chat import json_output, messages_of, tool_of
from agentkit.models import base

try:
    import agents
    from agents.agent_output import AgentOutputSchemaBase
    from agents.items import TResponseInputItem, TResponseStreamEvent
    from agents.models.chatcmpl_converter import Converter
    from agents.models.chatcmpl_stream_handler import ChatCmplStreamHandler
    from agents.models.interface import ModelTracing
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk
    from openai.types.responses import Response, ResponseCompletedEvent, ResponsePromptParam
except ImportError as error:
    raise ImportError(
        "OpenAIAgentsModel needs openai-agents: pip install 'trimode[openai-agents]'"
    ) from error

_REFUSED = (
    "frequency_penalty",
    "presence_penalty",
    "parallel_tool_calls",
    "truncation",
    "reasoning",
    "verbosity",
    "top_logprobs",
)


class OpenAIAgentsModel(agents.Model):
    """`agents.Agent(model=OpenAIAgentsModel(LocalModel(...)))`.

    Handoffs are tools, as in every model of the SDK. Raises `agents.UserError` for hosted tools
    and for settings that cannot be followed, `ModelError` for content that is not text and where
    the model cannot answer. The SDK runs under asyncio only.
    """

    def __init__(self, model: base.Model) -> None:
        self._model = model
        self._answers = Answers()

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: agents.ModelSettings,
        tools: list[agents.Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[agents.Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> agents.ModelResponse:
        """The streamed answer, taken to its end."""
        final: Response | None = None
        async for event in self.stream_response(
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            tracing,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
        ):
            if isinstance(event, ResponseCompletedEvent):
                final = event.response
        assert final is not None
        assert final.usage is not None
        usage = agents.Usage(
            requests=1,
            input_tokens=final.usage.input_tokens,
            output_tokens=final.usage.output_tokens,
            total_tokens=final.usage.total_tokens,
            input_tokens_details=final.usage.input_tokens_details,
            output_tokens_details=final.usage.output_tokens_details,
        )
        return agents.ModelResponse(output=final.output, usage=usage, response_id=None)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: agents.ModelSettings,
        tools: list[agents.Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[agents.Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: ResponsePromptParam | None = None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        request = self._request(
            system_instructions, input, model_settings, tools, output_schema, handoffs
        )
        response = Response(
            id=f"resp_{uuid.uuid4().hex}",
            created_at=time.time(),
            model=self._model.name,
            object="response",
            output=[],
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        disabled = tracing.is_disabled()
        with agents.generation_span(model=self._model.name, disabled=disabled) as span:
            async with aclosing(self._chunks(request)) as chunks:
                # The handler only iterates over what the SDK's own client would give it.
                stream = cast(AsyncStream[ChatCompletionChunk], chunks)
                async for event in ChatCmplStreamHandler.handle_stream(response, stream):
                    if isinstance(event, ResponseCompletedEvent) and event.response.usage:
                        span.span_data.usage = event.response.usage.model_dump()
                    yield event

    def _request(
        self,
        instructions: str | None,
        items: str | list[TResponseInputItem],
        settings: agents.ModelSettings,
        tools: list[agents.Tool],
        output: AgentOutputSchemaBase | None,
        handoffs: list[agents.Handoff[Any, Any]],
    ) -> base.ModelRequest:
        chat: list[Any] = Converter.items_to_messages(items, strict_feature_validation=True)
        if instructions:
            chat.insert(0, {"role": "system", "content": instructions})
        offered = [Converter.tool_to_openai(tool) for tool in tools]
        offered += [Converter.convert_handoff_tool(handoff) for handoff in handoffs]
        _refuse_unknown(self._model.name, settings)
        is_text = output is None or output.is_plain_text()
        return base.ModelRequest(
            messages=self._answers.restored(messages_of(chat)),
            tools=tuple(tool_of(tool) for tool in offered),
            output=base.OutputFormat()
            if output is None or is_text
            else json_output(output.json_schema()),
            settings=base.ModelSettings(
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
            ),
            allow_calls=settings.tool_choice != "none",
            allow_final=settings.tool_choice != "required",
        )

    async def _chunks(
        self, request: base.ModelRequest
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        indices: dict[str, int] = {}
        async with self._model.stream(request) as parts:
            async for part in parts:
                match part:
                    case base.TextPart(text):
                        yield self._chunk({"content": text})
                    case base.ToolCallStart(call_id, name):
                        indices[call_id] = len(indices)
                        yield self._chunk(
                            _call(indices[call_id], {"name": name, "arguments": ""}, call_id)
                        )
                    case base.ToolCallPart(call_id, arguments):
                        yield self._chunk(_call(indices[call_id], {"arguments": arguments}))
                    case base.ModelResponse():
                        self._answers.keep(part.message)
                        yield self._end(part)

    def _chunk(
        self,
        delta: dict[str, Any],
        reason: Literal["stop", "length", "tool_calls"] | None = None,
        usage: dict[str, Any] | None = None,
    ) -> ChatCompletionChunk:
        return ChatCompletionChunk.model_validate(
            {
                "id": "chunk",
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": self._model.name,
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
                "usage": usage,
            }
        )

    def _end(self, response: base.ModelResponse) -> ChatCompletionChunk:
        usage = response.usage
        called: Literal["stop", "tool_calls"] = (
            "tool_calls" if response.message.tool_calls else "stop"
        )
        return self._chunk(
            {},
            "length" if response.finish_reason == "length" else called,
            {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
                "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            },
        )


def _call(index: int, function: dict[str, str], call_id: str | None = None) -> dict[str, Any]:
    return {
        "tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]
    }


def _refuse_unknown(model: str, settings: agents.ModelSettings) -> None:
    for name in _REFUSED:
        if getattr(settings, name) is not None:
            raise agents.UserError(f"{model} cannot follow the setting {name}; leave it out")
    if settings.tool_choice not in (None, "auto", "none", "required"):
        raise agents.UserError(f"{model} cannot be told tool_choice={settings.tool_choice!r}")
