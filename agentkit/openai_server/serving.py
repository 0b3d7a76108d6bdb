"""The app on uvicorn."""

import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any

from agentkit.models.base import Model
from agentkit.openai_server.app import app_of, life_of

try:
    import uvicorn
except ModuleNotFoundError as error:
    raise ImportError(
        "agentkit.openai_server needs the package uvicorn: pip install 'trimode[serve]'"
    ) from error


async def serve(
    model: Model,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    listening: Callable[[str], None] | None = None,
) -> None:
    """Serves `model` (see `create_app`) until the process is told to stop; answers under way are
    told to their end. `listening` is told the base URL for clients once it can be reached; port 0
    takes one that is free. Needs an event loop of asyncio; on trio, give the app to hypercorn.

    Raises `OSError` where the address cannot be had, and what the model raises that cannot begin.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    life = _Noted(life_of(model))
    config = uvicorn.Config(app_of(model, life), log_level="warning", lifespan="on")
    with socket.create_server((host, port), family=family) as sock:
        shown = f"[{host}]" if family is socket.AF_INET6 else host
        url = f"http://{shown}:{sock.getsockname()[1]}/v1"
        try:
            await _Server(config, partial(listening or _unheard, url)).serve([sock])
        except SystemExit:  # all that uvicorn says of an app that does not start
            if life.error is None:
                raise
            raise life.error from None
        if life.error is not None:  # older releases of uvicorn say nothing at all
            raise life.error


def _unheard(url: str) -> None:
    """Nobody wants to know."""


class _Server(uvicorn.Server):
    """Tells when it can be reached."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        try:
            self._tell_started()
        except BaseException:
            await self.shutdown(sockets)
            raise


class _Noted:
    """A context that remembers why it could not be entered."""

    def __init__(self, context: AbstractAsyncContextManager[Any]) -> None:
        self._context = context
        self.error: Exception | None = None

    async def __aenter__(self) -> Any:
        try:
            return await self._context.__aenter__()
        except Exception as error:
            self.error = error
            raise

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._context.__aexit__(error_type, error, traceback)
