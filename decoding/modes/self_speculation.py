"""Self-speculation: draft a block, verify it causally, commit what agrees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.draft import Draft
from decoding.modes.drafters import CombinedDrafter, DiffusionDrafter, Drafter, LookupDrafter
from decoding.modes.fitting import check_block_fits, check_count, check_record
from decoding.network.base import Network
from decoding.record import Origin
from decoding.span import Pick, Purpose, Span


@dataclass(frozen=True, slots=True)
class SelfSpeculation:
    """A block of `block_length` - 1 guesses is checked by one causal forward.

    The text equals that of autoregressive decoding, token for token, also when sampling: the
    verifier picks every token itself, under the same grammar and with the same noise, and
    guesses only decide how many it can pick at once. Drafts share mask and noise, so that they
    agree as often as possible. `drafter` None copies from the context and, where the network
    has a diffusion pathway, denoises. `draft_threshold` above 0 refines drafts (see `Drafter`).

    Source: Nemotron-Labs-Diffusion, arXiv 2607.05722, section 3.4 (linear self-speculation).
    """

    block_length: int = 8
    drafter: Drafter | None = None
    draft_threshold: float = 0.0

    def __post_init__(self) -> None:
        check_count("block_length", self.block_length)
        if self.drafter is not None:
            check_record("drafter", self.drafter, "draft", "LookupDrafter()")
        if not 0.0 <= self.draft_threshold <= 1.0:
            raise ValueError(
                f"draft_threshold must be a probability (0 is off), not {self.draft_threshold}"
            )

    @property
    def name(self) -> str:
        return "self-speculation"

    @property
    def denoises(self) -> bool:
        """Whether every draft is denoised; False where the drafter may copy instead."""
        return isinstance(self.drafter, DiffusionDrafter)

    def fit(self, network: Network) -> DecodeMode:
        check_block_fits(self.block_length, network)
        drafter = self.drafter
        if drafter is None:
            drafter = LookupDrafter() if network.mask_token_id is None else CombinedDrafter()
        return replace(self, drafter=drafter.fit(network))

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        assert self.drafter is not None, "fit the mode to a network first"
        draft = yield from self.drafter.draft(sequence, self.block_length, self.draft_threshold)
        yield from verify(sequence, draft)


def verify(sequence: Decodable, draft: Draft) -> Step:
    """Encodes tail and draft causally; commits the guesses that the network itself picks, and
    its own pick at the first that it does not, or behind them all."""
    start, tail, guesses = sequence.num_cached, sequence.tail, draft.guesses
    tokens = (*tail, *draft.tokens)
    checked = [place for place, guess in enumerate(guesses) if not guess.is_forced]
    places = [*checked, len(guesses)] if draft.is_open else checked
    masks = [*(guess.mask_W for guess in guesses), draft.mask_W]
    scores = yield Span(
        tokens,
        start=start,
        picks=tuple(
            Pick(len(tail) - 1 + place, sequence.length + place, masks[place]) for place in places
        ),
        purpose=Purpose.VERIFY if guesses else Purpose.NEXT,
    )
    sequence.num_drafted += len(checked)
    for place, token, logprob in zip(places, scores.tokens, scores.logprobs, strict=True):
        if place == len(guesses):
            sequence.commit(token, logprob, Origin.AUTOREGRESSIVE)
        elif token == guesses[place].token:
            sequence.commit(token, logprob, guesses[place].candidate.origin)
        else:
            sequence.commit(token, logprob, Origin.CORRECTED)
            break
        if sequence.finished:
            break
    agreed = _common_prefix(tokens, sequence.tokens[start:])
    sequence.num_cached = min(start + agreed, sequence.length - 1)


def _common_prefix(ours: tuple[int, ...], final: Sequence[int]) -> int:
    pairs = zip(ours, final, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(final)))
