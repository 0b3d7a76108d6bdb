"""The OpenAI protocol over real sockets: the official client, and our own, on the other side."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Literal, cast

import anyio
import httpx
import hypercorn
import hypercorn.trio
import openai
import pytest
import uvicorn
from pydantic import BaseModel, Field
from starlette.types import Message

from agentkit import Agent, ModelBroken, ModelError, ModelSettings, RemoteModelError, raw_schema
from agentkit.messages import AssistantMessage, ModelUsage
from agentkit.models import Model, ModelResponse, OpenAIModel, ScriptedModel
from agentkit.models.base import ModelEvent, ModelRequest
from agentkit.models.chat_completions import AnswerReader, Chunk
from agentkit.openai_server import create_app, serve
from agentkit.openai_server.failures import Refused, failure
from agentkit.openai_server.requests import chat_request, model_request
from agentkit.raw_schema import schema_problem
from tests.agentkit.adapters.models import weights
from tests.agentkit.support import HangingModel, SilentModel, add, call_add

pytestmark = pytest.mark.anyio
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
# Under trio the official client leaves its generators in their middle, and trio warns of them.
ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])
HELLO: Any = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def served(model: Model, backend: str) -> AsyncIterator[str]:
    """Gives the address, on uvicorn or, under trio, on hypercorn."""
    app: Any = create_app(model)
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    stopped = anyio.Event()

    async def on_asyncio() -> None:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_level="warning"))
        async with anyio.create_task_group() as inner:
            inner.start_soon(server.serve, [listening])
            await stopped.wait()
            server.should_exit = True

    async def on_trio() -> None:
        config = hypercorn.Config()
        config.bind = [f"fd://{listening.detach()}"]
        config.graceful_timeout = 1
        await hypercorn.trio.serve(app, config, shutdown_trigger=stopped.wait)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(on_asyncio if backend == "asyncio" else on_trio)
            yield url
            stopped.set()
    finally:
        listening.close()


@asynccontextmanager
async def official(model: Model, backend: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        served(model, backend) as url,
        openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", timeout=30, max_retries=0
        ) as client,
    ):
        yield client


def saying(*answers: Any) -> ScriptedModel:
    usage = ModelUsage(input_tokens=30, cached_input_tokens=24, output_tokens=12)
    return ScriptedModel(
        [
            ModelResponse(
                AssistantMessage(each)
                if isinstance(each, str)
                else AssistantMessage(tool_calls=tuple(each)),
                usage,
            )
            for each in answers
        ],
    )


async def test_the_official_client_chats(anyio_backend: str) -> None:
    model = saying("Hi.")
    async with official(model, anyio_backend) as client:
        answer = await client.chat.completions.create(
            model="scripted",
            messages=[{"role": "developer", "content": "Be brief."}, *HELLO],
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop=["x", "y"],
            max_completion_tokens=9,
            user="Ann",
        )
        assert [each.id async for each in client.models.list()] == ["scripted"]
        assert (await client.models.retrieve("scripted")).owned_by == "trimode"
    assert answer.choices[0].message.content == "Hi."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (30, 12)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 24
    [request] = model.requests
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.settings == ModelSettings(9, 0.5, 0.9, 7, stop=("x", "y"))


@ASYNCIO
async def test_the_official_client_streams(anyio_backend: str) -> None:
    async with official(saying("Hello you."), anyio_backend) as client:
        stream = await client.chat.completions.create(
            model="scripted", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    told = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(told) > 3
    assert "".join(told) == "Hello you."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert all("usage" in chunk.model_fields_set for chunk in chunks)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 42
    assert len({chunk.id for chunk in chunks}) == 1


@ASYNCIO
async def test_the_official_client_calls_tools(anyio_backend: str) -> None:
    model = saying([call_add("c1", 1, 2), call_add("c2", 3, 4)], "10")
    async with official(model, anyio_backend) as client:
        async with client.chat.completions.stream(
            model="scripted", messages=HELLO, tools=[cast("Any", ADD)]
        ) as stream:
            message = (await stream.get_final_completion()).choices[0]
        assert message.finish_reason == "tool_calls"
        calls = message.message.tool_calls or []
        assert [(c.id, c.function.arguments) for c in calls] == [
            ("c1", '{"a":1,"b":2}'),
            ("c2", '{"a":3,"b":4}'),
        ]
        history: Any = [
            *HELLO,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a":1,"b":2}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ]
        answer = await client.chat.completions.create(
            model="scripted", messages=history, tools=[cast("Any", ADD)]
        )
    assert answer.choices[0].message.content == "10"
    assert model.requests[1].messages[-1].content == "3"  # type: ignore[union-attr]


class Colour(BaseModel):
    name: Literal["red", "blue"]
    share: int = Field(ge=0, le=9)


async def test_weights_hold_to_schemas_and_to_the_choice_of_tools(anyio_backend: str) -> None:
    async with weights(3) as model, official(model, anyio_backend) as client:
        parsed = await client.chat.completions.parse(
            model="nonsense", messages=HELLO, response_format=Colour
        )
        assert isinstance(parsed.choices[0].message.parsed, Colour)
        for choice in ("required", {"type": "function", "function": {"name": "add"}}):
            answer = await client.chat.completions.create(
                model="nonsense",
                messages=HELLO,
                tools=[cast("Any", ADD)],
                tool_choice=cast("Any", choice),
                max_tokens=200,
            )
            [first, *_] = answer.choices[0].message.tool_calls or []
            assert first.type == "function"
            assert set(json.loads(first.function.arguments)) == {"a", "b"}
        answer = await client.chat.completions.create(
            model="nonsense",
            messages=HELLO,
            tools=[cast("Any", ADD)],
            tool_choice="none",
            response_format={"type": "json_object"},
            max_tokens=60,
        )
        assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


async def test_our_own_client_runs_an_agent_on_it(anyio_backend: str) -> None:
    model = saying([call_add("c1", 1, 2)], '{"name":"red","share":3}')
    async with served(model, anyio_backend) as url:
        remote = OpenAIModel("scripted", base_url=f"{url}/v1", api_key="none")
        async with remote:
            agent = Agent(remote, tools=[add], output_type=Colour)
            result = await agent.run("go")
    assert result.output == Colour(name="red", share=3)
    assert result.usage.input_tokens == 60
    assert model.requests[0].output.json_schema == model.requests[1].output.json_schema


async def test_a_second_turn_reuses_what_is_encoded(anyio_backend: str) -> None:
    async with weights(3) as model, official(model, anyio_backend) as client:
        first = await client.chat.completions.create(
            model="nonsense", messages=HELLO, max_tokens=40
        )
        said = first.choices[0].message.content or ""
        again: Any = [*HELLO, {"role": "assistant", "content": said}, *HELLO]
        second = await client.chat.completions.create(
            model="nonsense", messages=again, max_tokens=4
        )
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    cached = second.usage.prompt_tokens_details.cached_tokens or 0
    assert cached >= first.usage.prompt_tokens + first.usage.completion_tokens - 1


async def until(holds: Any) -> None:
    with anyio.fail_after(20):
        while not holds():  # noqa: ASYNC110 - a server is looked at from outside
            await anyio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_its_answer(anyio_backend: str, stream: bool) -> None:
    model = HangingModel()
    async with served(model, anyio_backend) as url, httpx.AsyncClient(timeout=20) as client:
        body = {"model": "hanging", "messages": HELLO, "stream": stream}
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with suppress(httpx.HTTPError):
                    await client.post(f"{url}/v1/chat/completions", json=body)

            group.start_soon(ask)
            await model.spoke.wait()
            assert model.num_open == 1
            group.cancel_scope.cancel()
        await until(lambda: model.num_open == 0)


async def test_errors_have_openai_s_shape(anyio_backend: str) -> None:
    model = ScriptedModel(
        [ModelError("no such keyword"), ModelError("busy", retryable=True), ModelError("no")]
    )
    async with official(model, anyio_backend) as client:
        ask = client.chat.completions.create
        with pytest.raises(openai.BadRequestError, match="no such keyword") as refused:
            await ask(model="scripted", messages=HELLO)
        assert (refused.value.type, refused.value.code) == (
            "invalid_request_error",
            "model_cannot_answer",
        )
        with pytest.raises(openai.InternalServerError, match="busy"):
            await ask(model="scripted", messages=HELLO)
        with pytest.raises(openai.BadRequestError):  # before the stream begins
            await ask(model="scripted", messages=HELLO, stream=True)
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
            await ask(model="gpt", messages=HELLO)
        with pytest.raises(openai.BadRequestError, match="n: only 1") as unsupported:
            await ask(model="scripted", messages=HELLO, n=2)
        assert (unsupported.value.param, unsupported.value.code) == ("n", "unsupported_parameter")
        with pytest.raises(openai.NotFoundError, match="Not Found"):
            await client.embeddings.create(model="scripted", input="x")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelBroken("the engine is closed"), 500),
        (RemoteModelError("gpt", "no such key", status=401), 502),
        (RemoteModelError("gpt", "it sent HTML"), 502),
        (RemoteModelError("gpt", "its messages are too long", status=400), 400),
        (RemoteModelError("gpt", "busy", status=429, retryable=True), 503),
        (ModelError("no such keyword"), 400),
    ],
)
def test_only_what_is_about_the_request_is_its_fault(error: ModelError, status: int) -> None:
    told, answer = failure(error)
    assert told == status
    kind = "invalid_request_error" if status == 400 else "server_error"
    assert (answer["error"]["message"], answer["error"]["type"]) == (str(error), kind)


async def test_a_model_that_tells_no_parts_is_streamed_all_the_same(anyio_backend: str) -> None:
    said = AssistantMessage("Let me.", (call_add("c1", 1, 2),))
    asked = {"model": "silent", "messages": HELLO, "stream": True}
    async with served(SilentModel([said]), anyio_backend) as url, httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/chat/completions", json=asked)
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    reader = AnswerReader()
    for line in lines[:-1]:
        list(reader.push(Chunk.model_validate_json(line)))
    assert lines[-1] == "[DONE]"
    assert reader.message == said


async def test_a_client_that_leaves_while_it_asks_is_no_crash() -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": b'{"model":', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [],
        "query_string": b"",
    }
    await create_app(saying())(scope, receive, send)
    assert (pieces, sent) == ([], [])


def test_a_name_is_no_model_to_serve() -> None:
    with pytest.raises(TypeError, match="give an instance"):
        create_app("smollm2-135m")  # type: ignore[arg-type]


class Heavy(SilentModel):
    """Says when it begins, or fails to."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(())
        self.begun: list[str] = []
        self._error = error

    async def __aenter__(self) -> "Heavy":
        if self._error is not None:
            raise self._error
        self.begun.append("model")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.begun.append("over")


