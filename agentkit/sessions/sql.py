"""A `RunLog` in SQL that SQLite and Postgres both understand."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from agentkit.errors import LogError, RunTaken, SessionBusy, UnknownRun
from agentkit.sessions.database import Cursor, Database, Dialect
from agentkit.sessions.log import LoggedRun, RunInfo, RunState
from agentkit.sessions.records import Record, decode, encode

_TRIES = 2
_OPEN = ", ".join(f"'{state.value}'" for state in RunState if state.is_open)


def tables(integer_key: str, real: str) -> tuple[str, ...]:
    """The statements that make the tables where there are none.

    `agentkit_runs.parent` points at the run that a run goes on from, so the runs of a log are
    trees; a record's parent is the one before it in its run. The unique index allows one open
    run per session, whoever tries.
    """
    return (
        f"""CREATE TABLE IF NOT EXISTS agentkit_runs (
            number {integer_key},
            run_id TEXT NOT NULL UNIQUE,
            agent TEXT NOT NULL,
            session TEXT,
            parent BIGINT REFERENCES agentkit_runs (number),
            state TEXT NOT NULL,
            started_at {real} NOT NULL
        )""",
        f"""CREATE TABLE IF NOT EXISTS agentkit_records (
            run BIGINT NOT NULL REFERENCES agentkit_runs (number),
            number BIGINT NOT NULL,
            kind TEXT NOT NULL,
            written_at {real} NOT NULL,
            body TEXT NOT NULL,
            PRIMARY KEY (run, number)
        )""",
        "CREATE INDEX IF NOT EXISTS agentkit_runs_of_session ON agentkit_runs (session, number)",
        f"""CREATE UNIQUE INDEX IF NOT EXISTS agentkit_open_run_of_session
            ON agentkit_runs (session) WHERE session IS NOT NULL AND state IN ({_OPEN})""",
    )


_RUN = """SELECT run.run_id, run.agent, run.session, parent.run_id, run.state, run.started_at
    FROM agentkit_runs AS run LEFT JOIN agentkit_runs AS parent ON parent.number = run.parent"""
_RECORDS = """SELECT record.kind, record.body
    FROM agentkit_records AS record JOIN agentkit_runs AS run ON run.number = record.run
    WHERE run.run_id = ? ORDER BY record.number"""
_CHAIN = """WITH RECURSIVE chain (number, parent, depth) AS (
        SELECT number, parent, 0 FROM agentkit_runs WHERE run_id = ?
        UNION ALL
        SELECT run.number, run.parent, chain.depth + 1
        FROM agentkit_runs AS run JOIN chain ON run.number = chain.parent
    )
    SELECT run.run_id, run.agent, run.session, parent.run_id, run.state, run.started_at,
        record.kind, record.body
    FROM chain
    JOIN agentkit_runs AS run ON run.number = chain.number
    LEFT JOIN agentkit_runs AS parent ON parent.number = run.parent
    JOIN agentkit_records AS record ON record.run = chain.number
    ORDER BY chain.depth DESC, record.number"""
_NUM_RUN_COLUMNS = 6


class SqlLog:
    """See `RunLog`."""

    def __init__(self, dialect: Dialect) -> None:
        self._database = Database(dialect)

    async def head(self, session: str) -> str | None:
        return await self._database.run(lambda cursor: self._head(cursor, session))

    async def begin(
        self,
        run_id: str,
        first: Sequence[Record],
        agent: str,
        session: str | None,
        parent: str | None,
    ) -> None:
        def work(cursor: Cursor) -> None:
            self._execute(
                cursor,
                """INSERT INTO agentkit_runs (run_id, agent, session, parent, state, started_at)
                VALUES (?, ?, ?, (SELECT number FROM agentkit_runs WHERE run_id = ?), ?, ?)""",
                (run_id, agent, session, parent, RunState.RUNNING.value, time.time()),
            )
            self._insert(cursor, run_id, 0, first)
            self._check_head(cursor, session, parent)

        await self._write(run_id, session, work)

    async def append(
        self, run_id: str, number: int, records: Sequence[Record], state: RunState | None = None
    ) -> None:
        def work(cursor: Cursor) -> None:
            self._insert(cursor, run_id, number, records)
            if state is not None:
                self._set_state(cursor, run_id, state)

        await self._write(run_id, None, work)

    async def reopen(self, run_id: str, number: int, records: Sequence[Record]) -> None:
        info = await self._database.run(lambda cursor: self._info(cursor, run_id))

        def work(cursor: Cursor) -> None:
            self._insert(cursor, run_id, number, records)
            self._set_state(cursor, run_id, RunState.RUNNING)
            self._check_head(cursor, info.session, info.parent)

        await self._write(run_id, info.session, work)

    async def read(self, run_id: str) -> LoggedRun:
        def work(cursor: Cursor) -> tuple[RunInfo, list[Any]]:
            return self._info(cursor, run_id), self._rows(cursor, _RECORDS, (run_id,))

        info, records = await self._database.run(work)
        return LoggedRun(info, tuple(_record(*row) for row in records))

    async def chain(self, run_id: str) -> tuple[LoggedRun, ...]:
        rows = await self._database.run(lambda cursor: self._rows(cursor, _CHAIN, (run_id,)))
        if not rows:
            raise UnknownRun(run_id)
        return tuple(
            LoggedRun(_info(row), tuple(_record(*each[_NUM_RUN_COLUMNS:]) for each in group))
            for row, group in groupby(rows, itemgetter(slice(_NUM_RUN_COLUMNS)))
        )

    async def runs(self, session: str | None = None) -> tuple[RunInfo, ...]:
        only = "" if session is None else " WHERE run.session = ?"
        sql = f"{_RUN}{only} ORDER BY run.number"
        values = () if session is None else (session,)
        rows = await self._database.run(lambda cursor: self._rows(cursor, sql, values))
        return tuple(map(_info, rows))

    async def forget(self, session: str) -> int:
        def work(cursor: Cursor) -> int:
            runs = "SELECT number FROM agentkit_runs WHERE session = ?"
            self._execute(cursor, f"DELETE FROM agentkit_records WHERE run IN ({runs})", (session,))
            self._execute(cursor, "DELETE FROM agentkit_runs WHERE session = ?", (session,))
            return cursor.rowcount

        return await self._database.run(work, writes=True)

    async def aclose(self) -> None:
        await self._database.aclose()

    async def _write(
        self, run_id: str, session: str | None, work: Callable[[Cursor], None]
    ) -> None:
        """Runs `work`, and tells whose uniqueness it would have broken."""
        for _ in range(1 if session is None else _TRIES):
            try:
                await self._database.run(work, writes=True)
                return
            except self._database.dialect.conflict as error:
                conflict = error
            for run in () if session is None else await self.runs(session):
                if run.state.is_open and run.run_id != run_id:
                    raise SessionBusy(run.session or "", run.run_id) from conflict
            # Once more: the open run may have ended between the write and the look.
        raise RunTaken(run_id) from conflict

    def _insert(self, cursor: Cursor, run_id: str, number: int, records: Sequence[Record]) -> None:
        for place, record in enumerate(records, number):
            kind, body = encode(record)
            self._execute(
                cursor,
                """INSERT INTO agentkit_records (run, number, kind, written_at, body)
                SELECT number, ?, ?, ?, ? FROM agentkit_runs WHERE run_id = ?""",
                (place, kind, time.time(), body, run_id),
            )
            if cursor.rowcount != 1:  # the session was forgotten meanwhile
                raise UnknownRun(run_id)

    def _set_state(self, cursor: Cursor, run_id: str, state: RunState) -> None:
        sql = "UPDATE agentkit_runs SET state = ? WHERE run_id = ?"
        self._execute(cursor, sql, (state.value, run_id))

    def _head(self, cursor: Cursor, session: str) -> str | None:
        rows = self._rows(
            cursor,
            """SELECT run_id FROM agentkit_runs WHERE session = ? AND state = ?
            ORDER BY number DESC LIMIT 1""",
            (session, RunState.FINISHED.value),
        )
        return rows[0][0] if rows else None

    def _check_head(self, cursor: Cursor, session: str | None, parent: str | None) -> None:
        if session is not None and (head := self._head(cursor, session)) != parent:
            raise SessionBusy(session, head or "")

    def _info(self, cursor: Cursor, run_id: str) -> RunInfo:
        rows = self._rows(cursor, f"{_RUN} WHERE run.run_id = ?", (run_id,))
        if not rows:
            raise UnknownRun(run_id)
        return _info(rows[0])

    def _rows(self, cursor: Cursor, sql: str, values: Sequence[Any]) -> list[Any]:
        self._execute(cursor, sql, values)
        return cursor.fetchall()

    def _execute(self, cursor: Cursor, sql: str, values: Sequence[Any]) -> None:
        cursor.execute(sql.replace("?", self._database.dialect.placeholder), values)


def _info(row: Sequence[Any]) -> RunInfo:
    run_id, agent, session, parent, state, started_at = row
    when = datetime.fromtimestamp(started_at, UTC)
    return RunInfo(run_id, agent, session, parent, RunState(state), when)


def _record(kind: str, body: str) -> Record:
    try:
        return decode(kind, body)
    except ValueError as error:
        raise LogError(
            f"a record cannot be read; a newer version wrote it, perhaps: {error}"
        ) from error
