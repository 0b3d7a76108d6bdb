"""A network without weights, for tests of everything around the network."""

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.storage import KVStorage, Storage
from decoding.draft_head import DraftHead
from decoding.ngrams import Continuation, NgramTable
from decoding.span import Attention, ForwardBatch, Segment

_SPREAD = 3.0

Script = Callable[[tuple[int, ...]], Tensor]
"""Logits [V] of the next token after the given tokens."""


class ScriptedNetwork:
    """Answers from a script over the tokens it *finds in the cache*.

    Each row's "key" is its token id and its "value" its position, so a slot that was lost,
    swapped, overwritten or left unwritten changes the answer or fails an assertion. The
    default script is random logits from a hash of all tokens so far. Rows under BLOCK
    attention guess: with probability `skill` the script's answer for their position, where
    every mask left of it is filled in by the script's own best tokens, else noise. What they
    guess depends on the rows right of them and on the adapter as well, as in a real network.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        max_positions: int = 4096,
        mask_token_id: int | None = None,
        has_adapter: bool = False,
        script: Script | None = None,
        seed: int = 0,
        skill: float = 0.7,
    ) -> None:
        self.vocab_size = vocab_size
        self.max_positions = max_positions
        self.mask_token_id = mask_token_id
        self.ngrams: NgramTable | None = None
        self.draft_head: DraftHead | None = None
        self.hidden_RE: NDArray[np.float32] | None = None
        self.has_adapter = has_adapter
        self.num_forwards = 0
        self._script = script or _hashed(vocab_size, seed)
        self._noise = _hashed(vocab_size, seed + 1)
        self._skill = skill

    @property
    def name(self) -> str:
        return "scripted"

    def allocate_cache(self, num_slots: int) -> KVStorage:
        storage = KVStorage.allocate(
            num_layers=1,
            num_slots=num_slots,
            num_kv_heads=1,
            head_dim=1,
            dtype=torch.int64,
            device=torch.device("cpu"),
        )
        for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
            store_SGD.fill_(-1)
        return storage

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        assert isinstance(storage, KVStorage)
        self.num_forwards += 1
        token_ids_T, positions_T, slots_T = map(
            torch.from_numpy, (batch.token_ids_T, batch.positions_T, batch.slots_T)
        )
        storage.write(0, slots_T, token_ids_T[:, None, None], positions_T[:, None, None])
        wanted: list[int] = batch.rows_R.tolist()
        logits: dict[int, Tensor] = {}
        told: dict[int, tuple[int, ...]] = {}
        for segment in batch.segments:
            history = self._history(segment, storage)
            for row in range(segment.num_rows):
                if segment.first_row + row in wanted:
                    logits[segment.first_row + row] = self._answer(segment, history, row)
                    told[segment.first_row + row] = history[: segment.start + row + 1]
        if isinstance(self.draft_head, ScriptedHead):
            self.hidden_RE = self.draft_head.written([told[row] for row in wanted])
        if not wanted:
            return torch.empty(0, self.vocab_size)
        return torch.stack([logits[row] for row in wanted])

    def _history(self, segment: Segment, storage: KVStorage) -> tuple[int, ...]:
        tokens: list[int] = storage.keys_SGD[0][segment.slots_L].flatten().tolist()
        positions: list[int] = storage.values_SGD[0][segment.slots_L].flatten().tolist()
        expected = list(range(segment.start + segment.num_rows))
        assert positions == expected, f"slots hold positions {positions}, not {expected}"
        return tuple(tokens)

    def _answer(self, segment: Segment, history: tuple[int, ...], row: int) -> Tensor:
        if segment.attention is Attention.CAUSAL:
            return self._script(history[: segment.start + row + 1])
        noise_V = self._noise((*history, row, int(segment.adapter)))
        if torch.special.ndtr(noise_V[0] / _SPREAD) > self._skill:
            return noise_V
        return self._script(self._filled(history[: segment.start + row], segment.start))

    def _filled(self, tokens: tuple[int, ...], first: int) -> tuple[int, ...]:
        """The tokens with each mask from `first` on replaced by the script's own best."""
        if self.mask_token_id not in tokens[first:]:
            return tokens
        place = tokens.index(self.mask_token_id, first)
        best = int(self._script(tokens[:place]).argmax())
        return self._filled((*tokens[:place], best, *tokens[place + 1 :]), place + 1)


class ScriptedHead:
    """The draft head of a scripted network. Knows the script, and says what it says with
    probability `skill`.

    Vectors are one number: which of the texts it was shown. So a vector that is not that of the
    row before the token it is asked about gives other guesses.
    """

    def __init__(
        self, vocab_size: int, *, never: int | None = None, seed: int = 0, skill: float = 0.7
    ) -> None:
        """Vocabulary and `seed` are the network's, `never` its mask token."""
        self._script = _hashed(vocab_size, seed)
        self._noise = _hashed(vocab_size, seed + 2)
        self._skill, self._never = skill, never
        self._texts: list[tuple[int, ...]] = []

    def written(self, texts: list[tuple[int, ...]]) -> NDArray[np.float32]:
        """`hidden_RE` that stands for the texts."""
        first = len(self._texts)
        self._texts += texts
        return np.arange(first, len(self._texts), dtype=np.float32)[:, None]

    def guess(
        self, hidden_E: NDArray[np.float32], token: int, count: int, least: float = 0.0
    ) -> tuple[Continuation, ...]:
        text: tuple[int, ...] = (*self._texts[int(hidden_E[0])], token)
        for _ in range(count):
            noise_V = self._noise(text)
            is_right = torch.special.ndtr(noise_V[0] / _SPREAD) <= self._skill
            scores_V = (self._script(text) if is_right else noise_V).clone()
            if self._never is not None:
                scores_V[self._never] = -torch.inf
            text = (*text, int(scores_V.argmax()))
        return tuple(Continuation(each, 1 + each % 5) for each in text[len(text) - count :])


def _hashed(vocab_size: int, seed: int) -> Script:
    return partial(_random_logits, vocab_size, seed)


@lru_cache(maxsize=1 << 14)
def _random_logits(vocab_size: int, seed: int, tokens: tuple[int, ...]) -> Tensor:
    digest = hashlib.blake2b(repr((seed, tokens)).encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
    return torch.randn(vocab_size, generator=generator) * _SPREAD
