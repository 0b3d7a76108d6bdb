"""A run that is watched while it runs."""

import math
import uuid
from types import TracebackType
from typing import Any, Generic

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from agentkit.cancel import CancelToken
from agentkit.events import RunEvent
from agentkit.messages import Message
from agentkit.result import OutputT, RunResult
from agentkit.run import Run
from agentkit.watch import watched


class RunStream(Generic[OutputT]):
    """One run as a scope: entering starts it, iterating tells its events, leaving ends it.

    The run never waits for its reader: events queue up without bound until they are read.
    Leaving early cancels the run and waits until its model stream and tools have stopped. An
    error of the run is raised where its events end; by leaving if they were not read that far.
    """

    def __init__(self, run: Run) -> None:
        self._cancel = CancelToken()
        self._run = run
        run.tokens = (*run.tokens, self._cancel)
        self._result: RunResult[Any] | None = None
        self._error: Exception | None = None
        self._group: TaskGroup | None = None
        self._receive: MemoryObjectReceiveStream[RunEvent] | None = None

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history so far; also after the run failed or was left early."""
        return tuple(self._run.messages)

    @property
    def result(self) -> RunResult[OutputT]:
        """Raises `RuntimeError` while the run has none."""
        if self._result is None:
            raise RuntimeError("the run has no result yet; read its events to the end first")
        return self._result

    def cancel(self) -> None:
        """Stops the run, from any task or thread; its events then end in `RunCancelled`, which
        carries the history so far."""
        self._cancel.cancel()

    def fork(self, prompt: str) -> "RunStream[OutputT]":
        """Another run, from what there is of this one's history now and under `prompt`. This
        one goes on; a model in this process keeps what both begin with once."""
        run, run_id = self._run, uuid.uuid4().hex
        return RunStream(
            Run.open(
                run.definition,
                prompt,
                deps=run.deps,
                history=run.history("the run was forked here"),
                limits=run.limits,
                settings=run.settings,
                run_id=run_id,
                journal=run.definition.new_journal(run_id),
            )
        )

    async def __aenter__(self) -> "RunStream[OutputT]":
        if self._group is not None:
            raise RuntimeError("a RunStream can be entered once; call run_stream again")
        send, self._receive = anyio.create_memory_object_stream[RunEvent](math.inf)
        self._run.emit = send.send_nowait
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._work, send, name=f"run {self.run_id}")
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._group is not None
        assert self._receive is not None
        self._group.cancel_scope.cancel()
        try:
            # The group is not shown the reader's error, which it would wrap in a group of errors.
            await self._group.__aexit__(None, None, None)
        finally:
            self._receive.close()
        if error is None:
            self._raise_error()

    def __aiter__(self) -> "RunStream[OutputT]":
        return self

    async def __anext__(self) -> RunEvent:
        if self._receive is None:
            raise RuntimeError("enter the run first: `async with agent.run_stream(...) as run`")
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            pass
        self._raise_error()
        raise StopAsyncIteration

    async def _work(self, send: MemoryObjectSendStream[RunEvent]) -> None:
        with send:
            try:
                self._result = await watched(self._run)
            except Exception as error:  # noqa: BLE001 - handed to the reader, raised there
                self._error = error

    def _raise_error(self) -> None:
        """Raises the run's error once."""
        error, self._error = self._error, None
        if error is not None:
            raise error
