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

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import torch
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
    either: it is called while the forward is under way on a device that works by itself.
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

    The engine builds it in host memory, and the network moves what it needs. `slots_T` says
    where each row's keys and values are written; `rows_R` which rows' logits are wanted.
    `reach_R` (float32) says how exactly: logits further than that below a row's largest may be
    rough, which a network on a CPU makes use of; infinity, and None for all rows, wants every one.
    """

    token_ids_T: Tensor
    positions_T: Tensor
    slots_T: Tensor
    rows_R: Tensor
    segments: tuple[Segment, ...]
    reach_R: Tensor | None = None

    def on(self, device: torch.device) -> "ForwardBatch":
        """The same with its tensors there, moved in one copy; itself where they are there."""
        if self.token_ids_T.device == device:
            return self
        parts = [self.token_ids_T, self.positions_T, self.slots_T, self.rows_R]
        parts += [each.slots_L for each in self.segments if isinstance(each.slots_L, Tensor)]
        moved = torch.cat([part.cpu() for part in parts]).to(device)
        there = iter(torch.split(moved, [len(part) for part in parts]))
        return ForwardBatch(
            token_ids_T=next(there),
            positions_T=next(there),
            slots_T=next(there),
            rows_R=next(there),
            segments=tuple(
                each if isinstance(each.slots_L, slice) else replace(each, slots_L=next(there))
                for each in self.segments
            ),
        )
