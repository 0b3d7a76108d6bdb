"""Calls of idempotent tools that start while the model still writes the rest of its answer."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import copy_context

import anyio
from anyio.abc import TaskGroup

from agentkit.decisions import OnUnknown
from agentkit.errors import ToolCrashed, ToolError, UsageLimitExceeded
from agentkit.events import ToolStarted
from agentkit.gate import Attempt, ReadyCall, attempt, sort_call
from agentkit.journal import CallState
from agentkit.messages import ModelUsage, ToolCall
from agentkit.run import Run
from agentkit.tool import Tool


class EarlyCall:
    """A call under way. Its tool runs once, whoever waits for it."""

    def __init__(self, run: Run, call: ToolCall, ready: ReadyCall) -> None:
        self.call = call
        self._run = run
        self._ready = ready
        self._ended = anyio.Event()
        self._came: Attempt | Exception | None = None

    async def work(self, slots: anyio.Semaphore) -> None:
        """Runs the tool, then gives its slot back."""
        context = self._run.context(self.call.name, self.call.call_id)
        try:
            self._came = await attempt(self._ready, context)
        except Exception as error:  # noqa: BLE001 - raised where the outcome is asked for
            self._came = error
        slots.release()
        self._ended.set()

    async def came(self) -> Attempt:
        """What came of it, once it has ended. Raises what the tool crashed with."""
        await self._ended.wait()
        if isinstance(self._came, Exception):
            raise self._came
        assert self._came is not None
        return self._came


class EarlyCalls:
    """The calls of one turn that were started early. `slots` are those of all its calls.

    Without `group` none starts early.
    """

    def __init__(self, run: Run, tools: Mapping[str, Tool], group: TaskGroup | None) -> None:
        self.slots = anyio.Semaphore(run.definition.max_concurrent_tools or sys.maxsize)
        self._run = run
        self._tools = tools
        self._group = group
        self._context = copy_context()  # so that no call is traced as a part of the answer
        self._num_complete = 0
        self._begun: list[EarlyCall] = []

    def start(self, call: ToolCall) -> None:
        """Starts a call that the model has completed, if it may start now. Any other waits for
        the end of the turn, where it also fails if it has to."""
        self._num_complete += 1
        ready = self._ready(call)
        if ready is None or self._group is None:
            return
        try:
            self.slots.acquire_nowait()
        except anyio.WouldBlock:
            return
        early = EarlyCall(self._run, call, ready)
        self._begun.append(early)
        self._run.emit(ToolStarted(call))
        self._context.run(self._group.start_soon, early.work, self.slots)

    def take(self, call: ToolCall) -> EarlyCall | None:
        """The call, if it was started early; each is given once."""
        for index, early in enumerate(self._begun):
            if early.call == call:
                return self._begun.pop(index)
        return None

    def _ready(self, call: ToolCall) -> ReadyCall | None:
        tool = self._tools.get(call.name)
        if tool is None or not tool.idempotent or not self._has_room():
            return None
        try:
            ready = sort_call(call, self._tools, CallState(), OnUnknown.RAISE)
        except (ToolError, ToolCrashed):
            return None
        return ready if isinstance(ready, ReadyCall) else None

    def _has_room(self) -> bool:
        """Whether the limits allow the calls so far and, as far as one knows by now, the turn
        that would read their results."""
        run = self._run
        try:
            run.limits.check(run.usage.with_turn(ModelUsage()), self._num_complete)
        except UsageLimitExceeded:
            return False
        return True


@asynccontextmanager
async def early_calls(run: Run, tools: Mapping[str, Tool]) -> AsyncIterator[EarlyCalls]:
    """A turn from its request to its last result. What was started early and not used is
    cancelled where it ends, however it ends."""
    if not (run.definition.eager_tools and any(tool.idempotent for tool in tools.values())):
        yield EarlyCalls(run, tools, None)
        return
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        try:
            yield EarlyCalls(run, tools, group)
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