@ASYNCIO
async def test_a_model_that_cannot_begin_is_told_and_not_its_address(anyio_backend: str) -> None:
    told: list[str] = []
    with pytest.raises(ModelError, match="no weights"):
        await serve(Heavy(ModelError("no weights")), port=0, listening=told.append)
    assert told == []


@ASYNCIO
async def test_the_address_is_told_once_the_model_has_begun(anyio_backend: str) -> None:
    model = Heavy()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(serve, model, port=0, listening=model.begun.append))
        await until(lambda: len(model.begun) > 1)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{model.begun[1]}/models")).status_code == 200
        group.cancel_scope.cancel()
    assert model.begun[0] == "model"


@ASYNCIO
async def test_the_model_is_over_where_telling_the_address_fails(anyio_backend: str) -> None:
    def refuse(url: str) -> None:
        raise RuntimeError("no place to write it to")

    model = Heavy()
    with pytest.raises(RuntimeError, match="no place"):
        await serve(model, port=0, listening=refuse)
    assert model.begun == ["model", "over"]


class Late:
    """A model whose error looks like a connection's."""

    name = "late"

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        raise TimeoutError("no weights yet")
        yield


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_the_model_is_not_taken_for_a_client_that_left(
    anyio_backend: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"model": "late", "messages": HELLO, "stream": stream}
    async with served(Late(), anyio_backend) as url, httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/chat/completions", json=asked)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "no weights yet" in caplog.text


