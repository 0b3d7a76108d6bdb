"""The log in a Postgres database. Needs the extra `postgres`."""

from agentkit.sessions.database import Connection, Dialect
from agentkit.sessions.sessions import Sessions
from agentkit.sessions.sql import SqlLog, tables

_CONNECT_SECONDS = 30
_SET_UP_LOCK = 0x6167656E746B6974  # any number that nobody else locks


class PostgresSessions(Sessions):
    """Keeps runs in the tables `agentkit_runs` and `agentkit_records` of a Postgres database,
    made where there are none. Any number of processes and machines may share it.

    `conninfo` is a libpq connection string or URI. One connection per object: it opens with the
    first use, and anew after it was lost; `LogError` where that fails. Raises `ImportError`
    without psycopg.
    """

    def __init__(self, conninfo: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ImportError(
                "PostgresSessions needs psycopg: pip install 'trimode[postgres]'"
            ) from error

        def connect() -> Connection:
            connection: Connection = psycopg.connect(
                conninfo, autocommit=True, connect_timeout=_CONNECT_SECONDS
            )
            try:
                _make_tables(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        def is_lost(connection: Connection) -> bool:
            return isinstance(connection, psycopg.Connection) and connection.closed

        super().__init__(
            SqlLog(
                Dialect(
                    name="Postgres log",
                    connect=connect,
                    begin_read="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                    begin_write="BEGIN ISOLATION LEVEL READ COMMITTED",
                    placeholder="%s",
                    error=psycopg.Error,
                    conflict=psycopg.errors.UniqueViolation,
                    is_lost=is_lost,
                )
            )
        )


def _make_tables(connection: Connection) -> None:
    """Under a lock: of two that make a table at once, Postgres would fail one."""
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_SET_UP_LOCK,))
    cursor.execute("SET LOCAL client_min_messages = warning")
    for statement in tables("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "DOUBLE PRECISION"):
        cursor.execute(statement)
    cursor.execute("COMMIT")
    cursor.close()
