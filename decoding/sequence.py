"""The one mutable record of a request."""

import time

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.paged import Lease
from decoding.constraint import Constraint, Lookahead
from decoding.copies import CopyIndex
from decoding.detokenizer import Detokenizer
from decoding.grammar import allows
from decoding.modes import DecodeMode, most_side_guesses
from decoding.pace import Account, Pace
from decoding.record import ForwardRecord, Origin, Region, Stats, TokenRecord
from decoding.request import Committed, Completion, FinishReason, Request
from decoding.stopping import StopStrings

# An enum's `.value` and its hash are slow for what every token needs.
_REGION_NAMES = {id(region): region.value for region in Region}
_ORIGIN_NAMES = {id(origin): origin.value for origin in Origin}
_UNPICKED = (Origin.FORCED, Origin.CLOSING)
_GREEDY_REACH, _REACH = 6.0, 8.0  # factors of 400 and 3,000 in probability
_ACCEPTED, _COPIED, _FORCED = Origin.ACCEPTED.value, Origin.COPIED.value, Origin.FORCED.value


class Sequence:
    """Tokens, how far they are encoded, and what stops them. A mode's `Decodable`.

    `num_cached`, `num_drafted` and `num_denoised` are the mode's to move. Everything else changes
    through `commit` and `finish`. `mode` may be exchanged between two steps; `step_mode` is the
    one of the step under way. `outlook` is exchanged by the engine for one of its own.
    """

    def __init__(
        self,
        request_id: int,
        request: Request,
        prompt_ids: tuple[int, ...],
        *,
        mode: DecodeMode,
        seed: int,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        detokenizer: Detokenizer,
        constraint: Constraint | None,
    ) -> None:
        self.request_id = request_id
        self.request = request
        self.mode = mode
        self.step_mode = mode
        self.seed = seed
        self.tokens = list(prompt_ids)
        self.num_prompt = len(prompt_ids)
        self.num_cached = 0
        self.num_drafted = 0
        self.num_denoised = 0
        self.lease: Lease | None = None
        self.finish_reason: FinishReason | None = None
        self.outlook: Account = Pace().account()
        self.copies = CopyIndex(self.tokens)
        # The positions that were picked last, and what from; the vector that was asked for last.
        self._picked_from: tuple[list[int], NDArray[np.float32] | None] = ([], None)
        self._hidden: tuple[int, NDArray[np.float32]] | None = None
        self.max_length = len(prompt_ids) + max_new_tokens
        self.most_side_guesses = most_side_guesses(mode)
        self._records: list[TokenRecord] = []
        self._forwards: list[ForwardRecord] = []
        self._num_prefills = 0
        self._modes: dict[str, int] = {}
        self._regions: dict[str, int] = {}
        self._origins: dict[str, int] = {}
        self._decisions: dict[str, int] = {}
        self._end_token_ids = end_token_ids
        self._detokenizer = detokenizer
        self._stop_strings = StopStrings(request.stop)
        self._constraint = constraint
        self._logprobs: list[float] = []
        self._text: list[str] = []
        self._text_from = len(prompt_ids)
        self._num_reported = 0
        self._num_text_reported = 0
        self.started = time.perf_counter()
        self._first_token: float | None = None

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def tail(self) -> tuple[int, ...]:
        return tuple(self.tokens[self.num_cached :])

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def room(self) -> int:
        return self.max_length - self.length

    @property
    def num_scratch(self) -> int:
        return 0 if self.lease is None else self.lease.num_scratch

    @property
    def region(self) -> Region:
        free = self._constraint is None or self._constraint.may_end
        return Region.FREE if free else Region.CONSTRAINED

    @property
    def num_new(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def encoded(self) -> list[int]:
        """The tokens whose keys and values are in the cache."""
        return self.tokens[: self.num_cached]

    @property
    def num_forwards(self) -> int:
        """Forwards so far, those that only read prompt included."""
        return len(self._forwards)

    def records(self, first: int) -> list[TokenRecord]:
        """Those of the tokens from position `first` on, which is not in the prompt."""
        return self._records[first - self.num_prompt :]

    def forwards(self, first: int) -> list[ForwardRecord]:
        """The forwards from number `first` on."""
        return self._forwards[first:]

    def count_decision(self, decision: str) -> None:
        """Books a step that was chosen."""
        _count(self._decisions, decision)

    @property
    def hidden_E(self) -> NDArray[np.float32] | None:  # noqa: N802 - an array's name
        positions, vectors_PE = self._picked_from
        last = self.length - 1
        if vectors_PE is None or last not in positions or self._records[-1].origin in _UNPICKED:
            return None
        # Who asks again is given the same array, by which a head knows its last answer.
        if self._hidden is None or self._hidden[0] != last:
            self._hidden = last, vectors_PE[positions.index(last)]
        return self._hidden[1]

    def keep_vectors(self, positions: list[int], vectors_PE: NDArray[np.float32]) -> None:
        """What the tokens at these positions are picked from, after a forward that reads rows."""
        self._picked_from, self._hidden = (positions, vectors_PE), None

    @property
    def reach(self) -> float:
        """How far below the largest logit of a row, of those that may be picked, a pick may need
        one: `ForwardBatch.reach_R`. In free text all tokens that are further below weigh a
        hundredth together, at a temperature of 1."""
        temperature = self.request.sampling.temperature
        return _REACH * max(1.0, temperature) if temperature else _GREEDY_REACH

    def mask(self) -> Tensor | None:
        return None if self._constraint is None else self._constraint.mask()

    def allows(self, token: int) -> bool:
        mask_W = self.mask()
        return mask_W is None or allows(mask_W, token)

    def preview(self) -> Lookahead:
        return Lookahead(self._constraint, self._end_token_ids)

    def commit(
        self,
        token: int,
        logprob: float,
        origin: Origin = Origin.AUTOREGRESSIVE,
        denoise_step: int = 0,
    ) -> None:
        assert self.finish_reason is None, "a token was committed after the end"
        if self._constraint is None:
            self._append(token, logprob, origin, denoise_step)
            return
        detour = self._constraint.detour(token, self.room)
        if detour is not None:
            self._commit_all(detour, Origin.CLOSING)
        else:
            self._append(token, logprob, origin, denoise_step)
            self.commit_forced()

    def commit_forced(self) -> None:
        """Commits what the grammar forces from here; they cost no forward of their own."""
        if self._constraint is not None and not self.finished:
            self._commit_all(self._constraint.forced(), Origin.FORCED)

    def _commit_all(self, tokens: tuple[int, ...], origin: Origin) -> None:
        for token in tokens:
            if self.finished:
                return
            self._append(token, 0.0, origin)

    def _append(self, token: int, logprob: float, origin: Origin, denoise_step: int = 0) -> None:
        constraint, mode = self._constraint, self.step_mode.name
        is_free = constraint is None or (origin is not Origin.FORCED and constraint.may_end)
        region = Region.FREE if is_free else Region.CONSTRAINED
        self._records.append(
            TokenRecord(origin, mode, region, len(self._forwards) - 1, denoise_step)
        )
        _count(self._modes, mode)
        _count(self._regions, _REGION_NAMES[id(region)])
        _count(self._origins, _ORIGIN_NAMES[id(origin)])
        self.tokens.append(token)
        self._logprobs.append(logprob)
        if self._first_token is None:
            self._first_token = time.perf_counter()
        if constraint is not None:
            constraint.accept(token)
        if token in self._end_token_ids:
            self.finish("stop")
            return
        self._show(self._detokenizer.push([token]))
        if self.finish_reason is None and len(self.tokens) == self.max_length:
            complete = constraint is not None and constraint.is_complete
            self.finish("stop" if complete else "length")

    def _show(self, text: str) -> None:
        self._text.append(self._stop_strings.push(text))
        if self._stop_strings.found is not None:
            self.finish_reason = "stop"

    def finish(self, reason: FinishReason) -> None:
        """Ends the sequence and shows the text that was held back."""
        self._show(self._detokenizer.flush())
        if not self.finished:
            self._text.append(self._stop_strings.flush())
            self.finish_reason = reason

    def count_forward(self, record: ForwardRecord, *, is_prefill: bool) -> None:
        """Books a forward in which the sequence took part."""
        self._forwards.append(record)
        self._num_prefills += is_prefill

    def fork(
        self, request_id: int, request: Request, mode: DecodeMode, seed: int, text: Detokenizer
    ) -> "Sequence":
        """A sequence whose prompt is everything so far, at the same place in the grammar.

        Its text begins behind what this one has shown; `text` is a new decoder for it.
        """
        limit = request.max_new_tokens
        child = Sequence(
            request_id,
            request,
            tuple(self.tokens),
            mode=mode,
            seed=seed,
            max_new_tokens=limit,
            end_token_ids=self._end_token_ids,
            detokenizer=text,
            constraint=None if self._constraint is None else self._constraint.fork(limit),
        )
        child._text_from = self._text_from
        for token in self.tokens[self._text_from :]:  # as this one did: what is held depends on it
            child._show(text.push([token]))
        child._text.clear()
        return child

    def report(self) -> Committed | None:
        """What was committed since the last report; None for nothing."""
        first = self._num_reported
        new, text = (
            tuple(self.tokens[self.num_prompt + first :]),
            "".join(self._text[self._num_text_reported :]),
        )
        if not new and not text:
            return None
        self._num_reported += len(new)
        self._num_text_reported = len(self._text)
        return Committed(
            self.request_id, new, tuple(self._records[first:]), text, stats=self.stats()
        )

    def completion(self) -> Completion:
        """The result. Call it once the sequence is finished."""
        assert self.finish_reason is not None
        return Completion(
            text="".join(self._text),
            token_ids=tuple(self.tokens[self.num_prompt :]),
            finish_reason=self.finish_reason,
            stats=self.stats(),
            prompt_token_ids=tuple(self.tokens[: self.num_prompt]),
            logprobs=tuple(self._logprobs),
            seed=self.seed,
            records=tuple(self._records),
            forwards=tuple(self._forwards),
        )

    def stats(self) -> Stats:
        """What the sequence cost so far."""
        now, origins = time.perf_counter(), dict(self._origins)
        mask_seconds = 0.0 if self._constraint is None else self._constraint.mask_seconds
        return Stats(
            prompt_tokens=self.num_prompt,
            cached_prompt_tokens=0 if self.lease is None else self.lease.num_cached,
            new_tokens=self.num_new,
            forwards=len(self._forwards) - self._num_prefills,
            prefill_forwards=self._num_prefills,
            drafted=self.num_drafted,
            accepted=origins.get(_ACCEPTED, 0) + origins.get(_COPIED, 0),
            forced=origins.get(_FORCED, 0),
            modes=dict(self._modes),
            regions=dict(self._regions),
            origins=origins,
            decisions=dict(self._decisions),
            mask_microseconds=mask_seconds * 1e6,
            seconds_to_first_token=(self._first_token or now) - self.started,
            seconds=now - self.started,
        )


def _count(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1
