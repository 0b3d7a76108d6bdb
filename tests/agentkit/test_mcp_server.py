"""What an MCP client sees of tools that are served: over a subprocess, with the protocol's own
client."""

import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp", reason="the package mcp is not installed (the extra `mcp`)")

from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from agentkit import Agent, ToolDefinitionError, mcp_server, tool
from agentkit.cli.tool_names import load_tools
from agentkit.models import TestModel

pytestmark = pytest.mark.anyio

TOOLS = '''
import os
import anyio
from agentkit import Agent, ModelRetry, RunContext, ToolError, tool
from agentkit.models import TestModel

print("this is not the protocol either")

@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    print("this is not the protocol")
    return a + b

@tool
async def who(context: RunContext[None]) -> dict[str, str]:
    """Tells who is asked."""
    return {"tool": context.tool_name, "deps": str(context.deps)}

@tool(timeout=0.2)
async def slow() -> None:
    """Takes for ever."""
    await anyio.sleep_forever()

@tool
async def waits(path: str) -> None:
    """Writes when it is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        open(path, "w").close()

@tool
async def gives_up() -> None:
    """Waits for what somebody else cancelled."""
    raise anyio.get_cancelled_exc_class()()

@tool(max_result_chars=4)
def tells_much() -> str:
    """Has a lot to tell."""
    return "abcdefgh"

def exits() -> None:
    """Would end the program."""
    raise SystemExit(2)

def refuses() -> None:
    """Never works."""
    raise ToolError("not today")

def names() -> None:
    """Quotes the name of a file."""
    raise ToolError(f"only {os.fsdecode(bytes([99, 97, 102, 233]))}")

def crashes() -> None:
    """Has a mistake in it."""
    raise ZeroDivisionError("the secret reason")

agent = Agent(TestModel(), tools=[add, who, slow, waits, refuses, names, crashes,
                                   gives_up, tells_much, exits])
'''


@asynccontextmanager
async def client(folder: Path, mode: str) -> AsyncIterator[Client]:
    (folder / "served_tools.py").write_text(TOOLS)
    server = StdioServerParameters(
        command=sys.executable,
        args=[
            "-c",
            "from agentkit.cli import main; main()",
            "mcp",
            "served_tools:agent",
            "--name",
            "helper",
        ],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with (folder / "stderr").open("w") as stderr:
        async with Client(stdio_client(server, stderr), mode=mode, cache=None) as connected:
            yield connected


def text_of(result: CallToolResult) -> str:
    [block] = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_over_the_protocol(tmp_path: Path, mode: str) -> None:
    async with client(tmp_path, mode) as server:
        await _try_everything(server, tmp_path)
    log = await anyio.Path(tmp_path / "stderr").read_text()
    assert "ZeroDivisionError: the secret reason" in log
    assert "this is not the protocol\n" in log
    assert "this is not the protocol either\n" in log
    assert await anyio.Path(tmp_path / "cancelled").exists()


async def _try_everything(server: Client, folder: Path) -> None:
    assert server.server_info is not None
    assert server.server_info.name == "helper"
    offered = (await server.list_tools()).tools
    assert [tool.name for tool in offered] == [
        *("add", "who", "slow", "waits", "refuses", "names", "crashes"),
        *("gives_up", "tells_much", "exits"),
    ]
    assert offered[0].description == "Adds two numbers."
    assert offered[0].input_schema["required"] == ["a", "b"]

    cases: list[tuple[str, dict[str, Any], bool, str]] = [
        ("add", {"a": 2, "b": 3}, False, "5"),
        ("who", {}, False, '{"tool":"who","deps":"None"}'),
        ("add", {"a": "x", "b": 3}, True, "a: "),
        ("add", {"a": 1}, True, "b: "),
        ("slow", {}, True, "did not finish within 0.2 seconds"),
        ("refuses", {}, True, "not today"),
        ("names", {}, True, "only caf\\udce9"),
        ("crashes", {}, True, "tool 'crashes' failed; the server's log says why"),
        ("gives_up", {}, True, "tool 'gives_up' failed; the server's log says why"),
        ("exits", {}, True, "tool 'exits' failed; the server's log says why"),
        ("tells_much", {}, False, "[4 of 8 characters were left out here]"),
        ("nothing", {}, True, "there is no tool 'nothing'; the tools are: add, "),
    ]
    for name, arguments, is_error, words in cases:
        result = await server.call_tool(name, arguments)
        assert (result.is_error, words in text_of(result)) == (is_error, True), text_of(result)

    with anyio.move_on_after(0.5):
        await server.call_tool("waits", {"path": str(folder / "cancelled")})
    assert text_of(await server.call_tool("add", {"a": 1, "b": 1})) == "2"


async def test_tools_that_wait_for_somebody_are_not_served(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool(requires_approval=True)
    def pay(amount: int) -> str:
        """Pays."""
        return "paid"

    @tool(deferred=True)
    def ask(question: str) -> str:
        """Asks a person."""
        raise NotImplementedError

    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    agent = Agent(TestModel(), tools=[pay, ask, add])
    module = types.ModuleType("shop_of_tests")
    module.agent = agent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    named = load_tools(["shop_of_tests:agent"], without_waiting=True)  # as `agentkit mcp` does
    assert [each.name for each in named] == ["add"]
    assert [record.args for record in caplog.records] == [("pay",), ("ask",)]
    caplog.clear()
    served = mcp_server._served(agent)
    assert list(served) == ["add"]
    assert [record.args for record in caplog.records] == [("pay",), ("ask",)]
    with pytest.raises(ToolDefinitionError, match="'pay', 'ask'"):
        mcp_server._served([pay, ask, add])
