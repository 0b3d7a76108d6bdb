"""What is written down about a sequence while it is decoded: per token and per forward."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from decoding.span import Purpose


class Origin(Enum):
    """How a committed token came to be."""

    AUTOREGRESSIVE = "autoregressive"  # picked from a causal row
    DENOISED = "denoised"  # revealed by block diffusion
    ACCEPTED = "accepted"  # drafted by diffusion or a head, and the verifier picked the same
    COPIED = "copied"  # drafted from the text or a table, and the verifier picked the same
    CORRECTED = "corrected"  # picked by the verifier in place of the draft
    FORCED = "forced"  # the grammar left one token
    CLOSING = "closing"  # taken to end validly within the budget


class Region(Enum):
    """Where in an answer a token stands.

    Text is free where no grammar holds, or where the grammar would let it end at any point,
    as in prose; it is constrained where the grammar still asks for something.
    """

    FREE = "free"
    CONSTRAINED = "constrained"

    __hash__ = object.__hash__  # an enum's own is slow for what every step looks up


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One committed token. `forward` indexes the sequence's forwards, -1 for none before it;
    `denoise_step` counts from 1 within a block, 0 where no diffusion chose the token."""

    origin: Origin
    mode: str
    region: Region
    forward: int
    denoise_step: int = 0


@dataclass(frozen=True, slots=True)
class ForwardRecord:
    """One forward in which the sequence took part.

    `rows` are the sequence's own; `sequences` shared the forward. Seconds count from when the
    request was added.
    """

    purpose: Purpose
    rows: int
    sequences: int
    started: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What a sequence cost so far. Times are seconds unless named otherwise.

    `forwards` counts every forward that a mode asked scores of; `prefill_forwards` those
    that only encoded prompt. `drafted` counts the tokens that were guessed and sent to be
    verified, `accepted` those of them that were committed; forced tokens are neither.
    `modes`, `regions` and `origins` say by which mode, where and how tokens were committed;
    each sums to `new_tokens`. `decisions` counts the steps that a mode such as `Auto` chose, by
    region and choice: "constrained: self-speculation 8".
    """

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    new_tokens: int = 0
    forwards: int = 0
    prefill_forwards: int = 0
    drafted: int = 0
    accepted: int = 0
    forced: int = 0
    modes: Mapping[str, int] = field(default_factory=dict)
    regions: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, int] = field(default_factory=dict)
    decisions: Mapping[str, int] = field(default_factory=dict)
    mask_microseconds: float = 0.0
    seconds_to_first_token: float = 0.0
    seconds: float = 0.0

    @property
    def tokens_per_forward(self) -> float:
        """New tokens per forward; 0.0 where every token was forced and none was needed."""
        return self.new_tokens / self.forwards if self.forwards else 0.0

    @property
    def acceptance(self) -> float:
        """Share of the drafted tokens that were committed; 0.0 where none was drafted."""
        return self.accepted / self.drafted if self.drafted else 0.0
