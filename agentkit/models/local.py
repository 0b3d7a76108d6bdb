"""A model in this process, on the tri-mode decoder. Beside the command line the only module that
imports `decoding`."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from agentkit.confidence import confidence_of, mean_logprob
from agentkit.decoding_trace import (
    DecodingStats,
    DecodingTrace,
    ForwardPurpose,
    ForwardTrace,
    TokenOrigin,
    TokenRegion,
    TokenTrace,
)
from agentkit.errors import ModelBroken, ModelError
from agentkit.messages import AssistantMessage, Message, ModelUsage
from agentkit.models.base import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    ToolCallEnd,
)
from agentkit.models.dialect import Spelling, TurnReader, chat_messages, turn_grammar
from agentkit.usage import Usage
from decoding import (
    AsyncEngine,
    Autoregressive,
    Completion,
    DecodeMode,
    DecodingError,
    EngineClosed,
    EngineStats,
    Finished,
    Grammar,
    NotFinite,
    Profile,
    Progress,
    Request,
    Sampling,
    Tokenizer,
    UnsupportedMode,
)

_MAX_TOKENS = 512
_MOST_KEPT = 2**16  # letters of a grammar: requests bring up to 16 MiB


class LocalModel:
    """Weights in this process: "smollm2-135m", or any directory `decoding.Engine.load` takes.

    Tool calls and typed answers are decoded under a grammar, so they are valid whatever the
    weights. Loading begins with the first answer, or with `start`; `async with` also gives
    everything back at its end, else the interpreter's exit does. Shareable by any number of
    runs, tasks and event loops; all of them share one cache.

    `mode` is the decoding mode for answers whose settings name none. `device`, `profile`,
    `adapter`, `cache_tokens`, `kept_tokens`, `max_live` and `max_waiting` are those of
    `decoding.Engine.load`; with a `max_waiting`, answers beyond it wait before they take memory.
    `engine` is an engine of your own to use instead of loading one; its owner closes it.
    What a session's turn encoded is kept for its next one, within `kept_tokens`.

    With `spaced_json`, a space stands behind each comma and colon of calls and typed answers. Very
    small models then copy values from the question much better, for some more tokens; but they
    also answer otherwise, so try it with your own tools (`docs/log.md`).
    """

    def __init__(
        self,
        source: str | Path = "smollm2-135m",
        *,
        mode: DecodeMode = Autoregressive(),
        device: str = "cpu",
        profile: Profile = "exact",
        adapter: str | Path | None = "linear_spec_lora",
        cache_tokens: int = 32768,
        kept_tokens: int | None = None,
        max_live: int = 64,
        max_waiting: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        engine: AsyncEngine | None = None,
        spaced_json: bool = False,
    ) -> None:
        self._name = str(source)
        self._mode = mode
        self._spelling = Spelling.SPACED if spaced_json else Spelling.COMPACT
        self._owns_engine = engine is None
        self._engine = engine or AsyncEngine.load(
            source,
            device=device,
            profile=profile,
            adapter=adapter,
            cache_tokens=cache_tokens,
            kept_tokens=kept_tokens,
            max_live=max_live,
            max_waiting=max_waiting,
            progress=progress,
        )
        self._turns = count(1)

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        """Loads the weights, if they are not loaded. Raises `ModelBroken`."""
        try:
            await self._engine.start()
        except DecodingError as error:
            raise ModelBroken(str(error)) from error

    async def aclose(self) -> None:
        """Ends all answers and frees the weights, unless the engine was given."""
        if self._owns_engine:
            await self._engine.aclose()

    async def __aenter__(self) -> "LocalModel":
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def forget(self, session: str) -> None:
        """Keeps no pages for a session any longer; for one that will not go on. Without it they
        go when other sessions' turns need the room."""
        self._engine.forget(session)

    def stats(self) -> EngineStats:
        """The engine's counters: live sequences, pages, hit rate, tokens by mode."""
        return self._engine.stats()

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        """One turn. See `Model.stream`."""
        await self.start()
        try:
            candidates = self._candidates(request)
        except (DecodingError, ValueError) as error:
            raise self._failure(error) from error
        try:
            async with AsyncExitStack() as stack:
                streams = [
                    await stack.enter_async_context(self._engine.stream(each))
                    for each in candidates
                ]
                may_call = bool(request.tools) and request.allow_calls
                prefix = self._call_prefix(request.messages)
                reader = TurnReader(prefix, self._spelling, may_call)
                many = len(streams) > 1
                parts = self._best(reader, streams) if many else self._read(reader, streams[0])
                yield await stack.enter_async_context(aclosing(parts))
        except UnsupportedMode as error:  # names the model itself
            raise ModelError(str(error)) from error
        except DecodingError as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> ModelError:
        is_broken = isinstance(error, EngineClosed | NotFinite)
        kind = ModelBroken if is_broken else ModelError
        return kind(f"{self.name} cannot answer: {error}")

    def _candidates(self, request: ModelRequest) -> list[Request]:
        """The answers to decode; the engine encodes what they begin with once."""
        first = self._decoding_request(request)
        number = request.settings.best_of or 1
        return [
            replace(
                first,
                sampling=_variant(first.sampling, index),
                keep=first.keep if index == 0 else None,
            )
            for index in range(number)
        ]

    def _decoding_request(self, request: ModelRequest) -> Request:
        settings = request.settings
        grammar = request.grammar
        if grammar is None:
            grammar = _grammar(turn_grammar(request, self._spelling), self._spelling)
        mode = self._mode if settings.mode is None else settings.mode
        return Request(
            encode_history(self._engine.tokenizer, request, self.name, self._spelling),
            mode=mode,
            grammar=grammar,
            sampling=_sampling(settings),
            max_new_tokens=settings.max_tokens or _MAX_TOKENS,
            close_at_budget=grammar is not None,
            stop=settings.stop or (),
            keep=request.session,
        )

    def _call_prefix(self, messages: Sequence[Message]) -> str:
        """What the ids of a turn's calls begin with: other than all in its history, which may
        have been written by another process."""
        taken = {
            call.call_id.rpartition("-")[0]
            for message in messages
            if isinstance(message, AssistantMessage)
            for call in message.tool_calls
        }
        return next(name for number in self._turns if (name := f"call-{number}") not in taken) + "-"

    async def _read(
        self, reader: TurnReader, events: AsyncIterator[Any]
    ) -> AsyncGenerator[ModelEvent, None]:
        async for event in events:
            if isinstance(event, Finished):
                reader.finish()
                yield self._response(reader, event.completion)
            else:
                for part in reader.push(event.text):
                    yield part

    async def _best(
        self, reader: TurnReader, streams: Sequence[AsyncIterator[Any]]
    ) -> AsyncGenerator[ModelEvent, None]:
        """The answer that the decoder was surest of, told once all are complete."""
        answers = [await _completion(events) for events in streams]
        traces = [decoding_trace(self._engine.tokenizer, answer) for answer in answers]
        chosen = max(range(len(answers)), key=lambda index: mean_logprob(traces[index]))
        for part in reader.push(answers[chosen].text):
            if not isinstance(part, ToolCallEnd):  # the response follows: nothing is early
                yield part
        reader.finish()
        stats = replace(traces[chosen].stats, candidates=len(answers), chosen=chosen)
        yield replace(
            self._response(reader, answers[chosen]),
            usage=_usage_of_all(answers),
            trace=replace(traces[chosen], stats=stats),
        )

    def _response(self, reader: TurnReader, completion: Completion) -> ModelResponse:
        message = AssistantMessage(
            text=reader.text,
            tool_calls=tuple(reader.calls),
            model=self.name,
            token_ids=completion.token_ids,
        )
        cut = completion.finish_reason == "length"
        trace = decoding_trace(self._engine.tokenizer, completion)
        return ModelResponse(
            message,
            _usage(completion),
            "length" if cut else "stop",
            trace,
            confidence_of(message, trace),
        )


