"""An HTTP server on the loopback that answers chat completions as a test tells it to."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream

STREAM = "text/event-stream"


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass
class Exchange:
    """One request, and the way to answer it."""

    request: Seen
    _stream: SocketStream

    async def head(self, status: int = 200, **headers: str) -> None:
        """Status and headers; the body follows in chunks, or is ended by closing."""
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self._stream.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def piece(self, data: bytes) -> None:
        await self._stream.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        await self._stream.send(b"0\r\n\r\n")

    async def events(self, chunks: Sequence[Any], *, size: int = 7, done: bool = True) -> None:
        """A whole answer: `chunks` as events, `size` bytes at a time."""
        await self.head(content_type=STREAM, transfer_encoding="chunked")
        data = as_events(chunks, done=done)
        for start in range(0, len(data), size):
            await self.piece(data[start : start + size])
        await self.end()

    async def refuse(self, status: int, body: Any = None, **headers: str) -> None:
        content = (json.dumps(body) if not isinstance(body, str) else body).encode()
        await self.head(status, content_length=str(len(content)), **headers)
        await self._stream.send(content)

    async def until_left(self) -> None:
        """Waits until the client closes the connection."""
        try:
            while await self._stream.receive():
                pass
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass


Answer = Callable[[Exchange], Awaitable[None]]


@dataclass
class ChatServer:
    """`answer` is called for every request. `requests` are those seen so far, `connections`
    counts how often a client connected."""

    answer: Answer
    base_url: str = ""
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    errors: list[Exception] = field(default_factory=list)

    async def serve(self, stream: SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while True:
                    request = await self._receive(stream)
                    self.requests.append(request)
                    await self.answer(Exchange(request, stream))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return  # the client has left

    async def _receive(self, stream: SocketStream) -> Seen:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        while len(body) < int(headers["content-length"]):
            body += await stream.receive()
        return Seen(first.split(" ")[1], headers, json.loads(body))


@asynccontextmanager
async def chat_server(answer: Answer) -> AsyncIterator[ChatServer]:
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        anyio.create_task_group() as group,
    ):
        port = listener.extra(SocketAttribute.local_port)
        server = ChatServer(answer, f"http://127.0.0.1:{port}/v1")
        group.start_soon(listener.serve, server.serve)
        yield server
        group.cancel_scope.cancel()


def as_events(chunks: Sequence[Any], *, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def end(reason: str = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def call(index: int | None, arguments: str, *, call_id: str = "", name: str = "") -> dict[str, Any]:
    """A chunk with a piece of a tool call."""
    fragment: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        fragment["index"] = index
    if call_id:
        fragment["id"] = call_id
    if name:
        fragment["function"]["name"] = name
    return delta(tool_calls=[fragment])
