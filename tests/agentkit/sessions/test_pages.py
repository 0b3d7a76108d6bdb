"""What a session keeps of the cache: the next run in it encodes only what is new."""

import itertools
from pathlib import Path

import pytest

from agentkit import Agent, ModelSettings, SQLiteSessions
from agentkit.models import LocalModel
from decoding import AsyncEngine, Engine
from decoding.testing import ScriptedNetwork
from tests.agentkit.support import add
from tests.decoding.tiny import byte_tokenizer

pytestmark = pytest.mark.anyio


async def test_a_session_finds_its_pages_after_a_crowd(tmp_path: Path) -> None:
    """Also the turn that another process resumes is kept for the session."""

    def make() -> Engine:
        return Engine(
            ScriptedNetwork(288, seed=3, max_positions=4000), byte_tokenizer(), cache_tokens=1024
        )

    model = LocalModel("scripted", engine=AsyncEngine(make))
    async with SQLiteSessions(tmp_path / "runs.db", fsync=False) as sessions:
        agent = Agent(model, sessions=sessions, settings=ModelSettings(max_tokens=20))
        first = await agent.run("hi there, how are you today?", session="user-42")
        for number in range(12):
            await Agent(model, settings=ModelSettings(max_tokens=20)).run(f"{number} " * 30)
        second = await agent.run("and again?", session="user-42")
        assert model.stats().evicted_pages > 0
        spent, told = second.usage, first.usage
        assert spent.cached_input_tokens >= told.input_tokens + told.output_tokens - 1
        assert model.stats().kept_pages > 0
        model.forget("user-42")
        await Agent(model, settings=ModelSettings(max_tokens=2)).run("bye")
        assert model.stats().kept_pages == 0
    await model._engine.aclose()


async def test_a_second_run_encodes_its_suffix(tmp_path: Path) -> None:
    def make() -> Engine:
        return Engine(
            ScriptedNetwork(288, seed=3, max_positions=4000), byte_tokenizer(), cache_tokens=16384
        )

    model = LocalModel("scripted", engine=AsyncEngine(make))
    usages = []
    for prompt in ("hi there, how are you today?", "and again?", "and now?"):
        async with SQLiteSessions(tmp_path / "runs.db", fsync=False) as sessions:
            agent = Agent(
                model,
                tools=[add],
                sessions=sessions,
                instructions="Be brief.",
                settings=ModelSettings(max_tokens=40),
            )
            result = await agent.run(prompt, session="user-42")
            assert await agent.resume(result.run_id) == result  # the decoder's counts included
            usages.append((result.trace[0].usage, result.trace[-1].usage))
    await model._engine.aclose()
    for (_, last), (first, _) in itertools.pairwise(usages):
        # All that the last run encoded but the end token of its answer, though the history was
        # read from the file.
        assert first.cached_input_tokens >= last.input_tokens + last.output_tokens - 1
        assert first.input_tokens - first.cached_input_tokens < 100
