"""The one thread that drives an engine. Knows nothing of event loops.

Lifetimes: a worker lives as long as its engine; a ticket as long as one request. Callers
talk to the thread through its inbox; it answers through each ticket's `deliver`, called in
the engine's thread, which must return at once and must not raise anything but
`ConsumerGone`.
"""

import atexit
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from decoding.engine import Engine
from decoding.engine_stats import EngineStats
from decoding.errors import EngineClosed
from decoding.modes import DecodeMode
from decoding.request import Event, Failed, Finished
from decoding.tokenizer import Tokenizer

Deliver = Callable[[Event], None]
Command = Callable[[Engine], None]
Add = Callable[[Engine], int]
"""Queues a request and returns its id."""


class ConsumerGone(Exception):
    """Raised by `deliver` when nobody is left to hear; the request is aborted."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A submitted request. `request_id` is known once the engine has taken it; `on_taken` is then
    called, in the engine's thread, under the same obligations as `deliver`."""

    add: Add
    deliver: Deliver
    on_taken: Callable[[], None] | None = None
    request_id: int | None = None


class Worker:
    """Owns an engine and the thread that makes and drives it."""

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._last_stats: EngineStats | None = None
        self._tokenizer: Tokenizer | None = None
        self._ready = threading.Event()
        self._inbox: SimpleQueue[Command] = SimpleQueue()
        self._tickets: dict[int, Ticket] = {}
        self._open: set[Ticket] = set()
        self._backlog: deque[Ticket] = deque()
        self._lock = threading.Lock()
        self._stopping = False
        self._closed: EngineClosed | None = None
        # A daemon, so that a forgotten engine cannot keep the interpreter alive; the exit
        # hook still ends it in order, before torch is torn down.
        self._thread = threading.Thread(target=self._run, name="decoding-engine", daemon=True)
        self._thread.start()
        atexit.register(self.stop)

    def wait_ready(self) -> Engine:
        """Blocks until the engine is made. Raises what making it raised."""
        self._ready.wait()
        with self._lock:
            if self._closed is not None and self._tokenizer is None:
                raise self._closed.__cause__ or self._closed
            self._check_open()
        return self.engine

    @property
    def engine(self) -> Engine:
        """The engine while there is one. Raises `EngineClosed` before and after."""
        engine = self._engine
        if engine is None:
            with self._lock:
                self._check_open()
            raise EngineClosed("the engine is not loaded yet; start it and wait")
        return engine

    @property
    def tokenizer(self) -> Tokenizer:
        """The engine's, which outlives it: answers are read after the end, too. Raises
        `EngineClosed` before it is made."""
        if self._tokenizer is None:
            raise EngineClosed("the engine is not loaded yet; start it and wait")
        return self._tokenizer

    def stats(self) -> EngineStats:
        """The engine's, or the last there were. Raises `EngineClosed` before it is made, and where
        it ended by an error."""
        engine, last = self._engine, self._last_stats
        if engine is not None:
            return engine.stats()
        return self.engine.stats() if last is None else last

    def submit(
        self, add: Add, deliver: Deliver, on_taken: Callable[[], None] | None = None
    ) -> Ticket:
        """Has `add` queue a request, once those submitted before are queued and there is room.

        Its first event, or `Failed`, comes through `deliver`. Raises `EngineClosed` once the
        thread has stopped.
        """
        ticket = Ticket(add, deliver, on_taken)
        with self._lock:
            self._check_open()
            self._open.add(ticket)
            self._inbox.put(lambda engine: self._queue(engine, ticket))
        return ticket

    def post(self, command: Command) -> None:
        """Has the thread run a command between two forwards. Raises `EngineClosed`."""
        with self._lock:
            self._check_open()
            self._inbox.put(command)

    def switch(self, ticket: Ticket, mode: DecodeMode) -> None:
        """Decodes a request in another mode from one of its next steps on. Where that fails, so
        does the request, and no other. Raises `EngineClosed`."""

        def command(engine: Engine) -> None:
            request_id = ticket.request_id
            if request_id is None:
                return
            try:
                engine.switch(request_id, mode)
            except Exception as error:  # noqa: BLE001 - it belongs to the caller who asked
                if engine.abort(request_id):  # else it is over already
                    self._deliver(engine, Failed(request_id, error))

        self.post(command)

    def abort(self, ticket: Ticket) -> None:
        """Ends a request between two forwards; a last event still comes through `deliver`."""

        def command(engine: Engine) -> None:
            if ticket.request_id is not None:
                engine.abort(ticket.request_id)
            elif ticket in self._backlog:
                self._backlog.remove(ticket)
                self._refuse(engine, ticket, EngineClosed("the request was given up"))

        try:
            self.post(command)
        except EngineClosed:
            return  # the thread's end has already failed every ticket

    def stop(self) -> None:
        """Ends all requests and the thread, and waits for it. Repeating it does nothing."""
        self.request_stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.stop)

    def request_stop(self) -> None:
        """As `stop`, without waiting."""

        def command(engine: Engine) -> None:
            self._stopping = True
            engine.close()

        try:
            self.post(command)
        except EngineClosed:
            return

    def _check_open(self) -> None:
        if self._closed is not None:
            raise EngineClosed(str(self._closed)) from self._closed.__cause__

    def _run(self) -> None:
        cause: BaseException | None = None
        try:
            self._engine = self._make_engine()
            self._tokenizer = self._engine.tokenizer
            self._ready.set()
            self._drive(self._engine)
        except BaseException as error:  # noqa: BLE001 - handed to everybody who waits
            cause = error
        self._end(cause)
        self._ready.set()

    def _drive(self, engine: Engine) -> None:
        while not (self._stopping and engine.is_idle):
            self._obey(engine, wait=engine.is_idle and not self._backlog)
            self._feed(engine)
            for event in engine.step():
                self._deliver(engine, event)

    def _obey(self, engine: Engine, *, wait: bool) -> None:
        """Runs the queued commands; with nothing else to do, waits for one."""
        try:
            command = self._inbox.get(block=wait)
            while True:
                command(engine)
                command = self._inbox.get(block=False)
        except Empty:
            return

    def _queue(self, engine: Engine, ticket: Ticket) -> None:
        self._backlog.append(ticket)
        self._feed(engine)

    def _feed(self, engine: Engine) -> None:
        """Gives the engine what was submitted, in order, as long as it has room."""
        while self._backlog and engine.has_room:
            self._add(engine, self._backlog.popleft())

    def _add(self, engine: Engine, ticket: Ticket) -> None:
        try:
            ticket.request_id = ticket.add(engine)
        except Exception as error:  # noqa: BLE001 - a refusal belongs to the caller who asked
            self._refuse(engine, ticket, error)
            return
        self._tickets[ticket.request_id] = ticket
        if ticket.on_taken is None:
            return
        try:
            ticket.on_taken()
        except ConsumerGone:
            engine.abort(ticket.request_id)

    def _refuse(self, engine: Engine, ticket: Ticket, error: Exception) -> None:
        self._tell(engine, ticket, Failed(-1, error))
        self._open.discard(ticket)

    def _deliver(self, engine: Engine, event: Event) -> None:
        if isinstance(event, Finished | Failed):
            ticket = self._tickets.pop(event.request_id, None)
        else:
            ticket = self._tickets.get(event.request_id)
        if ticket is None:
            return
        self._tell(engine, ticket, event)
        if isinstance(event, Finished | Failed):
            self._open.discard(ticket)

    def _tell(self, engine: Engine, ticket: Ticket, event: Event) -> None:
        try:
            ticket.deliver(event)
        except ConsumerGone:
            if ticket.request_id is not None:
                engine.abort(ticket.request_id)

    def _end(self, cause: BaseException | None) -> None:
        """Refuses all from here on, fails whoever still waits, and lets go of the weights."""
        reason = "the engine is closed" if cause is None else f"the engine's thread died: {cause!r}"
        closed = EngineClosed(reason)
        closed.__cause__ = cause
        with self._lock:
            self._closed = closed
            waiting, self._open = self._open, set()
        if cause is not None:
            traceback.clear_frames(cause.__traceback__)  # they hold the engine
        elif self._engine is not None:
            self._last_stats = self._engine.stats()
        self._engine = None
        for ticket in waiting:
            try:
                ticket.deliver(
                    Failed(-1 if ticket.request_id is None else ticket.request_id, closed)
                )
            except ConsumerGone:
                continue
