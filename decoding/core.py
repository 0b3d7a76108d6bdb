"""The synchronous core: advances every live sequence, one forward at a time."""

import time
import warnings
from collections.abc import Callable
from math import isfinite
from types import TracebackType

import torch

from decoding.admission import Admission
from decoding.cache.paged import PagedCache
from decoding.deadlines import Deadlines
from decoding.engine_stats import EngineStats, Totals
from decoding.errors import EngineClosed, NotFinite, QueueFull
from decoding.forward import check_span, choices_of, plan_forward
from decoding.intake import Intake
from decoding.live import Live
from decoding.modes import DecodeMode, decides_by_cost
from decoding.modes.fitting import check_count
from decoding.network.base import Network
from decoding.pace import ForwardCost, MeasureCost, Pace, calibrate
from decoding.request import DeadlineExceeded, Event, Failed, Finished, Prompt, Request
from decoding.row_budget import share_rows
from decoding.sampling import Sampling, pick_tokens
from decoding.sequence import Sequence
from decoding.span import MASK, Scores
from decoding.tokenizer import Tokenizer


class Core:
    """Decodes any number of requests over one network and one cache. One thread at a time.

    `add` queues a request, `step` runs one forward over the live sequences and returns what
    happened, `abort` ends a request between two forwards, `close` ends all.

    `cache_tokens` bounds the tokens of all sequences together, in pages of `page_size`, and
    `kept_tokens` those of them that are kept by name for a next turn, half of all by default;
    `max_live` the sequences decoded at once, `max_waiting` those that wait, and
    `max_forward_rows` the rows of a forward: long prompts are read in pieces that fit in.
    `profile` names the numerics in statistics. `clock` tells seconds, for deadlines.
    `forward_cost` is what `Auto` decides by: a curve, which is then never corrected, or what
    measures one the first time that a request needs it.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        *,
        cache_tokens: int = 32768,
        kept_tokens: int | None = None,
        page_size: int = 16,
        max_live: int = 64,
        max_waiting: int | None = None,
        max_forward_rows: int = 512,
        profile: str = "custom",
        clock: Callable[[], float] = time.monotonic,
        forward_cost: ForwardCost | MeasureCost = calibrate,
    ) -> None:
        check_count("max_live", max_live)
        check_count("page_size", page_size)
        check_count("max_forward_rows", max_forward_rows)
        if max_waiting is not None:
            check_count("max_waiting", max_waiting)
        self.network = network
        self.tokenizer = tokenizer
        # Modes that write masks are refused by networks without a mask token.
        self._mask_token = MASK if network.mask_token_id is None else network.mask_token_id
        if kept_tokens is not None and (type(kept_tokens) is not int or kept_tokens < 0):
            raise ValueError(f"kept_tokens must be a whole number >= 0, not {kept_tokens!r}")
        most_kept = (cache_tokens // 2 if kept_tokens is None else kept_tokens) // page_size
        self._cache = PagedCache(network.allocate_cache(cache_tokens), page_size, most_kept)
        given = forward_cost if isinstance(forward_cost, ForwardCost) else None
        self._pace = Pace(given)
        self._measure_cost = calibrate if isinstance(forward_cost, ForwardCost) else forward_cost
        self._intake = Intake(network, tokenizer, self._cache, self._fit)
        self._waiting = Admission(self._cache, max_live)
        self._live: dict[int, Live] = {}
        self._max_waiting = max_waiting
        self._max_forward_rows = max_forward_rows
        self._profile = profile
        self._clock = clock
        self._deadlines = Deadlines()
        self._undelivered: list[Event] = []
        self._next_id = 0
        self._num_turns = 0
        self._closed = False
        self._totals = Totals()

    # --- requests

    def add(self, request: Request) -> int:
        """Queues a request and returns its id. Refuses before any work.

        Raises `QueueFull`, `ValueError` for an unusable prompt, `ContextOverflow`,
        `CacheExhausted`, `UnsupportedMode`, or `GrammarError`.
        """
        self._check_open()
        return self._queue(self._intake.sequence(self._next_id, request))

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
        repeats it unless `sampling` names another (not under `BlockDiffusion`, whose blocks then
        begin elsewhere); a seed left open is drawn anew. Priority and
        deadline are the request's, counted from here. Raises `ValueError` for a request that is
        over, and what `add` raises.
        """
        self._check_open()
        parent = self._find(request_id)
        if parent is None:
            raise ValueError(
                "the request is not being decoded; fork it before its last event, or add a new "
                "request with its tokens as the prompt"
            )
        child = self._intake.fork(self._next_id, parent, mode, sampling, max_new_tokens)
        if parent.lease is not None:
            self._cache.publish_all(parent.lease, parent.tokens, parent.num_cached)
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

    def abort(self, request_id: int) -> bool:
        """Ends a request between two forwards; its pages are back when this returns.

        What was decoded so far comes as a `Finished` event with reason "cancelled" from the
        next `step`. Returns False where the request is unknown or already over.
        """
        sequence = self._cut(request_id)
        if sequence is not None:
            self._finish(sequence)
        return sequence is not None

    def forget(self, keep: str) -> bool:
        """Keeps no pages any longer for requests with that `keep`; False where none were kept.

        Their tokens stay encoded until the pages are needed.
        """
        return self._cache.forget(keep)

    def calibrate(self) -> ForwardCost:
        """Measures what forwards cost, in about two seconds, unless it is known; returns it.

        The first request with `Auto` does the same. Asked for at start-up, no request waits.
        """
        if not self._pace.is_measured:
            self._pace.measured(self._measure_cost(self.network))
        cost = self._pace.cost
        assert cost is not None
        return cost

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt in any of its forms. Raises `ValueError` or `TypeError`."""
        return self._intake.encode(prompt)

    # --- the loop

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Runs one forward over the live sequences and returns the events since last time.

        An empty engine returns at once. An error of one sequence, also one of a drafter or a
        reveal policy of your own, ends that sequence with `Failed`. An error of the network is
        raised; every sequence then stands where it stood before the forward, and no event is
        lost.
        """
        if not self._closed:
            if self._deadlines:
                self._end_overdue()
            self._admit()
            served = share_rows(self._live.values(), self._max_forward_rows)
            if served:
                for one, scores in zip(served, self._forward(served), strict=True):
                    self._advance(one, scores)
        events, self._undelivered = self._undelivered, []
        return events

    def close(self) -> None:
        """Aborts everything and refuses further requests. Repeating it does nothing."""
        for sequence in (*self._waiting, *(one.sequence for one in self._live.values())):
            self.abort(sequence.request_id)
        self._closed = True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- what there is

    @property
    def is_idle(self) -> bool:
        """Whether a `step` would neither run a forward nor return an event."""
        return not (self._live or self._waiting or self._undelivered)

    @property
    def has_room(self) -> bool:
        """Whether one more request may wait; where not, `add` raises `QueueFull`."""
        return self._max_waiting is None or len(self._waiting) < self._max_waiting

    @property
    def max_waiting(self) -> int | None:
        """How many requests may wait; None for any number."""
        return self._max_waiting

    def stats(self) -> EngineStats:
        """Counts over the engine's life, and what is live now."""
        pool = self._cache.pool
        return self._totals.view(
            profile=self._profile,
            live_sequences=len(self._live),
            waiting_requests=len(self._waiting),
            max_forward_rows=self._max_forward_rows,
            free_pages=pool.num_free,
            held_pages=pool.num_pages - pool.num_free,
            shared_pages=self._cache.num_shared,
            evicted_pages=self._cache.index.num_evicted,
            kept_pages=self._cache.index.num_kept,
            pace=self._pace.stats(),
        )

    # --- inside

    def _forward(self, served: list[Live]) -> list[Scores | None]:
        """One forward over the rows that each was given. None for spans that go on."""
        started = time.perf_counter()
        batch = plan_forward(served, self._mask_token)
        logits_RV = self.network.forward(batch, self._cache.storage)
        picked = pick_tokens(logits_RV, choices_of(served), never=self.network.mask_token_id)
        seconds = time.perf_counter() - started
        self._totals.count_forward(batch.num_rows)
        self._pace.forward_ended()
        if all(one.num_picks and one.is_past_prompt for one in served):
            draft_rows = sum(one.num_rows for one in served if one.span.adapter)
            self._pace.forward_took(batch.num_rows - draft_rows, draft_rows, seconds)
        answers: list[Scores | None] = []
        hidden_RE = self.network.hidden_RE
        first = 0
        for one in served:
            self._num_turns += 1
            one.count_forward(self._num_turns, started, seconds, len(served))
            last = first + one.num_picks
            answers.append(picked.part(first, last) if one.is_ending else None)
            if hidden_RE is not None and one.num_picks:
                one.read(hidden_RE[first:last])
            first = last
        return answers

    def _admit(self) -> None:
        """Starts every waiting request that can start now."""
        while (sequence := self._waiting.start_next(self._live)) is not None:
            one = self._live[sequence.request_id] = Live(sequence, served=self._num_turns)
            self._totals.admit(sequence.num_prompt, sequence.num_cached)
            self._advance(one, None)

    def _advance(self, one: Live, scores: Scores | None) -> None:
        """Sends a sequence its scores and takes its next span, or its end."""
        sequence = one.sequence
        try:
            if scores is not None:
                if one.error is None:
                    self._check_finite(one, scores)
                one.resume(scores)
            elif one.num_rows:
                one.move_on()
            else:
                one.resume(None)
            self._check_span(one)
        except StopIteration:
            self._finish(sequence)
        except Exception as error:  # noqa: BLE001 - handed to whoever made the request
            _close(one)
            self._fail(sequence, error)
        except BaseException:
            _close(one)
            self._release(sequence)
            raise
        else:
            self._publish(sequence)
            self._report(sequence)

    def _check_span(self, one: Live) -> None:
        sequence = one.sequence
        assert sequence.lease is not None
        if not one.num_done:  # else it was checked before its first rows were evaluated
            check_span(one.span, sequence.lease, sequence.num_cached, self.network)

    def _check_finite(self, one: Live, scores: Scores) -> None:
        for pick, logprob in zip(one.span.picks, scores.logprobs, strict=True):
            if not isfinite(logprob):
                raise NotFinite(self.network.name, pick.position)

    def _publish(self, sequence: Sequence) -> None:
        """Lets others share what is encoded, whenever another page has filled."""
        lease = sequence.lease
        assert lease is not None
        if sequence.num_cached >= (lease.num_indexed + 1) * lease.page_size:
            self._cache.publish(lease, sequence.tokens, sequence.num_cached)

    def _report(self, sequence: Sequence) -> None:
        report = sequence.report()
        if report is not None:
            self._undelivered.append(report)

    # --- ends

    def _cut(self, request_id: int) -> Sequence | None:
        """Stops a waiting or live request where it stands; its last event is the caller's."""
        one = self._live.get(request_id)
        sequence = self._waiting.find(request_id) if one is None else one.sequence
        if sequence is None:
            return None
        if one is not None:
            _close(one)
        sequence.finish("cancelled")
        return sequence

    def _finish(self, sequence: Sequence) -> None:
        self._release(sequence)
        self._report(sequence)
        completion = sequence.completion()
        self._totals.add(completion.stats)
        self._undelivered.append(Finished(sequence.request_id, completion))

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        self._release(sequence)
        stats = sequence.stats()
        self._totals.add(stats)
        self._report(sequence)
        self._undelivered.append(Failed(sequence.request_id, error, stats))

    def _end_overdue(self) -> None:
        for request_id in self._deadlines.pop_over(self._clock()):
            sequence = self._cut(request_id)
            assert sequence is not None
            assert sequence.request.deadline is not None
            self._totals.deadline_misses += 1
            completion = sequence.completion()
            self._fail(sequence, DeadlineExceeded(sequence.request.deadline, completion))

    def _release(self, sequence: Sequence) -> None:
        self._deadlines.discard(sequence.request_id)
        if self._live.pop(sequence.request_id, None) is None:
            self._waiting.remove(sequence)
        if sequence.lease is not None:
            keep = sequence.request.keep
            self._cache.close(sequence.lease, sequence.tokens, sequence.num_cached, keep)

    # --- beginnings

    def _find(self, request_id: int) -> Sequence | None:
        """The sequence of a request that is waiting or live."""
        one = self._live.get(request_id)
        return self._waiting.find(request_id) if one is None else one.sequence

    def _fit(self, mode: DecodeMode) -> DecodeMode:
        """The mode fitted to the network, and measured what it decides by."""
        fitted = mode.fit(self.network)
        if decides_by_cost(fitted):
            self.calibrate()
        return fitted

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed
        if self._max_waiting is not None and not self.has_room:
            raise QueueFull(len(self._waiting), self._max_waiting)

    def _queue(self, sequence: Sequence) -> int:
        self._next_id += 1
        sequence.outlook = self._pace.account()
        self._waiting.add(sequence, self._totals.forwards)
        if sequence.request.deadline is not None:
            self._deadlines.add(sequence.request_id, self._clock() + sequence.request.deadline)
        return sequence.request_id


def _close(one: Live) -> None:
    """Ends its steps. What a mode of one's own raises then must not keep the request."""
    try:
        one.steps.close()
    except Exception as error:  # noqa: BLE001 - told, and nobody waits for it
        warnings.warn(
            f"a mode's or drafter's clean-up failed: {error!r}", RuntimeWarning, stacklevel=2
        )
