"""Cancelling runs from outside."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import CancelScope
from anyio.lowlevel import current_token


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """A scope, and the event loop and thread it belongs to."""

    scope: CancelScope
    loop: Any
    thread: int


class CancelToken:
    """Cancels the runs it was given to: `agent.run(..., cancel=token)`, then `token.cancel()`.

    Give it to any number of runs, in any event loops, and cancel from any task or thread. It
    cancels once and for all: a run that begins later with the same token is cancelled at once.
    """

    __slots__ = ("_bound", "_is_cancelled", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bound: set[_Bound] = set()
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def cancel(self) -> None:
        """Asks the runs to stop, without waiting for them."""
        with self._lock:
            self._is_cancelled = True
            bound = tuple(self._bound)
        for each in bound:
            if each.thread == threading.get_ident():
                self._stop(each)
            else:
                _in_loop(each.loop, partial(self._stop, each))

    def _stop(self, bound: _Bound) -> None:
        """Runs in the thread of the scope's event loop, where alone the scope ends."""
        if bound in self._bound:
            bound.scope.cancel()

    @contextmanager
    def bound(self, scope: CancelScope) -> Iterator[None]:
        """Cancels `scope`, which is of this task, when the token is or has been cancelled."""
        mine = _Bound(scope, current_token().native_token, threading.get_ident())
        with self._lock:
            self._bound.add(mine)
            is_late = self._is_cancelled
        if is_late:
            scope.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._bound.discard(mine)


def _in_loop(loop: Any, function: Callable[[], None]) -> None:
    """Has `function` called soon in the event loop, an asyncio loop or a trio token, of another
    thread. Not `anyio.from_thread`, which waits, and which trio refuses inside a trio loop."""
    call_soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    with suppress(RuntimeError):  # the loop is gone, and the scope with it
        call_soon(function)
