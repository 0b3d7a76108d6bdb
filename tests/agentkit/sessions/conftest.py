"""Every test that asks for a `place` runs on SQLite and on Postgres."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agentkit.sessions.postgres_server import server, why_not


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with server() as conninfo:
        yield conninfo


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty one. See `open_sessions`."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    return new_schema(request.getfixturevalue("postgres"))


def new_schema(conninfo: str) -> str:
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(conninfo) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{conninfo} options='-c search_path={name}'"
