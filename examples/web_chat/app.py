"""A web chat with an agent in the server's own process.

One model lives as long as the server; every message is a run on it, streamed as server-sent
events. All chats share one cache, so a chat's next message pays only for what is new.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from agentkit import Agent, Message, RunResult, UsageLimits
from agentkit.models import LocalModel
from examples.web_chat.event_stream import RunResponse
from tools import calculator

PAGE = Path(__file__).with_name("page.html")
LIMITS = UsageLimits(turns=4)


class Said(BaseModel):
    """What a user says."""

    text: str = Field(min_length=1, max_length=4000)


class Chats:
    """The histories of the last chats, in memory."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._histories: OrderedDict[UUID, tuple[Message, ...]] = OrderedDict()

    def __getitem__(self, chat: UUID) -> tuple[Message, ...]:
        return self._histories.get(chat, ())

    def keeper(self, chat: UUID) -> Callable[[RunResult[str]], None]:
        """Takes the result of a run as the chat's history from then on."""

        def keep(result: RunResult[str]) -> None:
            self._histories[chat] = result.messages
            self._histories.move_to_end(chat)
            if len(self._histories) > self._most:
                self._histories.popitem(last=False)

        return keep


def create_app(model: LocalModel, agent: Agent[None, str] | None = None) -> FastAPI:
    """A chat with `agent`, by default one on `model` with a calculator. The weights are loaded
    when the server starts, and given back when it stops."""
    agent = agent or Agent(model, tools=[calculator], instructions="Answer in one sentence.")
    chats = Chats()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with model:
            yield

    app = FastAPI(title="web chat", lifespan=lifespan)

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    @app.post("/chats/{chat}", response_class=RunResponse)
    async def say(chat: UUID, said: Said) -> RunResponse:
        run = agent.run_stream(said.text, message_history=chats[chat], usage_limits=LIMITS)
        return RunResponse(run, chats.keeper(chat))

    @app.get("/health")
    async def health() -> dict[str, int]:
        stats = model.stats()
        return {"live": stats.live_sequences, "waiting": stats.waiting_requests}

    return app
