"""A model behind any server that speaks OpenAI's chat completions."""

import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import TracebackType
from typing import NoReturn

from anyio import move_on_after
from anyio.lowlevel import EventLoopToken, current_token
from pydantic import ValidationError

from agentkit.errors import ModelError, RemoteModelError
from agentkit.models.base import ModelEvent, ModelRequest, ModelResponse
from agentkit.models.chat_completions import AnswerReader, Chunk, Failure, Wire, request_body
from agentkit.models.guard import check_remote_allowed
from agentkit.models.sse import EventParser

try:
    import httpx
except ImportError as error:
    raise ImportError("OpenAIModel needs httpx: pip install 'trimode[openai]'") from error

_OPENAI = "https://api.openai.com/v1"
_DONE = "[DONE]"
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SPENT = "insufficient_quota"
_MALFORMED = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
_CONNECT_SECONDS = 10.0
_DRAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Scope:
    """The client of an `async with`, and the event loop it belongs to."""

    client: httpx.AsyncClient
    loop: EventLoopToken


class OpenAIModel:
    """Model `model` of an OpenAI-compatible server, streamed. Shareable by any number of runs.

    `base_url` is what comes before `/chat/completions`. `api_key` None reads the environment's
    OPENAI_API_KEY; where that is missing too, or for "", none is sent. Inside `async with`
    connections are kept and re-used; outside, each answer opens its own. `client` is one of your
    own to use instead; its owner closes it. `timeout` is how many seconds the server may be
    silent.

    What is decoded elsewhere is not under this process's grammar: `strict` asks the server to
    hold to the schemas of tools and answers (some refuse schemas with optional properties then);
    without it, what does not validate is asked for again. A turn that must, or must not, call a
    tool is a `tool_choice`. What only the in-process decoder can do is refused with `ModelError`:
    `request.grammar`, `settings.sampling` and, unless `ignore_mode` passes it over,
    `settings.mode`. Usage counts no forwards.

    Raises `RemoteModelError` where no whole answer came, and for a refusal or a filtered answer;
    and `RemoteModelForbidden` inside `agentkit.testing.forbid_remote_models`.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = _OPENAI,
        api_key: str | None = None,
        strict: bool = False,
        ignore_mode: bool = False,
        timeout: float = 300.0,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        url = _url(base_url)
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout}; give seconds above 0")
        # OpenAI's newer models know only the new name of the budget, other servers only the old.
        budget = "max_completion_tokens" if url.host == httpx.URL(_OPENAI).host else "max_tokens"
        self._wire = Wire(model, strict, budget)
        self._url = base_url.rstrip("/") + "/chat/completions"
        key = os.environ.get("OPENAI_API_KEY", "") if api_key is None else api_key
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the api_key has characters that no HTTP header can carry")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._ignore_mode = ignore_mode
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS))
        self._given = client
        self._scope: _Scope | None = None

    @property
    def name(self) -> str:
        return self._wire.model

    @property
    def provider(self) -> str:
        """Whose protocol it speaks; for telemetry."""
        return "openai"

    async def __aenter__(self) -> "OpenAIModel":
        """Raises `RuntimeError` where the model is inside an `async with` already."""
        if self._scope is not None:
            raise RuntimeError(f"{self.name} is entered already; share it inside one `async with`")
        self._scope = _Scope(httpx.AsyncClient(verify=_authorities()), current_token())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            await scope.client.aclose()

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        """One turn. See `Model.stream`; leaving early closes the connection."""
        check_remote_allowed(self.name)
        self._check(request)
        started = time.perf_counter()
        async with (
            self._client() as client,
            self._response(client, request) as response,
            aclosing(self._read(response, started)) as parts,
        ):
            yield parts

    def _check(self, request: ModelRequest) -> None:
        """Raises `ModelError` for what only the in-process decoder can do."""
        settings = request.settings
        if settings.mode is not None and not self._ignore_mode:
            self._refuse(
                f"use the mode {settings.mode!r}; leave it out, or give "
                "OpenAIModel(ignore_mode=True)"
            )
        if settings.sampling is not None:
            self._refuse(
                f"sample by {settings.sampling!r}; give temperature, top_p and seed instead"
            )
        if settings.best_of not in (None, 1):
            self._refuse(f"take the best of {settings.best_of} answers; leave it out")
        if request.grammar is not None:
            self._refuse("hold to a grammar; give an output type instead")

    def _refuse(self, what: str) -> NoReturn:
        raise ModelError(f"{self.name} is decoded by its server, which cannot be told to {what}")

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        if self._given is not None:
            yield self._given
        elif self._scope is not None and self._scope.loop == current_token():
            yield self._scope.client
        else:
            async with httpx.AsyncClient(verify=_authorities()) as client:
                yield client

    @asynccontextmanager
    async def _response(
        self, client: httpx.AsyncClient, request: ModelRequest
    ) -> AsyncIterator[httpx.Response]:
        """The response to `request`, its body not yet read. Raises `RemoteModelError` for any
        that is not an event stream."""
        with self._failures_named():
            response = await client.send(
                client.build_request(
                    "POST",
                    self._url,
                    json=request_body(self._wire, request),
                    headers=self._headers,
                    timeout=self._timeout,
                ),
                stream=True,
            )
        try:
            with self._failures_named():
                await self._check_answered(response)
            yield response
        finally:
            await response.aclose()

    async def _check_answered(self, response: httpx.Response) -> None:
        status = response.status_code
        if status != 200:
            failure = Failure.of_body(await response.aread())
            raise RemoteModelError(
                self.name,
                failure.message or response.reason_phrase,
                status=status,
                retryable=status in _PASSING and failure.code != _SPENT,
                retry_after=retry_after(response.headers.get("retry-after", "")),
            )
        kind = response.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise RemoteModelError(
                self.name, f"its answer is {kind or 'of no type'}, not a stream of events"
            )

    async def _read(
        self, response: httpx.Response, started: float
    ) -> AsyncGenerator[ModelEvent, None]:
        reader = AnswerReader()
        async with aclosing(self._chunks(response)) as chunks:
            async for chunk in chunks:
                for part in reader.push(chunk):
                    yield part
        self._refuse_half_answers(reader)
        for part in reader.finish():
            yield part
        yield ModelResponse(
            reader.message,
            reader.model_usage(time.perf_counter() - started),
            "length" if reader.finish_reason == "length" else "stop",
        )

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[Chunk, None]:
        parser = EventParser()
        pieces = response.aiter_bytes()
        try:
            with self._failures_named():
                async for piece in pieces:
                    for data in parser.push(piece):
                        if data == _DONE:
                            await _drain(pieces)
                            return
                        yield self._chunk(data)
        finally:
            await _end(response, pieces)

    def _chunk(self, data: str) -> Chunk:
        try:
            chunk = Chunk.model_validate_json(data)
        except ValidationError as error:
            raise RemoteModelError(
                self.name, f"it sent {data[:200]!r}, which is no chunk of an answer"
            ) from error
        if chunk.error is not None:
            failure = Failure.of(chunk.error)
            raise RemoteModelError(self.name, failure.message, retryable=failure.code != _SPENT)
        return chunk

    def _refuse_half_answers(self, reader: AnswerReader) -> None:
        if reader.finish_reason is None:
            raise RemoteModelError(self.name, "the stream ended in its middle", retryable=True)
        if reader.refusal:
            raise RemoteModelError(self.name, f"it refused: {reader.refusal}")
        if reader.finish_reason in ("content_filter", "error"):
            raise RemoteModelError(self.name, f"it was stopped by {reader.finish_reason!r}")

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__} at {self._url}: {error}".removesuffix(": ")
            raise RemoteModelError(
                self.name, reason, retryable=not isinstance(error, _MALFORMED)
            ) from error


@lru_cache(maxsize=1)
def _authorities() -> ssl.SSLContext:
    """Whom a client trusts; read once, since that takes longer than all else about a client."""
    return httpx.create_ssl_context()


def _url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url is {base_url!r}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"base_url is {base_url!r}; give one such as {_OPENAI!r}")
    return url


async def _end(response: httpx.Response, pieces: AsyncIterator[bytes]) -> None:
    """Closes the connection, if more was to come. Reading on only lets the generators inside
    the client meet their end, since trio warns of any that are left in their middle."""
    await response.aclose()
    with suppress(httpx.HTTPError):
        async for _ in pieces:
            pass


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Reads on to the end of the response, without which its connection cannot be used again;
    the answer is whole, so that whatever goes wrong here is nobody's loss."""
    with suppress(httpx.HTTPError), move_on_after(_DRAIN_SECONDS):
        async for _ in pieces:
            pass


def retry_after(header: str) -> float | None:
    """The seconds that a Retry-After header names, as a number or as a date (RFC 9110, section
    10.2.3); None where it is missing or names nothing."""
    if header.isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
