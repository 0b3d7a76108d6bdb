"""Asking an SQLite database questions, without any way to change it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from agentkit import ModelRetry, Tool, tool

_MAX_VALUE = 500
_MAX_RESULT = 20_000
_STEPS_BETWEEN_CHECKS = 100

_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_CODE_LOADERS = frozenset({"load_extension", "fts3_tokenizer"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


def sqlite(path: str | Path, *, row_limit: int = 50, seconds: float = 5) -> tuple[Tool, ...]:
    """The tools `describe_tables` and `query` for the database file `path`.

    The file cannot be changed: it is opened read-only, and an authorizer lets nothing but
    SELECT through (no ATTACH, PRAGMA, transactions or extensions). A query gives at most
    `row_limit` rows and is stopped after `seconds`, though not within a call of one of SQLite's
    functions (`trim` of very long texts); long values are cut. Every call has a connection of its
    own, so calls may run at once.

    Raises `FileNotFoundError` or `ValueError` unless `path` is an SQLite database, and
    `ValueError` for limits that are not above 0.
    """
    if row_limit < 1 or not seconds > 0:
        raise ValueError(f"row_limit {row_limit} and seconds {seconds} must be above 0")
    database = _Database(Path(path).resolve(strict=True), row_limit, seconds)
    try:
        database.describe_tables()
    except ModelRetry as error:
        raise ValueError(f"{path} cannot be used as an SQLite database: {error}") from error
    return (
        tool(database.describe_tables, idempotent=True),
        tool(database.query, idempotent=True),
    )


@dataclass(frozen=True, slots=True)
class _Database:
    path: Path
    row_limit: int
    seconds: float

    def describe_tables(self) -> str:
        """Show the tables and views with their columns, as SQL."""
        statement = (
            "SELECT sql FROM sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name"
        )
        with self._cursor() as cursor:
            created = [str(sql) for (sql,) in cursor.execute(statement)]
        return _cut(";\n".join(created), _MAX_RESULT) or "(there are no tables)"

    def query(self, sql: str) -> dict[str, Any]:
        """Run one SELECT and give its columns and rows.

        Args:
            sql: in the SQLite dialect; call describe_tables first to learn the names
        """
        with self._cursor() as cursor:
            cursor.execute(sql)
            if cursor.description is None:
                raise ModelRetry("this is not a query; write one SELECT")
            columns = [column[0] for column in cursor.description]
            rows, is_whole = self._rows(cursor)
        result: dict[str, Any] = {"columns": columns, "rows": rows}
        return result if is_whole else result | {"note": f"only the first {len(rows)} rows"}

    def _rows(self, cursor: sqlite3.Cursor) -> tuple[list[list[Any]], bool]:
        """What may be shown, and whether that is everything."""
        rows: list[list[Any]] = []
        room = _MAX_RESULT
        for row in cursor:
            shown = [_shown(value) for value in row]
            room -= sum(len(str(value)) for value in shown)
            if len(rows) == self.row_limit or (rows and room < 0):
                return rows, False
            rows.append(shown)
        return rows, True

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        """A cursor that can only read and only for `seconds`. SQLite's complaints leave as
        `ModelRetry`."""
        deadline = monotonic() + self.seconds
        uri = f"{self.path.as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=self.seconds)) as connection:
                _restrict(connection, lambda: monotonic() > deadline)
                yield connection.cursor()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise ModelRetry(self._explained(str(error))) from error

    def _explained(self, message: str) -> str:
        match message:
            case "interrupted":
                return f"stopped after {self.seconds:g} seconds; ask for less"
            case "not authorized" | "authorization denied":
                return "not authorized: only SELECT is allowed"
            case _:
                return f"SQLite says: {message}"


def _restrict(connection: sqlite3.Connection, is_over: Callable[[], bool]) -> None:
    connection.text_factory = _text
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(is_over, _STEPS_BETWEEN_CHECKS)


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in _CODE_LOADERS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return _cut(value, _MAX_VALUE) if isinstance(value, str) else value


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]} [cut, {len(text)} characters]"
