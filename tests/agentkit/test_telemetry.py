"""Runs as OpenTelemetry spans, collected by the real SDK."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import Base64Bytes

from agentkit import (
    Agent,
    ApprovalRequired,
    AssistantMessage,
    ModelError,
    ModelRetry,
    ModelSettings,
    ModelUsage,
    RunCancelled,
    SQLiteSessions,
    Tool,
    ToolCall,
    ToolCrashed,
    handoff,
    tool,
)
from agentkit.decoding_trace import DecodingStats, DecodingTrace
from agentkit.models import ModelResponse, OpenAIModel, ScriptedModel
from agentkit.telemetry import Telemetry
from tests.agentkit.chat_server import Exchange, chat_server, delta, end
from tests.agentkit.support import HangingModel, add, call_add, shout

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.anyio


class Collected:
    """A program's tracing, and the spans it has seen."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.telemetry = Telemetry(tracer_provider=self.provider)
        self.open = Telemetry(content=True, tracer_provider=self.provider)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """In the order they ended."""
        return self.exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def one(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span

    def attributes(self, name: str) -> Mapping[str, Any]:
        return self.one(name).attributes or {}


@pytest.fixture
def collected() -> Collected:
    return Collected()


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert span.parent is not None
    return span.parent.span_id == parent.context.span_id


USAGE = ModelUsage(
    input_tokens=30,
    cached_input_tokens=24,
    output_tokens=12,
    forced_tokens=5,
    forwards=4,
    modes={"speculation": 9, "autoregressive": 3},
)


async def test_a_run_is_a_tree(collected: Collected) -> None:
    turns = [[call_add("c1", 1, 2), call_add("c2", 3, 4)], "3 and 7"]
    agent = Agent(ScriptedModel(turns), tools=[add], name="sums", telemetry=collected.telemetry)
    with collected.provider.get_tracer("program").start_as_current_span("request"):
        result = await agent.run("go")
    [request, run] = [collected.one("request"), collected.one("invoke_agent sums")]
    assert is_child(run, request)
    rest = [span for span in collected.spans if span not in (request, run)]
    assert [span.name for span in rest].count("chat scripted") == 2
    assert [span.name for span in rest].count("execute_tool add") == 2
    assert all(is_child(span, run) for span in rest)
    assert all(span.kind is SpanKind.INTERNAL for span in [run, *rest])
    assert all(span.status.status_code is StatusCode.UNSET for span in collected.spans)
    assert run.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "trimode",
        "gen_ai.agent.name": "sums",
        "gen_ai.request.model": "scripted",
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "agentkit.run.id": result.run_id,
        "agentkit.run.turns": 2,
        "agentkit.run.tool_calls": 2,
    }
    tools = [span.attributes for span in rest if span.name == "execute_tool add"]
    assert {(each or {})["gen_ai.tool.call.id"] for each in tools} == {"c1", "c2"}
    assert tools[0] is not None
    assert dict(tools[0]) | {"gen_ai.tool.call.id": ""} == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Adds two numbers.",
        "gen_ai.tool.call.id": "",
    }


async def test_a_watched_run_is_told_the_same(collected: Collected) -> None:
    agent = Agent(
        ScriptedModel([call_add("c1", 1, 2), "3"]), tools=[add], telemetry=collected.telemetry
    )
    async with agent.run_stream("go") as run:
        async for _ in run:
            pass
    assert collected.names == [
        "chat scripted",
        "execute_tool add",
        "chat scripted",
        "invoke_agent agent",
    ]


