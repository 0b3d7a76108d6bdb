"""How tool calls look in the text of an in-process model: written, constrained, read.

A turn is either calls or an answer, told apart by the first character:

    <tool_call>{"name":"find","arguments":{"text":"lunch"}}</tool_call>...   one or more calls
    anything that does not begin with `<`                                   the answer

One grammar covers both, so a call is valid by construction, and the text of an answer can be
shown while it is written. JSON is spelled compactly, or with a space behind each comma and colon.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from agentkit.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models.base import (
    ModelRequest,
    OutputFormat,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolCallStart,
    ToolDefinition,
)

_CLOSE = "}</tool_call>"


class Spelling(Enum):
    """How JSON is spelled: the value stands behind each comma and colon."""

    COMPACT = ""
    SPACED = " "

    @property
    def open(self) -> str:
        """A call up to its tool's name."""
        return f'<tool_call>{{"name":{self.value}"'

    @property
    def arguments(self) -> str:
        """What stands between the name and the arguments."""
        return f'",{self.value}"arguments":{self.value}'

    def spell(self, arguments: str) -> str:
        """The JSON in this spelling; as it is where it was cut off, or is nested too deeply."""
        separators = (f",{self.value}", f":{self.value}")
        try:
            return json.dumps(json.loads(arguments), ensure_ascii=False, separators=separators)
        except (ValueError, RecursionError):
            return arguments


def turn_grammar(request: ModelRequest, spelling: Spelling = Spelling.COMPACT) -> str | None:
    """Lark text for everything the model may write in this turn; None where all text is fine.

    Embedded `%json` schemas are the tools' parameters and the output format's schema.
    """
    answer = _answer_rule(request.output, has_tools=bool(request.tools))
    if not request.callable_tools:
        return None if answer is None else f"start: {answer}\n"
    rules = [
        f"call{index}: {_quoted(spelling.open + tool.name + spelling.arguments)} "
        f"%json {json.dumps(tool.parameters)} {_quoted(_CLOSE)}"
        for index, tool in enumerate(request.tools)
    ]
    calls = "(" + " | ".join(f"call{index}" for index in range(len(rules))) + ")+"
    start = f"{calls} | {answer}" if request.allow_final else calls
    return "\n".join([f"start: {start}", *rules]) + "\n"


def _answer_rule(output: OutputFormat, *, has_tools: bool) -> str | None:
    if output.json_schema is not None:
        return f"%json {json.dumps(output.json_schema)}"
    return "/[^<](.|\\n)*/" if has_tools else None


def _quoted(text: str) -> str:
    return json.dumps(text)


def chat_messages(
    request: ModelRequest, spelling: Spelling = Spelling.COMPACT
) -> list[dict[str, str]]:
    """The history as system, user and assistant turns, which every chat template knows.

    Tool results are shown in a user turn. Neighbouring user turns become one, because some
    templates insist on turn and turn about.
    """
    chat: list[dict[str, str]] = []
    for message in request.messages:
        role, content = _turn(message, spelling)
        if role == "user" and chat and chat[-1]["role"] == "user":
            chat[-1] = {"role": "user", "content": chat[-1]["content"] + "\n" + content}
        else:
            chat.append({"role": role, "content": content})
    guide = _guide(request.tools, spelling)
    if guide and chat and chat[0]["role"] == "system":
        chat[0] = {"role": "system", "content": chat[0]["content"] + "\n\n" + guide}
    elif guide:
        chat.insert(0, {"role": "system", "content": guide})
    return chat


def _turn(message: Message, spelling: Spelling) -> tuple[str, str]:
    match message:
        case SystemMessage(content):
            return "system", content
        case UserMessage(content):
            return "user", content
        case ToolMessage():
            return "user", f"Result of {message.name}: {message.content}"
        case AssistantMessage():
            return "assistant", written(message, spelling)


def written(message: AssistantMessage, spelling: Spelling = Spelling.COMPACT) -> str:
    """The message as a model would have written it.

    The arguments of an answer whose token ids are known stay as they are, or those would not
    fit the text.
    """
    calls = (
        f"{spelling.open}{call.name}{spelling.arguments}"
        f"{call.arguments if message.token_ids else spelling.spell(call.arguments)}{_CLOSE}"
        for call in message.tool_calls
    )
    return message.text + "".join(calls)


