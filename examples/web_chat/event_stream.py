"""A run as server-sent events, for any ASGI framework; asyncio and trio."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentkit import (
    AgentError,
    RunEvent,
    RunFinished,
    RunResult,
    RunStream,
    TextDelta,
    ToolFinished,
    ToolStarted,
)


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
            with suppress(OSError):  # by which some servers tell that the client has left
                await self._tell(send)
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
        except AgentError as error:
            await send(body(sse("error", {"message": str(error)})))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


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