async def test_the_decoders_figures(collected: Collected) -> None:
    stats = DecodingStats(prefill_forwards=2, drafted=10, accepted=7, candidates=3, chosen=1)
    response = ModelResponse(AssistantMessage("4"), USAGE, trace=DecodingTrace((), stats=stats))
    settings = ModelSettings(max_tokens=50, temperature=0.5, top_p=0.9, seed=7)
    agent = Agent(
        ScriptedModel([response], name="small"),
        output_type=int,
        settings=settings,
        telemetry=collected.telemetry,
    )
    await agent.run("go")
    attributes = dict(collected.attributes("chat small"))
    assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "trimode",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "json",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 24,
        "agentkit.decoding.modes": ("autoregressive", "speculation"),
        "agentkit.decoding.modes.autoregressive.tokens": 3,
        "agentkit.decoding.modes.speculation.tokens": 9,
        "agentkit.decoding.forwards": 4,
        "agentkit.decoding.tokens_per_forward": 3.0,
        "agentkit.decoding.forced_tokens": 5,
        "agentkit.decoding.prefill_forwards": 2,
        "agentkit.decoding.drafted_tokens": 10,
        "agentkit.decoding.accepted_tokens": 7,
        "agentkit.decoding.candidates": 3,
        "agentkit.decoding.chosen_candidate": 1,
    }
    assert collected.attributes("invoke_agent agent")["gen_ai.usage.input_tokens"] == 30


async def test_spans_of_tools_overlap_and_are_current_inside(collected: Collected) -> None:
    tracer = collected.provider.get_tracer("program")
    both = [anyio.Event(), anyio.Event()]

    async def meet(index: int) -> str:
        """Waits for the other."""
        both[index].set()
        await both[1 - index].wait()
        with tracer.start_as_current_span(f"inside {index}"):
            await anyio.lowlevel.checkpoint()
        return ""

    def block() -> str:
        """Works in a thread."""
        with tracer.start_as_current_span("inside thread"):
            return ""

    calls = [
        ToolCall("c0", "meet", '{"index":0}'),
        ToolCall("c1", "meet", '{"index":1}'),
        ToolCall("c2", "block", "{}"),
    ]
    agent = Agent(ScriptedModel([calls, "done"]), tools=[meet, block], telemetry=collected.open)
    await agent.run("go")
    tools = {
        (span.attributes or {})["gen_ai.tool.call.id"]: span
        for span in collected.spans
        if span.name.startswith("execute_tool")
    }
    assert is_child(collected.one("inside 0"), tools["c0"])
    assert is_child(collected.one("inside 1"), tools["c1"])
    assert is_child(collected.one("inside thread"), tools["c2"])
    assert tools["c0"].start_time is not None
    assert tools["c1"].end_time is not None
    assert tools["c0"].start_time < tools["c1"].end_time
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_an_agent_in_a_tool_is_below_it(collected: Collected) -> None:
    inner = Agent(ScriptedModel(["yes"]), name="inner", telemetry=collected.telemetry)

    async def ask() -> str:
        """Asks another agent."""
        return (await inner.run("?")).output

    outer = Agent(
        ScriptedModel([ToolCall("c", "ask", "{}"), "done"], name="big"),
        tools=[ask],
        name="outer",
        telemetry=collected.telemetry,
    )
    await outer.run("go")
    assert is_child(collected.one("invoke_agent inner"), collected.one("execute_tool ask"))
    assert is_child(collected.one("execute_tool ask"), collected.one("invoke_agent outer"))


async def test_concurrent_runs_do_not_mix(collected: Collected) -> None:
    async def run(name: str) -> None:
        model = ScriptedModel([ToolCall("c", "shout", f'{{"text":"{name}"}}'), "done"], name=name)
        await Agent(model, tools=[shout], name=name, telemetry=collected.open).run(name)

    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(run, name)
    for name in "abcd":
        parent = collected.one(f"invoke_agent {name}")
        below = [span for span in collected.spans if span is not parent and is_of(span, parent)]
        assert sorted(span.name for span in below) == [
            f"chat {name}",
            f"chat {name}",
            "execute_tool shout",
        ]
        [tool] = [span for span in below if span.name == "execute_tool shout"]
        assert (tool.attributes or {})["gen_ai.tool.call.result"] == f"{name.upper()}!"


