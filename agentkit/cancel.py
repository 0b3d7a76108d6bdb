"""Cancelling runs from outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from anyio import CancelScope, from_thread
from anyio.lowlevel import current_token


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """A scope, and the event loop and thread it belongs to."""

    scope: CancelScope
    loop: Any
    thread: int

    def cancel(self) -> None:
        if self.thread == threading.get_ident():
            self.scope.cancel()
            return
        try:
            from_thread.run_sync(self.scope.cancel, token=self.loop)
        except RuntimeError:
            return  # the event loop is gone, and the scope with it


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
        """Asks the runs to stop, and returns once they were all asked. From another thread it
        waits until their event loops get to it."""
        with self._lock:
            self._is_cancelled = True
            bound = tuple(self._bound)
        for each in bound:
            each.cancel()

    @contextmanager
    def bound(self, scope: CancelScope) -> Iterator[None]:
        """Cancels `scope`, which is of this task, when the token is or has been cancelled."""
        mine = _Bound(scope, current_token(), threading.get_ident())
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
