"""Tools of MCP servers: described, called, timed out and cancelled like others; a server that
dies is told and never waited for."""

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import (
    Agent,
    ModelRetry,
    RunContext,
    Tool,
    ToolCall,
    ToolDefinitionError,
    ToolError,
    ToolMessage,
    ToolTimeout,
    Usage,
)
from agentkit.models import ScriptedModel
from decoding import Grammar
from tools import HttpServer, McpServerError, StdioServer, mcp_tools

pytest.importorskip("mcp", reason="the package mcp is not installed (the extra `mcp`)")

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EVERYTHING = ROOT / ".node/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
PATIENT = 300.0  # a busy machine is no fault of a server's
CONTEXT: RunContext[None] = RunContext(None, "", Usage(), ())
Opened = AbstractAsyncContextManager[tuple[Tool, ...]]


def fake(*options: str, connect_seconds: float = PATIENT, **choice: Any) -> Opened:
    server = StdioServer(
        sys.executable, ("-I", "-S", str(HERE / "mcp_fake.py"), *options), shows_stderr=False
    )
    return mcp_tools(server, connect_seconds=connect_seconds, **choice)


def reference() -> Opened:
    server = StdioServer(sys.executable, (str(HERE / "mcp_reference.py"), "stdio"))
    return mcp_tools(server, connect_seconds=PATIENT)


async def call(tools: tuple[Tool, ...], name: str, **arguments: Any) -> str:
    [tool] = [tool for tool in tools if tool.name == name]
    return await tool.call(tool.validate(json.dumps(arguments)), CONTEXT)


# --- listing ------------------------------------------------------------------------------------


async def test_tools_are_described_by_the_server() -> None:
    async with fake(prefix="my_") as tools:
        assert [tool.name for tool in tools] == [
            "my_add", "my_answer_as_told", "my_typed", "my_hang", "my_die", "my_refuse",
        ]  # fmt: skip
        assert tools[0].description == "Adds two numbers."
        assert tools[1].description == "Gives a result."
        assert tools[0].parameters["required"] == ["a", "b"]
        assert await call(tools, "my_add", a=1, b=2) == "3"


async def test_arguments_are_checked_before_they_are_sent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with fake("--log", str(log)) as tools:
        with pytest.raises(ModelRetry, match="'b' is a required property"):
            await call(tools, "add", a=1)
    assert "tools/call" not in await anyio.Path(log).read_text()


async def test_tools_are_chosen_by_the_servers_names() -> None:
    async with fake(only=["add", "hang"], without=["hang"]) as tools:
        assert [tool.name for tool in tools] == ["add"]
    for choice in ({"only": ["ad"]}, {"without": ["ad"]}):
        with pytest.raises(ValueError, match=r"has no tool 'ad'; it has add, answer\.as told"):
            async with fake(**choice):
                raise AssertionError


async def test_every_tool_that_cannot_be_used_is_named() -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        async with fake("--odd"):
            raise AssertionError
    text = str(caught.value)
    assert text.startswith("3 of the server's tools cannot be used; leave them out")
    for words in (
        "'9lives': '9lives' is no tool name",
        "'broken': ",
        "'a.b': another",
    ):
        assert words in text
    async with fake("--odd", without=["9lives", "broken", "a.b"]) as tools:
        assert tools[-1].name == "a_b"


async def test_keywords_that_the_decoder_does_not_support_are_named() -> None:
    async with fake(check_schema=Grammar.json_schema) as tools:
        assert len(tools) == 6
    with pytest.raises(ToolDefinitionError, match=r"1 of .*'unique': .*uniqueItems"):
        async with fake("--unique", check_schema=Grammar.json_schema):
            raise AssertionError
    async with fake("--unique") as tools:
        assert len(tools) == 7


# --- results ------------------------------------------------------------------------------------

TEXT = {"type": "text", "text": "one"}
IMAGE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
SOUND = {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}
LINK = {"type": "resource_link", "name": "page", "uri": "file:///a.txt"}
NOTE = {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "two"}}
BYTES = {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "AAAA"}}