def is_of(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and is_child(span, parent)


async def test_errors_are_named(collected: Collected) -> None:
    def odd() -> str:
        """Asks for another try."""
        raise ModelRetry("secret reason")

    def broken() -> str:
        """Crashes."""
        raise KeyError("secret")

    model = ScriptedModel([ToolCall("a", "odd", "{}"), ToolCall("b", "broken", "{}")])
    with pytest.raises(ToolCrashed):
        await Agent(model, tools=[odd, broken], telemetry=collected.telemetry).run("go")
    errors = {
        span.name: (span.attributes or {}).get("error.type")
        for span in collected.spans
        if span.status.status_code is StatusCode.ERROR
    }
    assert errors == {
        "execute_tool odd": "ModelRetry",
        "execute_tool broken": "ToolCrashed",
        "invoke_agent agent": "ToolCrashed",
    }
    assert "secret" not in "".join(span.to_json() for span in collected.spans)
    model = ScriptedModel([ModelError("no weights")])
    with pytest.raises(ModelError):
        await Agent(model, telemetry=collected.open).run("go")
    chat, run = collected.spans[-2:]
    assert (chat.name, run.name) == ("chat scripted", "invoke_agent agent")
    assert chat.status.description == run.status.description == "no weights"


async def test_a_cancelled_run_is_no_error(collected: Collected) -> None:
    model = HangingModel()
    with anyio.fail_after(5):
        async with Agent(model, telemetry=collected.telemetry).run_stream("go"):
            await model.spoke.wait()
    assert collected.names == ["chat hanging", "invoke_agent agent"]
    for span in collected.spans:
        assert (span.attributes or {})["agentkit.cancelled"] is True
        assert span.status.status_code is StatusCode.UNSET
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_run_that_was_cancelled_by_its_token_is_no_error(collected: Collected) -> None:
    model = HangingModel()
    with anyio.fail_after(5):
        async with Agent(model, telemetry=collected.telemetry).run_stream("go") as run:
            await model.spoke.wait()
            run.cancel()
            with pytest.raises(RunCancelled):
                [event async for event in run]
    for span in collected.spans:
        assert (span.attributes or {})["agentkit.cancelled"] is True
        assert span.status.status_code is StatusCode.UNSET
    assert len(collected.spans) == 2


async def test_a_run_that_waits_is_no_error_and_is_watched_when_it_goes_on(
    collected: Collected, tmp_path: Path
) -> None:
    asking = Tool.from_function(shout, requires_approval=True)
    turns = [[ToolCall("c", "shout", '{"text":"psst"}')], "done"]
    async with SQLiteSessions(tmp_path / "runs.db") as sessions:
        agent = Agent(
            ScriptedModel(turns), tools=[asking], sessions=sessions, telemetry=collected.telemetry
        )
        with pytest.raises(ApprovalRequired) as waits:
            await agent.run("go")
        assert collected.names == ["chat scripted", "invoke_agent agent"]
        run = collected.one("invoke_agent agent")
        assert (run.attributes or {})["agentkit.paused"] is True
        assert run.status.status_code is StatusCode.UNSET
        collected.exporter.clear()
        await agent.resume(waits.value.run_id, approvals={"c": True})
    # What the log told was not done again.
    assert collected.names == ["execute_tool shout", "chat scripted", "invoke_agent agent"]
    ids = {(run.attributes or {})["agentkit.run.id"], waits.value.run_id}
    assert ids == {collected.attributes("invoke_agent agent")["agentkit.run.id"]}


async def test_tokens_are_counted_once_however_often_a_run_goes_on(
    collected: Collected, tmp_path: Path
) -> None:
    asking = Tool.from_function(shout, requires_approval=True)
    call = AssistantMessage(tool_calls=(ToolCall("c", "shout", '{"text":"psst"}'),))
    turns = [ModelResponse(call, USAGE), ModelResponse(AssistantMessage("done"), USAGE)]
    async with SQLiteSessions(tmp_path / "runs.db") as sessions:
        agent = Agent(
            ScriptedModel(turns), tools=[asking], sessions=sessions, telemetry=collected.telemetry
        )
        with pytest.raises(ApprovalRequired) as waits:
            await agent.run("go")
        run_id = waits.value.run_id
        with pytest.raises(ApprovalRequired):
            await agent.resume(run_id)
        await agent.resume(run_id, approvals={"c": True})
        result = await agent.resume(run_id)  # has finished
    assert result.usage.input_tokens == 60
    runs = [span.attributes or {} for span in collected.spans if "invoke" in span.name]
    told = ("input_tokens", "output_tokens", "cache_read.input_tokens")
    assert [[run[f"gen_ai.usage.{name}"] for name in told] for run in runs] == [
        [30, 12, 24],
        [0, 0, 0],
        [30, 12, 24],
        [0, 0, 0],
    ]
    assert [run["agentkit.run.turns"] for run in runs] == [1, 1, 2, 2]


async def test_an_agent_that_a_resumed_run_asks_is_counted(
    collected: Collected, tmp_path: Path
) -> None:
    inner = Agent(ScriptedModel([ModelResponse(AssistantMessage("yes"), USAGE)]), name="inner")
    asking = replace(inner.as_tool(), requires_approval=True)
    call = AssistantMessage(tool_calls=(ToolCall("c", "inner", '{"prompt":"?"}'),))
    async with SQLiteSessions(tmp_path / "runs.db") as sessions:
        agent = Agent(
            ScriptedModel([ModelResponse(call, USAGE), "done"]),
            tools=[asking],
            sessions=sessions,
            telemetry=collected.telemetry,
        )
        with pytest.raises(ApprovalRequired) as waits:
            await agent.run("go")
        collected.exporter.clear()
        await agent.resume(waits.value.run_id, approvals={"c": True})
    assert collected.attributes("invoke_agent agent")["gen_ai.usage.input_tokens"] == 30


async def test_the_agents_that_take_over_are_watched_too(collected: Collected) -> None:
    second = Agent(ScriptedModel([call_add("b", 1, 2), "3"], name="second"), tools=[add], name="b")
    first = Agent(
        ScriptedModel([ToolCall("a", "handoff_to_b", "{}")], name="first"),
        tools=[handoff(second)],
        telemetry=collected.telemetry,
    )
    assert (await first.run("go")).output == "3"
    run = collected.one("invoke_agent agent")
    assert collected.names == [
        "chat first",
        "execute_tool handoff_to_b",
        "chat second",
        "execute_tool add",
        "chat second",
        "invoke_agent agent",
    ]
    assert all(is_child(span, run) for span in collected.spans if span is not run)


async def test_agents_that_are_tools_are_watched(collected: Collected) -> None:
    inner = Agent(ScriptedModel(["yes"]), name="inner", telemetry=collected.telemetry)
    outer = Agent(
        ScriptedModel([ToolCall("c", "inner", '{"prompt":"?"}'), "done"], name="big"),
        tools=[inner.as_tool()],
        telemetry=collected.telemetry,
    )
    await outer.run("go")
    assert is_child(collected.one("invoke_agent inner"), collected.one("execute_tool inner"))


async def test_each_try_of_a_model_is_a_span(collected: Collected) -> None:
    passing = ModelError("busy", retryable=True, retry_after=0.0)
    agent = Agent(ScriptedModel([passing, "hi"]), telemetry=collected.telemetry)
    assert (await agent.run("go")).output == "hi"
    failed, answered, run = collected.spans
    assert [failed.name, answered.name] == ["chat scripted"] * 2
    assert failed.status.status_code is StatusCode.ERROR
    assert {answered.status.status_code, run.status.status_code} == {StatusCode.UNSET}


async def test_content_is_told_only_on_request(collected: Collected) -> None:
    def agent(telemetry: Telemetry) -> Agent[None, str]:
        call = ToolCall("c", "shout", '{"text":"psst"}')
        model = ScriptedModel([AssistantMessage("Hm.", (call,)), "whispered"])
        return Agent(model, tools=[shout], instructions="obey", telemetry=telemetry)

    await agent(collected.telemetry).run("hush")
    told = "".join(span.to_json() for span in collected.spans)
    assert [word for word in ("psst", "PSST", "whispered", "hush", "obey") if word in told] == []
    collected.exporter.clear()
    await agent(collected.open).run("hush")
    tool = collected.attributes("execute_tool shout")
    assert tool["gen_ai.tool.call.arguments"] == '{"text":"psst"}'
    assert tool["gen_ai.tool.call.result"] == "PSST!"
    first, second = [span.attributes or {} for span in collected.spans if span.name[:4] == "chat"]
    called = {"type": "tool_call", "id": "c", "name": "shout", "arguments": '{"text":"psst"}'}
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "Hm."}, called]}
    assert json.loads(str(first["gen_ai.output.messages"])) == [answer]
    assert json.loads(str(second["gen_ai.input.messages"])) == [
        {"role": "system", "parts": [{"type": "text", "content": "obey"}]},
        {"role": "user", "parts": [{"type": "text", "content": "hush"}]},
        answer,
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c", "response": "PSST!"}],
        },
    ]


