"""What an answer holds and its parts left out: some models tell nothing before their response."""

from collections.abc import Iterator

from agentkit.models.base import ModelEvent, ModelResponse, TextPart, ToolCallPart, ToolCallStart


class Untold:
    """Follows the parts of one answer, so that whoever shows it as it comes shows all of it."""

    def __init__(self) -> None:
        self._has_text = False
        self._begun: set[str] = set()
        self._with_arguments: set[str] = set()

    def completed(self, part: ModelEvent) -> Iterator[ModelEvent]:
        """`part`; before a response the text, if no part told any, calls that none began, and the
        arguments of those of which none told any. No call may start early by those."""
        match part:
            case TextPart(text) if text:
                self._has_text = True
            case ToolCallStart(call_id):
                self._begun.add(call_id)
            case ToolCallPart(call_id, arguments) if arguments:
                self._with_arguments.add(call_id)
            case ModelResponse():
                yield from self._left_out(part)
        yield part

    def _left_out(self, response: ModelResponse) -> Iterator[ModelEvent]:
        message = response.message
        if message.text and not self._has_text:
            yield TextPart(message.text)
        for call in message.tool_calls:
            if call.call_id not in self._begun:
                yield ToolCallStart(call.call_id, call.name)
            if call.call_id not in self._with_arguments:
                yield ToolCallPart(call.call_id, call.arguments)
