"""The ASGI app; asyncio and trio."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from agentkit.adapters.answers import Answers
from agentkit.definition import check_model
from agentkit.errors import ModelError
from agentkit.models.base import Model, ModelEvent, ModelRequest, ModelResponse
from agentkit.models.untold import Untold
from agentkit.openai_server.answers import Completion, Deltas
from agentkit.openai_server.failures import Refused, crash, failure
from agentkit.openai_server.requests import ChatRequest, chat_request, model_request

logger = logging.getLogger(__name__)

_MAX_BODY = 16 * 2**20


def create_app(model: Model) -> Starlette:
    """Serves `model` as `/v1/chat/completions` and `/v1/models`; `/health` says that it is there.

    A model with a life of its own, such as a `LocalModel`, is started and closed with the app. A
    client that leaves stops its answer. There is no authentication: whoever reaches the server
    may use it. Raises `TypeError` for what is no model, such as a name.
    """
    return app_of(model, life_of(model))


def app_of(model: Model, life: AbstractAsyncContextManager[Any]) -> Starlette:
    """The app, which lasts as long as `life`."""
    check_model(model)
    serving = _Serving(model)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with life:
            yield

    return Starlette(
        routes=[
            Route("/health", serving.health),
            Route("/v1/models", serving.models),
            Route("/v1/models/{name:path}", serving.one_model),
            Route("/v1/chat/completions", serving.chat, methods=["POST"]),
        ],
        lifespan=lifespan,
        exception_handlers={Refused: _refused, HTTPException: _not_found},
    )


def life_of(model: Model) -> AbstractAsyncContextManager[Any]:
    """The model where it has a life of its own, and else nothing."""
    return model if isinstance(model, AbstractAsyncContextManager) else nullcontext()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse(error.body, error.status)


async def _not_found(request: Request, error: Exception) -> Response:
    """Paths and methods that there are not."""
    assert isinstance(error, HTTPException)
    refused = Refused(
        f"{request.method} {request.url.path}: {error.detail}", status=error.status_code
    )
    return JSONResponse(refused.body, refused.status, error.headers)


@dataclass(frozen=True, slots=True)
class _Serving:
    model: Model
    answers: Answers = field(default_factory=Answers)

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "model": self.model.name})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def one_model(self, request: Request) -> Response:
        self._check_name(request.path_params["name"])
        return JSONResponse(self._described())

    async def chat(self, request: Request) -> Response:
        try:
            asked = chat_request(await _body_of(request))
        except ClientDisconnect:
            return _Unheard()
        self._check_name(asked.model)
        given = model_request(asked)
        given = replace(given, messages=self.answers.restored(given.messages))
        return _Answer(self, asked, given)

    def _described(self) -> dict[str, Any]:
        return {"id": self.model.name, "object": "model", "created": 0, "owned_by": "trimode"}

    def _check_name(self, name: str) -> None:
        if name != self.model.name:
            raise Refused(
                f"there is no model {name!r} here, only {self.model.name!r}",
                "model",
                "model_not_found",
                404,
            )


async def _body_of(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            raise Refused(f"the body is longer than {_MAX_BODY} bytes", status=413)
    return bytes(body)


class _Unheard(Response):
    """For a client that has left before it had asked."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        return


class _Answer(Response):
    """The model's answer. It ends with the client: whoever leaves stops it between two forwards."""

    def __init__(self, serving: _Serving, asked: ChatRequest, request: ModelRequest) -> None:
        super().__init__()
        self._serving = serving
        self._asked = asked
        self._request = request
        self._completion = Completion(serving.model.name, asked.tells_usage)
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def cancel_when_left() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(cancel_when_left)
            with suppress(_Left):
                await self._tell(scope, receive, _told_apart(send))
            group.cancel_scope.cancel()

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._serving.model.stream(self._request) as parts:
                if self._asked.stream:
                    await self._tell_parts(parts, send)
                    return
                response = await self._last(parts)
            answer = JSONResponse(self._completion.whole(response))
        except ModelError as error:
            status, body = failure(error)
            if self._has_begun:
                await send(_piece(_event(body), is_last=True))
                return
            answer = JSONResponse(body, status)
        except _Left:
            raise
        except Exception:
            logger.exception("an answer failed")
            if self._has_begun:
                await send(_piece(_event(crash()), is_last=True))
                return
            answer = JSONResponse(crash(), 500)
        await answer(scope, receive, send)

    async def _last(self, parts: AsyncIterator[ModelEvent]) -> ModelResponse:
        async for part in parts:
            if isinstance(part, ModelResponse):
                self._serving.answers.keep(part.message)
                return part
        raise ModelError(f"model {self._serving.model.name!r} ended without a ModelResponse")

    async def _tell_parts(self, parts: AsyncIterator[ModelEvent], send: Send) -> None:
        """Begins with the first part: before it, what is wrong can still be told by a status."""
        deltas, untold = Deltas(), Untold()
        async for part in parts:
            if not self._has_begun:
                await send(_START)
                self._has_begun = True
                opening = {"role": "assistant", "content": "", "refusal": None}
                await send(_piece(_event(self._completion.chunk(opening))))
            for each in untold.completed(part):
                if delta := deltas.of(each):
                    await send(_piece(_event(self._completion.chunk(delta))))
            if isinstance(part, ModelResponse):
                self._serving.answers.keep(part.message)
                for chunk in self._completion.last_chunks(part):
                    await send(_piece(_event(chunk)))
                await send(_piece(b"data: [DONE]\n\n", is_last=True))


class _Left(Exception):
    """The client has left."""


def _told_apart(send: Send) -> Send:
    """`send`, by whose `OSError` some servers tell that the client has left: so that no error of
    the model is taken for it."""

    async def sent(message: Message) -> None:
        try:
            await send(message)
        except OSError as error:
            raise _Left from error

    return sent


_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")],
}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _piece(body: bytes, *, is_last: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": not is_last}