async def test_a_remote_model_is_a_client(collected: Collected) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.events([delta(content="hi"), end()])

    async with chat_server(answer) as server:
        model = OpenAIModel("far", base_url=server.base_url, api_key="")
        await Agent(model, telemetry=collected.telemetry).run("go")
    chat = collected.one("chat far")
    assert chat.kind is SpanKind.CLIENT
    assert collected.attributes("chat far")["gen_ai.provider.name"] == "openai"
    assert "agentkit.decoding.forwards" not in collected.attributes("chat far")


async def test_models_in_an_override_are_watched_too(collected: Collected) -> None:
    agent = Agent(ScriptedModel([]), telemetry=collected.telemetry)
    with agent.override(model=ScriptedModel(["x"], name="other"), tools=[add]):
        await agent.run("go")
    assert collected.names == ["chat other", "invoke_agent agent"]


async def test_without_an_sdk_nothing_happens() -> None:
    model = ScriptedModel([call_add("c1", 1, 2), "3"])
    assert (await Agent(model, tools=[add], telemetry=Telemetry()).run("go")).output == "3"


def test_without_the_package_nothing_happens() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from agentkit import Agent\n"
        "from agentkit.models import TestModel\n"
        "from agentkit.telemetry import Telemetry\n"
        "print(Agent(TestModel(), telemetry=Telemetry()).run_sync('go').output)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


