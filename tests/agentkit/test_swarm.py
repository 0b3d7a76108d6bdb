"""Two hundred runs at once: nothing is lost, every page comes back, the event loop stays free."""

import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import anyio
import pytest

from agentkit import Agent, AgentError, RunContext, Step, ToolCrashed, Turn
from agentkit.models import LocalModel
from decoding import AsyncEngine, Engine, EngineStats
from decoding.testing import ScriptedNetwork
from tests.decoding.embedded import embedded_engine
from tests.decoding.soundness import assert_all_pages_back
from tests.decoding.tiny import byte_tokenizer

RUNS = 200
TICK = 0.005
Answer = Literal["yes", "no", "maybe"]
PROMPTS = ("Is ice cold?", "Is fire cold?", "Is it late?", "Can fish fly?")


async def ping(ctx: RunContext[bool]) -> str:
    """Says pong."""
    await anyio.lowlevel.checkpoint()
    if ctx.deps:
        raise RuntimeError("no pong")
    return "pong"


class CallThenAnswer:
    """One turn that calls, one that answers."""

    def steps(self) -> Generator[Step, Turn, None]:
        yield Step(allow_final=False)
        yield Step(allow_calls=False)


@dataclass
class Plan:
    """What one run is: which agent and prompt, whether its tool fails, when it is cancelled."""

    prompt: str
    calls: bool
    fails: bool
    cancelled_after: float | None


@dataclass
class Swarm:
    """Runs of a swarm and how each ended."""

    model: LocalModel
    ends: dict[int, list[object]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plain = Agent(self.model, output_type=Answer, deps_type=bool)
        self.calling = Agent(
            self.model,
            tools=[ping],
            output_type=Answer,
            deps_type=bool,
            strategy=CallThenAnswer(),
        )

    async def answer(self, plan: Plan) -> object:
        agent = self.calling if plan.calls else self.plain
        return (await agent.run(plan.prompt, deps=plan.fails)).output

    async def run(self, index: int, plan: Plan) -> None:
        ends = self.ends[index] = []
        with anyio.CancelScope() as scope:
            if plan.cancelled_after is not None:
                scope.deadline = anyio.current_time() + plan.cancelled_after
            try:
                ends.append(await self.answer(plan))
            except AgentError as error:
                ends.append(type(error))
        if scope.cancelled_caught:
            ends.append("cancelled")

    async def tick(self) -> None:
        while True:
            started = perf_counter()
            await anyio.sleep(TICK)
            self.lags.append(perf_counter() - started - TICK)

    async def run_all(self, plans: list[Plan]) -> None:
        async with anyio.create_task_group() as ticker:
            ticker.start_soon(self.tick)
            async with anyio.create_task_group() as group:
                for index, plan in enumerate(plans):
                    group.start_soon(self.run, index, plan)
                    # Starting a run is work of the loop's own: not two hundred of them in one turn.
                    await anyio.lowlevel.checkpoint()
            ticker.cancel_scope.cancel()


def plans(dice: random.Random, num_calls: int, longest: float) -> list[Plan]:
    """Runs in random order; some fail in their tool, some are cancelled at random times."""
    made = [
        Plan(
            prompt=PROMPTS[index % len(PROMPTS)] if index >= num_calls else PROMPTS[0],
            calls=index < num_calls,
            fails=index < num_calls // 2,
            cancelled_after=dice.uniform(0, longest) if dice.random() < 0.2 else None,
        )
        for index in range(RUNS)
    ]
    dice.shuffle(made)
    return made


def swarm_of(
    make_engine: Callable[[], Engine], backend: str, todo: list[Plan]
) -> tuple[Swarm, EngineStats]:
    """Runs a swarm to its end, and checks what holds of any."""
    made: list[Engine] = []

    def make() -> Engine:
        made.append(make_engine())
        return made[-1]

    async def main() -> tuple[Swarm, EngineStats]:
        async with AsyncEngine(make) as engine:
            swarm = Swarm(LocalModel("swarm", engine=engine))
            await swarm.run_all(todo)
            stats = engine.stats()
        return swarm, stats

    swarm, stats = anyio.run(main, backend=backend)
    assert len(swarm.ends) == RUNS
    assert all(len(ends) == 1 for ends in swarm.ends.values())
    assert stats.live_sequences == stats.waiting_requests == 0
    for engine in made:
        assert_all_pages_back(engine)
    return swarm, stats


async def one_by_one(make_engine: Callable[[], Engine], todo: list[Plan]) -> dict[object, object]:
    """The answers of all kinds of runs, each on its own."""
    async with AsyncEngine(make_engine) as engine:
        swarm = Swarm(LocalModel("swarm", engine=engine))
        kinds = {(plan.prompt, plan.calls): plan for plan in todo if not plan.fails}
        return {kind: await swarm.answer(plan) for kind, plan in kinds.items()}


def check(
    make_engine: Callable[[], Engine], backend: str, num_calls: int, longest: float
) -> tuple[Swarm, EngineStats]:
    """Each kind of run on its own, then all of them at once: they end the same."""
    todo = plans(random.Random(4), num_calls, longest)
    expected = anyio.run(one_by_one, make_engine, todo, backend=backend)
    swarm, stats = swarm_of(make_engine, backend, todo)
    finished = 0
    for index, plan in enumerate(todo):
        (end,) = swarm.ends[index]
        if end == "cancelled":
            assert plan.cancelled_after is not None
        elif plan.fails:
            assert end is ToolCrashed
        else:
            assert end == expected[plan.prompt, plan.calls]
            finished += 1
    assert finished > RUNS // 2
    return swarm, stats


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_swarm_on_a_scripted_network(backend: str) -> None:
    tokenizer = byte_tokenizer()

    def make() -> Engine:
        network = ScriptedNetwork(288, max_positions=2000)
        return Engine(
            network, tokenizer, cache_tokens=8192, max_live=32, max_waiting=16, max_forward_rows=256
        )

    _, stats = check(make, backend, num_calls=40, longest=1.0)
    assert stats.hit_rate > 0.5


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engine]:
    with embedded_engine(cache_tokens=256) as engine:
        yield engine


@pytest.mark.embedded
@pytest.mark.timeout(180)
def test_a_swarm_on_the_embedded_weights(embedded: Engine) -> None:
    """In float32, profile "exact": the answers are equal whatever was decoded beside them."""

    def make() -> Engine:
        return Engine(embedded.network, embedded.tokenizer, cache_tokens=8192, profile="exact")

    swarm, stats = check(make, "asyncio", num_calls=6, longest=6.0)
    assert stats.hit_rate > 0.8
    lags = sorted(swarm.lags)
    assert lags[int(0.99 * len(lags))] < 0.02
