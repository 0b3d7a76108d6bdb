"""A model of this package as the model of a smolagents agent."""

from collections.abc import Iterator
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from agentkit.adapters.chat import json_output, messages_of, tool_of
from agentkit.errors import ModelError
from agentkit.models import base
from agentkit.models.untold import Untold

try:
    import smolagents
    from smolagents.models import (
        ChatMessageStreamDelta,
        ChatMessageToolCallFunction,
        ChatMessageToolCallStreamDelta,
        agglomerate_stream_deltas,
    )
    from smolagents.monitoring import TokenUsage
except ImportError as error:
    raise ImportError(
        "SmolagentsModel needs smolagents: pip install 'trimode[smolagents]'"
    ) from error

_KNOWN = frozenset(
    {"messages", "stop", "response_format", "tools", "tool_choice"}
    | {"max_tokens", "temperature", "top_p", "seed"}
)
# smolagents gives pictures and sounds to tools by the names of variables.
_TYPES = {"image": "string", "audio": "string"}


class SmolagentsModel(smolagents.Model):  # type: ignore[misc]  # smolagents is not typed
    """`smolagents.ToolCallingAgent(tools=[...], model=SmolagentsModel(LocalModel(...)))`.

    Calls and answers under a `response_format` are decoded under a grammar, so tool calling and
    `use_structured_outputs_internally` work with any weights. `max_tokens`, `temperature`,
    `top_p` and `seed` hold for all answers, stop sequences for free text where no tool may be
    called. Raises `ModelError` for content that is not text, for other settings, and where the
    model cannot answer.
    """

    def __init__(
        self,
        model: base.Model,
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(model_id=model.name)
        self._model = model
        self._settings = base.ModelSettings(max_tokens, temperature, top_p, seed)

    def generate(
        self,
        messages: list[Any],
        stop_sequences: list[str] | None = None,
        response_format: dict[str, Any] | None = None,
        tools_to_call_from: list[Any] | None = None,
        **kwargs: Any,
    ) -> smolagents.ChatMessage:
        deltas = self.generate_stream(
            messages, stop_sequences, response_format, tools_to_call_from, **kwargs
        )
        return agglomerate_stream_deltas(list(deltas))

    def generate_stream(
        self,
        messages: list[Any],
        stop_sequences: list[str] | None = None,
        response_format: dict[str, Any] | None = None,
        tools_to_call_from: list[Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatMessageStreamDelta]:
        request = self._request(
            self._prepare_completion_kwargs(
                messages, stop_sequences, response_format, tools_to_call_from, **kwargs
            )
        )
        with start_blocking_portal() as portal:
            yield from self._deltas(portal, request)

    def _deltas(
        self, portal: BlockingPortal, request: base.ModelRequest
    ) -> Iterator[ChatMessageStreamDelta]:
        indices: dict[str, int] = {}
        untold = Untold()
        with portal.wrap_async_context_manager(self._model.stream(request)) as parts:
            while (part := portal.call(anext, parts, None)) is not None:
                for each in untold.completed(part):
                    match each:
                        case base.TextPart(text):
                            yield ChatMessageStreamDelta(content=text)
                        case base.ToolCallStart(call_id, name):
                            indices[call_id] = len(indices)
                            yield _call(indices[call_id], name, "", call_id)
                        case base.ToolCallPart(call_id, arguments):
                            yield _call(indices[call_id], "", arguments)
                        case base.ModelResponse():
                            usage = TokenUsage(each.usage.input_tokens, each.usage.output_tokens)
                            yield ChatMessageStreamDelta(token_usage=usage)

    def _request(self, given: dict[str, Any]) -> base.ModelRequest:
        unknown = sorted(given.keys() - _KNOWN)
        if unknown:
            raise ModelError(f"{self.model_id} cannot follow {', '.join(unknown)}; leave them out")
        tools = tuple(tool_of(_plain(tool)) for tool in given.get("tools", ()))
        choice = given.get("tool_choice", "auto")
        if choice not in ("auto", "none", "required"):
            raise ModelError(f"{self.model_id} cannot be told tool_choice={choice!r}")
        return base.ModelRequest(
            messages=tuple(messages_of(given["messages"])),
            tools=tools,
            output=_output(given.get("response_format")),
            settings=base.ModelSettings(
                max_tokens=given.get("max_tokens", self._settings.max_tokens),
                temperature=given.get("temperature", self._settings.temperature),
                top_p=given.get("top_p", self._settings.top_p),
                seed=given.get("seed", self._settings.seed),
                stop=_stop(given),
            ),
            allow_calls=choice != "none",
            allow_final=not tools or choice != "required",
        )


def _stop(given: dict[str, Any]) -> tuple[str, ...] | None:
    """None where calls or JSON may come: they end with their grammar, and the strings mean nothing
    inside them."""
    may_call = given.get("tools") and given.get("tool_choice") != "none"
    if may_call or given.get("response_format"):
        return None
    return tuple(given.get("stop", ()))


def _plain(schema: Any) -> Any:
    """`schema` in the words of JSON Schema, of which smolagents has more: what may be anything
    has no type there."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items()}
    kind = schema.get("type")
    if kind == "any" or (isinstance(kind, list) and "any" in kind):
        del plain["type"]
    elif isinstance(kind, str):
        plain["type"] = _TYPES.get(kind, kind)
    elif isinstance(kind, list):
        plain["type"] = list(dict.fromkeys(_TYPES.get(each, each) for each in kind))
    return plain


def _output(response_format: dict[str, Any] | None) -> base.OutputFormat:
    if response_format is None:
        return base.OutputFormat()
    if response_format.get("type") != "json_schema":
        raise ModelError(f"there is no response_format {response_format.get('type')!r} here")
    return json_output(response_format["json_schema"]["schema"])


def _call(index: int, name: str, arguments: str, call_id: str | None = None) -> Any:
    function = ChatMessageToolCallFunction(name=name, arguments=arguments)
    kind = None if call_id is None else "function"
    delta = ChatMessageToolCallStreamDelta(index=index, id=call_id, type=kind, function=function)
    return ChatMessageStreamDelta(content=None, tool_calls=[delta])