def _sampling(settings: ModelSettings) -> Sampling:
    if settings.sampling is not None:
        if not isinstance(settings.sampling, Sampling):
            raise ModelError(f"sampling is {settings.sampling!r}; give a decoding.Sampling")
        return settings.sampling
    return Sampling(
        temperature=settings.temperature or 0.0,
        top_p=1.0 if settings.top_p is None else settings.top_p,
        seed=settings.seed,
    )


def _variant(sampling: Sampling, index: int) -> Sampling:
    """That of candidate `index`: the first decodes as it was asked to; the others sample, each
    by a seed of its own."""
    if index == 0:
        return sampling
    if sampling.temperature == 0.0:  # as repeatable as the first
        return replace(sampling, temperature=1.0, seed=((sampling.seed or 0) + index) % 2**64)
    if sampling.seed is None:
        return sampling
    return replace(sampling, seed=(sampling.seed + index) % 2**64)


async def _completion(events: AsyncIterator[Any]) -> Completion:
    async for event in events:
        if isinstance(event, Finished):
            return event.completion
    raise ModelError("the decoder's events ended without a completion")


def _usage(completion: Completion) -> ModelUsage:
    stats = completion.stats
    return ModelUsage(
        input_tokens=stats.prompt_tokens,
        cached_input_tokens=stats.cached_prompt_tokens,
        output_tokens=stats.new_tokens,
        forced_tokens=stats.forced,
        forwards=stats.forwards,
        seconds=stats.seconds,
        modes=stats.modes,
    )


