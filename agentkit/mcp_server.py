"""An agent's tools for MCP clients, over the standard streams. Adapter to the package `mcp`."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from agentkit.agent import Agent
from agentkit.context import RunContext
from agentkit.definition import toolbox
from agentkit.errors import AgentError, ToolDefinitionError, ToolError, UnknownTool
from agentkit.gate import ReadyCall, attempt, outcome_of
from agentkit.journal import CallOutcome
from agentkit.tool import Tool
from agentkit.unicode import as_unicode
from agentkit.usage import Usage

try:
    import mcp_types as types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server
except ModuleNotFoundError as error:
    raise ImportError(
        "agentkit.mcp_server needs the package mcp: pip install 'trimode[mcp]'"
    ) from error

logger = logging.getLogger(__name__)


async def serve_mcp(
    tools: Agent[Any, Any] | Iterable[Tool | Callable[..., Any]],
    *,
    name: str = "agentkit",
    instructions: str | None = None,
    deps: Any = None,
) -> None:
    """Serves the tools of an agent, or these tools, over stdin and stdout until stdin ends.

    Clients of the protocol of 2026-07-28 and of those before it are served; calls run at once,
    and one that a client cancels is cancelled. Arguments are checked as in a run. What a tool
    raises as `ToolError`, a time-out included, goes to the client as the call's error;
    anything else is logged on stderr, and the client is told only that the tool failed. What
    tools print goes to stderr, since stdout belongs to the protocol. Of a result longer than its
    tool's `max_result_chars` the client sees the start and the end.

    Each call has a `RunContext` of its own with `deps`, the name of the tool, no messages and
    no usage. Nobody is asked before a tool runs: that is the client's to do. So an agent's tools
    that wait for an approval, or for a result from elsewhere, are left out, which is logged.
    Needs the extra `mcp`. Raises `ToolDefinitionError` for what cannot be a tool, for two of one
    name, and for such a tool that was given by itself.
    """
    serving = _Serving(_served(tools), deps)
    server: Server[Any] = Server(
        name,
        instructions=instructions,
        on_list_tools=serving.list_tools,
        on_call_tool=serving.call_tool,
    )
    # The file descriptors are safe meanwhile, but not what Python buffers for them till the end.
    async with stdio_server() as (received, sent):
        with redirect_stdout(sys.stderr):
            await server.run(received, sent, server.create_initialization_options())


def _served(
    tools: Agent[Any, Any] | Iterable[Tool | Callable[..., Any]],
) -> Mapping[str, Tool]:
    """Those that can run without anybody's decision."""
    offered = tools.tools if isinstance(tools, Agent) else tools
    given = toolbox(offered, retries=0, timeout=None)
    waiting = [name for name, tool in given.items() if tool.may_wait]
    if waiting and not isinstance(tools, Agent):
        raise ToolDefinitionError(
            f"{', '.join(map(repr, waiting))}: waits for an approval or a result, and nobody can "
            "give one to a client of this server; leave it out"
        )
    for name in waiting:
        logger.warning("tool %r is not served: it waits for an approval or a result", name)
    return {name: tool for name, tool in given.items() if not tool.may_wait}


@dataclass(frozen=True, slots=True)
class _Serving:
    tools: Mapping[str, Tool]
    deps: Any
    _run_id: str = field(default_factory=lambda: uuid4().hex)

    async def list_tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name, description=tool.description, input_schema=tool.parameters
                )
                for tool in self.tools.values()
            ]
        )

    async def call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            outcome = await self._called(params.name, params.arguments or {})
        except ToolError as error:  # no such tool, or not with these arguments
            outcome = outcome_of(error)
        except AgentError:
            logger.exception("tool %r failed", params.name)
            return _result(f"tool {params.name!r} failed; the server's log says why", is_error=True)
        return _result(outcome.content, is_error=outcome.is_error)

    async def _called(self, name: str, arguments: dict[str, Any]) -> CallOutcome:
        if name not in self.tools:
            raise UnknownTool(name, self.tools)
        tool = self.tools[name]
        context = RunContext(self.deps, self._run_id, Usage(), (), tool.name, uuid4().hex)
        ready = ReadyCall(tool, tool.validate(json.dumps(arguments)))
        return (await attempt(ready, context)).outcome


def _result(text: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=as_unicode(text))], is_error=is_error
    )
