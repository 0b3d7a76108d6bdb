"""The tools of an MCP server. The protocol's own package is loaded on first use."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentkit import Tool, ToolError


class McpServerError(ToolError):
    """An MCP server cannot be started, does not answer, or is gone. While tools are opened it
    reaches the caller; later the model is told, at each call, and the run goes on."""


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A program that speaks MCP over its standard streams; it lives as long as its tools.

    `env` is added to the few variables that every server gets (`HOME`, `PATH` and the like),
    so that no secret of this process's is handed on by accident. What the server writes to
    stderr is shown on stderr unless `shows_stderr` is False.
    """

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | Path | None = None
    shows_stderr: bool = True


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server at a URL, over streamable HTTP. `headers` go with every request, for example
    an `Authorization`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def mcp_tools(
    server: StdioServer | HttpServer,
    *,
    prefix: str = "",
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    seconds: float = 60,
    connect_seconds: float = 30,
    check_schema: Callable[[dict[str, Any]], object] | None = None,
) -> AbstractAsyncContextManager[tuple[Tool, ...]]:
    """The tools of `server`, for as long as the context is open.

        async with mcp_tools(StdioServer("my-server"), prefix="my_") as tools:
            await Agent(model, tools=tools).run("...")

    Speaks the protocol of 2026-07-28 and those before it. Tools are listed once, when the
    context opens: `only` and `without` choose by the server's names, to which `prefix` is
    added; characters that a tool's name cannot have become `_`. A tool is described by the
    server's own JSON Schema, which arguments are checked against before they are sent.
    `check_schema` may refuse schemas by raising: with `Grammar.json_schema` of `decoding`,
    keywords that the in-process decoder does not support are found here, by name, and not
    at the first turn.

    Results are text: texts as they are, structured content as JSON where there is no text,
    a link as its name and URI. Images, sound and other bytes are left out, with a note in
    their place. What a server calls an error goes to the model as `ToolError`, as do its
    protocol errors; so does `McpServerError` once the server is gone. A call that takes more
    than `seconds` is cancelled, at the server too, and the model is told (`ToolTimeout`);
    so is a call whose run is cancelled. Requests of the server's (sampling, elicitation,
    roots) are refused.

    Runs under asyncio and trio. A server is trusted with what the model sends it, and its
    descriptions and answers are read by the model. Needs the extra `mcp`.

    Opening raises `McpServerError` for a server that does not answer within `connect_seconds`,
    `ToolDefinitionError` naming every tool that cannot be used and why, and `ValueError` for a
    name in `only` or `without` that the server does not have, or for times not above 0.
    """
    try:
        from tools.mcp_client import Choice, opened
    except ModuleNotFoundError as error:
        raise ImportError("tools.mcp needs the package mcp: pip install 'trimode[mcp]'") from error
    if not (seconds > 0 and connect_seconds > 0):
        raise ValueError(f"seconds {seconds} and connect_seconds {connect_seconds} must be above 0")
    choice = Choice(
        prefix=prefix,
        only=None if only is None else frozenset(only),
        without=frozenset(without),
        seconds=seconds,
        check_schema=check_schema,
    )
    return opened(server, choice, connect_seconds)