async def test_results_become_text() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"content": [TEXT]}, "one"),
        ({"content": [TEXT, NOTE]}, "one\ntwo"),
        ({"content": [LINK]}, "page: file:///a.txt"),
        ({"content": [IMAGE]}, "[an image (image/png) is left out: only text can be read]"),
        ({"content": [SOUND]}, "[sound (audio/wav) is left out: only text can be read]"),
        ({"content": [BYTES]}, "[a resource (of an unknown type) is left out: only text can be "
         "read]"),
        ({"content": []}, "(the answer is empty)"),
        ({"content": [], "structuredContent": {"n": [1, "\u00e9"]}}, '{"n":[1,"\u00e9"]}'),
        ({"content": [TEXT], "structuredContent": {"n": 1}}, "one"),
        ({"content": [{"type": "text", "text": "x" * 100_001}]},
         "x" * 100_000 + "\n[cut here, 100001 characters in all]"),
    ]  # fmt: skip
    async with fake() as tools:
        for result, text in cases:
            assert await call(tools, "answer_as_told", result=result) == text


async def test_errors_go_back_to_the_model() -> None:
    async with fake() as tools:
        with pytest.raises(ToolError, match=r"^one$"):
            await call(tools, "answer_as_told", result={"content": [TEXT], "isError": True})
        with pytest.raises(ToolError, match="and not why"):
            await call(tools, "answer_as_told", result={"content": [], "isError": True})
        with pytest.raises(ToolError, match="refused the call: no such tool: refuse"):
            await call(tools, "refuse")
        with pytest.raises(ToolError, match="cannot be used"):
            await call(tools, "answer_as_told", result={"content": "text"})
        with pytest.raises(ToolError, match="cannot be used"):
            await call(tools, "typed", result={"content": [], "structuredContent": {"n": "x"}})
        result = {"content": [], "structuredContent": {"n": 1}}
        assert await call(tools, "typed", result=result) == '{"n":1}'


# --- ends ---------------------------------------------------------------------------------------


async def test_a_server_that_dies_is_not_waited_for() -> None:
    async with fake() as tools:
        async with anyio.create_task_group() as group:
            group.start_soon(_expect_loss, tools, "hang")
            await anyio.lowlevel.checkpoint()
            group.start_soon(_expect_loss, tools, "die")
        await _expect_loss(tools, "add", a=1, b=2)


async def _expect_loss(tools: tuple[Tool, ...], name: str, **arguments: Any) -> None:
    with pytest.raises(McpServerError, match="is gone"):
        await call(tools, name, **arguments)


async def test_a_run_goes_on_without_a_server_that_died() -> None:
    calls = [ToolCall("1", "die", "{}"), ToolCall("2", "add", '{"a": 1, "b": 2}')]
    with ScriptedModel([calls[0], calls[1], "sorry"]) as model:
        async with fake() as tools:
            result = await Agent(model, tools=tools).run("go")
    answers = [message for message in result.messages if isinstance(message, ToolMessage)]
    assert [(answer.is_error, "is gone" in answer.content) for answer in answers] == [
        (True, True),
        (True, True),
    ]
    assert result.output == "sorry"


async def _cancelled(log: Path) -> list[dict[str, Any]]:
    lines = (await anyio.Path(log).read_text()).splitlines()
    messages = [json.loads(line) for line in lines]
    return [each for each in messages if each["method"] == "notifications/cancelled"]


