"""What travels between a mode and the network: one span per sequence, one batch per forward.

Shape legend for the whole package:
    T rows (tokens) of a forward, all spans one after the other
    R rows whose logits are read
    V vocabulary (the network's, padding included)
    S cache slots, one token each
    L keys visible to a span
    H query heads   G key/value heads   D head width   E hidden width   F feed-forward width
    B sequences and N rows of each in a forward that is padded to a fixed shape
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LateMask = Callable[[], Tensor | None]
"""Gives a mask when it is called, or None where all tokens are allowed."""

MASK = -1
"""In a span's tokens: a position that is not decided. The engine writes the network's mask
token there, so that modes need not know it."""


class Attention(Enum):
    """What a row of a span sees besides the cached prefix, which every row sees."""

    CAUSAL = "causal"  # the span's rows up to and including itself
    BLOCK = "block"  # all rows of the span


class Purpose(Enum):
    """What a forward was for, in records and pictures."""

    PREFILL = "prefill"  # encodes prompt, reads nothing
    NEXT = "next"  # picks one token behind the tail
    DENOISE = "denoise"  # decides positions of a diffusion block
    DRAFT = "draft"  # guesses a block
    VERIFY = "verify"  # checks a guessed block


@dataclass(frozen=True, slots=True)
class Pick:
    """Asks for one token, chosen from the logits of one row.

    `row` indexes the span's tokens. `position` is the absolute position the picked token
    would take; it keys the sampling noise. `mask_W` is a packed bit mask (int32, 32 tokens
    per word) of the tokens the grammar allows there, None for all, or a function that gives
    either: the engine calls it once, when the network asks for it (`ForwardBatch.masks`), else
    behind the call of the forward, which may be under way on a device that works by itself.
    """

    row: int
    position: int
    mask_W: Tensor | LateMask | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Another way to go on behind the first `num_before` rows of a causal span, at least one.

    The rows see what is cached, those rows of the span and, causally, each other. What they
    write to the cache is scratch.
    """

    num_before: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One sequence's share of a forward: encode `tokens` at positions `start`, `start`+1, ...

    The cache must already hold [0, start). The rows' keys and values are written behind it;
    whether they stay is the mode's decision, made by advancing `Sequence.num_cached`.
    An empty `picks` is a pure prefill. `ranks` asks for so many further candidates per pick.

    A causal span may be evaluated in pieces: rows before the first pick, if they hold final
    tokens, in earlier forwards than the rest. `num_cached` moves with them, so a mode that needs
    it from before notes it before.

    The rows of `branches` are counted behind the span's own, one branch after the other. They
    need room that the sequence has leased (`Decodable.num_scratch`).
    """

    tokens: tuple[int, ...]
    start: int
    picks: tuple[Pick, ...] = ()
    attention: Attention = Attention.CAUSAL
    adapter: bool = False
    ranks: int = 0
    purpose: Purpose = Purpose.PREFILL
    branches: tuple[Branch, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows of the span and its branches."""
        if not self.branches:
            return len(self.tokens)
        return len(self.tokens) + sum(len(branch.tokens) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates for one position, best first, in the order in which they would be picked.

    `logprobs` are natural logarithms under the network's own distribution, without mask and
    temperature; `purity` is the sum of all its squared probabilities.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    purity: float


@dataclass(frozen=True, slots=True)
class Scores:
    """The answers to a span's picks, in the order asked.

    `logprobs` are natural logarithms of the picked tokens' probabilities under the masked,
    untempered distribution. `rankings` is empty unless the span asked for ranks.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    rankings: tuple[Ranking, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Where one span lies in a batch and in the cache.

    Rows [first_row, first_row + num_rows) of the batch; `start` cached positions before them.
    `slots_L` maps positions [0, start + num_rows) to cache slots: a slice where they lie
    side by side, else an int64 tensor. `is_branch`: the positions before `start` are another
    segment's, which may be of the same batch; its own lie apart, at the same places of blocks of
    `Storage.page_multiple` slots.
    """

    first_row: int
    num_rows: int
    start: int
    slots_L: slice | Tensor
    attention: Attention
    adapter: bool
    is_branch: bool = False


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """All spans of one forward, concatenated. Everything the network may know.

    The engine builds it in host memory, and the network moves what it needs (`on`). All whole
    numbers of its rows are in `numbers_N`, one after the other: token ids, positions and slots of
    `num_rows` rows, then the rows whose logits are wanted. A slot says where a row's keys and
    values are written. `reach_R` says how exactly: logits further than that below a row's largest
    may be rough, which a network on a CPU makes use of; infinity, and None for all rows, wants
    every one. `masks` tells for each of these rows what may be picked from it, as packed words
    [W], None for everything: logits of other tokens may mean nothing, and a row's largest is that
    of those which may be picked, so whoever makes use of `reach_R` needs them. Computing them takes
    time: who makes no use of them does not call it. It is valid during the forward only.
    """

    numbers_N: NDArray[np.int64]
    num_rows: int
    segments: tuple[Segment, ...]
    reach_R: NDArray[np.float32] | None = None
    masks: Callable[[], Sequence[Tensor | None]] | None = None

    @classmethod
    def of(
        cls,
        token_ids: Iterable[int],
        positions: Iterable[int],
        slots: Iterable[int],
        rows: Iterable[int],
        segments: Iterable[Segment],
        reach: Iterable[float] | None = None,
        masks: Callable[[], Sequence[Tensor | None]] | None = None,
    ) -> "ForwardBatch":
        """From numbers row by row, `rows` and `reach` one for each row that is read. Raises
        `ValueError` where there are not as many of one as of the other."""
        tokens, places, own, read = map(list, (token_ids, positions, slots, rows))
        numbers = tokens + places + own + read
        reaches = None if reach is None else np.array(list(reach), dtype=np.float32)
        if not len(tokens) == len(places) == len(own):
            raise ValueError(
                f"{len(tokens)} token ids, {len(places)} positions and {len(own)} slots: "
                "every row has one of each"
            )
        if reaches is not None and len(reaches) != len(read):
            raise ValueError(f"{len(reaches)} reaches for the {len(read)} rows that are read")
        return cls(np.array(numbers, dtype=np.int64), len(tokens), tuple(segments), reaches, masks)

    @property
    def num_read(self) -> int:
        """Rows whose logits are wanted."""
        return len(self.numbers_N) - 3 * self.num_rows

    @property
    def token_ids_T(self) -> NDArray[np.int64]:  # noqa: N802 - an array's name
        return self.numbers_N[: self.num_rows]

    @property
    def positions_T(self) -> NDArray[np.int64]:  # noqa: N802
        return self.numbers_N[self.num_rows : 2 * self.num_rows]

    @property
    def slots_T(self) -> NDArray[np.int64]:  # noqa: N802
        return self.numbers_N[2 * self.num_rows : 3 * self.num_rows]

    @property
    def rows_R(self) -> NDArray[np.int64]:  # noqa: N802
        return self.numbers_N[3 * self.num_rows :]

    def on(self, device: torch.device) -> "PlacedBatch":
        """What a network on a device reads, moved there in one copy."""
        scattered = [each.slots_L for each in self.segments if isinstance(each.slots_L, Tensor)]
        moved = torch.cat([torch.from_numpy(self.numbers_N), *scattered]).to(device)
        sizes = [self.num_rows] * 3 + [self.num_read] + [len(slots_L) for slots_L in scattered]
        token_ids_T, positions_T, slots_T, rows_R, *there = torch.split(moved, sizes)
        moved_slots = iter(there)
        segments = tuple(
            each if isinstance(each.slots_L, slice) else replace(each, slots_L=next(moved_slots))
            for each in self.segments
        )
        return PlacedBatch(token_ids_T, positions_T, slots_T, rows_R, segments)


@dataclass(frozen=True, slots=True)
class PlacedBatch:
    """A `ForwardBatch` on a device: tensors of int64."""

    token_ids_T: Tensor
    positions_T: Tensor
    slots_T: Tensor
    rows_R: Tensor
    segments: tuple[Segment, ...]
