"""Runs as OpenTelemetry spans, by the conventions for generative AI.

    invoke_agent NAME            one run
      chat MODEL                 one answer of the model, with the decoder's figures
      execute_tool TOOL          one call, or that of an output function; current while it runs, in
                                 threads too

Needs `opentelemetry-api` (extra `otel`) and, to see anything, an SDK that the program sets up.
Without either nothing happens.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio

from agentkit import genai_names as names
from agentkit.context import RunContext
from agentkit.definition import Definition
from agentkit.errors import RunCancelled, RunPaused
from agentkit.lenient_json import lenient_text
from agentkit.messages import AssistantMessage, Message, ToolMessage
from agentkit.models.base import Model, ModelEvent, ModelRequest, ModelResponse
from agentkit.tool import Tool
from agentkit.usage import Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider

try:
    from opentelemetry import trace
except ImportError:
    _has_api = False
else:
    _has_api = True

_IN_PROCESS = "trimode"

Value = str | bool | int | float | Sequence[str]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Tells the runs of an agent as spans: `Agent(..., telemetry=Telemetry())`.

    With `content` the spans carry messages, arguments, results and the texts of errors too;
    without it, only names, counts and times. `tracer_provider` None means the program's.
    """

    content: bool = False
    tracer_provider: "TracerProvider | None" = None

    @contextmanager
    def watch(
        self, definition: Definition, run_id: str, usage: Callable[[], Usage]
    ) -> Iterator[Callable[[Definition], Definition]]:
        """See `Watcher.watch`."""
        if not _has_api:
            yield _as_it_is
            return
        meter = _Meter(usage)
        tracer = trace.get_tracer("agentkit", None, self.tracer_provider)
        spans = _Spans(tracer, self.content, meter)
        attributes: dict[str, Value] = {
            names.OPERATION_NAME: names.INVOKE_AGENT,
            names.PROVIDER_NAME: _provider(definition.model),
            names.AGENT_NAME: definition.name,
            names.REQUEST_MODEL: definition.model.name,
            names.RUN_ID: run_id,
        }
        with spans.span(f"{names.INVOKE_AGENT} {definition.name}", attributes) as span:
            try:
                yield spans.watching
            finally:
                span.set_attributes(_run_figures(usage(), meter.known))


class _Meter:
    """What a run had used up before anything was done here: what its log told again, and an
    earlier span has counted."""

    def __init__(self, usage: Callable[[], Usage]) -> None:
        self._usage = usage
        self._known: Usage | None = None

    @property
    def known(self) -> Usage:
        """All there is, while nothing was done."""
        return self._usage() if self._known is None else self._known

    def begin(self) -> None:
        self._known = self.known


@dataclass(frozen=True, slots=True)
class _Spans:
    tracer: "Tracer"
    content: bool
    meter: _Meter

    def watching(self, definition: Definition) -> Definition:
        """The same agent, whose model and tools open spans."""
        tools = {name: _watched_tool(tool, self) for name, tool in definition.tools.items()}
        return replace(
            definition,
            model=_WatchedModel(definition.model, self),
            tools=MappingProxyType(tools),
            output=definition.output.with_functions(partial(_watched_tool, spans=self)),
        )

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Value], kind: "SpanKind | None" = None
    ) -> Iterator["Span"]:
        """A span that is current inside. Takes the type of an error that goes through it; being
        cancelled and waiting for the run's owner are told, but are no errors."""
        span = self.tracer.start_span(
            name, kind=kind or trace.SpanKind.INTERNAL, attributes=attributes
        )
        cancelled = (anyio.get_cancelled_exc_class(), RunCancelled)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield span
        except cancelled:
            span.set_attribute(names.CANCELLED, True)
            raise
        except RunPaused:
            span.set_attribute(names.PAUSED, True)
            raise
        except BaseException as error:
            span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
            said = str(error) if self.content else None
            span.set_status(trace.Status(trace.StatusCode.ERROR, said))
            raise
        finally:
            span.end()


@dataclass(frozen=True, slots=True)
class _WatchedModel:
    model: Model
    spans: _Spans

    @property
    def name(self) -> str:
        return self.model.name

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        self.spans.meter.begin()
        provider = _provider(self.model)
        kind = trace.SpanKind.INTERNAL if provider == _IN_PROCESS else trace.SpanKind.CLIENT
        attributes = {
            names.OPERATION_NAME: names.CHAT,
            names.PROVIDER_NAME: provider,
            names.REQUEST_MODEL: self.name,
            **_request_attributes(request),
        }
        with self.spans.span(f"{names.CHAT} {self.name}", attributes, kind) as span:
            if self.spans.content:
                span.set_attribute(names.INPUT_MESSAGES, _written(request.messages))
            started = time.perf_counter()
            async with (
                self.model.stream(request) as parts,
                aclosing(self._noted(parts, span, started)) as noted,
            ):
                yield noted

    async def _noted(
        self, parts: AsyncIterator[ModelEvent], span: "Span", started: float
    ) -> AsyncGenerator[ModelEvent, None]:
        is_first = True
        async for part in parts:
            if is_first:
                is_first = False
                seconds = time.perf_counter() - started
                span.set_attribute(names.RESPONSE_TIME_TO_FIRST_CHUNK, seconds)
            if isinstance(part, ModelResponse):
                span.set_attributes(_response_attributes(part))
                if self.spans.content:
                    span.set_attribute(names.OUTPUT_MESSAGES, _written([part.message]))
            yield part


