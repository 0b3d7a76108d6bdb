"""A `RunLog`, whatever keeps it: what is written stays, in order, and has one owner."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import (
    LogError,
    RunLog,
    RunState,
    RunTaken,
    SessionBusy,
    SQLiteSessions,
    UnknownRun,
    Usage,
)
from agentkit.messages import (
    AssistantMessage,
    Message,
    ModelUsage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.sessions import sqlite
from agentkit.sessions.records import (
    Answered,
    Began,
    CallApproved,
    CallBegan,
    CallEnded,
    Charged,
    Failed,
    Finished,
    Instructed,
    Paused,
    Record,
    Resumed,
    Reviewed,
    Said,
    Stopped,
    decode,
    encode,
)
from tests.agentkit.sessions.places import open_sessions

pytestmark = pytest.mark.anyio

FIRST = Began("agent", "hi")
REST = (
    Instructed("Be brief."),
    Said("go on"),
    Answered(AssistantMessage("yes", token_ids=(1, 2))),
    Finished(),
)


@asynccontextmanager
async def opened(place: str) -> AsyncIterator[RunLog]:
    async with open_sessions(place) as sessions:
        yield sessions.log


async def begin(log: RunLog, run_id: str, session: str | None = None) -> None:
    head = None if session is None else await log.head(session)
    await log.begin(run_id, [FIRST], "agent", session, head)


async def finish(log: RunLog, run_id: str) -> None:
    await log.append(run_id, 1, REST, RunState.FINISHED)


async def test_what_is_written_is_read_by_another(place: str) -> None:
    async with opened(place) as writer, opened(place) as reader:
        await begin(writer, "a")
        assert (await reader.read("a")).records == (FIRST,)
        assert (await reader.read("a")).info.state is RunState.RUNNING
        await finish(writer, "a")
        run = await reader.read("a")
        assert run.records == (FIRST, *REST)
        assert run.info.state is RunState.FINISHED
        assert await reader.runs() == (run.info,)
    async with opened(place) as later:
        assert await later.read("a") == run


async def test_a_number_is_given_once(place: str) -> None:
    async with opened(place) as one, opened(place) as other:
        await begin(one, "a")
        await other.reopen("a", 1, [Resumed()])
        with pytest.raises(RunTaken, match="'a'"):
            await one.append("a", 1, [Said("mine"), Said("mine too")], RunState.FAILED)
        run = await one.read("a")
        assert run.records == (FIRST, Resumed())  # nothing of what came too late
        assert run.info.state is RunState.RUNNING
        with pytest.raises(RunTaken):
            await begin(other, "a")


async def test_of_many_owners_one_wins(place: str) -> None:
    async with opened(place) as log:
        await begin(log, "a")
    won: list[int] = []

    async def take(owner: int) -> None:
        async with opened(place) as log:
            try:
                await log.append("a", 1, [Said(str(owner))])
            except RunTaken:
                return
            won.append(owner)

    async with anyio.create_task_group() as group:
        for owner in range(6):
            group.start_soon(take, owner)
    async with opened(place) as log:
        assert (await log.read("a")).records == (FIRST, *(Said(str(owner)) for owner in won))
    assert len(won) == 1


async def test_a_session_has_one_open_run(place: str) -> None:
    async with opened(place) as one, opened(place) as other:
        await begin(one, "a", "s")
        await begin(one, "elsewhere", "t")
        for state in (None, RunState.PAUSED):
            if state is not None:
                await one.append("a", 1, [Paused(())], state)
            with pytest.raises(SessionBusy, match="'s' is in run 'a'") as caught:
                await begin(other, "b", "s")
            assert (caught.value.session, caught.value.run_id) == ("s", "a")
        await one.append("a", 2, [Finished()], RunState.FINISHED)
        await begin(other, "b", "s")
        assert (await other.read("b")).info.parent == "a"
        assert [run.run_id for run in await one.runs("s")] == ["a", "b"]


async def test_a_session_that_went_on_takes_no_older_run(place: str) -> None:
    async with opened(place) as log:
        await begin(log, "a", "s")
        await log.append("a", 1, [Failed("ModelError", "gone")], RunState.FAILED)
        await log.reopen("a", 2, [Resumed()])
        await log.append("a", 3, [Stopped()], RunState.STOPPED)
        assert await log.head("s") is None  # a run that did not finish leads nowhere
        await begin(log, "b", "s")
        with pytest.raises(SessionBusy, match="'b'"):
            await log.reopen("a", 4, [Resumed()])
        await finish(log, "b")
        with pytest.raises(SessionBusy, match="'b'"):
            await log.reopen("a", 4, [Resumed()])
        with pytest.raises(SessionBusy, match="'b'"):
            await log.begin("c", [FIRST], "agent", "s", None)
        assert len((await log.read("a")).records) == 4
        with pytest.raises(UnknownRun):
            await log.read("c")


async def test_a_chain_is_oldest_first(place: str) -> None:
    async with opened(place) as log:
        for run_id in "abc":
            await begin(log, run_id, "s")
            await finish(log, run_id)
        await begin(log, "alone")
        chain = await log.chain("c")
        assert [run.info.run_id for run in chain] == ["a", "b", "c"]
        assert [run.info.parent for run in chain] == [None, "a", "b"]
        assert all(run.records == (FIRST, *REST) for run in chain)
        assert [run.info.run_id for run in await log.chain("alone")] == ["alone"]


async def test_a_forgotten_session(place: str) -> None:
    async with opened(place) as log:
        for run_id in "ab":
            await begin(log, run_id, "s")
            await finish(log, run_id)
        await begin(log, "kept", "t")
        await begin(log, "late", "s")
        assert await log.forget("s") == 3
        assert [run.run_id for run in await log.runs()] == ["kept"]
        assert await log.head("s") is None
        with pytest.raises(UnknownRun, match="'late'"):
            await log.append("late", 1, [Finished()])
        assert await log.forget("s") == 0


async def test_an_unknown_run(place: str) -> None:
    async with opened(place) as log:
        for call in (log.read, log.chain):
            with pytest.raises(UnknownRun, match="no run 'x'"):
                await call("x")
        with pytest.raises(UnknownRun):
            await log.append("x", 0, [Finished()])


async def test_a_closed_log(place: str) -> None:
    async with opened(place) as log:
        await begin(log, "a")
    with pytest.raises(LogError, match="is closed"):
        await log.read("a")
    await log.aclose()


async def test_a_cancelled_writer_still_writes(place: str) -> None:
    async with opened(place) as log:
        await begin(log, "a")
        async with anyio.create_task_group() as group:
            group.start_soon(log.append, "a", 1, [Said("kept")])
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        kept = (await log.read("a")).records
        assert kept in ((FIRST,), (FIRST, Said("kept")))
        await log.append("a", len(kept), [Finished()])  # and the log is of use


async def test_a_fresh_file_that_another_process_opens(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/runs.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # as far as it comes before the file is in WAL mode
    async with SQLiteSessions(path) as sessions, anyio.create_task_group() as group:

        async def look() -> None:
            assert await sessions.runs() == ()

        group.start_soon(look)
        await anyio.sleep(0.1)
        other.execute("COMMIT")
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.05)
    path = f"{tmp_path}/busy.db"
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    async with SQLiteSessions(path) as sessions:
        with pytest.raises(LogError, match="locked"):
            await sessions.runs()
    for connection in (other, busy):
        connection.close()


async def test_a_file_that_is_no_log(tmp_path: object) -> None:
    path = f"{tmp_path}/text.db"
    with open(path, "w") as file:  # noqa: ASYNC230
        file.write("no database " * 200)
    async with SQLiteSessions(path) as sessions:
        with pytest.raises(LogError, match=r"text\.db"):
            await sessions.runs()
    async with SQLiteSessions(f"{tmp_path}/no/such/folder.db") as sessions:
        with pytest.raises(LogError, match="unable to open"):
            await sessions.runs()


async def test_a_log_of_a_newer_version(tmp_path: object) -> None:
    path = f"{tmp_path}/new.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    async with SQLiteSessions(path) as sessions:
        with pytest.raises(LogError, match="version 99"):
            await sessions.runs()


async def test_a_lost_connection_is_opened_again(postgres: str) -> None:
    import psycopg

    async with open_sessions(postgres) as sessions:
        await sessions.runs()
        with psycopg.connect(postgres, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        with pytest.raises(LogError, match="Postgres log"):
            await sessions.runs()
        await sessions.runs()


texts = st.text(max_size=20)
calls = st.builds(ToolCall, texts, texts, texts)
answers = st.builds(
    AssistantMessage,
    texts,
    st.lists(calls, max_size=3).map(tuple),
    texts,
    st.lists(st.integers(0, 10**6), max_size=5).map(tuple),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(SystemMessage, texts),
    st.builds(UserMessage, texts),
    answers,
    st.builds(ToolMessage, texts, texts, texts, st.booleans()),
)
usages = st.builds(
    ModelUsage,
    st.integers(0, 99),
    seconds=st.floats(0, 9),
    modes=st.dictionaries(texts, st.integers(0, 9), max_size=2),
)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Began, texts, texts, st.lists(messages, max_size=4).map(tuple)),
    st.builds(Instructed, texts),
    st.builds(Said, texts),
    st.builds(Charged, st.builds(Usage, st.integers(0, 99))),
    st.builds(Answered, answers, usages, st.sampled_from(["stop", "length"])),
    st.builds(Reviewed, texts, st.none() | texts),
    st.builds(CallApproved, st.integers(0, 9), st.none() | texts),
    st.builds(CallBegan, st.integers(0, 9)),
    st.builds(CallEnded, st.integers(0, 9), texts, st.booleans(), st.booleans()),
    st.builds(Paused),
    st.builds(Failed, texts, texts),
    st.sampled_from([Resumed(), Stopped(), Finished()]),
)


@given(records)
def test_records_come_back(record: Record) -> None:
    kind, body = encode(record)
    assert decode(kind, body) == record
    assert "\0" not in body  # which Postgres does not take


async def test_a_record_of_a_newer_version(tmp_path: object) -> None:
    path = f"{tmp_path}/runs.db"
    async with opened(path) as log:
        await begin(log, "a")
        connection = sqlite3.connect(path)
        connection.execute("UPDATE agentkit_records SET kind = 'dreamt'")
        connection.commit()
        connection.close()
        with pytest.raises(LogError, match="'dreamt' is no kind of record"):
            await log.read("a")
