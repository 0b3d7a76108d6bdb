"""The app on uvicorn."""

import socket
from collections.abc import Callable

from agentkit.models.base import Model
from agentkit.openai_server.app import create_app

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

    Raises `OSError` where the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as sock:
        if listening is not None:
            shown = f"[{host}]" if family is socket.AF_INET6 else host
            listening(f"http://{shown}:{sock.getsockname()[1]}/v1")
        config = uvicorn.Config(create_app(model), log_level="warning", lifespan="on")
        await uvicorn.Server(config).serve([sock])
