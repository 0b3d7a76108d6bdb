"""From a request to a sequence, or a refusal before any work."""

import secrets
from collections.abc import Callable
from dataclasses import replace

from decoding.cache.paged import PagedCache
from decoding.constraint import Constraint
from decoding.errors import CacheExhausted, ContextOverflow
from decoding.modes import DecodeMode, most_side_guesses
from decoding.network.base import Network
from decoding.prompt import read_prompt
from decoding.request import Prompt, Request
from decoding.sampling import Sampling
from decoding.sequence import Sequence
from decoding.tokenizer import Tokenizer

Fit = Callable[[DecodeMode], DecodeMode]
"""The mode with all that was left open chosen, or what it raises."""


class Intake:
    """Makes the sequences of one engine."""

    def __init__(self, network: Network, tokenizer: Tokenizer, cache: PagedCache, fit: Fit) -> None:
        self._network = network
        self._fit = fit
        self._tokenizer = tokenizer
        self._cache = cache

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt in any of its forms. Raises `ValueError` or `TypeError`."""
        return read_prompt(prompt, self._tokenizer, self._network)

    def sequence(self, request_id: int, request: Request) -> Sequence:
        """Raises what `Engine.add` raises for a request that cannot be decoded."""
        mode = self._fit(request.mode)
        prompt_ids = self.encode(request.prompt)
        room = self._network.max_positions - len(prompt_ids)
        if room < 1:
            raise ContextOverflow(len(prompt_ids), self._network.max_positions)
        max_new_tokens = min(request.max_new_tokens, room)
        self._check_fits(len(prompt_ids) + max_new_tokens, mode)
        constraint = None
        if request.grammar is not None:
            compiled = request.grammar.compile(self._tokenizer, self._network.vocab_size)
            budget = max_new_tokens if request.close_at_budget else None
            constraint = Constraint(compiled.matcher(), budget)
        return Sequence(
            request_id,
            request,
            prompt_ids,
            mode=mode,
            seed=_seed(request.sampling),
            max_new_tokens=max_new_tokens,
            end_token_ids=frozenset((*self._tokenizer.eos_token_ids, *request.stop_token_ids)),
            detokenizer=self._tokenizer.detokenizer(),
            constraint=constraint,
        )

    def fork(
        self,
        request_id: int,
        parent: Sequence,
        mode: DecodeMode | None,
        sampling: Sampling | None,
        max_new_tokens: int | None,
    ) -> Sequence:
        """A sequence behind everything that `parent` has. See `Engine.fork`."""
        limit = parent.room
        if max_new_tokens is not None:
            limit = min(max_new_tokens, self._network.max_positions - parent.length)
        request = replace(
            parent.request,
            prompt=tuple(parent.tokens),
            mode=mode or parent.request.mode,
            sampling=sampling or parent.request.sampling,
            max_new_tokens=limit,
            keep=None,
        )
        fitted = parent.mode if mode is None else self._fit(mode)
        self._check_fits(parent.length + limit, fitted)
        return parent.fork(
            request_id,
            request,
            fitted,
            _seed(request.sampling),
            self._tokenizer.detokenizer(),
        )

    def _check_fits(self, num_tokens: int, mode: DecodeMode) -> None:
        needed = self._cache.pages_for(num_tokens, most_side_guesses(mode))
        if needed > self._cache.pool.num_pages:
            raise CacheExhausted(needed, self._cache.pool.num_pages)


def _seed(sampling: Sampling) -> int:
    return secrets.randbits(63) if sampling.seed is None else sampling.seed
