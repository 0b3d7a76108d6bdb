"""The log in an SQLite file."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from agentkit.errors import LogError
from agentkit.sessions.database import Connection, Dialect
from agentkit.sessions.sessions import Sessions
from agentkit.sessions.sql import SqlLog, tables

_VERSION = 1
_BUSY_SECONDS = 30
_PAUSE_SECONDS = 0.02


class SQLiteSessions(Sessions):
    """Keeps runs in one SQLite file, made where there is none; ":memory:" keeps them as long as
    this object. Several processes may use one file on a local disk.

    A record survives the end of its process as soon as it is written; with `fsync`, also that
    of the machine. Opens with the first use and raises `LogError` where that fails.
    """

    def __init__(self, path: str | Path, *, fsync: bool = True) -> None:
        dialect = Dialect(
            name=f"SQLite log {str(path)!r}",
            connect=partial(_connect, str(path), fsync),
            begin_read="BEGIN",
            begin_write="BEGIN IMMEDIATE",
            placeholder="?",
            error=sqlite3.Error,
            conflict=sqlite3.IntegrityError,
            is_lost=lambda connection: False,
        )
        super().__init__(SqlLog(dialect))


def _connect(path: str, fsync: bool) -> Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, fsync)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, fsync: bool) -> None:
    with closing(connection.cursor()) as cursor:
        _write_ahead(cursor)
        cursor.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("BEGIN IMMEDIATE")
        (version,) = cursor.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise LogError(f"the SQLite log has version {version}; this package reads {_VERSION}")
        for statement in tables("INTEGER PRIMARY KEY", "REAL"):
            cursor.execute(statement)
        cursor.execute(f"PRAGMA user_version = {_VERSION}")
        cursor.execute("COMMIT")


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Takes the mode in which readers and a writer do not wait for each other."""
    given_up = monotonic() + _BUSY_SECONDS
    while True:
        try:
            (mode,) = cursor.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait for another process that opens a fresh file, it fails at once.
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or monotonic() > given_up:
                raise
            sleep(_PAUSE_SECONDS)
