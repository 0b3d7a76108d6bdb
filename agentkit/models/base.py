"""The seam to a language model: one streaming method."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Protocol

from agentkit.confidence import Confidence
from agentkit.decoding_trace import DecodingTrace
from agentkit.messages import AssistantMessage, Message, ModelUsage, ToolCall

_SAMPLED = ("temperature", "top_p", "seed")


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool as a model sees it. `parameters` is the JSON Schema of the arguments object."""

    name: str
    description: str
    parameters: dict[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What a final answer looks like: free text, or JSON under `json_schema`.

    `python_type` is the type the schema came from; in-process models compile it, remote
    models send the schema.
    """

    python_type: Any = str
    json_schema: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def is_text(self) -> bool:
        return self.json_schema is None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How to decode one answer. None leaves the choice to the model.

    An answer ends before any of the strings in `stop`, inside a call or a typed answer too.
    `mode` and `sampling` are records of the in-process decoder (for example
    `decoding.Autoregressive()` and `decoding.Sampling(min_p=0.1)`), and `sampling` goes before
    `temperature`, `top_p` and `seed`. With `best_of` so many answers are decoded and the one
    that the decoder was surest of is taken (`agentkit.confidence.mean_logprob`); nothing is told
    of it before all are complete. Models elsewhere refuse `mode`, `sampling` and `best_of`.

    Raises `ValueError` for a number out of its range and `TypeError` for what is none.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    mode: Any = None
    stop: tuple[str, ...] | None = None
    sampling: Any = None
    best_of: int | None = None

    def __post_init__(self) -> None:
        _check("max_tokens", self.max_tokens, lambda value: value >= 1, "1 or more")
        _check("temperature", self.temperature, lambda value: 0 <= value < math.inf, "0 or more")
        _check("top_p", self.top_p, lambda value: 0 < value <= 1, "above 0, at most 1")
        _check("best_of", self.best_of, lambda value: value >= 1, "1 or more")
        if isinstance(self.stop, str) or not all(self.stop or ()):
            raise ValueError(
                f"ModelSettings.stop is {self.stop!r}; give a tuple of strings, none of them empty"
            )

    def updated(self, over: "ModelSettings") -> "ModelSettings":
        """These settings with what `over` decides; a temperature of its own goes before that of
        the `sampling` given here, and so do `top_p` and `seed`."""
        decided = {
            setting.name: value
            for setting in fields(over)
            if (value := getattr(over, setting.name)) is not None
        }
        sampled = {name: decided[name] for name in _SAMPLED if name in decided}
        sampling: Any = self.sampling
        if (
            sampled
            and "sampling" not in decided
            and is_dataclass(sampling)
            and not isinstance(sampling, type)
        ):
            decided["sampling"] = replace(sampling, **sampled)
        return replace(self, **decided) if decided else self


def _check(name: str, value: float | None, is_good: Callable[[float], bool], what: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"ModelSettings.{name} is {value!r}; give a number, {what}, or None")
    if not is_good(value):
        raise ValueError(f"ModelSettings.{name} is {value!r}; give {what}, or None")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Everything a model may know about one turn.

    `tools` are all the tools of the run, so that turns that may not call them still begin
    like those that may, and re-use what is encoded. With `allow_calls` False the answer is
    final; `allow_final` False asks for at least one call. `grammar`, a record of the in-process
    decoder, is the whole language of an answer without calls, in place of the output's; remote
    models, which cannot hold to it, raise `ModelError`. `session` names the conversation that the
    turn belongs to, which may go on.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    output: OutputFormat = OutputFormat()
    settings: ModelSettings = ModelSettings()
    allow_calls: bool = True
    allow_final: bool = True
    grammar: Any = field(default=None, hash=False)
    session: str | None = None

    @property
    def callable_tools(self) -> tuple[ToolDefinition, ...]:
        """The tools that may be called in this turn."""
        return self.tools if self.allow_calls else ()


@dataclass(frozen=True, slots=True)
class TextPart:
    """A further piece of the answer's text (free text, or the JSON of a typed answer)."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model has decided to call tool `name`; arguments follow."""

    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A further piece of a call's JSON arguments."""

    call_id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The arguments of a call are complete, and will stand so in the response. Only models that
    know it before the answer is over say so, once per call; calls may start by it."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """The last event of every stream: the whole answer and what it cost.

    `finish_reason` is "length" where the token budget cut the answer. `trace` tells how the
    answer was decoded, `confidence` how sure the decoder was; None for models that do not know.
    """

    message: AssistantMessage
    usage: ModelUsage = ModelUsage()
    finish_reason: Literal["stop", "length"] = "stop"
    trace: DecodingTrace | None = field(default=None, repr=False)
    confidence: Confidence | None = None


ModelEvent = TextPart | ToolCallStart | ToolCallPart | ToolCallEnd | ModelResponse
"""A part of an answer as it comes; the `ModelResponse`, which is the whole, comes last."""


class Model(Protocol):
    """A language model. Shareable by any number of concurrent runs."""

    @property
    def name(self) -> str:
        """For messages, usage and traces."""
        ...

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        """Opens the answer to one turn.

        The iterator yields parts in order and ends after exactly one `ModelResponse`. Leaving
        the context, also by cancellation, stops the work and frees what it held. Raises
        `ModelError` where the model cannot answer.
        """
        ...
