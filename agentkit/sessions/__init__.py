"""Runs that outlive their process: an append-only log, in SQLite or Postgres."""

from agentkit.sessions.log import LoggedRun, RunInfo, RunLog, RunState
from agentkit.sessions.postgres import PostgresSessions
from agentkit.sessions.sessions import Sessions
from agentkit.sessions.sqlite import SQLiteSessions

__all__ = [
    "LoggedRun",
    "PostgresSessions",
    "RunInfo",
    "RunLog",
    "RunState",
    "SQLiteSessions",
    "Sessions",
]
