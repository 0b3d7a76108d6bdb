"""The body of a request for a chat completion, and what it asks of a model.

Source: the OpenAI API reference, "Chat Completions", create.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentkit.adapters.chat import json_output, messages_of, tool_of
from agentkit.errors import ModelError
from agentkit.models.base import ModelRequest, ModelSettings, OutputFormat, ToolDefinition
from agentkit.openai_server.failures import Refused
from agentkit.raw_schema import schema_problem

_ANY_OBJECT = {"type": "object"}


class _Strict(BaseModel):
    """In which everything that is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Lenient(BaseModel):
    """In which what is not known means nothing."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Text(_Strict):
    type: Literal["text"]
    text: str


Content = str | list[Text]


class Instructions(_Lenient):
    role: Literal["system", "developer"]
    content: Content


class Said(_Lenient):
    role: Literal["user"]
    content: Content


class CalledFunction(_Lenient):
    name: str
    arguments: str


class Called(_Lenient):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Answer(_Lenient):
    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[Called] | None = None


class ToolResult(_Lenient):
    role: Literal["tool"]
    tool_call_id: str
    content: Content


ChatMessage = Annotated[Instructions | Said | Answer | ToolResult, Field(discriminator="role")]


class Function(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=lambda: {**_ANY_OBJECT, "properties": {}})
    strict: bool | None = None


class FunctionTool(_Strict):
    type: Literal["function"]
    function: Function


class NamedFunction(_Strict):
    name: str


class NamedTool(_Strict):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(_Strict):
    name: str
    description: str | None = None
    # `schema` itself is a method of pydantic's models.
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class TextFormat(_Strict):
    type: Literal["text"]


class ObjectFormat(_Strict):
    type: Literal["json_object"]


class SchemaFormat(_Strict):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(_Strict):
    """What is known of; `None` is what is left out. What only means something on other servers
    (`user`, `metadata`, `store`, ...) is taken and passed over."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    response_format: (
        Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")] | None
    ) = None
    n: int | None = None
    logprobs: bool | None = None
    parallel_tool_calls: bool | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None

    @property
    def tells_usage(self) -> bool:
        """Whether the stream ends with what the answer cost."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def chat_request(body: bytes) -> ChatRequest:
    """Raises `Refused` for what is no request, or one that this server cannot serve."""
    try:
        asked = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise Refused.of(error) from error
    for name, neutral in _NEUTRAL.items():
        value = getattr(asked, name)
        if value is not None and value != neutral:
            raise Refused.unsupported(name, f"only {neutral!r} is served, not {value!r}")
    if None not in (asked.max_tokens, asked.max_completion_tokens):
        raise Refused("give max_tokens or max_completion_tokens, not both", "max_tokens")
    return asked


_NEUTRAL = {
    "n": 1,
    "logprobs": False,
    "parallel_tool_calls": True,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
}
"""What is only taken where it changes nothing."""


def model_request(asked: ChatRequest) -> ModelRequest:
    """What the model is asked. Raises `Refused`."""
    try:
        messages = messages_of(message.model_dump() for message in asked.messages)
    except ModelError as error:
        raise Refused(str(error), "messages") from error
    tools = [_tool(each) for each in asked.tools or ()]
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise Refused("tools: two have the same name", "tools", "invalid_value")
    choice = asked.tool_choice
    if not tools and choice not in (None, "none", "auto"):
        raise Refused("tool_choice: there are no tools to choose from", "tool_choice")
    if isinstance(choice, NamedTool):
        tools = [tool for tool in tools if tool.name == choice.function.name]
        if not tools:
            raise Refused(f"tool_choice: there is no tool {choice.function.name!r}", "tool_choice")
    return ModelRequest(
        tuple(messages),
        tuple(tools),
        _output(asked),
        _settings(asked),
        allow_calls=choice != "none",
        allow_final=choice in (None, "none", "auto"),
    )


def _tool(asked: FunctionTool) -> ToolDefinition:
    name, parameters = asked.function.name, asked.function.parameters
    if parameters.get("type") != "object":
        problem = f'tools: the parameters of {name!r} need "type": "object"'
        raise Refused(problem, "tools", "invalid_value")
    _check_schema(parameters, "tools", f"the parameters of {name!r}")
    return tool_of(asked.model_dump())


def _check_schema(schema: dict[str, Any], param: str, what: str) -> None:
    problem = schema_problem(schema)
    if problem is not None:
        told = f"{param}: {what} must be a JSON Schema: {problem}"
        raise Refused(told, param, "invalid_value")


def _output(asked: ChatRequest) -> OutputFormat:
    match asked.response_format:
        case SchemaFormat(json_schema=given):
            _check_schema(given.schema_, "response_format", "'schema'")
            return json_output(given.schema_)
        case ObjectFormat():
            return json_output(_ANY_OBJECT)
        case _:
            return OutputFormat()


def _settings(asked: ChatRequest) -> ModelSettings:
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    if "" in stop:
        raise Refused("stop: an empty string would stop at once", "stop", "invalid_value")
    return ModelSettings(
        max_tokens=asked.max_tokens or asked.max_completion_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=asked.seed,
        stop=stop or None,
    )
