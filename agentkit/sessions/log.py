"""The seam to a store: an append-only log of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from agentkit.sessions.records import Record


class RunState(Enum):
    """Where a run in the log stands."""

    RUNNING = "running"
    """It is under way, or its process was killed: a log cannot tell which."""
    PAUSED = "paused"
    """It waits for decisions."""
    STOPPED = "stopped"
    """It was cancelled."""
    FAILED = "failed"
    """It ended with an error, or was abandoned."""
    FINISHED = "finished"

    @property
    def is_open(self) -> bool:
        """The session of such a run takes no other run."""
        return self in (RunState.RUNNING, RunState.PAUSED)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in the log. `parent` is the run whose messages come before its own."""

    run_id: str
    agent: str
    session: str | None
    parent: str | None
    state: RunState
    started_at: datetime


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run with its records, oldest first."""

    info: RunInfo
    records: tuple[Record, ...]


class RunLog(Protocol):
    """Keeps runs and their records. Records are appended, never changed.

    The records of a run are numbered from 0 without gaps, and a number is given once: of two
    owners of one run, the first to append wins and the other gets `RunTaken`. What a method has
    written is kept when it returns, all of it or nothing. Any number of tasks, event loops and
    processes may use one log. Every method raises `LogError` where the store fails.
    """

    async def head(self, session: str) -> str | None:
        """The run that a next run of the session goes on from: the last one that finished."""
        ...

    async def begin(
        self,
        run_id: str,
        first: Sequence[Record],
        agent: str,
        session: str | None,
        parent: str | None,
    ) -> None:
        """Adds a run in the state RUNNING. Raises `SessionBusy` where the session has an open
        run, or where its head is no longer `parent`."""
        ...

    async def append(
        self, run_id: str, number: int, records: Sequence[Record], state: RunState | None = None
    ) -> None:
        """Adds records with the numbers from `number` on; the run's state becomes `state`
        unless that is None. Raises `RunTaken`."""
        ...

    async def reopen(self, run_id: str, number: int, records: Sequence[Record]) -> None:
        """`append`, with the state RUNNING. Raises `SessionBusy` where the session has another
        open run or has gone on without this one."""
        ...

    async def read(self, run_id: str) -> LoggedRun:
        """Raises `UnknownRun`."""
        ...

    async def chain(self, run_id: str) -> tuple[LoggedRun, ...]:
        """The run and, before it, those it goes on from, oldest first. Raises `UnknownRun`."""
        ...

    async def runs(self, session: str | None = None) -> tuple[RunInfo, ...]:
        """All runs, or those of one session, in the order in which they began."""
        ...

    async def forget(self, session: str) -> int:
        """Deletes the session's runs; gives their number."""
        ...

    async def aclose(self) -> None:
        """Frees what the log holds. Further calls raise `LogError`."""
        ...
