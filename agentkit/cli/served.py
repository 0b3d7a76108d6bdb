"""`agentkit mcp` and `agentkit serve`: tools for MCP clients, a model for clients of OpenAI."""

import importlib
from collections.abc import Sequence
from functools import partial

import anyio
from rich.console import Console

from agentkit.models import Model
from agentkit.tool import Tool


def serve(tools: Sequence[Tool], name: str) -> None:
    """Until stdin ends. Raises `ImportError` without the package `mcp`."""
    from agentkit.mcp_server import serve_mcp

    anyio.run(partial(serve_mcp, tools, name=name))


def serve_model(model: Model, host: str, port: int, errors: Console) -> None:
    """Until Ctrl-C. Raises `ImportError` without what the extra `serve` brings, and `OSError`
    where the address cannot be had."""
    from agentkit.openai_server import serve as serve_chat

    def listening(url: str) -> None:
        told = f"{model.name} is served at {url}; Ctrl-C ends it"
        errors.print(told, markup=False, highlight=False, soft_wrap=True)

    anyio.run(partial(serve_chat, model, host=host, port=port, listening=listening))


def check_serving() -> None:
    """Raises `ImportError` without what `serve_model` needs."""
    importlib.import_module("agentkit.openai_server")
