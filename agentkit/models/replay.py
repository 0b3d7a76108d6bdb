"""A finished answer, told as a stream; what the models without weights share."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from math import ceil

from anyio.lowlevel import checkpoint

from agentkit.messages import AssistantMessage
from agentkit.models.base import (
    ModelEvent,
    ModelResponse,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolCallStart,
)

_PIECES = 4


def as_response(answer: ModelResponse | AssistantMessage | str) -> ModelResponse:
    """`answer` in full; text becomes a message, a message a response that cost nothing."""
    if isinstance(answer, str):
        answer = AssistantMessage(answer)
    if isinstance(answer, AssistantMessage):
        answer = ModelResponse(answer)
    return answer


@asynccontextmanager
async def replay(
    response: ModelResponse, *, is_new: bool = True
) -> AsyncIterator[AsyncIterator[ModelEvent]]:
    """The stream of `response`: its text and each call's arguments in a few pieces. No call may
    start by an answer that is not new: it may have its result already."""
    async with aclosing(_parts(response, is_new=is_new)) as parts:
        yield parts


async def _parts(response: ModelResponse, *, is_new: bool) -> AsyncGenerator[ModelEvent, None]:
    message = response.message
    for piece in _pieces(message.text):
        await checkpoint()
        yield TextPart(piece)
    for call in message.tool_calls:
        yield ToolCallStart(call.call_id, call.name)
        for piece in _pieces(call.arguments):
            await checkpoint()
            yield ToolCallPart(call.call_id, piece)
        if is_new:
            yield ToolCallEnd(call)
    await checkpoint()
    yield response


def _pieces(text: str) -> Iterator[str]:
    size = max(1, ceil(len(text) / _PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]
