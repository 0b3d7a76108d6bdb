"""What only an in-process decoder can do, on the embedded weights and by the engine's counters."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import pytest
from anyio import to_thread
from torch import Tensor

from agentkit import (
    Act,
    Agent,
    CancelToken,
    ModelAnswered,
    ModelSettings,
    RunCancelled,
    ToolCall,
    tool,
)
from agentkit.models import LocalModel, ScriptedModel
from decoding import AsyncEngine, Engine
from decoding.cache.storage import Storage
from decoding.network.base import Network
from decoding.span import ForwardBatch
from tests.decoding.embedded import embedded_engine

PAGE = 16
pytestmark = [pytest.mark.anyio, pytest.mark.embedded, pytest.mark.timeout(180)]


class HeldNetwork:
    """A network that waits for `released` within forward number `held`, counted from 1."""

    def __init__(self, network: Network, held: int | None = None) -> None:
        self._network = network
        self._held = held
        self.num_forwards = 0
        self.entered = threading.Event()
        self.released = threading.Event()
        self.was_released = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        self.num_forwards += 1
        if self.num_forwards == self._held:
            self.entered.set()
            self.was_released = self.released.wait(60)
        return self._network.forward(batch, storage)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engine]:
    with embedded_engine(cache_tokens=256) as engine:
        yield engine


class Weights:
    """Makes models on the embedded weights, each with a cache of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def held(self, held: int | None = None) -> HeldNetwork:
        return HeldNetwork(self._engine.network, held)

    def engine(self, network: Any = None) -> AsyncEngine:
        given = network or self._engine.network
        return AsyncEngine(
            lambda: Engine(
                given, self._engine.tokenizer, cache_tokens=8192, profile="exact", page_size=PAGE
            )
        )


@pytest.fixture
def made(embedded: Engine) -> Weights:
    return Weights(embedded)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_starts_before_the_rest_of_its_turn_is_decoded(made: Weights) -> None:
    """The last forward of the turn does not run until the tool has."""

    async def num_forwards(network: HeldNetwork) -> int:
        """Those of a turn with a call."""

        @tool(idempotent=True)
        async def weather(city: Literal["Paris", "Rome"]) -> str:
            """Tells the weather in a city."""
            network.released.set()
            return "sun"

        async with made.engine(network) as engine:
            model = LocalModel(engine=engine)
            agent = Agent(model, tools=[weather], eager_tools=True, strategy=Act(call_first=True))
            async with agent.run_stream("What is the weather in Paris?") as run:
                async for event in run:
                    if isinstance(event, ModelAnswered):
                        assert event.tool_calls
                        return network.num_forwards
        raise AssertionError("the model did not answer")

    last = await num_forwards(made.held())
    held = made.held(last)
    assert await num_forwards(held) == last
    assert held.was_released


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_sub_agents_encode_the_prefix_that_they_share_once(made: Weights) -> None:
    prefix = "\n".join(f"Rule {number}: be brief, be kind, be right." for number in range(75))
    calls = [ToolCall(f"c{n}", "expert", f'{{"prompt":"Question {n}?"}}') for n in range(8)]
    async with made.engine() as engine:
        settings = ModelSettings(max_tokens=4)
        local = LocalModel(engine=engine)
        expert = Agent(local, instructions=prefix, name="expert", settings=settings)
        parent = Agent(ScriptedModel([calls, "done"]), tools=[expert.as_tool()])
        result = await parent.run("Ask all of them.")
        stats = engine.stats()
    usages = [run.trace[0].usage for run in result.sub_runs]
    length = usages[0].input_tokens
    assert len(usages) == 8
    assert length > 1000
    assert stats.prompt_tokens == sum(usage.input_tokens for usage in usages)
    suffix = 64  # the question, what the template puts around it, the rest of a page
    assert stats.prompt_tokens - stats.cached_prompt_tokens < length + 7 * suffix
    assert stats.held_pages < (length + 8 * suffix) / PAGE


async def test_a_cancelled_run_ends_with_the_forward_that_is_under_way(made: Weights) -> None:
    network = made.held(8)
    async with made.engine(network) as engine:
        agent = Agent(LocalModel(engine=engine), settings=ModelSettings(max_tokens=200))
        token = CancelToken()
        ended: list[BaseException] = []

        async def run() -> None:
            try:
                await agent.run("Count from one to a hundred.", cancel=token)
            except RunCancelled as error:
                ended.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            assert await to_thread.run_sync(network.entered.wait, 60)
            token.cancel()
            for _ in range(100):  # the tasks see it, and tell the engine
                await anyio.lowlevel.checkpoint()
            network.released.set()
        [error] = ended
        assert isinstance(error, RunCancelled)
        assert network.num_forwards <= 9
        assert engine.stats().live_sequences == 0


@dataclass(frozen=True)
class Order:
    item: str
    pieces: int


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_output_function_is_called_by_the_weights(made: Weights) -> None:
    def order(item: Literal["tea", "coffee"], pieces: Literal[1, 2, 3]) -> Order:
        """Orders drinks."""
        return Order(item, pieces)

    async with made.engine() as engine:
        agent = Agent(LocalModel(engine=engine), output=order, instructions="Order drinks.")
        result = await agent.run("I would like one coffee, please.")
    assert result.output == Order("coffee", 1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_other_tools_encode_what_stands_behind_them_anew(made: Weights) -> None:
    """Tools are told behind the instructions: those stay encoded, the rest is encoded again."""

    @tool
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    instructions = "\n".join(f"Rule {number}: be brief." for number in range(40))
    async with made.engine() as engine:
        local = LocalModel(engine=engine)
        settings = ModelSettings(max_tokens=8)
        plain = Agent(local, instructions=instructions, settings=settings)
        first = await plain.run("Hello.")
        same = await plain.run("And again?", message_history=first.messages)
        changed = await plain.with_tools(add).run(
            "And again?", message_history=first.messages, settings=ModelSettings(max_tokens=40)
        )
    [kept] = same.trace
    assert kept.usage.cached_input_tokens >= first.usage.input_tokens + 7
    usage = changed.trace[0].usage
    assert 300 < usage.cached_input_tokens < first.usage.input_tokens