def _guide(tools: Sequence[ToolDefinition], spelling: Spelling) -> str:
    if not tools:
        return ""
    lines = ["You can call these tools:"]
    lines += [f"- {tool.name}({_signature(tool)}): {tool.description}" for tool in tools]
    lines += [
        f"To call a tool, write only {spelling.open}TOOL{spelling.arguments}{{...}}{_CLOSE}",
        "Its result comes back; once you know enough, answer.",
    ]
    return "\n".join(lines)


def _signature(tool: ToolDefinition) -> str:
    """The arguments in brief, with their descriptions.

    Allowed values are left to the grammar: listed here they draw a small model's attention
    away from the question (`docs/log.md`).
    """
    required = tool.parameters.get("required", [])
    return ", ".join(
        f"{name}{'' if name in required else '?'}: {_brief(schema)}"
        for name, schema in tool.parameters.get("properties", {}).items()
    )


def _brief(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    kinds = schema.get("type", "any")
    brief = kinds if isinstance(kinds, str) else "|".join(map(str, kinds))
    described = schema.get("description")
    return f"{brief} ({described})" if described else brief


@dataclass(slots=True)
class TurnReader:
    """Reads a turn from pieces of text, as they come.

    `push` returns the parts that became certain; afterwards `text` and `calls` hold the turn.
    With `may_call` the grammar lets no answer begin like a call; without, all is text.
    """

    call_prefix: str
    spelling: Spelling = Spelling.COMPACT
    may_call: bool = True
    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    _buffer: str = ""
    _arguments: "_JsonObject | None" = None
    _is_answer: bool = False

    def push(self, piece: str) -> Iterator[TextPart | ToolCallStart | ToolCallPart | ToolCallEnd]:
        """Takes the next piece. The pieces together must be a prefix of a turn."""
        self._buffer += piece
        while self._buffer:
            if self._arguments is not None:
                yield from self._read_arguments(self._arguments)
                if self._arguments is not None:
                    return
            elif self._is_answer or not self.may_call or not self._may_be_call():
                self._is_answer = True
                yield TextPart(self._buffer)
                self.text += self._buffer
                self._buffer = ""
            else:
                start = self._read_head()
                if start is None:
                    return
                yield start

    def _may_be_call(self) -> bool:
        opening = self.spelling.open
        head = self._buffer[: len(opening)]
        return head == opening[: len(head)]

    def _read_head(self) -> ToolCallStart | None:
        """The start of a call, once its name is complete."""
        between = self.spelling.arguments
        end = self._buffer.find(between)
        if end < 0:
            return None
        name = self._buffer[len(self.spelling.open) : end]
        self._buffer = self._buffer[end + len(between) :]
        self._arguments = _JsonObject(f"{self.call_prefix}{len(self.calls) + 1}", name)
        return ToolCallStart(self._arguments.call_id, name)

    def _read_arguments(self, arguments: "_JsonObject") -> Iterator[ToolCallPart | ToolCallEnd]:
        if not arguments.is_complete:
            piece = arguments.take(self._buffer)
            self._buffer = self._buffer[len(piece) :]
            if piece:
                yield ToolCallPart(arguments.call_id, piece)
            if arguments.is_complete:
                yield ToolCallEnd(arguments.call)
        if arguments.is_complete and len(self._buffer) >= len(_CLOSE):
            self._buffer = self._buffer[len(_CLOSE) :]
            self.calls.append(arguments.call)
            self._arguments = None

    def finish(self) -> None:
        """Ends the turn. A call that was cut off is kept as far as it was written, from its
        arguments on."""
        self._buffer = ""
        if self._arguments is not None:
            self.calls.append(self._arguments.call)
            self._arguments = None


@dataclass(slots=True)
class _JsonObject:
    """The JSON object of a call's arguments, read up to its closing brace."""

    call_id: str
    name: str
    text: str = ""
    is_complete: bool = False
    _depth: int = 0
    _in_string: bool = False
    _escaped: bool = False

    @property
    def call(self) -> ToolCall:
        return ToolCall(self.call_id, self.name, self.text)

    def take(self, text: str) -> str:
        """The part of `text` that still belongs to the object."""
        for index, letter in enumerate(text):
            self._step(letter)
            if self.is_complete:
                text = text[: index + 1]
                break
        self.text += text
        return text

    def _step(self, letter: str) -> None:
        if self._in_string:
            if self._escaped:
                self._escaped = False
            elif letter == "\\":
                self._escaped = True
            elif letter == '"':
                self._in_string = False
        elif letter == '"':
            self._in_string = True
        elif letter in "{[":
            self._depth += 1
        elif letter in "}]":
            self._depth -= 1
            self.is_complete = self._depth == 0
