"""Wherever its process is killed, a run ends as if it had not been, and pays once."""

from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import RunResult, RunState
from tests.agentkit.sessions.killed import (
    Points,
    ask_to_pay,
    careful,
    exit_code,
    go_on,
    run_killed,
    started,
    talk,
)
from tests.agentkit.sessions.places import open_sessions
from tests.agentkit.sessions.scenario import PAYMENTS, Effects, agent, settle


@cache
def undisturbed() -> RunResult[int]:
    async def run() -> RunResult[int]:
        with TemporaryDirectory() as folder:
            async with open_sessions(":memory:") as sessions:
                return await agent(sessions, Effects(Path(folder) / "e")).run("go", session="s")

    return anyio.run(run)


async def end(place: str, effects: Effects) -> None:
    """Brings the run to its end, in this process, and compares."""
    async with open_sessions(place) as sessions:
        payer = agent(sessions, effects)
        runs = await sessions.runs()
        if not runs:
            assert not effects.path.exists()  # nothing happens before the log knows of the run
            return
        (run,) = runs
        result = await settle(payer, run.run_id, effects)
        expected = await anyio.to_thread.run_sync(undisturbed)
        assert (result.output, result.usage) == (expected.output, expected.usage)
        assert (result.messages, result.trace) == (expected.messages, expected.trace)
        assert result.new_messages == expected.new_messages
        assert effects.payments() == PAYMENTS
        assert set(effects.notes()) == {1, 3}
        (run,) = await sessions.runs()
        assert run.state is RunState.FINISHED
        assert await sessions.messages("s") == expected.messages


def test_killed_at_every_point(tmp_path: Path) -> None:
    for kill_at in count(1):
        place, path = str(tmp_path / f"{kill_at}.db"), tmp_path / f"{kill_at}.txt"
        was_killed = run_killed(place, path, kill_at)
        anyio.run(end, place, Effects(path))
        if not was_killed:
            break
    points = Points(0)
    anyio.run(go_on, str(tmp_path / "all.db"), Effects(tmp_path / "all.txt"), points)
    assert kill_at == points.num_passed + 1  # each point was the last of one process
    assert points.num_passed > 40


@settings(max_examples=5)
@given(kills=st.lists(st.integers(1, 25), min_size=2, max_size=4))
def test_killed_again_and_again(kills: list[int]) -> None:
    with TemporaryDirectory() as folder:
        place, effects = f"{folder}/runs.db", Effects(Path(folder) / "effects")
        for kill_at in kills:
            run_killed(place, effects.path, kill_at)
        anyio.run(end, place, effects, backend="trio")


@pytest.mark.parametrize("kill_at", [2, 10, 12, 30])
def test_killed_with_another_database(place: str, tmp_path: Path, kill_at: int) -> None:
    effects = Effects(tmp_path / "effects")
    assert run_killed(place, effects.path, kill_at)
    anyio.run(end, place, effects)


def test_an_approval_in_another_process(place: str) -> None:
    assert exit_code(started(ask_to_pay, place)) == 0

    async def approve() -> None:
        async with open_sessions(place) as sessions:
            (run,) = await sessions.runs("s")
            (waiting,) = await sessions.pending(run.run_id)
            result = await careful(sessions).resume(
                run.run_id, approvals={waiting.call.call_id: {"n": 3}}
            )
            assert "paid 3" in str(result.messages)

    anyio.run(approve)


def test_processes_share_a_log(place: str) -> None:
    processes = [started(talk, place, f"s{number}", 4) for number in range(3)]
    assert [exit_code(process) for process in processes] == [0, 0, 0]

    async def check() -> None:
        async with open_sessions(place) as sessions:
            runs = await sessions.runs()
            assert [run.state for run in runs] == [RunState.FINISHED] * 12
            for number in range(3):
                assert len(await sessions.messages(f"s{number}")) == 4 * 4

    anyio.run(check)
