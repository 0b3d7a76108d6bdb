"""Models behind HTTP, against a real server on the loopback."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest

from agentkit import (
    Agent,
    AssistantMessage,
    ModelError,
    ModelSettings,
    ModelUsage,
    RemoteModelError,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models import (
    Model,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    OpenAIModel,
    OutputFormat,
    TextPart,
    ToolCallPart,
    ToolCallStart,
)
from agentkit.models.openai import retry_after
from agentkit.testing import RemoteModelForbidden, forbid_remote_models
from agentkit.tool import Tool
from tests.agentkit.chat_server import STREAM, Answer, Exchange, call, chat_server, delta, end
from tests.agentkit.support import add

REQUEST = ModelRequest((UserMessage("go"),))
ADD = Tool.from_function(add).definition
USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 16},
    },
}
HELLO = [delta(role="assistant", content=""), delta(content="Grüß "), delta(content="dich 👋")]


def saying(chunks: Sequence[Any], *, size: int = 7, done: bool = True) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.events(chunks, size=size, done=done)

    return answer


def model_at(base_url: str, **options: Any) -> OpenAIModel:
    return OpenAIModel("small", base_url=base_url, **{"api_key": "", **options})


async def parts_of(model: Model, request: ModelRequest = REQUEST) -> list[ModelEvent]:
    async with model.stream(request) as stream:
        return [part async for part in stream]


async def answer_to(chunks: Sequence[Any], request: ModelRequest = REQUEST) -> list[ModelEvent]:
    async with chat_server(saying(chunks)) as server:
        return await parts_of(model_at(server.base_url), request)


def response_in(parts: Sequence[ModelEvent]) -> ModelResponse:
    *_, response = parts
    assert isinstance(response, ModelResponse)
    assert not any(isinstance(part, ModelResponse) for part in parts[:-1])
    return response


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_text_is_streamed_and_counted(size: int) -> None:
    async with chat_server(saying([*HELLO, end(), USAGE], size=size)) as server:
        parts = await parts_of(model_at(server.base_url))
    response = response_in(parts)
    assert parts[:-1] == [TextPart("Grüß "), TextPart("dich 👋")]
    assert response.message == AssistantMessage("Grüß dich 👋")
    seconds = response.usage.seconds
    assert seconds > 0
    assert response.usage == ModelUsage(20, 16, 5, seconds=seconds)
    assert response.trace is None


@pytest.mark.anyio
async def test_calls_come_in_fragments_that_alternate() -> None:
    parts = await answer_to(
        [
            delta(content="Two."),
            call(0, "", call_id="a", name="add"),
            call(0, '{"a":'),
            call(1, '{"a"', call_id="b", name="add"),
            call(0, '1,"b":2}'),
            call(1, ':3,"b":4}'),
            end("tool_calls"),
        ]
    )
    calls = (ToolCall("a", "add", '{"a":1,"b":2}'), ToolCall("b", "add", '{"a":3,"b":4}'))
    assert parts == [
        TextPart("Two."),
        ToolCallStart("a", "add"),
        ToolCallPart("a", '{"a":'),
        ToolCallStart("b", "add"),
        ToolCallPart("b", '{"a"'),
        ToolCallPart("a", '1,"b":2}'),
        ToolCallPart("b", ':3,"b":4}'),
        response_in(parts),
    ]
    assert response_in(parts).message == AssistantMessage("Two.", calls)


@pytest.mark.anyio
async def test_servers_that_tell_less() -> None:
    parts = await answer_to(
        [
            call(None, "{", call_id="a", name="add"),
            call(None, "}"),
            call(None, "", call_id="b", name="go"),
            call(None, "", name="go", call_id="c"),
            end("tool_calls"),
        ]
    )
    assert response_in(parts).message.tool_calls == (
        ToolCall("a", "add", "{}"),
        ToolCall("b", "go", "{}"),
        ToolCall("c", "go", "{}"),
    )
    assert "".join(p.arguments for p in parts if isinstance(p, ToolCallPart)) == "{}" * 3
    first, second = [
        response_in(await answer_to([call(0, "{}", name="go"), end()])).message for _ in range(2)
    ]
    assert first.tool_calls[0].call_id not in ("", second.tool_calls[0].call_id)


@pytest.mark.anyio
async def test_an_answer_that_was_cut() -> None:
    parts = await answer_to([call(0, '{"a":', call_id="a", name="add"), end("length")])
    assert response_in(parts).finish_reason == "length"
    assert response_in(parts).message.tool_calls == (ToolCall("a", "add", '{"a":'),)


@pytest.mark.anyio
async def test_what_is_sent() -> None:
    history = (
        SystemMessage("Be brief."),
        UserMessage("1+2?"),
        AssistantMessage("Adding.", (ToolCall("a", "add", '{"a":1,"b":2}'),)),
        ToolMessage("a", "add", "3"),
        AssistantMessage("3"),
        UserMessage("And?"),
    )
    settings = ModelSettings(max_tokens=9, temperature=0.0, top_p=0.5, seed=3, stop=("END",))
    schema = {"type": "integer"}
    request = ModelRequest(history, (ADD,), OutputFormat(int, schema), settings)
    async with chat_server(saying([delta(content="4"), end()])) as server:
        await parts_of(model_at(server.base_url, api_key="s3cret"), request)
        [seen] = server.requests
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer s3cret"
    function = {"name": "add", "description": "Adds two numbers.", "parameters": ADD.parameters}
    assert seen.body == {
        "model": "small",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "1+2?"},
            {
                "role": "assistant",
                "content": "Adding.",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a":1,"b":2}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "3"},
            {"role": "assistant", "content": "3"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "auto",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        },
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 3,
        "stop": ["END"],
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("allow_calls", "allow_final", "choice"),
    [(True, True, "auto"), (False, True, "none"), (True, False, "required")],
)
async def test_what_a_turn_allows_is_a_tool_choice(
    allow_calls: bool, allow_final: bool, choice: str
) -> None:
    request = ModelRequest(
        REQUEST.messages,
        (ADD,),
        OutputFormat(int, {"type": "integer"}),
        allow_calls=allow_calls,
        allow_final=allow_final,
    )
    async with chat_server(saying([end()])) as server:
        await parts_of(model_at(server.base_url), request)
        [seen] = server.requests
    assert seen.body["tool_choice"] == choice
    # A format for an answer that may not come would forbid the calls.
    assert ("response_format" in seen.body) == allow_final


@pytest.mark.anyio
async def test_strict_schemas_are_asked_for() -> None:
    request = ModelRequest(REQUEST.messages, (ADD,), OutputFormat(int, {"type": "integer"}))
    async with chat_server(saying([end()])) as server:
        await parts_of(model_at(server.base_url, strict=True), request)
        [seen] = server.requests
    assert seen.body["tools"][0]["function"]["strict"] is True
    assert seen.body["response_format"]["json_schema"]["strict"] is True


@pytest.mark.anyio
async def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    async with chat_server(saying([end()])) as server:
        await parts_of(model_at(server.base_url, api_key=None))
        await parts_of(model_at(server.base_url, api_key=""))
    assert [seen.headers.get("authorization") for seen in server.requests] == [
        "Bearer from-the-environment",
        None,
    ]


@pytest.mark.anyio
async def test_a_run_over_the_wire() -> None:
    async def answer(exchange: Exchange) -> None:
        called = exchange.request.body["messages"][-1]["role"] == "tool"
        first = [call(0, '{"a":1,"b":2}', call_id="x", name="add"), end("tool_calls"), USAGE]
        await exchange.events([delta(content="3"), end(), USAGE] if called else first)

    async with chat_server(answer) as server:
        result = await Agent(model_at(server.base_url), tools=[add], output_type=int).run("1+2?")
    assert result.output == 3
    assert result.usage.input_tokens == 40
    assert result.messages[2] == ToolMessage("x", "add", "3")


@pytest.mark.anyio
async def test_calls_that_do_not_validate_are_asked_for_again() -> None:
    async def answer(exchange: Exchange) -> None:
        last = exchange.request.body["messages"][-1]
        wrong = [call(0, '{"a":"x"}', call_id="x", name="add"), end("tool_calls")]
        right = [delta(content=last["content"]), end()]
        await exchange.events(right if last["role"] == "tool" else wrong)

    async with chat_server(answer) as server:
        result = await Agent(model_at(server.base_url), tools=[add]).run("1+2?")
    assert "b" in result.output


@dataclass(frozen=True)
class Refusal:
    status: int
    retryable: bool
    body: Any
    says: str
    retry_after: float | None = None


REFUSALS = [
    Refusal(401, False, {"error": {"message": "no such key", "code": "bad_key"}}, "no such key"),
    Refusal(404, False, {"detail": "no such model"}, "no such model"),
    Refusal(422, False, ["odd"], "odd"),
    Refusal(429, True, {"error": {"message": "slow down"}}, "slow down", 7.0),
    Refusal(429, False, {"error": {"message": "pay", "code": "insufficient_quota"}}, "pay"),
    Refusal(500, True, "<html>oops</html>", "oops"),
    Refusal(503, True, "", "Whatever"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.status))
async def test_a_refused_request(refusal: Refusal) -> None:
    async def answer(exchange: Exchange) -> None:
        waits = {} if refusal.retry_after is None else {"retry_after": f"{refusal.retry_after:.0f}"}
        await exchange.refuse(refusal.status, refusal.body, **waits)

    async with chat_server(answer) as server:
        with pytest.raises(RemoteModelError, match=refusal.says) as caught:
            await parts_of(model_at(server.base_url, api_key="s3cret"))
    assert isinstance(caught.value, ModelError)
    assert caught.value.status == refusal.status
    assert caught.value.retryable == refusal.retryable
    assert caught.value.retry_after == refusal.retry_after
    assert "s3cret" not in str(caught.value)


async def cut(exchange: Exchange) -> None:
    """Breaks off without ending the body."""
    await exchange.head(content_type=STREAM, transfer_encoding="chunked")
    await exchange.piece(b'data: {"choices":[{"delta":{"content":"well"}}]}\n\n')
    raise anyio.EndOfStream


async def unfinished(exchange: Exchange) -> None:
    await exchange.events(HELLO)


async def failing(exchange: Exchange) -> None:
    await exchange.events([*HELLO, {"error": {"message": "out of memory", "code": 500}}])


async def malformed(exchange: Exchange) -> None:
    await exchange.events(["what?"])


async def json_only(exchange: Exchange) -> None:
    await exchange.refuse(200, {"choices": []}, content_type="application/json")


async def nameless(exchange: Exchange) -> None:
    await exchange.events([call(0, "{}")])


async def refusing(exchange: Exchange) -> None:
    await exchange.events([delta(refusal="I may not."), end()])


async def filtered(exchange: Exchange) -> None:
    await exchange.events([*HELLO, end("content_filter")])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "says", "retryable"),
    [
        (cut, "RemoteProtocolError", True),
        (unfinished, "ended in its middle", True),
        (failing, "out of memory", True),
        (malformed, "no chunk of an answer", False),
        (json_only, "application/json", False),
        (refusing, "I may not", False),
        (filtered, "content_filter", False),
    ],
)
async def test_answers_that_are_not_whole(answer: Answer, says: str, retryable: bool) -> None:
    async with chat_server(answer) as server:
        with pytest.raises(RemoteModelError, match=says) as caught:
            await parts_of(model_at(server.base_url))
    assert caught.value.status is None
    assert caught.value.retryable == retryable


@pytest.mark.anyio
async def test_a_call_without_a_name() -> None:
    async with chat_server(nameless) as server:
        with pytest.raises(ModelError, match="without a name"):
            await parts_of(model_at(server.base_url))


@pytest.mark.anyio
async def test_nobody_listens() -> None:
    async with chat_server(unfinished) as server:
        pass
    with pytest.raises(RemoteModelError, match=r"ConnectError at http://127.0.0.1") as caught:
        await parts_of(model_at(server.base_url))
    assert caught.value.retryable


@pytest.mark.anyio
async def test_a_silent_server() -> None:
    async with chat_server(Exchange.until_left) as server:
        with anyio.fail_after(5), pytest.raises(RemoteModelError, match="ReadTimeout") as caught:
            await parts_of(model_at(server.base_url, timeout=0.05))
    assert caught.value.retryable


@pytest.mark.anyio
@pytest.mark.parametrize("shared", [False, True])
async def test_leaving_a_run_closes_the_connection(shared: bool) -> None:
    left = anyio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.head(content_type=STREAM, transfer_encoding="chunked")
        await exchange.piece(b'data: {"choices":[{"delta":{"content":"well"}}]}\n\n')
        await exchange.until_left()
        left.set()

    with anyio.fail_after(5):
        async with chat_server(answer) as server:
            model = model_at(server.base_url)
            if shared:
                await model.__aenter__()
            async with Agent(model).run_stream("go") as run:
                async for event in run:
                    if isinstance(event, TextDelta):
                        break
            await left.wait()
            if shared:
                await model.__aexit__(None, None, None)


@pytest.mark.anyio
async def test_a_reader_that_fails_between_two_parts() -> None:
    async def read(model: Model) -> None:
        async with model.stream(REQUEST) as parts:
            await anext(aiter(parts))
            raise LookupError

    async with chat_server(saying([*HELLO, end()])) as server:
        with pytest.raises(LookupError):  # as it is, not inside a group of errors
            await read(model_at(server.base_url))


@pytest.mark.anyio
async def test_cancelling_before_the_answer_begins() -> None:
    asked, left = anyio.Event(), anyio.Event()

    async def answer(exchange: Exchange) -> None:
        asked.set()
        await exchange.until_left()
        left.set()

    with anyio.fail_after(5):
        async with chat_server(answer) as server:
            async with anyio.create_task_group() as group:
                group.start_soon(parts_of, model_at(server.base_url))
                await asked.wait()
                group.cancel_scope.cancel()
            await left.wait()


@pytest.mark.anyio
async def test_connections_are_kept_inside_a_scope() -> None:
    async with chat_server(saying([*HELLO, end()])) as server:
        async with model_at(server.base_url) as model:
            await parts_of(model)
            await parts_of(model)
            assert server.connections == 1
            with pytest.raises(RuntimeError, match="entered already"):
                await model.__aenter__()
        await parts_of(model)
        await parts_of(model)
        assert server.connections == 3


@pytest.mark.anyio
async def test_a_scope_is_not_used_from_another_event_loop() -> None:
    async with (
        chat_server(saying([*HELLO, end()])) as server,
        model_at(server.base_url) as model,
    ):
        await parts_of(model)
        result = await anyio.to_thread.run_sync(Agent(model).run_sync, "go")
        assert result.output == "Grüß dich 👋"
        assert server.connections == 2


@pytest.mark.anyio
async def test_a_client_of_ones_own() -> None:
    async with chat_server(saying([end()])) as server:
        async with httpx.AsyncClient(headers={"x-team": "red"}) as client:
            async with model_at(server.base_url, client=client) as model:
                await parts_of(model)
            assert not client.is_closed
        assert server.requests[0].headers["x-team"] == "red"


@pytest.mark.anyio
async def test_a_mode_is_refused_or_passed_over() -> None:
    request = ModelRequest(REQUEST.messages, settings=ModelSettings(mode="any record"))
    async with chat_server(saying([end()])) as server:
        with pytest.raises(ModelError, match="ignore_mode=True"):
            await parts_of(model_at(server.base_url), request)
        assert server.requests == []
        await parts_of(model_at(server.base_url, ignore_mode=True), request)
        assert "mode" not in server.requests[0].body


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ModelRequest(REQUEST.messages, grammar="any record"), "grammar"),
        (ModelRequest(REQUEST.messages, settings=ModelSettings(sampling="any record")), "sample"),
        (ModelRequest(REQUEST.messages, settings=ModelSettings(best_of=2)), "best of 2"),
    ],
)
async def test_what_only_the_decoder_here_can_do_is_refused(
    request_: ModelRequest, says: str
) -> None:
    async with chat_server(saying([end()])) as server:
        with pytest.raises(ModelError, match=says) as caught:
            await parts_of(model_at(server.base_url, ignore_mode=True), request_)
    assert server.requests == []
    assert not caught.value.retryable


@pytest.mark.anyio
async def test_a_run_asks_again_when_the_server_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("agentkit.listener.sleep", sleep)

    async def answer(exchange: Exchange) -> None:
        if len(server.requests) == 1:
            await exchange.refuse(503, "busy", retry_after="7")
        else:
            await exchange.events([delta(content="4"), end(), USAGE])

    async with chat_server(answer) as server:
        result = await Agent(model_at(server.base_url), output_type=int).run("2+2?")
        assert len(server.requests) == 2
    assert pauses == [7.0]
    assert result.output == 4
    assert result.usage.turns == 1
    assert result.usage.input_tokens == 20


@pytest.mark.anyio
async def test_where_remote_models_are_forbidden_nothing_is_sent() -> None:
    async with chat_server(saying([end()])) as server:
        with forbid_remote_models(), pytest.raises(RemoteModelForbidden, match="'small'"):
            await Agent(model_at(server.base_url)).run("go")
    assert server.connections == 0


@pytest.mark.anyio
async def test_the_budget_has_the_name_that_openai_knows() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401, json={})

    request = ModelRequest(REQUEST.messages, settings=ModelSettings(max_tokens=3))
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(RemoteModelError):
            await parts_of(OpenAIModel("big", api_key="k", client=client), request)
    assert str(sent[0].url) == "https://api.openai.com/v1/chat/completions"
    assert json.loads(sent[0].content)["max_completion_tokens"] == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"base_url": "localhost:8000"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://[::bad"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"api_key": "line\nbreak"}, "api_key"),
    ],
)
def test_arguments_that_cannot_work(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        OpenAIModel("small", **options)
    assert "break" not in str(caught.value)


def test_retry_after() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    ago = soon.replace(soon[12:16], "1999")
    assert retry_after("12") == 12.0
    assert 50 < (retry_after(soon) or 0) <= 60
    assert 50 < (retry_after(soon.replace("GMT", "-0000")) or 0) <= 60
    assert retry_after(ago) == 0.0
    assert [retry_after(header) for header in ("", "soon", "inf", "-3")] == [None] * 4
