"""How one answer was decoded, token by token and forward by forward; plain frozen records.

Models that decode in this process fill them in; others leave them out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class TokenOrigin(Enum):
    """How a token came to be."""

    AUTOREGRESSIVE = "autoregressive"
    DENOISED = "denoised"
    ACCEPTED = "accepted"
    COPIED = "copied"
    CORRECTED = "corrected"
    FORCED = "forced"
    CLOSING = "closing"


class TokenRegion(Enum):
    """Whether a grammar still asked for something where a token stands."""

    FREE = "free"
    CONSTRAINED = "constrained"


class ForwardPurpose(Enum):
    """What a forward was for."""

    PREFILL = "prefill"
    NEXT = "next"
    DENOISE = "denoise"
    DRAFT = "draft"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class TokenTrace:
    """One token. The texts of an answer's tokens, joined, are its text; a token that only
    begins a character has none, the one that completes it has the whole.

    `forward` indexes the answer's forwards: the one that committed the token, -1 where none
    had run yet. `denoise_step` counts from 1 within a block, 0 where no diffusion chose it.
    `logprob` is the natural logarithm of its probability, 0.0 for tokens nobody chose.
    """

    text: str
    origin: TokenOrigin
    mode: str
    region: TokenRegion
    forward: int
    denoise_step: int = 0
    logprob: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardTrace:
    """One call of the network. `rows` are this answer's; `sequences` shared the call. `started`
    is in seconds since the answer was asked for."""

    purpose: ForwardPurpose
    rows: int
    sequences: int
    started: float
    seconds: float


@dataclass(frozen=True, slots=True)
class DecodingStats:
    """What an answer cost. `drafted` counts the tokens that were guessed and sent to be
    verified, `accepted` those that were kept; forced tokens are neither. `modes` and `regions`
    count tokens. Of `candidates` answers that were decoded this is the one numbered `chosen`,
    from 0; their counts are those of the chosen one alone."""

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
    mask_microseconds: float = 0.0
    seconds_to_first_token: float = 0.0
    seconds: float = 0.0
    candidates: int = 1
    chosen: int = 0

    @property
    def tokens_per_forward(self) -> float:
        """New tokens per forward; 0.0 where no forward was counted."""
        return self.new_tokens / self.forwards if self.forwards else 0.0

    @property
    def acceptance(self) -> float:
        """Share of the drafted tokens that were kept; 0.0 where none was drafted."""
        return self.accepted / self.drafted if self.drafted else 0.0

    @property
    def hit_rate(self) -> float:
        """Share of the prompt's tokens that were found encoded, 0.0 to 1.0."""
        return self.cached_prompt_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


@dataclass(frozen=True, slots=True)
class DecodingTrace:
    """One answer. Raises `ValueError` for a token of a forward that there is not."""

    tokens: tuple[TokenTrace, ...]
    forwards: tuple[ForwardTrace, ...] = ()
    stats: DecodingStats = DecodingStats()

    def __post_init__(self) -> None:
        for index, token in enumerate(self.tokens):
            if not -1 <= token.forward < len(self.forwards):
                raise ValueError(
                    f"token {index} names forward {token.forward}, and there are "
                    f"{len(self.forwards)}; give its index, or -1 for none"
                )

    @property
    def text(self) -> str:
        """All tokens, an end token included."""
        return "".join(token.text for token in self.tokens)

    @property
    def seconds(self) -> float:
        """From the request to the answer."""
        ends = (forward.started + forward.seconds for forward in self.forwards)
        return max(self.stats.seconds, *ends, 0.0)
