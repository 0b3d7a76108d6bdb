"""Asking an SQLite database questions, without any way to change it."""

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from pydantic_core import to_json

from agentkit import ModelRetry, Tool, tool

_MAX_VALUE = 500
_MAX_RESULT = 20_000
_MAX_FRAME = 200  # what is in a result beside columns and rows
_MAX_COLUMNS = 200  # so that each can be shown, at least in part
_STEPS_BETWEEN_CHECKS = 100

_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
# What SQLite asks for when a SELECT opens a virtual table: the first for its columns (nothing is
# written; who means to write it needs PRAGMA writable_schema), the others in FTS5, FTS3 and FTS4.
_FOR_VIRTUAL_TABLES = frozenset(
    {
        (sqlite3.SQLITE_UPDATE, "sqlite_master"),
        (sqlite3.SQLITE_PRAGMA, "data_version"),
        (sqlite3.SQLITE_PRAGMA, "page_size"),
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
    SELECT through (no ATTACH, transactions or extensions, and no PRAGMA but `data_version` and
    `page_size`, to be read). Full-text tables and `json_each` can be asked; R-Tree tables cannot,
    as they want to write while they are read. A query gives at most `row_limit` rows, 200 columns
    and 20000 characters, and is stopped after `seconds`, though not within a call of one of
    SQLite's functions (`trim` of very long texts). Values beyond 500 characters are cut, and
    shorter ones in a first row that is too long. Every call has a connection of its own, so calls
    may run at once.

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
            names = [column[0] for column in cursor.description]
            room = _MAX_RESULT - _MAX_FRAME
            columns = _fitted(names[:_MAX_COLUMNS], room // 2)
            rows, notes = self._rows(cursor, room - _size(columns))
        if len(columns) < len(names):
            notes.append(f"only the first {len(columns)} of {len(names)} columns")
        result: dict[str, Any] = {"columns": columns, "rows": rows}
        return result | {"note": "; ".join(notes)} if notes else result

    def _rows(self, cursor: sqlite3.Cursor, room: int) -> tuple[list[list[Any]], list[str]]:
        """What may be shown, and what is to be said of the rest."""
        rows: list[list[Any]] = []
        notes: list[str] = []
        for row in cursor:
            shown = [_shown(value) for value in row[:_MAX_COLUMNS]]
            is_too_long = _size(shown) > room
            if len(rows) == self.row_limit or (rows and is_too_long):
                return rows, [f"only the first {len(rows)} rows", *notes]
            if is_too_long:
                shown = _fitted(row[:_MAX_COLUMNS], room)
                notes = ["values are cut so that the row fits; ask for fewer columns"]
            rows.append(shown)
            room -= _size(shown)
        return rows, notes

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
                return "not authorized: only SELECT is allowed, and not from R-Tree tables"
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
    is_loader = action == sqlite3.SQLITE_FUNCTION and second in _CODE_LOADERS
    is_setting = action == sqlite3.SQLITE_PRAGMA and second is not None
    is_allowed = action in _ALLOWED or (action, first) in _FOR_VIRTUAL_TABLES
    if not is_allowed or is_loader or is_setting:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _size(value: Any) -> int:
    """How many characters the model reads for it, with a comma."""
    return len(to_json(value, inf_nan_mode="strings").decode()) + 1


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return _cut(value, _MAX_VALUE) if isinstance(value, str) else value


def _fitted(values: Sequence[Any], room: int) -> list[Any]:
    """How they are shown in `room` characters in all. The longest texts are cut, to one length;
    the share of a value is never less than a number needs."""
    shown = [_shown(value) for value in values]
    share = _share([_size(value) for value in shown], room - len("[]"))
    return [
        whole if _size(whole) <= share else _cut_to(value, share)
        for value, whole in zip(values, shown, strict=True)
    ]


def _share(sizes: Sequence[int], room: int) -> int:
    """The most that any may have so that all fit, where those that need less leave the rest."""
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > room:
            return room // count
        room -= size
    return max(sizes)


def _cut_to(text: str, size: int) -> str:
    lengths = range(min(len(text), _MAX_VALUE))
    return _cut(text, bisect_right(lengths, size, key=lambda each: _size(_cut(text, each))) - 1)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]} [cut, {len(text)} characters]"
