"""Where the runs of a test are kept: an SQLite file, or a schema of a Postgres database."""

from agentkit import PostgresSessions, Sessions, SQLiteSessions


def open_sessions(place: str) -> Sessions:
    if place.startswith("host="):
        return PostgresSessions(place)
    return SQLiteSessions(place, fsync=False)
