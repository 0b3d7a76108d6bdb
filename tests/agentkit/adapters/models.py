"""Models that the adapters' tests give to other frameworks."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import anyio
from anyio.lowlevel import checkpoint

from agentkit.messages import AssistantMessage, ModelUsage
from agentkit.models import LocalModel, ModelEvent, ModelRequest, ModelResponse, TextPart
from decoding import AsyncEngine, Engine
from decoding.testing import ScriptedNetwork
from tests.decoding.tiny import byte_tokenizer

USAGE = ModelUsage(input_tokens=30, cached_input_tokens=24, output_tokens=12, forwards=4)


def saying(text: str) -> ModelResponse:
    return ModelResponse(AssistantMessage(text), USAGE)


class CountingModel:
    """Says a thousand pieces, and knows how many it was asked for."""

    name = "counting"

    def __init__(self) -> None:
        self.num_said = 0

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        async with aclosing(self._parts()) as parts:
            yield parts

    async def _parts(self) -> AsyncGenerator[ModelEvent, None]:
        for _ in range(1000):
            await checkpoint()
            self.num_said += 1
            yield TextPart("x")
        yield saying("x" * 1000)


def _engine(seed: int) -> AsyncEngine:
    def make() -> Engine:
        network = ScriptedNetwork(288, seed=seed, max_positions=8000)
        return Engine(network, byte_tokenizer(), cache_tokens=32768)

    return AsyncEngine(make)


@asynccontextmanager
async def weights(seed: int) -> AsyncIterator[LocalModel]:
    """A decoder with nonsense for weights: what it gets right, its grammar made right."""
    engine = _engine(seed)
    try:
        yield LocalModel("nonsense", engine=engine)
    finally:
        await engine.aclose()


@contextmanager
def weights_in_a_thread(seed: int) -> Iterator[LocalModel]:
    """The same for programs without an event loop."""
    engine = _engine(seed)
    try:
        yield LocalModel("nonsense", engine=engine)
    finally:
        anyio.run(engine.aclose)
