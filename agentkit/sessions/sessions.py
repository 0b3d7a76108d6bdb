"""Conversations and runs that outlive their process."""

from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from agentkit.decisions import PendingCall
from agentkit.errors import RunTaken
from agentkit.messages import Message
from agentkit.sessions.conversation import messages_of, pending_of
from agentkit.sessions.log import RunInfo, RunLog, RunState
from agentkit.sessions.records import Failed

Self = TypeVar("Self", bound="Sessions")


class Sessions:
    """What agents keep their runs in, over any `RunLog`. Shareable by any number of agents,
    tasks and event loops; `async with` closes the log at its end.

    A *session* is a conversation: a run in it goes on from the last one that finished. Its runs
    come one after the other, so while one is open (running, or waiting for a decision) another
    is refused with `SessionBusy`. A run that failed or was cancelled is not part of the
    conversation unless it is resumed and finishes.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log

    @property
    def log(self) -> RunLog:
        return self._log

    async def messages(self, session: str) -> tuple[Message, ...]:
        """The conversation so far, fit to be a `message_history`; empty for a new session."""
        head = await self._log.head(session)
        return () if head is None else tuple(messages_of(await self._log.chain(head)))

    async def runs(self, session: str | None = None) -> tuple[RunInfo, ...]:
        """All runs, or those of one session, in the order in which they began."""
        return await self._log.runs(session)

    async def pending(self, run_id: str) -> tuple[PendingCall, ...]:
        """The calls that a paused run waits for. Raises `UnknownRun`."""
        return pending_of(await self._log.read(run_id))

    async def abandon(self, run_id: str) -> None:
        """Ends an open run as failed, so that its session can take another. If it is still under
        way somewhere, it ends there with `RunTaken` before its next step. Raises `UnknownRun`."""
        record = Failed("abandoned", "given up by its owner")
        while (run := await self._log.read(run_id)).info.state.is_open:
            with suppress(RunTaken):  # it has just written something itself
                await self._log.append(run_id, len(run.records), [record], RunState.FAILED)

    async def forget(self, session: str) -> int:
        """Deletes a session with all its runs; gives their number."""
        return await self._log.forget(session)

    async def aclose(self) -> None:
        await self._log.aclose()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
