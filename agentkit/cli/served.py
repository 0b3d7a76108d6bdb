"""`agentkit mcp`: tools for MCP clients."""

from collections.abc import Sequence
from functools import partial

import anyio

from agentkit.tool import Tool


def serve(tools: Sequence[Tool], name: str) -> None:
    """Until stdin ends. Raises `ImportError` without the package `mcp`."""
    from agentkit.mcp_server import serve_mcp

    anyio.run(partial(serve_mcp, tools, name=name))