def _usage_of_all(answers: Sequence[Completion]) -> ModelUsage:
    """What several answers to one prompt cost: the prompt once, all that was written."""
    usages = [_usage(answer) for answer in answers]
    total = sum(map(Usage().with_turn, usages), start=Usage())
    prompt = usages[0].input_tokens
    encoded = total.input_tokens - total.cached_input_tokens
    return ModelUsage(
        input_tokens=prompt,
        cached_input_tokens=max(prompt - encoded, 0),
        output_tokens=total.output_tokens,
        forced_tokens=total.forced_tokens,
        forwards=total.forwards,
        seconds=max(usage.seconds for usage in usages),
        modes=total.modes,
    )


def decoding_trace(tokenizer: Tokenizer, completion: Completion) -> DecodingTrace:
    """What the decoder wrote down, in words that need no decoder."""
    texts = _token_texts(tokenizer, completion.token_ids)
    stats = completion.stats
    return DecodingTrace(
        tokens=tuple(
            TokenTrace(
                text,
                TokenOrigin(record.origin.value),
                record.mode,
                TokenRegion(record.region.value),
                record.forward,
                record.denoise_step,
                logprob,
            )
            for text, record, logprob in zip(
                texts, completion.records, _logprobs(completion), strict=True
            )
        ),
        forwards=tuple(
            ForwardTrace(
                ForwardPurpose(record.purpose.value),
                record.rows,
                record.sequences,
                record.started,
                record.seconds,
            )
            for record in completion.forwards
        ),
        stats=DecodingStats(
            prompt_tokens=stats.prompt_tokens,
            cached_prompt_tokens=stats.cached_prompt_tokens,
            new_tokens=stats.new_tokens,
            forwards=stats.forwards,
            prefill_forwards=stats.prefill_forwards,
            drafted=stats.drafted,
            accepted=stats.accepted,
            forced=stats.forced,
            modes=stats.modes,
            regions=stats.regions,
            mask_microseconds=stats.mask_microseconds,
            seconds_to_first_token=stats.seconds_to_first_token,
            seconds=stats.seconds,
        ),
    )


def _logprobs(completion: Completion) -> tuple[float, ...]:
    return completion.logprobs or (0.0,) * len(completion.token_ids)


def _token_texts(tokenizer: Tokenizer, token_ids: tuple[int, ...]) -> list[str]:
    """What each token adds to the text; a character belongs to the token that completes it."""
    detokenizer = tokenizer.detokenizer()
    texts = [detokenizer.push([token_id]) for token_id in token_ids]
    held = detokenizer.flush()
    if held:
        texts[-1] += held
    return texts


def _grammar(lark: str | None, spelling: Spelling) -> Grammar | None:
    if lark is None:
        return None
    make = _known_grammar if len(lark) <= _MOST_KEPT else _new_grammar
    return make(lark, spelling)


@lru_cache(maxsize=256)
def _known_grammar(lark: str, spelling: Spelling) -> Grammar:
    return _new_grammar(lark, spelling)


def _new_grammar(lark: str, spelling: Spelling) -> Grammar:
    return Grammar.lark(lark, spaced=spelling is Spelling.SPACED)


def encode_history(
    tokenizer: Tokenizer,
    request: ModelRequest,
    model: str,
    spelling: Spelling = Spelling.COMPACT,
) -> list[int]:
    """The turn's prompt, with this model's earlier answers as the very ids it decoded.

    Text rendered anew may be split into other tokens than those decoded, and then nothing
    behind them could be re-used from the cache. So the ids are kept, and only what the chat
    template puts between them is encoded. A template that rewrites earlier turns is encoded
    as a whole. Special tokens spelled in a message's text stay text.
    """
    chat = chat_messages(request, spelling)
    answers = [item for item in request.messages if isinstance(item, AssistantMessage)]
    places = [index for index, turn in enumerate(chat) if turn["role"] == "assistant"]
    kept = {
        place: [token for token in answer.token_ids if token not in tokenizer.eos_token_ids]
        for place, answer in zip(places, answers, strict=True)
        if answer.model == model and answer.token_ids
    }
    return tokenizer.encode_chat(chat, kept=kept)
