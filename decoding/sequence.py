"""The one mutable record of a request."""

import time
from collections import Counter

from torch import Tensor

from decoding.cache.paged import Lease
from decoding.constraint import Constraint
from decoding.detokenizer import Detokenizer
from decoding.request import Committed, Completion, FinishReason, Origin, Request, Stats
from decoding.span import Span
from decoding.stopping import StopStrings


class Sequence:
    """Tokens, how far they are encoded, and what stops them. A mode's `Decodable`.

    `num_cached` is the mode's to move. Everything else changes through `commit` and `finish`.
    """

    def __init__(
        self,
        request_id: int,
        request: Request,
        prompt_ids: tuple[int, ...],
        *,
        seed: int,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        detokenizer: Detokenizer,
        constraint: Constraint | None,
    ) -> None:
        self.request_id = request_id
        self.request = request
        self.seed = seed
        self.tokens = list(prompt_ids)
        self.num_prompt = len(prompt_ids)
        self.num_cached = 0
        self.lease: Lease | None = None
        self.finish_reason: FinishReason | None = None
        self.num_published_pages = 0
        self.max_length = len(prompt_ids) + max_new_tokens
        self._num_forwards = 0
        self._num_prefill_forwards = 0
        self._end_token_ids = end_token_ids
        self._detokenizer = detokenizer
        self._stop_strings = StopStrings(request.stop)
        self._constraint = constraint
        self._logprobs: list[float] = []
        self._origins: list[Origin] = []
        self._modes: Counter[str] = Counter()
        self._text: list[str] = []
        self._num_reported = 0
        self._num_text_reported = 0
        self._started = time.perf_counter()
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
    def num_new(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def encoded(self) -> list[int]:
        """The tokens whose keys and values are in the cache."""
        return self.tokens[: self.num_cached]

    def mask(self) -> Tensor | None:
        return None if self._constraint is None else self._constraint.mask()

    def commit(self, token: int, logprob: float, origin: Origin = Origin.AUTOREGRESSIVE) -> None:
        assert not self.finished, "a token was committed after the end"
        detour = None
        if self._constraint is not None:
            detour = self._constraint.detour(token, self.max_length - self.length)
        if detour is not None:
            self._commit_all(detour, Origin.CLOSING)
        else:
            self._append(token, logprob, origin)
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

    def _append(self, token: int, logprob: float, origin: Origin) -> None:
        self.tokens.append(token)
        self._logprobs.append(logprob)
        self._origins.append(origin)
        self._modes[self.request.mode.name] += 1
        if self._first_token is None:
            self._first_token = time.perf_counter()
        if self._constraint is not None:
            self._constraint.accept(token)
        if token in self._end_token_ids:
            self.finish("stop")
            return
        self._show(self._detokenizer.push([token]))
        if self.length == self.max_length and not self.finished:
            complete = self._constraint is not None and self._constraint.is_complete
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

    def count_forward(self, span: Span) -> None:
        """Books a forward in which `span` took part."""
        if span.picks:
            self._num_forwards += 1
        else:
            self._num_prefill_forwards += 1

    def report(self) -> Committed | None:
        """What was committed since the last report; None for nothing."""
        first = self.num_prompt + self._num_reported
        new, text = tuple(self.tokens[first:]), "".join(self._text[self._num_text_reported :])
        if not new and not text:
            return None
        origins = tuple(self._origins[self._num_reported :])
        self._num_reported += len(new)
        self._num_text_reported = len(self._text)
        return Committed(self.request_id, new, origins, text)

    def completion(self) -> Completion:
        """The result. Call it once the sequence is finished."""
        assert self.finish_reason is not None
        return Completion(
            text="".join(self._text),
            token_ids=tuple(self.tokens[self.num_prompt :]),
            finish_reason=self.finish_reason,
            stats=self._stats(),
            prompt_token_ids=tuple(self.tokens[: self.num_prompt]),
            logprobs=tuple(self._logprobs),
            seed=self.seed,
        )

    def _stats(self) -> Stats:
        now = time.perf_counter()
        return Stats(
            prompt_tokens=self.num_prompt,
            cached_prompt_tokens=0 if self.lease is None else self.lease.num_cached,
            new_tokens=self.num_new,
            forwards=self._num_forwards,
            prefill_forwards=self._num_prefill_forwards,
            forced=self._origins.count(Origin.FORCED),
            modes=dict(self._modes),
            mask_microseconds=0.0
            if self._constraint is None
            else self._constraint.mask_seconds * 1e6,
            seconds_to_first_token=(self._first_token or now) - self._started,
            seconds=now - self._started,
        )
