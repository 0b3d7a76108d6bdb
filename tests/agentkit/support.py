"""What several tests of this folder use."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio

from agentkit import Agent, AssistantMessage, RunEvent, RunStarted, ToolCall
from agentkit.models import ModelEvent, ModelRequest, ModelResponse, TextPart


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


async def shout(text: str) -> str:
    """Says it louder."""
    return text.upper() + "!"


def call_add(call_id: str, a: int, b: int) -> ToolCall:
    return ToolCall(call_id, "add", f'{{"a":{a},"b":{b}}}')


async def events_of(agent: Agent[Any, Any], prompt: str = "go") -> list[RunEvent]:
    """Every event of a run, the run's id left out."""
    async with agent.run_stream(prompt) as run:
        events = [event async for event in run]
    first, *rest = events
    assert isinstance(first, RunStarted)
    assert first.run_id == run.run_id
    return [RunStarted("", first.prompt), *rest]


def kinds(events: Sequence[RunEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


class HangingModel:
    """Says one word, then nothing, until it is stopped."""

    name = "hanging"

    def __init__(self) -> None:
        self.spoke = anyio.Event()
        self.num_open = 0

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        self.num_open += 1
        try:
            yield self._parts()
        finally:
            self.num_open -= 1

    async def _parts(self) -> AsyncIterator[ModelEvent]:
        yield TextPart("well")
        self.spoke.set()
        await anyio.sleep_forever()


class SilentModel:
    """Tells nothing of its answers before they are whole."""

    name = "silent"

    def __init__(self, answers: Sequence[AssistantMessage]) -> None:
        self._answers = iter(answers)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        async with aclosing(self._parts()) as parts:
            yield parts

    async def _parts(self) -> AsyncGenerator[ModelEvent, None]:
        yield ModelResponse(next(self._answers))


@asynccontextmanager
async def no_new_tasks() -> AsyncIterator[None]:
    """Fails where tasks that began inside are still there at the end."""
    before = {task.id for task in anyio.get_running_tasks()}
    yield
    left = [task for task in anyio.get_running_tasks() if task.id not in before]
    assert left == []