async def test_a_call_that_takes_too_long_is_cancelled_at_the_server(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with fake("--log", str(log), seconds=0.3) as tools:
        with pytest.raises(ToolTimeout):
            await call(tools, "hang")
    async with fake("--log", str(log)) as tools:
        with anyio.move_on_after(0.3):
            await call(tools, "hang")
        assert await call(tools, "add", a=1, b=2) == "3"
    assert len(await _cancelled(log)) == 2


@pytest.mark.parametrize("start", ["exit", "mute", "garbage"])
async def test_a_server_that_does_not_answer_is_told(start: str) -> None:
    with pytest.raises(McpServerError, match=r"did not answer within 0\.5 s|cannot be used"):
        async with fake("--start", start, connect_seconds=0.5):
            raise AssertionError


async def test_servers_that_are_not_there() -> None:
    for server in (StdioServer("/no/such/server"), HttpServer("http://127.0.0.1:9/mcp")):
        with pytest.raises(McpServerError, match="cannot be used"):
            async with mcp_tools(server):
                raise AssertionError


async def test_what_is_raised_inside_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with fake():
            raise KeyError("mine")


async def test_cancelling_ends_the_server(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with fake() as tools, anyio.create_task_group() as group:
            group.start_soon(call, tools, "hang")
            await anyio.sleep(0.1)
            scope.cancel()
    assert scope.cancelled_caught
    assert _servers() == []


def _servers() -> list[str]:
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if "mcp_fake.py" in line]


async def test_times_must_be_above_zero() -> None:
    for times in ({"seconds": 0}, {"connect_seconds": -1}):
        with pytest.raises(ValueError, match="above 0"):
            fake(**times)


# Over HTTP the protocol's package leaves generators of its HTTP client unfinished; trio tells.
over_http = pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")


@pytest.fixture
def collected() -> Iterator[None]:
    """Has those generators told in the test whose they are."""
    yield
    gc.collect()


# --- other servers ------------------------------------------------------------------------------


async def _try_reference(tools: tuple[Tool, ...]) -> None:
    assert [tool.name for tool in tools] == ["multiply", "fail", "wait"]
    assert await call(tools, "multiply", a=6, b=7) == "42"
    with pytest.raises(ToolError, match="Error executing tool fail"):
        await call(tools, "fail")
    with anyio.move_on_after(0.2) as scope:
        await call(tools, "wait")
    assert scope.cancelled_caught
    assert await call(tools, "multiply", a=6, b=8) == "48"


async def test_a_server_of_todays_protocol_over_stdio() -> None:
    async with reference() as tools:
        await _try_reference(tools)


@pytest.fixture
def http_server() -> Iterator[tuple[HttpServer, Callable[[], object]]]:
    """A running server, and how to kill it."""
    command = [sys.executable, str(HERE / "mcp_reference.py"), "http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield HttpServer(f"http://127.0.0.1:{port}/mcp", {"X-Who": "me"}), process.kill
        process.kill()


@over_http
@pytest.mark.usefixtures("collected")
async def test_a_server_over_http_that_dies(
    http_server: tuple[HttpServer, Callable[[], object]],
) -> None:
    server, kill = http_server
    async with mcp_tools(server, connect_seconds=PATIENT) as tools:
        await _try_reference(tools)
        async with anyio.create_task_group() as group:
            group.start_soon(_expect_loss, tools, "wait")
            await anyio.sleep(0.2)
            kill()
        await _expect_loss(tools, "fail")


@contextmanager
def everything_over_http() -> Iterator[HttpServer]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        ["node", str(EVERYTHING), "streamableHttp"],
        env={**os.environ, "PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if f"port {port}" in line)
        yield HttpServer(f"http://127.0.0.1:{port}/mcp")
        process.kill()


@pytest.mark.skipif(
    not (EVERYTHING.exists() and shutil.which("node")),
    reason="node or @modelcontextprotocol/server-everything is not installed: make node-servers",
)
@over_http
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_protocols_own_reference_server(transport: str) -> None:
    with ExitStack() as stack:
        server: StdioServer | HttpServer = StdioServer(
            "node", (str(EVERYTHING), "stdio"), shows_stderr=False
        )
        if transport == "http":
            server = stack.enter_context(everything_over_http())
        async with mcp_tools(
            server,
            prefix="every_",
            check_schema=Grammar.json_schema,
            connect_seconds=PATIENT,
        ) as tools:
            assert await call(tools, "every_echo", message="hello") == "Echo: hello"
            assert "5" in await call(tools, "every_get-sum", a=2, b=3)
            assert "left out: only text" in await call(tools, "every_get-tiny-image")
            shown = await call(tools, "every_get-structured-content", location="Chicago")
            assert "temperature" in shown
