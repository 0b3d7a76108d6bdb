"""A model of this package as the model of a pydantic-ai agent."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from agentkit import messages as ours
from agentkit.adapters.answers import Answers
from agentkit.adapters.chat import definition, json_output
from agentkit.errors import ModelError
from agentkit.models import base
from agentkit.models.untold import Untold

try:
    from pydantic_ai import RunContext
    from pydantic_ai import messages as theirs
    from pydantic_ai.exceptions import ModelAPIError, UserError
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
    from pydantic_ai.profiles import ModelProfile
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import ToolDefinition
    from pydantic_ai.usage import RequestUsage
except ImportError as error:
    raise ImportError(
        "PydanticAIModel needs pydantic-ai: pip install 'trimode[pydantic-ai]'"
    ) from error

_PROFILE = ModelProfile(
    supports_tools=True,
    supports_json_schema_output=True,
    default_structured_output_mode="native",
    # pydantic-ai tells the model of a file that a tool returned, in place of the file.
    supports_image_input=False,
    supports_document_input=False,
    supports_audio_file_input=False,
    supports_video_input=False,
)
_REFUSED = ("presence_penalty", "frequency_penalty", "logit_bias", "top_k")


class PydanticAIModel(Model[None]):
    """`pydantic_ai.Agent(PydanticAIModel(LocalModel(...)))`.

    Typed answers are asked for as JSON under their schema (pydantic-ai's "native" output), so one
    grammar covers tools and answer. Text only: images, sound and files in a prompt are refused
    with `UserError`, as are native tools and settings of sampling that cannot be followed; of a
    file that a tool returns the model is told. `ModelError` becomes `ModelAPIError`. pydantic-ai
    runs under asyncio only.
    """

    unsupported_settings = frozenset(
        {"timeout", "max_retries", "parallel_tool_calls", "extra_headers", "extra_body"}
    )

    def __init__(self, model: base.Model, *, settings: ModelSettings | None = None) -> None:
        super().__init__(settings=settings, profile=_PROFILE)
        self._model = model
        self._answers = Answers()

    @property
    def model_name(self) -> str:
        return self._model.name

    @property
    def system(self) -> str:
        return "trimode"

    @property
    def provider(self) -> None:
        return None

    async def request(
        self,
        messages: list[theirs.ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> theirs.ModelResponse:
        async with self.request_stream(
            messages, model_settings, model_request_parameters
        ) as streamed:
            async for _ in streamed:
                pass
        return streamed.get()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[theirs.ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        request = self._request(messages, settings or ModelSettings(), parameters)
        with self._failures_named():
            async with self._model.stream(request) as parts:
                yield _Streamed(parameters, self, parts)

    def _request(
        self,
        messages: list[theirs.ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> base.ModelRequest:
        history = [message for each in messages for message in _messages(each)]
        instructions = _instructions(messages, parameters)
        if instructions:
            history.insert(0, ours.SystemMessage(instructions))
        self._refuse_unknown(settings)
        choice = settings.get("tool_choice")
        tools = [*parameters.declared_function_tools, *parameters.output_tools]
        if choice == "none" and parameters.output_tools:
            # It forbids the functions, not the answer, which is a call here.
            tools, choice = parameters.output_tools, "auto"
        output = parameters.output_object if parameters.output_mode == "native" else None
        is_free = output is not None or parameters.allow_text_output or not tools
        return base.ModelRequest(
            messages=self._answers.restored(history),
            tools=tuple(_tool(tool) for tool in tools),
            output=json_output(output.json_schema) if output else base.OutputFormat(),
            settings=_settings(settings),
            allow_calls=choice != "none",
            allow_final=is_free and choice != "required",
        )

    def _refuse_unknown(self, settings: ModelSettings) -> None:
        for name in _REFUSED:
            if settings.get(name) is not None:
                raise UserError(f"{self.model_name} cannot follow {name}; leave it out")
        choice = settings.get("tool_choice")
        if choice not in (None, "auto", "none", "required"):
            raise UserError(f"{self.model_name} cannot be told tool_choice={choice!r}")

    def _keep(self, message: ours.AssistantMessage) -> None:
        self._answers.keep(message)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except ModelError as error:
            raise ModelAPIError(self.model_name, str(error)) from error


@dataclass
class _Streamed(StreamedResponse):
    """An answer as pydantic-ai's events."""

    adapter: PydanticAIModel
    parts: AsyncIterator[base.ModelEvent]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    closed: bool = False
    untold: Untold = field(default_factory=Untold)

    @property
    def model_name(self) -> str:
        return self.adapter.model_name

    @property
    def provider_name(self) -> str:
        return self.adapter.system

    @property
    def provider_url(self) -> None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self.started

    async def close_stream(self) -> None:
        """Asks the decoder for nothing more; leaving `request_stream` stops it."""
        self.closed = True

    async def _get_event_iterator(self) -> AsyncIterator[theirs.ModelResponseStreamEvent]:
        with self.adapter._failures_named():
            while not self.closed and (part := await anext(self.parts, None)) is not None:
                for each in self.untold.completed(part):
                    for event in self._events(each):
                        yield event

    def _events(self, part: base.ModelEvent) -> Iterator[theirs.ModelResponseStreamEvent]:
        manager = self._parts_manager
        match part:
            case base.TextPart(text):
                yield from manager.handle_text_delta(vendor_part_id="text", content=text)
            case base.ToolCallStart(call_id, name):
                yield from manager.handle_tool_call_delta_events(
                    vendor_part_id=call_id, tool_name=name, tool_call_id=call_id
                )
            case base.ToolCallPart(call_id, arguments):
                yield from manager.handle_tool_call_delta_events(
                    vendor_part_id=call_id, args=arguments
                )
            case base.ModelResponse():
                self._finish(part)

    def _finish(self, response: base.ModelResponse) -> None:
        self.adapter._keep(response.message)
        self._usage = _usage(response.usage)
        called = "tool_call" if response.message.tool_calls else "stop"
        reason = "length" if response.finish_reason == "length" else called
        self.finish_reason = cast(Literal["stop", "length", "tool_call"], reason)


def _settings(settings: ModelSettings) -> base.ModelSettings:
    return base.ModelSettings(
        max_tokens=settings.get("max_tokens"),
        temperature=settings.get("temperature"),
        top_p=settings.get("top_p"),
        seed=settings.get("seed"),
        stop=tuple(settings["stop_sequences"]) if "stop_sequences" in settings else None,
    )


def _usage(usage: ours.ModelUsage) -> RequestUsage:
    return RequestUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
        details={"forwards": usage.forwards, "forced_tokens": usage.forced_tokens},
    )


