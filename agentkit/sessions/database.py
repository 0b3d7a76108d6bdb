"""One connection to an SQL database, off the event loop."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, finalize

from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from agentkit.errors import LogError

T = TypeVar("T")


class Cursor(Protocol):
    """The part of a DB-API 2.0 cursor (PEP 249) that is used here."""

    rowcount: int

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def close(self) -> None: ...


class Connection(Protocol):
    """A DB-API 2.0 connection that leaves transactions to the statements it is given."""

    def cursor(self) -> Any: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where two databases differ.

    `connect` opens a connection, its tables made. `begin_read` opens a transaction that sees the
    state of one moment, `begin_write` one that writes. `error` is the base of what the driver
    raises, `conflict` what it raises where a row would break a uniqueness. `is_lost` tells of a
    connection that is of no more use.
    """

    name: str
    connect: Callable[[], Connection]
    begin_read: str
    begin_write: str
    placeholder: str
    error: type[Exception]
    conflict: type[Exception]
    is_lost: Callable[[Connection], bool]


_limiters: RunVar[WeakKeyDictionary["Database", CapacityLimiter]] = RunVar("agentkit_limiters")


class Database:
    """Runs transactions one at a time. The connection opens with the first of them.

    A transaction that has begun runs to its end even if its caller is cancelled, so that nobody
    is left in doubt about what was written.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._held: list[Connection] = []
        self._is_closed = False
        self._lock = threading.Lock()
        finalize(self, _close, self._held)

    async def run(self, work: Callable[[Cursor], T], *, writes: bool = False) -> T:
        """What `work` gives, committed; rolled back where it raises. Raises `LogError` for what
        the driver raises, except conflicts, which `work` handles or passes on as they are."""
        return await to_thread.run_sync(self._transact, work, writes, limiter=self._limiter())

    async def aclose(self) -> None:
        with CancelScope(shield=True):
            await to_thread.run_sync(self._end, limiter=self._limiter())

    def _limiter(self) -> CapacityLimiter:
        """One per event loop: more threads would only wait for each other."""
        limiters = _limiters.get(None)
        if limiters is None:
            limiters = WeakKeyDictionary()
            _limiters.set(limiters)
        return limiters.setdefault(self, CapacityLimiter(1))

    def _transact(self, work: Callable[[Cursor], T], writes: bool) -> T:
        with self._lock:
            try:
                dialect = self.dialect
                return self._commit(work, dialect.begin_write if writes else dialect.begin_read)
            except self.dialect.conflict:
                raise
            except self.dialect.error as error:
                raise LogError(f"{self.dialect.name}: {error}") from error

    def _commit(self, work: Callable[[Cursor], T], begin: str) -> T:
        connection = self._connection()
        cursor = connection.cursor()
        try:
            cursor.execute(begin)
            result = work(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        finally:
            cursor.close()
        return result

    def _roll_back(self, connection: Connection) -> None:
        """Leaves the connection ready for the next transaction, or drops it."""
        with suppress(self.dialect.error):  # no transaction is open, or the connection is lost
            connection.cursor().execute("ROLLBACK")
        if self.dialect.is_lost(connection):
            _close(self._held)

    def _connection(self) -> Connection:
        if self._is_closed:
            raise LogError(f"{self.dialect.name} is closed; make a new one")
        if not self._held:
            self._held.append(self.dialect.connect())
        return self._held[0]

    def _end(self) -> None:
        with self._lock:
            self._is_closed = True
            _close(self._held)


def _close(held: list[Connection]) -> None:
    while held:
        held.pop().close()
