"""Calling the tools of an MCP server. Adapter to `mcp`, of which nothing else imports anything."""

import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, TextIO, cast

import anyio
import httpx2
import mcp_types as types
from anyio.abc import TaskStatus
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic_core import to_json

from agentkit import Tool, ToolDefinitionError, ToolError
from tools.mcp import HttpServer, McpServerError, StdioServer

_MAX_PAGES = 100
_MAX_CHARACTERS = 100_000
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tools of a server, under which names and conditions."""

    prefix: str
    only: frozenset[str] | None
    without: frozenset[str]
    seconds: float
    check_schema: Callable[[dict[str, Any]], object] | None

    def of(self, offered: Sequence[types.Tool]) -> list[types.Tool]:
        names = {tool.name for tool in offered}
        unknown = sorted((self.without | (self.only or frozenset())) - names)
        if unknown:
            raise ValueError(
                f"the server has no tool {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(sorted(names)) or 'none'}"
            )
        wanted = names if self.only is None else self.only
        return [tool for tool in offered if tool.name in wanted - self.without]


@dataclass(slots=True)
class _Session:
    """A client in a task of its own: when its server fails, the client's task groups cancel that
    task, and not the one in which the tools are used."""

    client: Client
    offered: Sequence[types.Tool]
    is_lost: bool = False
    _calls: set[anyio.CancelScope] = field(default_factory=set)

    async def call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """Raises `McpServerError` where the server is gone, `MCPError` for what it refuses,
        `RuntimeError` or `ValueError` for an answer that is not what the tool promised."""
        if not self.is_lost:
            with anyio.CancelScope() as scope:
                self._calls.add(scope)
                try:
                    return await self.client.call_tool(name, arguments)
                except MCPError as error:
                    if error.code != types.CONNECTION_CLOSED:
                        raise
                finally:
                    self._calls.discard(scope)
        raise McpServerError("the server of this tool is gone; it cannot be used any more")

    def lose(self) -> None:
        self.is_lost = True
        for scope in self._calls:
            scope.cancel()


@asynccontextmanager
async def opened(
    server: StdioServer | HttpServer, choice: Choice, connect_seconds: float
) -> AsyncIterator[tuple[Tool, ...]]:
    """See `tools.mcp.mcp_tools`."""
    failure: BaseException | None = None
    is_over = anyio.Event()
    async with anyio.create_task_group() as group:
        try:
            session = await group.start(_serve, server, connect_seconds, is_over)
            yield _tools(session, choice)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised below, and not in a group
            failure = error
        finally:
            is_over.set()
    if failure is not None:
        raise failure


async def _serve(
    server: StdioServer | HttpServer,
    connect_seconds: float,
    is_over: anyio.Event,
    *,
    task_status: TaskStatus[_Session],
) -> None:
    """Raises `McpServerError` if the server cannot be used; once it is, `_Session.lose` tells."""
    session: _Session | None = None
    try:
        with anyio.CancelScope(deadline=anyio.current_time() + connect_seconds) as scope:
            async with AsyncExitStack() as stack:
                client = await _connected(stack, server)
                session = _Session(client, await _offered(client))
                scope.deadline = inf
                task_status.started(session)
                await is_over.wait()
    except Exception as error:
        if session is None:
            reason = _reason(error)
            raise McpServerError(f"{_shown(server)} cannot be used: {reason}") from error
    finally:
        if session is not None:
            session.lose()
    if session is None:
        raise McpServerError(f"{_shown(server)} did not answer within {connect_seconds:g} seconds")


async def _connected(stack: AsyncExitStack, server: StdioServer | HttpServer) -> Client:
    if isinstance(server, HttpServer):
        # Answers may take as long as tools do; those have a time-out of their own.
        http = httpx2.AsyncClient(
            headers=dict(server.headers), timeout=httpx2.Timeout(30, read=None)
        )
        await stack.enter_async_context(http)
        transport = streamable_http_client(server.url, http_client=http)
    else:
        parameters = StdioServerParameters(
            command=server.command, args=list(server.args), env=dict(server.env), cwd=server.cwd
        )
        nowhere = await stack.enter_async_context(await anyio.open_file(os.devnull, "w"))
        said = sys.stderr if server.shows_stderr else cast("TextIO", nowhere.wrapped)
        transport = stdio_client(parameters, errlog=said)
    return await stack.enter_async_context(Client(transport, cache=None))


async def _offered(client: Client) -> list[types.Tool]:
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            return tools
    raise McpServerError(f"its list of tools has more than {_MAX_PAGES} pages")


def _tools(session: _Session, choice: Choice) -> tuple[Tool, ...]:
    made: dict[str, Tool] = {}
    problems: list[str] = []
    for each in choice.of(session.offered):
        try:
            tool = _tool(session, choice, each)
            if tool.name in made:
                raise ToolDefinitionError(f"another tool is named {tool.name!r} too")
        except Exception as error:  # noqa: BLE001 - told below, with those of the others
            problems.append(f"{each.name!r}: {error}")
        else:
            made[tool.name] = tool
    if problems:
        raise ToolDefinitionError(
            f"{len(problems)} of the server's tools cannot be used; leave them out with "
            f"without=[...]: {'; '.join(problems)}"
        )
    return tuple(made.values())


def _tool(session: _Session, choice: Choice, offered: types.Tool) -> Tool:
    schema = {"type": "object", **offered.input_schema}
    tool = Tool.from_schema(
        choice.prefix + _NOT_IN_NAMES.sub("_", offered.name),
        offered.description or offered.title or "",
        schema,
        partial(_call, session, offered.name),
        timeout=choice.seconds,
    )
    if choice.check_schema is not None:
        choice.check_schema(schema)
    return tool


async def _call(session: _Session, name: str, arguments: dict[str, Any]) -> str:
    try:
        result = await session.call(name, arguments)
    except MCPError as error:
        raise ToolError(f"the server refused the call: {error.message}") from error
    except (RuntimeError, ValueError) as error:
        raise ToolError(f"the server's answer cannot be used: {error}") from error
    text = _text(result)
    if result.is_error:
        raise ToolError(text or "the server says that the call failed, and not why")
    return text or "(the answer is empty)"


def _text(result: types.CallToolResult) -> str:
    pieces = list(map(_piece, result.content))
    if result.structured_content is not None and not _has_text(result.content):
        pieces.insert(0, to_json(result.structured_content).decode())
    text = "\n".join(pieces)
    if len(text) > _MAX_CHARACTERS:
        return f"{text[:_MAX_CHARACTERS]}\n[cut here, {len(text)} characters in all]"
    return text


def _has_text(content: Iterable[types.ContentBlock]) -> bool:
    return any(isinstance(block, types.TextContent) for block in content)


def _piece(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ResourceLink():
            return f"{block.title or block.name}: {block.uri}"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.EmbeddedResource(resource=resource):
            return _left_out("a resource", resource.mime_type)
        case types.ImageContent():
            return _left_out("an image", block.mime_type)
        case types.AudioContent():
            return _left_out("sound", block.mime_type)


def _left_out(what: str, kind: str | None) -> str:
    return f"[{what} ({kind or 'of an unknown type'}) is left out: only text can be read]"


def _shown(server: StdioServer | HttpServer) -> str:
    address = server.url if isinstance(server, HttpServer) else server.command
    return f"the MCP server {address}"


def _reason(error: BaseException) -> str:
    """What an error says, or the first of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
