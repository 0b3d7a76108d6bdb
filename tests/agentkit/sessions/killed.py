"""What child processes do until they are killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import anyio

from agentkit import Agent, ApprovalRequired, RunInfo, RunLog, RunState, Sessions, tool
from agentkit.models import TestModel
from agentkit.sessions.log import LoggedRun
from agentkit.sessions.records import Record
from tests.agentkit.sessions.places import open_sessions
from tests.agentkit.sessions.scenario import Effects, agent, settle
from tests.agentkit.support import add


class Points:
    """Places at which a process may die. Kills it at number `kill_at`, from 1."""

    def __init__(self, kill_at: int) -> None:
        self.num_passed = 0
        self._kill_at = kill_at

    def __call__(self) -> None:
        self.num_passed += 1
        if self.num_passed == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalLog:
    """A log with a point before and behind each of its writes."""

    def __init__(self, log: RunLog, point: Points) -> None:
        self._log = log
        self._point = point

    async def begin(
        self,
        run_id: str,
        first: Sequence[Record],
        agent: str,
        session: str | None,
        parent: str | None,
    ) -> None:
        self._point()
        await self._log.begin(run_id, first, agent, session, parent)
        self._point()

    async def append(
        self, run_id: str, number: int, records: Sequence[Record], state: RunState | None = None
    ) -> None:
        self._point()
        await self._log.append(run_id, number, records, state)
        self._point()

    async def reopen(self, run_id: str, number: int, records: Sequence[Record]) -> None:
        self._point()
        await self._log.reopen(run_id, number, records)
        self._point()

    async def head(self, session: str) -> str | None:
        return await self._log.head(session)

    async def read(self, run_id: str) -> LoggedRun:
        return await self._log.read(run_id)

    async def chain(self, run_id: str) -> tuple[LoggedRun, ...]:
        return await self._log.chain(run_id)

    async def runs(self, session: str | None = None) -> tuple[RunInfo, ...]:
        return await self._log.runs(session)

    async def forget(self, session: str) -> int:
        return await self._log.forget(session)

    async def aclose(self) -> None:
        await self._log.aclose()


async def go_on(place: str, effects: Effects, point: Points) -> None:
    """Begins the run, or goes on with the one that is there."""
    async with open_sessions(place) as kept, Sessions(MortalLog(kept.log, point)) as sessions:
        payer = agent(sessions, effects, point)
        runs = await kept.runs()
        if runs:
            await settle(payer, runs[0].run_id, effects)
        else:
            await payer.run("go", session="s")


def work(place: str, path: Path, kill_at: int) -> None:
    anyio.run(go_on, place, Effects(path), Points(kill_at))


def talk(place: str, session: str, times: int) -> None:
    """Runs in a session, one after the other."""

    async def run() -> None:
        async with open_sessions(place) as sessions:
            for _ in range(times):
                await Agent(TestModel(), tools=[add], sessions=sessions).run("go", session=session)

    anyio.run(run)


def ask_to_pay(place: str) -> None:
    """Begins a run, and ends while it waits for an approval."""

    async def run() -> None:
        async with open_sessions(place) as sessions:
            with suppress(ApprovalRequired):
                await careful(sessions).run("go", session="s")

    anyio.run(run)


def careful(sessions: Sessions) -> Agent[None, str]:
    @tool(requires_approval=True)
    def pay(n: int) -> str:
        """Pays."""
        return f"paid {n}"

    return Agent(TestModel(), tools=[pay], sessions=sessions)


def started(function: Callable[..., None], *args: Any) -> ForkServerProcess:
    """A process of its own that runs `function`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=function, args=args)
    process.start()
    return process


def exit_code(process: ForkServerProcess) -> int | None:
    process.join()
    code = process.exitcode
    process.close()
    return code


def run_killed(place: str, path: Path, kill_at: int) -> bool:
    """Works in a process of its own; whether it was killed."""
    code = exit_code(started(work, place, path, kill_at))
    assert code in (0, -signal.SIGKILL)
    return code != 0
