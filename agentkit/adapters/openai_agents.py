"""A model of this package as the model of an agent of the OpenAI Agents SDK.

Histories and answers go through the SDK's own bridge between its items and chat completions, the
one its other model adapters use.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Literal, cast

from agentkit.adapters.answers import Answers
from agentkit.adapters.chat import json_output, messages_of, tool_of
from agentkit.messages import AssistantMessage, Message, ToolMessage
from agentkit.models import base
from agentkit.models.untold import Untold

try:
    import agents
    from agents.agent_output import AgentOutputSchemaBase
    from agents.items import TResponseInputItem, TResponseStreamEvent
    from agents.models import get_default_model_settings
    from agents.models.chatcmpl_converter import Converter
    from agents.models.chatcmpl_stream_handler import ChatCmplStreamHandler
    from agents.models.fake_id import FAKE_RESPONSES_ID
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
    "truncation",
    "top_logprobs",
)
_EXTRA = ("seed", "stop")


class OpenAIAgentsModel(agents.Model):
    """`agents.Agent(model=OpenAIAgentsModel(LocalModel(...)))`.

    Handoffs are tools, as in every model of the SDK. `seed` and `stop` are read from
    `ModelSettings(extra_args=...)`. Raises `agents.UserError` for hosted tools, for settings that
    cannot be followed, and for conversations and prompts that a server would keep; `ModelError`
    for content that is not text and where the model cannot answer. The SDK runs under asyncio
    only.
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
        self._refuse_kept_elsewhere("previous_response_id", previous_response_id)
        self._refuse_kept_elsewhere("conversation_id", conversation_id)
        self._refuse_kept_elsewhere("prompt", prompt)
        request = self._request(
            system_instructions, input, model_settings, tools, output_schema, handoffs
        )
        response = Response(
            id=FAKE_RESPONSES_ID,
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

    def _refuse_kept_elsewhere(self, name: str, given: object) -> None:
        # The runner leaves out of the history what it believes a server to have.
        if given is not None:
            raise agents.UserError(
                f"{self._model.name} has no server that keeps conversations or prompts, so "
                f"{name} cannot be followed; leave it out and give the whole history"
            )

    def _request(
        self,
        instructions: str | None,
        items: str | list[TResponseInputItem],
        settings: agents.ModelSettings,
        tools: list[agents.Tool],
        output: AgentOutputSchemaBase | None,
        handoffs: list[agents.Handoff[Any, Any]],
    ) -> base.ModelRequest:
        chat: list[Any] = Converter.items_to_messages(
            items, preserve_tool_output_all_content=True, strict_feature_validation=True
        )
        if instructions:
            chat.insert(0, {"role": "system", "content": instructions})
        offered = [Converter.tool_to_openai(tool) for tool in tools]
        offered += [Converter.convert_handoff_tool(handoff) for handoff in handoffs]
        messages = messages_of(chat)
        _refuse_loose_results(messages)
        _refuse_unknown(self._model.name, settings)
        is_text = output is None or output.is_plain_text()
        return base.ModelRequest(
            messages=self._answers.restored(messages),
            tools=tuple(tool_of(tool) for tool in offered),
            output=base.OutputFormat()
            if output is None or is_text
            else json_output(output.json_schema()),
            settings=_settings(settings),
            allow_calls=settings.tool_choice != "none",
            allow_final=settings.tool_choice != "required",
        )

    async def _chunks(
        self, request: base.ModelRequest
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        indices: dict[str, int] = {}
        untold = Untold()
        async with self._model.stream(request) as parts:
            async for part in parts:
                for each in untold.completed(part):
                    match each:
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
                            self._answers.keep(each.message)
                            yield self._end(each)

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


def _settings(settings: agents.ModelSettings) -> base.ModelSettings:
    extra = settings.extra_args or {}
    stop = extra.get("stop")
    return base.ModelSettings(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=extra.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()) or None,
    )


def _refuse_loose_results(messages: Iterable[Message]) -> None:
    # A run with auto_previous_response_id shows itself by nothing else.
    called: set[str] = set()
    for message in messages:
        if isinstance(message, AssistantMessage):
            called.update(call.call_id for call in message.tool_calls)
        elif isinstance(message, ToolMessage) and message.call_id not in called:
            raise agents.UserError(
                f"the history has a result of the call {message.call_id!r} and not the call; give "
                "the whole history, without auto_previous_response_id"
            )


def _refuse_unknown(model: str, settings: agents.ModelSettings) -> None:
    if unknown := list(_unknown(settings)):
        raise agents.UserError(f"{model} cannot follow {', '.join(unknown)}; leave them out")
    if settings.tool_choice not in (None, "auto", "none", "required"):
        raise agents.UserError(f"{model} cannot be told tool_choice={settings.tool_choice!r}")


def _unknown(settings: agents.ModelSettings) -> Iterator[str]:
    yield from (name for name in _REFUSED if getattr(settings, name) is not None)
    # An agent without a model, whose model is found by a provider, has these without being told.
    implied = get_default_model_settings()
    if settings.reasoning not in (None, implied.reasoning):
        yield "reasoning"
    if settings.verbosity not in (None, implied.verbosity):
        yield "verbosity"
    if settings.parallel_tool_calls is False:
        yield "parallel_tool_calls=False"
    for name, value in (settings.extra_args or {}).items():
        if name not in _EXTRA and value is not None:
            yield f"{name} in extra_args"
    if settings.extra_body:
        yield "extra_body"
