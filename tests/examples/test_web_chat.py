"""The web chat over real sockets: uvicorn on asyncio, hypercorn on trio."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, cast
from uuid import uuid4

import anyio
import httpx
import hypercorn
import hypercorn.trio
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import Field

from agentkit import Agent, ModelError, ModelSettings, ToolCall
from agentkit.models import FunctionModel, LocalModel, Model, ModelRequest, ScriptedModel
from agentkit.models.sse import EventParser
from decoding import AsyncEngine, Engine
from decoding.testing import ScriptedNetwork
from examples.web_chat.app import Chats, create_app
from tests.agentkit.support import HangingModel
from tests.decoding.tiny import byte_tokenizer
from tools import calculator

pytestmark = pytest.mark.anyio


async def serve_on_asyncio(app: FastAPI, sock: socket.socket, stopped: anyio.Event) -> None:
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_level="warning"))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [sock])
        await stopped.wait()
        server.should_exit = True


async def serve_on_trio(app: FastAPI, sock: socket.socket, stopped: anyio.Event) -> None:
    config = hypercorn.Config()
    config.bind = [f"fd://{sock.detach()}"]
    config.graceful_timeout = 1
    await hypercorn.trio.serve(cast(Any, app), config, shutdown_trigger=stopped.wait)


@asynccontextmanager
async def served(app: FastAPI, backend: str) -> AsyncIterator[httpx.AsyncClient]:
    serve: Callable[..., Awaitable[None]] = (
        serve_on_asyncio if backend == "asyncio" else serve_on_trio
    )
    sock = socket.create_server(("127.0.0.1", 0))
    stopped = anyio.Event()
    try:
        async with anyio.create_task_group() as group:
            base_url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            group.start_soon(serve, app, sock, stopped)
            async with httpx.AsyncClient(base_url=base_url, timeout=20) as client:
                yield client
            stopped.set()
    finally:
        sock.close()


def nonsense() -> LocalModel:
    def make() -> Engine:
        network = ScriptedNetwork(288, seed=3, max_positions=8000)
        return Engine(network, byte_tokenizer(), cache_tokens=16384)

    return LocalModel("nonsense", engine=AsyncEngine(make))


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    model = nonsense()
    yield model
    await model._engine.aclose()


def app_on(model: LocalModel, speaker: Model) -> FastAPI:
    return create_app(model, Agent(speaker, tools=[calculator]))


async def say(client: httpx.AsyncClient, text: str, chat: str = "") -> list[tuple[str, Any]]:
    """The events of an answer: name and data."""
    response = await client.post(f"/chats/{chat or uuid4()}", json={"text": text})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    names = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    data = [json.loads(data) for data in EventParser().push(response.content)]
    return list(zip(names, data, strict=True))


@asynccontextmanager
async def leaving_after_a_word(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Inside, an answer has begun; at the end the connection is closed in its middle."""
    async with client.stream("POST", f"/chats/{uuid4()}", json={"text": "go"}) as response:
        pieces = response.aiter_bytes()
        with anyio.fail_after(20):
            await anext(pieces)
        yield
    with suppress(httpx.HTTPError):  # lets the client's generators meet their end
        async for _ in pieces:
            pass


async def test_a_run_is_told(model: LocalModel, anyio_backend: str) -> None:
    call = ToolCall("c", "calculate", '{"expression":"12*34"}')
    with ScriptedModel([call, "408.", "Yes."]) as speaker:
        chat = str(uuid4())
        async with served(app_on(model, speaker), anyio_backend) as client:
            events = await say(client, "What is 12 * 34?", chat)
            await say(client, "Sure?", chat)
    texts = [data["text"] for name, data in events if name == "text"]
    assert "".join(texts) == "408."
    assert [event for event in events if event[0] != "text"] == [
        ("call", {"id": "c", "name": "calculate", "arguments": '{"expression":"12*34"}'}),
        ("result", {"id": "c", "content": "408", "is_error": False}),
        ("answer", {"output": "408."}),
    ]
    # The second message went on from the first.
    assert len(speaker.requests[2].messages) == len(speaker.requests[1].messages) + 2


async def test_an_error_is_told(model: LocalModel, anyio_backend: str) -> None:
    app = app_on(model, ScriptedModel([ModelError("no weights")]))
    async with served(app, anyio_backend) as client:
        assert await say(client, "go") == [("error", {"message": "no weights"})]


async def test_what_went_wrong_inside_is_logged_and_not_told(
    model: LocalModel, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    def crashes() -> None:
        """Has a mistake in it."""
        raise KeyError("a secret")

    def refuses(request: ModelRequest) -> str:
        raise ConnectionResetError("not the client's")  # by which it seems to have left

    speaker = ScriptedModel([ToolCall("c", "crashes", "{}")])
    for agent, words in (
        (Agent(speaker, tools=[crashes]), "a secret"),
        (Agent(FunctionModel(refuses)), "not the client's"),
    ):
        async with served(create_app(model, agent), anyio_backend) as client:
            events = await say(client, "go")
        assert events[-1] == ("error", {"message": "internal error"})
        assert words in caplog.text


async def test_a_client_that_leaves_stops_its_run(model: LocalModel, anyio_backend: str) -> None:
    speaker = HangingModel()
    async with served(app_on(model, speaker), anyio_backend) as client:
        async with leaving_after_a_word(client):
            assert speaker.num_open == 1
        with anyio.fail_after(20):
            await until(lambda: speaker.num_open == 0)


async def test_a_client_that_leaves_gives_its_pages_back(
    model: LocalModel, anyio_backend: str
) -> None:
    # A list that long keeps the decoder busy until somebody stops it.
    numbers = Annotated[list[int], Field(min_length=500)]
    agent = Agent(model, output_type=numbers, settings=ModelSettings(max_tokens=6000))
    app = create_app(model, agent)
    async with served(app, anyio_backend) as client:
        assert (await client.get("/health")).json() == {"live": 0, "waiting": 0}
        async with leaving_after_a_word(client):
            assert (await client.get("/health")).json()["live"] == 1
        with anyio.fail_after(20):
            await until(lambda: model.stats().live_sequences == 0)
    stats = model.stats()
    assert stats.new_tokens < 6000
    assert stats.free_pages + stats.held_pages == 16384 // 16
    assert stats.shared_pages == 0


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it happens in the server, unseen from here
        await anyio.sleep(0.005)


async def test_what_is_no_message_is_refused(model: LocalModel, anyio_backend: str) -> None:
    async with served(app_on(model, ScriptedModel([])), anyio_backend) as client:
        assert (await client.post(f"/chats/{uuid4()}", json={"text": ""})).status_code == 422
        assert (await client.post("/chats/me", json={"text": "go"})).status_code == 422
        page = await client.get("/")
    assert page.status_code == 200
    assert "<form" in page.text


async def test_only_the_last_chats_are_kept() -> None:
    chats = Chats(most=2)
    agent = Agent(ScriptedModel(["x"] * 3))
    first, second, third = uuid4(), uuid4(), uuid4()
    for chat in (first, second, third):
        chats.keeper(chat)(await agent.run("go"))
    assert chats[first] == ()
    assert chats[second]
    assert chats[third]