async def test_it_says_that_it_is_there(anyio_backend: str) -> None:
    async with served(saying(), anyio_backend) as url, httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/health")).json() == {"status": "ok", "model": "scripted"}
        wrong = await client.get(f"{url}/v1/chat/completions")
        assert wrong.status_code == 405
        assert wrong.json()["error"]["type"] == "invalid_request_error"


def body(**more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": HELLO} | more).encode()


def with_tool(parameters: Any) -> bytes:
    function = {"name": "a", "parameters": parameters}
    return body(tools=[{"type": "function", "function": function}])


def with_output(schema: Any) -> bytes:
    given = {"name": "a", "schema": schema}
    return body(response_format={"type": "json_schema", "json_schema": given})


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"type": "object", "not": schema}
    return schema


@pytest.mark.parametrize(
    ("given", "param", "words"),
    [
        (b"", None, "Invalid JSON"),
        (b"[]", None, "object"),
        (b'{"model":"m"}', "messages", "required"),
        (body(messages=[]), "messages", "at least 1"),
        (body(messages=[{"role": "robot", "content": "x"}]), "messages.0", "robot"),
        (body(messages=[{"role": "user"}]), "messages.0.user.content", "required"),
        (body(temperature=3), "temperature", "less than or equal to 2"),
        (body(temperature="1"), "temperature", "number"),
        (body(max_tokens=0), "max_tokens", "greater than or equal to 1"),
        (body(max_tokens=1, max_completion_tokens=1), "max_tokens", "not both"),
        (body(stop=["a"] * 5), "stop", "at most 4"),
        (body(stop=""), "stop", "at once"),
        (body(logprobs=True), "logprobs", "only False"),
        (body(parallel_tool_calls=False), "parallel_tool_calls", "only True"),
        (body(logit_bias={"1": 2}), "logit_bias", "only {}"),
        (body(functions=[]), "functions", "does not know"),
        (body(response_format={"type": "xml"}), "response_format", "xml"),
        (body(tool_choice="required"), "tool_choice", "no tools"),
        (body(tools=[ADD, ADD]), "tools", "same name"),
        (with_tool({}), "tools", "the parameters of 'a' need"),
        (with_tool({"type": "object", "properties": None}), "tools", "'a' must be a JSON Schema"),
        (with_tool({"type": "object", "properties": ["a"]}), "tools", "$.properties: ['a'] is not"),
        (with_tool({"type": "object", "properties": {"x": ["a"]}}), "tools", "$.properties.x: "),
        (with_tool({"type": "object", "required": None}), "tools", "$.required: None is not"),
        (with_tool({"type": "object", "anyOf": None}), "tools", "$.anyOf: None is not"),
        (with_tool({"type": "object", "$schema": 7}), "tools", "7 is not of type 'string'"),
        (with_tool(nested(180)), "tools", "nested too deeply"),
        (with_output({"properties": 3}), "response_format", "$.properties: 3 is not"),
        (with_output({"required": None}), "response_format", "must be a JSON Schema"),
        (
            body(tools=[ADD], tool_choice={"type": "function", "function": {"name": "x"}}),
            "tool_choice",
            "no tool 'x'",
        ),
        (
            body(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            "messages.0.user.content",
            "",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(given: bytes, param: str | None, words: str) -> None:
    with pytest.raises(Refused) as caught:
        model_request(chat_request(given))
    told = caught.value.body["error"]
    assert caught.value.status == 400
    assert (told["param"] or "").startswith(param or "")
    assert words in told["message"]


def test_what_changes_nothing_is_taken() -> None:
    request = model_request(chat_request(body(n=1, logit_bias={}, frequency_penalty=0.0)))
    assert request == ModelRequest(request.messages)


def test_only_short_schemas_are_remembered() -> None:
    raw_schema._known_problem_in.cache_clear()
    for letters, kept in ((10**5, 0), (10, 1)):
        assert schema_problem({"type": "object", "title": "x" * letters}) is None
        assert raw_schema._known_problem_in.cache_info().currsize == kept


@pytest.mark.parametrize("old", ["$defs", "prefixItems"])
def test_a_schema_is_judged_by_the_draft_it_names(old: str) -> None:
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}
    pair = {"type": "array", "items": [{"type": "string"}]}
    parameters = draft | {"properties": {"pair": pair}, old: None}  # no keyword in this draft
    [taken] = model_request(chat_request(with_tool(parameters))).tools
    assert taken.parameters == parameters | {"additionalProperties": False}