async def test_the_call_of_an_output_function_is_a_span(collected: Collected) -> None:
    answer = '{"name":"add","arguments":{"a":1,"b":2}}'
    telemetry = replace(collected.telemetry, content=True)
    agent = Agent(ScriptedModel([answer]), output=add, telemetry=telemetry)
    assert (await agent.run("go")).output == 3
    assert collected.names == ["chat scripted", "execute_tool add", "invoke_agent agent"]
    span = collected.one("execute_tool add")
    assert is_child(span, collected.one("invoke_agent agent"))
    assert collected.attributes("execute_tool add")["gen_ai.tool.call.result"] == "3"


async def test_bytes_that_are_no_text_are_told(collected: Collected) -> None:
    @tool
    def keep(image: Base64Bytes) -> int:
        """Keeps an image."""
        return len(image)

    call = ToolCall("c1", "keep", '{"image":"iVBORw=="}')
    await Agent(ScriptedModel([call, ""]), tools=[keep], telemetry=collected.open).run("go")
    told = str(collected.attributes("execute_tool keep")["gen_ai.tool.call.arguments"])
    assert json.loads(told) == str({"image": b"\x89PNG"})


@pytest.mark.parametrize(("drawn", "told"), [(b"\x89PNG", str(b"\x89PNG")), ("\ud800", "\ud800")])
async def test_outputs_that_are_no_text_are_told(
    collected: Collected, drawn: bytes | str, told: str
) -> None:
    def draw(size: int) -> bytes | str:
        """Draws an image."""
        return drawn * size

    answer = '{"name":"draw","arguments":{"size":1}}'
    agent = Agent(ScriptedModel([answer]), output=draw, telemetry=collected.open)
    assert (await agent.run("go")).output == drawn
    result = str(collected.attributes("execute_tool draw")["gen_ai.tool.call.result"])
    assert json.loads(result) == told


async def test_arguments_whose_keys_are_no_texts_are_told(collected: Collected) -> None:
    @tool
    def plan(meals: dict[date, int]) -> str:
        """Plans meals."""
        return str(sum(meals.values()))

    call = ToolCall("c1", "plan", '{"meals":{"2026-03-01":2}}')
    telemetry = replace(collected.telemetry, content=True)
    agent = Agent(ScriptedModel([call, "done"]), tools=[plan], telemetry=telemetry)
    assert (await agent.run("go")).output == "done"
    told = collected.attributes("execute_tool plan")["gen_ai.tool.call.arguments"]
    assert told == '{"meals":{"2026-03-01":2}}'
