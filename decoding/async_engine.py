"""The engine for async programs: one dedicated thread drives it, asyncio and trio wait."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio
from anyio import to_thread
from anyio.lowlevel import current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from decoding.engine import Engine, Profile
from decoding.engine_stats import EngineStats
from decoding.errors import EngineClosed
from decoding.grammar import Grammar
from decoding.modes import Autoregressive, DecodeMode
from decoding.request import Committed, Completion, Event, Failed, Finished, Prompt, Request
from decoding.sampling import Sampling
from decoding.tokenizer import Tokenizer
from decoding.weights import DEFAULT_ADAPTER, Progress
from decoding.worker import Add, ConsumerGone, Ticket, Worker

Item = TypeVar("Item")


class AsyncEngine:
    """An `Engine` that never blocks the event loop. Shareable by any number of tasks.

    Use it as a context manager, or call `start` and `aclose`. A slow reader never holds up
    the engine: events wait in memory. A cancelled or departing reader aborts its request
    between two forwards, and its pages are back before the `async with` is left.
    """

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        """`make_engine` is called in the engine's thread, by `start`; nobody else may use
        what it returns. Raises `TypeError` for an engine itself."""
        if not callable(make_engine):
            raise TypeError(
                "give a function that makes the engine, as in AsyncEngine(lambda: Engine.load(...))"
            )
        self._make_engine = make_engine
        self._worker: Worker | None = None
        self._starting = threading.Lock()

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: str = "cpu",
        profile: Profile = "exact",
        adapter: str | Path | None = DEFAULT_ADAPTER,
        cache_tokens: int = 32768,
        kept_tokens: int | None = None,
        max_live: int = 64,
        max_waiting: int | None = None,
        max_forward_rows: int = 512,
        clock: Callable[[], float] = time.monotonic,
        cache_dir: Path | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> "AsyncEngine":
        """Parameters as in `Engine.load`. Nothing is loaded before `start`; `progress` is
        called in the engine's thread."""

        def make_engine() -> Engine:
            return Engine.load(
                source,
                device=device,
                profile=profile,
                adapter=adapter,
                cache_tokens=cache_tokens,
                kept_tokens=kept_tokens,
                max_live=max_live,
                max_waiting=max_waiting,
                max_forward_rows=max_forward_rows,
                clock=clock,
                cache_dir=cache_dir,
                progress=progress,
            )

        return cls(make_engine)

    async def start(self) -> None:
        """Waits until the weights are loaded; the first call starts loading them.

        Raises what loading raises, `WeightsError` above all, and `EngineClosed` after
        `aclose`. Loading goes on where a caller is cancelled.
        """
        with self._starting:
            if self._worker is None:
                self._worker = Worker(self._make_engine)
        await to_thread.run_sync(self._worker.wait_ready, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Ends all requests and the thread. Repeating it does nothing."""
        if self._worker is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._worker.stop)

    async def __aenter__(self) -> "AsyncEngine":
        try:
            await self.start()
        except BaseException:
            if self._worker is not None:
                self._worker.request_stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, once closed, too; read-only use is safe from any thread."""
        return self._running.tokenizer

    def stats(self) -> EngineStats:
        """A moment's view, as `Engine.stats`; once closed, the last. Does not wait for the engine's
        thread."""
        return self._running.stats()

    async def generate(
        self,
        prompt: Prompt,
        *,
        mode: DecodeMode = Autoregressive(),
        grammar: Grammar | None = None,
        sampling: Sampling = Sampling(),
        max_new_tokens: int = 256,
        stop: tuple[str, ...] = (),
        stop_token_ids: tuple[int, ...] = (),
        close_at_budget: bool = False,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Completion:
        """One answer. Parameters as in `Request`; raises what the engine raises."""
        request = Request(
            prompt,
            mode=mode,
            grammar=grammar,
            sampling=sampling,
            max_new_tokens=max_new_tokens,
            stop=stop,
            stop_token_ids=stop_token_ids,
            close_at_budget=close_at_budget,
            priority=priority,
            deadline=deadline,
        )
        async with self.stream(request) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.completion
        raise EngineClosed("the stream ended without a completion")

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator["EventStream"]:
        """Opens the events of one request. Leaving the context ends it, wherever it stands.

        Where the engine has a `max_waiting`, entering waits for room, in the order of arrival
        whatever the priority, and the deadline counts from when there is room,
        and raises what `Engine.add` raises; else the first event raises it.
        """
        async with self._opened(lambda engine: engine.add(request)) as events:
            yield events

    @asynccontextmanager
    async def fork(
        self,
        stream: "EventStream",
        *,
        mode: DecodeMode | None = None,
        sampling: Sampling | None = None,
        max_new_tokens: int | None = None,
    ) -> AsyncIterator["EventStream"]:
        """Opens a second continuation of a stream's request, from where the engine stands.

        Parameters as in `Engine.fork`; what it raises, the events raise.
        """

        def add(engine: Engine) -> int:
            if stream.ticket.request_id is None:
                raise ValueError("the request was refused; there is nothing to fork")
            return engine.fork(
                stream.ticket.request_id,
                mode=mode,
                sampling=sampling,
                max_new_tokens=max_new_tokens,
            )

        async with self._opened(add) as events:
            yield events

    def switch(self, stream: "EventStream", mode: DecodeMode) -> None:
        """Decodes a stream's request in another mode from one of its next steps on.

        Has no effect on one that is over. Raises `UnsupportedMode`. What fails later, such as
        measuring the cost of forwards, ends the request, and its events raise it.
        """
        mode.fit(self._running.engine.network)
        self._running.switch(stream.ticket, mode)

    def forget(self, keep: str) -> None:
        """Keeps no pages any longer for requests with that `keep`, from one of the next steps
        on. Before `start` and for an unknown name it does nothing."""
        if self._worker is not None:

            def command(engine: Engine) -> None:
                engine.forget(keep)

            self._worker.post(command)

    @asynccontextmanager
    async def _opened(self, add: Add) -> AsyncIterator["EventStream"]:
        worker = self._running
        has_no_limit = worker.engine.max_waiting is None
        mailbox: _Mailbox[Event | _Taken] = _Mailbox()
        try:
            on_taken = None if has_no_limit else lambda: mailbox.post(_Taken())
            ticket = worker.submit(add, mailbox.post, on_taken)
            events = EventStream(mailbox, ticket)
            try:
                if not has_no_limit:
                    await events.wait_taken()
                yield events
            finally:
                if not events.over:
                    worker.abort(ticket)
                    with anyio.CancelScope(shield=True):
                        await events.drain()
        finally:
            mailbox.close()

    @property
    def _running(self) -> Worker:
        if self._worker is None:
            raise EngineClosed("the engine is not started; use `async with`, or await start()")
        return self._worker


class _Taken:
    """The engine has queued the request."""


class EventStream:
    """The events of one request, in order; ends after `Finished`. Raises what went wrong."""

    def __init__(self, mailbox: "_Mailbox[Event | _Taken]", ticket: Ticket) -> None:
        self._mailbox = mailbox
        self.ticket = ticket
        self.over = False

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Committed | Finished:
        if self.over:
            raise StopAsyncIteration
        event = await self._receive()
        assert not isinstance(event, _Taken), "nobody waited for the request to be taken"
        return event

    async def wait_taken(self) -> None:
        """Waits until the engine has queued the request. Raises what it was refused for."""
        first = await self._receive()
        assert isinstance(first, _Taken), "an event came before the request was taken"

    async def _receive(self) -> Committed | Finished | _Taken:
        event = await self._mailbox.receive()
        if isinstance(event, Failed):
            self.over = True
            raise event.error
        self.over = isinstance(event, Finished)
        return event

    async def drain(self) -> None:
        """Waits for the request's last event, dropping the others and any failure."""
        while not self.over:
            self.over = isinstance(await self._mailbox.receive(), Finished | Failed)


class _Mailbox(Generic[Item]):
    """Carries items from any thread into the event loop that made it, without blocking either."""

    def __init__(self) -> None:
        streams = anyio.create_memory_object_stream[Any](math.inf)
        self._send: MemoryObjectSendStream[Any] = streams[0]
        self._receive: MemoryObjectReceiveStream[Any] = streams[1]
        native: Any = current_token().native_token
        is_asyncio = isinstance(native, asyncio.AbstractEventLoop)
        self._call_soon = native.call_soon_threadsafe if is_asyncio else native.run_sync_soon

    def post(self, item: Item) -> None:
        """From any thread. Raises `ConsumerGone` once the event loop has ended."""
        try:
            self._call_soon(self._put, item)
        except RuntimeError as error:
            raise ConsumerGone from error

    def _put(self, item: Item) -> None:
        try:
            self._send.send_nowait(item)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # the reader left after its request was over

    async def receive(self) -> Item:
        item: Item = await self._receive.receive()
        return item

    def close(self) -> None:
        self._send.close()
        self._receive.close()
