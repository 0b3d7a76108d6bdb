"""The synchronous core: advances every live sequence, one forward at a time."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Literal

import torch

from decoding.cache.paged import PagedCache
from decoding.constraint import Constraint
from decoding.engine_stats import EngineStats, Totals
from decoding.errors import CacheExhausted, ContextOverflow, DecodingError, EngineClosed, NotFinite
from decoding.grammar import Grammar
from decoding.modes import Autoregressive, DecodeMode, decides_by_cost
from decoding.network.base import Network
from decoding.network.numerics import ChooseNumerics, exact_numerics, plain_numerics
from decoding.pace import ForwardCost, KeptCost, MeasureCost, Pace, calibrate
from decoding.prompt import read_prompt
from decoding.request import Committed, Completion, Event, Failed, Finished, Prompt, Request
from decoding.sampling import Choice, Sampling, pick_tokens
from decoding.sequence import Sequence
from decoding.span import MASK, ForwardBatch, Scores, Segment, Span
from decoding.steps import steps
from decoding.tokenizer import Tokenizer
from decoding.weights import DEFAULT_ADAPTER, Progress, load

Profile = Literal["exact", "fast"]
_NUMERICS: dict[Profile, tuple[torch.dtype, ChooseNumerics]] = {
    "exact": (torch.float32, exact_numerics),
    "fast": (torch.bfloat16, plain_numerics),
}


class Engine:
    """Decodes any number of requests over one network and one cache. One thread at a time.

    `add` queues a request, `step` runs one forward over all live sequences and returns what
    happened, `abort` ends a request between two forwards, `close` ends all. `generate`,
    `generate_many` and `stream` drive those for callers that want one answer.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        *,
        cache_tokens: int = 32768,
        page_size: int = 16,
        max_live: int = 64,
        forward_cost: ForwardCost | MeasureCost = calibrate,
    ) -> None:
        """`forward_cost` is what `Auto` decides by: a curve, which is then never corrected, or
        what measures one the first time that a request needs it."""
        if max_live < 1:
            raise ValueError(f"max_live must be at least 1, not {max_live}")
        if page_size < 1:
            raise ValueError(f"page_size must be at least 1, not {page_size}")
        self.network = network
        self.tokenizer = tokenizer
        # Modes that write masks are refused by networks without a mask token.
        self._mask_token = MASK if network.mask_token_id is None else network.mask_token_id
        self._cache = PagedCache(network.allocate_cache(cache_tokens), page_size)
        self._max_live = max_live
        self._waiting: deque[Sequence] = deque()
        self._live: dict[int, _Live] = {}
        self._undelivered: list[Event] = []
        self._next_id = 0
        self._closed = False
        self._totals = Totals()
        given = forward_cost if isinstance(forward_cost, ForwardCost) else None
        self._pace = Pace(given)
        self._measure_cost = calibrate if isinstance(forward_cost, ForwardCost) else forward_cost

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: str = "cpu",
        profile: Profile = "exact",
        adapter: str | Path | None = DEFAULT_ADAPTER,
        cache_tokens: int = 32768,
        max_live: int = 64,
        cache_dir: Path | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> "Engine":
        """Loads "smollm2-135m", a local Hugging Face directory, or a cached hub id.

        `profile` "exact" computes in float32, and a token's numbers never depend on what they
        are computed with, to the last bit; "fast" computes in bfloat16, where near-ties may
        fall differently in different modes. `adapter` names the draft adapter's sub-folder
        of the checkpoint, or a folder elsewhere; the default one may be absent, and None loads
        none. `cache_tokens` bounds the tokens of all sequences together; memory is touched as
        it is used. `progress` is told about slow work (converting the embedded weights, the
        first time). Raises `WeightsError`.
        """
        if profile not in _NUMERICS:
            raise ValueError(f"profile must be 'exact' or 'fast', not {profile!r}")
        place = torch.device(device)
        if place.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} is not there: torch sees no GPU; use 'cpu'")
        dtype, numerics = _NUMERICS[profile]
        loaded = load(
            source,
            device=place,
            dtype=dtype,
            adapter=adapter,
            numerics=numerics,
            cache_dir=cache_dir,
            progress=progress,
        )
        return cls(
            loaded.network,
            loaded.tokenizer,
            cache_tokens=cache_tokens,
            max_live=max_live,
            forward_cost=KeptCost((profile, device, str(adapter)), cache_dir),
        )

    # --- the core: add, step, abort, close

    def add(self, request: Request) -> int:
        """Queues a request and returns its id. Refuses before any work.

        Raises `ValueError` for an unusable prompt, `ContextOverflow`, `CacheExhausted`,
        `UnsupportedMode`, or `GrammarError`.
        """
        if self._closed:
            raise EngineClosed
        sequence = self._sequence(request, self._fit(request.mode), self.encode(request.prompt))
        return self._queue(sequence)

    def fork(
        self,
        request_id: int,
        *,
        mode: DecodeMode | None = None,
        sampling: Sampling | None = None,
        max_new_tokens: int | None = None,
    ) -> int:
        """Queues a second continuation of a live request and returns its id.

        Its prompt is everything the request has so far, its grammar stands where the
        request's stands, and its completion holds what comes from here on; what is encoded is
        shared, not copied. By default it has the request's mode and sampling, and may decode as
        many tokens as the request still may. A seed that the request names is kept, so the fork
        repeats it unless `sampling` names another; a seed left open is drawn anew. Raises
        `ValueError` for a request that is over, and what `add` raises.
        """
        if self._closed:
            raise EngineClosed
        parent = self._find(request_id)
        if parent is None:
            raise ValueError(
                "the request is not being decoded; fork it before its last event, or add a new "
                "request with its tokens as the prompt"
            )
        limit = parent.room if max_new_tokens is None else min(max_new_tokens, parent.room)
        request = replace(
            parent.request,
            prompt=tuple(parent.tokens),
            mode=mode or parent.request.mode,
            sampling=sampling or parent.request.sampling,
            max_new_tokens=limit,
        )
        self._check_fits(parent.length + limit)
        if parent.lease is not None:
            self._cache.publish(parent.lease, parent.encoded)
        child = parent.fork(
            self._next_id,
            request,
            parent.mode if mode is None else self._fit(mode),
            _seed(request.sampling),
            self.tokenizer.detokenizer(),
        )
        return self._queue(child)

    def switch(self, request_id: int, mode: DecodeMode) -> bool:
        """Decodes a request in another mode from its next step on.

        Returns False where the request is unknown or already over. Raises `UnsupportedMode`.
        """
        fitted = self._fit(mode)
        sequence = self._find(request_id)
        if sequence is None:
            return False
        sequence.mode = fitted
        return True

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Runs one forward over all live sequences and returns the events since last time.

        An empty engine returns at once. An error of one sequence, also one of a drafter or a
        reveal policy of your own, ends that sequence with `Failed`. An error of the network is
        raised; every sequence then stands where it stood before the forward, and no event is
        lost.
        """
        if not self._closed:
            self._admit()
            live = list(self._live.values())
            if live:
                for one, scores in zip(live, self._evaluate(live), strict=True):
                    self._undelivered += self._advance(one, scores)
        events, self._undelivered = self._undelivered, []
        return events

    def abort(self, request_id: int) -> bool:
        """Ends a request between two forwards; its pages are back when this returns.

        What was decoded so far comes as a `Finished` event with reason "cancelled" from the
        next `step`. Returns False where the request is unknown or already over.
        """
        for sequence in self._waiting:
            if sequence.request_id == request_id:
                self._waiting.remove(sequence)
                sequence.finish("cancelled")
                self._undelivered += self._retire(sequence)
                return True
        one = self._live.get(request_id)
        if one is None:
            return False
        one.steps.close()
        one.sequence.finish("cancelled")
        self._undelivered += self._retire(one.sequence)
        return True

    def close(self) -> None:
        """Aborts everything and refuses further requests. Repeating it does nothing."""
        for sequence in (*self._waiting, *(one.sequence for one in self._live.values())):
            self.abort(sequence.request_id)
        self._closed = True

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_idle(self) -> bool:
        """Whether a `step` would neither run a forward nor return an event."""
        return not (self._live or self._waiting or self._undelivered)

    def calibrate(self) -> ForwardCost:
        """Measures what forwards cost, in about two seconds, unless it is known; returns it.

        The first request with `Auto` does the same. Asked for at start-up, no request waits.
        """
        if self._pace.cost is None:
            self._pace.cost = self._measure_cost(self.network)
        return self._pace.cost

    def stats(self) -> EngineStats:
        """Counts over the engine's life, and what is live now."""
        pool = self._cache.pool
        counts = self._totals.view(
            live_sequences=len(self._live),
            waiting_requests=len(self._waiting),
            free_pages=pool.num_free,
            held_pages=pool.num_pages - pool.num_free,
        )
        return replace(counts, pace=self._pace.stats())

    # --- drivers for one caller

    def generate(
        self,
        prompt: Prompt,
        *,
        mode: DecodeMode = Autoregressive(),
        grammar: Grammar | None = None,
        sampling: Sampling = Sampling(),
        max_new_tokens: int = 256,
        stop: tuple[str, ...] = (),
        stop_token_ids: tuple[int, ...] = (),
        close_at_budget: bool = False,
    ) -> Completion:
        """One answer. Parameters as in `Request`; raises what `add` and decoding raise."""
        request = Request(
            prompt,
            mode=mode,
            grammar=grammar,
            sampling=sampling,
            max_new_tokens=max_new_tokens,
            stop=stop,
            stop_token_ids=stop_token_ids,
            close_at_budget=close_at_budget,
        )
        return self.generate_many([request])[0]

    def generate_many(self, requests: Many[Request]) -> list[Completion]:
        """Answers in the order asked, decoded together; each the same as on its own.

        Where one fails, its error is raised and the others are given up.
        """
        ids: list[int] = []
        done: dict[int, Completion] = {}
        try:
            ids += (self.add(request) for request in requests)
            for event in self._events(set(ids)):
                if isinstance(event, Finished):
                    done[event.request_id] = event.completion
        finally:
            self._forget(ids)
        return [done[request_id] for request_id in ids]

    def stream(self, request: Request) -> Iterator[Committed | Finished]:
        """The events of one request as they happen. Closing the iterator aborts it.

        Raises at once what `add` raises.
        """
        return self._stream(self.add(request))

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt in any of its forms. Raises `ValueError` or `TypeError`."""
        return read_prompt(prompt, self.tokenizer, self.network)

    # --- inside

    def _stream(self, request_id: int) -> Iterator[Committed | Finished]:
        try:
            yield from self._events({request_id})
        finally:
            self._forget([request_id])

    def _find(self, request_id: int) -> Sequence | None:
        """The sequence of a request that is waiting or live."""
        one = self._live.get(request_id)
        if one is not None:
            return one.sequence
        return next((each for each in self._waiting if each.request_id == request_id), None)

    def _fit(self, mode: DecodeMode) -> DecodeMode:
        """The mode fitted to the network, and measured what it decides by."""
        fitted = mode.fit(self.network)
        if decides_by_cost(fitted):
            self.calibrate()
        return fitted

    def _queue(self, sequence: Sequence) -> int:
        sequence.outlook = self._pace.account()
        self._next_id += 1
        self._waiting.append(sequence)
        return sequence.request_id

    def _check_fits(self, num_tokens: int) -> None:
        needed = self._cache.pages_for(num_tokens)
        if needed > self._cache.pool.num_pages:
            raise CacheExhausted(needed, self._cache.pool.num_pages)

    def _sequence(
        self, request: Request, mode: DecodeMode, prompt_ids: tuple[int, ...]
    ) -> Sequence:
        room = self.network.max_positions - len(prompt_ids)
        if room < 1:
            raise ContextOverflow(len(prompt_ids), self.network.max_positions)
        max_new_tokens = min(request.max_new_tokens, room)
        self._check_fits(len(prompt_ids) + max_new_tokens)
        constraint = None
        if request.grammar is not None:
            compiled = request.grammar.compile(self.tokenizer, self.network.vocab_size)
            budget = max_new_tokens if request.close_at_budget else None
            constraint = Constraint(compiled.matcher(), budget)
        return Sequence(
            self._next_id,
            request,
            prompt_ids,
            mode=mode,
            seed=_seed(request.sampling),
            max_new_tokens=max_new_tokens,
            end_token_ids=frozenset((*self.tokenizer.eos_token_ids, *request.stop_token_ids)),
            detokenizer=self.tokenizer.detokenizer(),
            constraint=constraint,
        )

    def _admit(self) -> None:
        """Starts waiting requests, first come first served, while pages last."""
        while self._waiting and len(self._live) < self._max_live:
            sequence = self._waiting[0]
            lease = self._cache.open(sequence.tokens, sequence.max_length)
            if lease is None:
                break
            self._waiting.popleft()
            sequence.lease, sequence.num_cached = lease, lease.num_cached
            one = _Live(sequence, steps(sequence))
            self._live[sequence.request_id] = one
            self._totals.admit(sequence.num_prompt, sequence.num_cached)
            self._undelivered += self._advance(one, None)

    def _advance(self, one: "_Live", scores: Scores | None) -> list[Event]:
        """Sends a sequence its scores and takes its next span, or its end."""
        sequence = one.sequence
        try:
            self._check_finite(one, scores)
            one.span = one.steps.send(scores) if scores is not None else next(one.steps)
        except StopIteration:
            return self._retire(sequence)
        except Exception as error:  # noqa: BLE001 - handed to whoever made the request
            self._release(sequence)
            self._totals.add(sequence.stats())
            report = sequence.report()
            failed = Failed(sequence.request_id, error, sequence.stats())
            return [failed] if report is None else [report, failed]
        except BaseException:
            self._release(sequence)
            raise
        self._publish(sequence)
        report = sequence.report()
        return [] if report is None else [report]

    def _check_finite(self, one: "_Live", scores: Scores | None) -> None:
        for pick, logprob in zip(one.span.picks, scores.logprobs if scores else (), strict=False):
            if not isfinite(logprob):
                raise NotFinite(self.network.name, pick.position)

    def _publish(self, sequence: Sequence) -> None:
        """Lets others share what is encoded, whenever another page has filled."""
        assert sequence.lease is not None
        full = sequence.num_cached // self._cache.pool.page_size
        if full > sequence.num_published_pages:
            sequence.num_published_pages = full
            self._cache.publish(sequence.lease, sequence.encoded)

    def _retire(self, sequence: Sequence) -> list[Event]:
        self._release(sequence)
        report = sequence.report()
        completion = sequence.completion()
        self._totals.add(completion.stats)
        finished = Finished(sequence.request_id, completion)
        return [finished] if report is None else [report, finished]

    def _release(self, sequence: Sequence) -> None:
        self._live.pop(sequence.request_id, None)
        if sequence.lease is not None:
            self._cache.close(sequence.lease, sequence.encoded)

    def _evaluate(self, live: Many["_Live"]) -> list[Scores]:
        """One forward over the pending span of every live sequence."""
        batch, started = self._batch(live), time.perf_counter()
        logits_RV = self.network.forward(batch, self._cache.storage)
        choices = [choice for one in live for choice in one.choices()]
        picked = pick_tokens(logits_RV, choices, never=self.network.mask_token_id)
        seconds = time.perf_counter() - started
        self._pace.forward_took([one.span for one in live], seconds)
        answers, first = [], 0
        for one in live:
            last = first + len(one.span.picks)
            answers.append(picked.part(first, last))
            one.sequence.count_forward(one.span, started, seconds, len(live))
            first = last
        self._totals.forwards += 1
        return answers

    def _batch(self, live: Many["_Live"]) -> ForwardBatch:
        token_ids: list[int] = []
        positions: list[int] = []
        rows: list[int] = []
        segments: list[Segment] = []
        slots: list[torch.Tensor] = []
        for one in live:
            span, lease = one.span, one.sequence.lease
            assert lease is not None
            end = span.start + len(span.tokens)
            rows += [len(token_ids) + pick.row for pick in span.picks]
            segments.append(
                Segment(
                    first_row=len(token_ids),
                    num_rows=len(span.tokens),
                    start=span.start,
                    slots_L=lease.slots(end),
                    attention=span.attention,
                    adapter=span.adapter,
                )
            )
            slots.append(lease.slots_C[span.start : end])
            token_ids += [self._mask_token if each == MASK else each for each in span.tokens]
            positions += range(span.start, end)
        device = slots[0].device
        return ForwardBatch(
            token_ids_T=torch.tensor(token_ids, device=device),
            positions_T=torch.tensor(positions, device=device),
            slots_T=torch.cat(slots),
            rows_R=torch.tensor(rows, dtype=torch.int64, device=device),
            segments=tuple(segments),
        )

    def _events(self, wanted: set[int]) -> Iterator[Committed | Finished]:
        """Steps until the wanted requests are over; keeps other requests' events."""
        while wanted:
            if self.is_idle:
                raise DecodingError(
                    "the last events of the request were taken by another caller of step(); "
                    "let one of step, generate and stream drive an engine at a time"
                )
            for event in self._sift(self.step(), wanted):
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, Finished):
                    wanted.discard(event.request_id)
                yield event

    def _sift(self, events: list[Event], wanted: set[int]) -> list[Event]:
        self._undelivered += [event for event in events if event.request_id not in wanted]
        return [event for event in events if event.request_id in wanted]

    def _forget(self, ids: Many[int]) -> None:
        """Aborts what is still live of these requests and drops their events."""
        for request_id in ids:
            self.abort(request_id)
        self._undelivered = [event for event in self._undelivered if event.request_id not in ids]


def _seed(sampling: Sampling) -> int:
    return secrets.randbits(63) if sampling.seed is None else sampling.seed


@dataclass(slots=True)
class _Live:
    """A sequence being decoded, its steps, and the span it waits for."""

    sequence: Sequence
    steps: Generator[Span, Scores, None]
    span: Span = Span((), 0)

    def choices(self) -> Iterator[Choice]:
        """The sampling problems of the pending span's picks."""
        for pick in self.span.picks:
            yield Choice(
                self.sequence.request.sampling,
                self.sequence.seed,
                pick.position,
                pick.mask_W,
                self.span.ranks,
            )