@dataclass(frozen=True, slots=True, eq=False)
class _WatchedTool(Tool):
    spans: _Spans = None  # type: ignore[assignment]  # always given; fields before it have defaults

    async def call(self, arguments: dict[str, Any], context: RunContext[Any]) -> str:
        with self._span(arguments, context) as span:
            result = await Tool.call(self, arguments, context)
            if self.spans.content:
                span.set_attribute(names.TOOL_CALL_RESULT, result)
            return result

    async def invoke(self, arguments: dict[str, Any], context: RunContext[Any]) -> Any:
        with self._span(arguments, context) as span:
            result = await Tool.invoke(self, arguments, context)
            if self.spans.content:
                span.set_attribute(names.TOOL_CALL_RESULT, lenient_text(result))
            return result

    @contextmanager
    def _span(self, arguments: dict[str, Any], context: RunContext[Any]) -> Iterator["Span"]:
        self.spans.meter.begin()
        attributes = {
            names.OPERATION_NAME: names.EXECUTE_TOOL,
            names.TOOL_NAME: self.name,
            names.TOOL_TYPE: "function",
            names.TOOL_DESCRIPTION: self.description,
            names.TOOL_CALL_ID: context.call_id,
        }
        with self.spans.span(f"{names.EXECUTE_TOOL} {self.name}", attributes) as span:
            if self.spans.content:
                span.set_attribute(names.TOOL_CALL_ARGUMENTS, lenient_text(arguments))
            yield span


def _as_it_is(definition: Definition) -> Definition:
    return definition


def _watched_tool(tool: Tool, spans: _Spans) -> Tool:
    given = {field.name: getattr(tool, field.name) for field in fields(Tool)}
    return _WatchedTool(**given, spans=spans)


def _provider(model: Model) -> str:
    """Who decodes: a remote model says it in `provider`."""
    return str(getattr(model, "provider", _IN_PROCESS))


def _request_attributes(request: ModelRequest) -> dict[str, Value]:
    settings = request.settings
    given = {
        names.OUTPUT_TYPE: "text" if request.output.is_text else "json",
        names.REQUEST_STREAM: True,
        names.REQUEST_MAX_TOKENS: settings.max_tokens,
        names.REQUEST_TEMPERATURE: settings.temperature,
        names.REQUEST_TOP_P: settings.top_p,
        names.REQUEST_SEED: settings.seed,
    }
    return {name: value for name, value in given.items() if value is not None}


def _response_attributes(response: ModelResponse) -> dict[str, Value]:
    usage = response.usage
    called = response.message.tool_calls and response.finish_reason == "stop"
    attributes: dict[str, Value] = {
        names.RESPONSE_FINISH_REASONS: ["tool_calls" if called else response.finish_reason],
        names.USAGE_INPUT_TOKENS: usage.input_tokens,
        names.USAGE_OUTPUT_TOKENS: usage.output_tokens,
        names.USAGE_CACHE_READ_TOKENS: usage.cached_input_tokens,
    }
    if usage.forwards:
        attributes |= {
            names.DECODING_FORWARDS: usage.forwards,
            names.DECODING_TOKENS_PER_FORWARD: usage.tokens_per_forward,
            names.DECODING_FORCED_TOKENS: usage.forced_tokens,
            names.DECODING_MODES: sorted(usage.modes),
            **{names.tokens_in_mode(mode): tokens for mode, tokens in usage.modes.items()},
        }
    if response.trace is not None:
        stats = response.trace.stats
        attributes |= {
            names.DECODING_PREFILL_FORWARDS: stats.prefill_forwards,
            names.DECODING_DRAFTED_TOKENS: stats.drafted,
            names.DECODING_ACCEPTED_TOKENS: stats.accepted,
        }
        if stats.candidates > 1:
            attributes |= {
                names.DECODING_CANDIDATES: stats.candidates,
                names.DECODING_CHOSEN_CANDIDATE: stats.chosen,
            }
    return attributes


def _run_figures(usage: Usage, known: Usage) -> dict[str, Value]:
    """Turns and calls are those of the whole run, tokens what this span has cost."""
    return {
        names.RUN_TURNS: usage.turns,
        names.RUN_TOOL_CALLS: usage.tool_calls,
        names.USAGE_INPUT_TOKENS: usage.input_tokens - known.input_tokens,
        names.USAGE_OUTPUT_TOKENS: usage.output_tokens - known.output_tokens,
        names.USAGE_CACHE_READ_TOKENS: usage.cached_input_tokens - known.cached_input_tokens,
    }


def _written(messages: Sequence[Message]) -> str:
    """Messages as the conventions write them: JSON, each a role and parts."""
    return json.dumps(
        [{"role": message.role, "parts": _parts(message)} for message in messages],
        ensure_ascii=False,
    )


def _parts(message: Message) -> list[dict[str, Any]]:
    match message:
        case ToolMessage(call_id, _, content):
            return [{"type": "tool_call_response", "id": call_id, "response": content}]
        case AssistantMessage(text, calls):
            said = [{"type": "text", "content": text}] if text else []
            return said + [
                {
                    "type": "tool_call",
                    "id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                }
                for call in calls
            ]
        case _:
            return [{"type": "text", "content": message.content}]
