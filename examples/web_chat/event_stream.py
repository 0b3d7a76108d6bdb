"""A run as server-sent events, for any ASGI framework; asyncio and trio."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from agentkit import (
    AgentError,
    LogError,
    RunEvent,
    RunFinished,
    RunResult,
    RunStream,
    TextDelta,
    ToolCrashed,
    ToolFinished,
    ToolResultError,
    ToolStarted,
)

logger = logging.getLogger(__name__)

# These quote what tools, drivers and values say, and nobody wrote that for a browser.
_INSIDE = (ToolCrashed, ToolResultError, LogError)


class RunResponse(Response):
    """Tells a run while it goes. It ends with the client: whoever leaves stops their run between
    two forwards, and what it held is free again.

    Not starlette's `StreamingResponse` over a generator: a generator is left where it stands when
    the client goes, and the run inside with it.
    """

    media_type = "text/event-stream"

    def __init__(
        self, run: RunStream[Any], finished: Callable[[RunResult[Any]], None] | None = None
    ) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._run = run
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def cancel_when_left() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(cancel_when_left)
            with suppress(_Left):
                await self._tell(_told_apart(send))
            group.cancel_scope.cancel()

    async def _tell(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        try:
            async with self._run as run:
                async for event in run:
                    if told := as_sse(event):
                        await send(body(told))
                if self._finished is not None:
                    self._finished(run.result)
        except _Left:
            raise
        except Exception as error:
            is_told = isinstance(error, AgentError) and not isinstance(error, _INSIDE)
            if not is_told:
                logger.exception("a run failed")
            message = str(error) if is_told else "internal error"
            await send(body(sse("error", {"message": message})))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Left(Exception):
    """The client has left."""


def _told_apart(send: Send) -> Send:
    """`send`, by whose `OSError` some servers tell that the client has left: so that no error of
    the run is taken for it."""

    async def sent(message: Message) -> None:
        try:
            await send(message)
        except OSError as error:
            raise _Left from error

    return sent


def body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def as_sse(event: RunEvent) -> bytes:
    """What the page shows of a run; nothing for other events."""
    match event:
        case TextDelta(text):
            return sse("text", {"text": text})
        case ToolStarted(call):
            return sse("call", {"id": call.call_id, "name": call.name, "arguments": call.arguments})
        case ToolFinished(call, content, is_error):
            return sse("result", {"id": call.call_id, "content": content, "is_error": is_error})
        case RunFinished(output):
            return sse("answer", {"output": output})
        case _:
            return b""


def sse(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"
