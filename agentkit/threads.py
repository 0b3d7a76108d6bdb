"""Blocking functions, off the event loop."""

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Returned(Generic[T]):
    value: T


def _forget_event_loop() -> None:
    """The thread has none, whatever the caller's variable says: it may run one of its own."""
    try:
        from sniffio import current_async_library_cvar
    except ImportError:  # then there is no such variable
        return
    current_async_library_cvar.set(None)


async def run_in_thread(function: Callable[[], T]) -> T:
    """Runs `function` in a thread of its own, in the caller's context variables.

    Cancelling the wait abandons the thread: the function runs on, unseen, until it returns.
    Not `anyio.to_thread`: under asyncio its threads are joined when the process ends, so one
    function that never returns would keep the process from ending.
    """
    outcome: list[_Returned[T] | BaseException] = []
    finished = anyio.Event()
    token = current_token()

    def work() -> None:
        try:
            outcome.append(_Returned(function()))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting task
            outcome.append(error)
        try:
            from_thread.run_sync(finished.set, token=token)
        except RuntimeError:
            return  # the event loop is gone, so nobody waits any more

    context = contextvars.copy_context()
    context.run(_forget_event_loop)
    threading.Thread(target=context.run, args=(work,), name="agentkit-tool", daemon=True).start()
    await finished.wait()
    match outcome.pop():
        case _Returned(value):
            return value
        case error:
            raise error