def _instructions(
    messages: list[theirs.ModelMessage], parameters: ModelRequestParameters
) -> str | None:
    parts = parameters.instruction_parts
    if parts is not None:
        return theirs.InstructionPart.join(parts) if parts else None
    requests = [each for each in messages if isinstance(each, theirs.ModelRequest)]
    return requests[-1].instructions if requests else None


def _tool(tool: ToolDefinition) -> base.ToolDefinition:
    return definition(tool.name, tool.description, tool.parameters_json_schema)


def _messages(message: theirs.ModelMessage) -> Iterator[ours.Message]:
    if isinstance(message, theirs.ModelResponse):
        yield _answer(message)
        return
    for part in message.parts:
        match part:
            case theirs.SystemPromptPart():
                yield ours.SystemMessage(part.content)
            case theirs.UserPromptPart():
                yield ours.UserMessage(_text(part))
            case theirs.ToolReturnPart():
                yield _result(part)
            case theirs.CompactionPart():
                yield ours.UserMessage(f"A summary of what was said before:\n{part.content or ''}")
            case _:
                raise _unreadable(part)


def _result(part: theirs.ToolReturnPart) -> ours.ToolMessage:
    if part.files:
        raise _unreadable(part.files[0])
    return ours.ToolMessage(
        part.tool_call_id,
        part.tool_name,
        part.model_response_str(),
        is_error=part.outcome != "success",
    )


def _answer(message: theirs.ModelResponse) -> ours.AssistantMessage:
    """The answer again; thoughts are left out, as is usual between turns."""
    text, calls = "", []
    for part in message.parts:
        match part:
            case theirs.TextPart():
                text += part.content
            case theirs.ToolCallPart():
                call = ours.ToolCall(part.tool_call_id, part.tool_name, part.args_as_json_str())
                calls.append(call)
            case theirs.ThinkingPart():
                pass
            case _:
                raise _unreadable(part)
    return ours.AssistantMessage(text, tuple(calls))


def _text(part: theirs.UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    texts = []
    for piece in part.content:
        if isinstance(piece, theirs.TextContent):
            texts.append(piece.content)
        elif isinstance(piece, str):
            texts.append(piece)
        elif not isinstance(piece, theirs.CachePoint):
            raise _unreadable(piece)
    return "\n".join(texts)


def _unreadable(given: object) -> UserError:
    return UserError(f"a text model cannot be shown a {type(given).__name__}; leave it out")
