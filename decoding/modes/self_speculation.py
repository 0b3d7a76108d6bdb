"""Self-speculation: draft a block, verify it causally, commit what agrees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from torch import Tensor

from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.draft import Draft, Guess, SideDraft
from decoding.modes.drafters import CombinedDrafter, DiffusionDrafter, Drafter, LookupDrafter
from decoding.modes.fitting import check_block_fits, check_count, check_record
from decoding.modes.tree import branch_out
from decoding.network.base import Network
from decoding.record import Origin
from decoding.span import Branch, Pick, Purpose, Span


@dataclass(frozen=True, slots=True)
class SelfSpeculation:
    """A block of `block_length` - 1 guesses is checked by one causal forward.

    The text equals that of autoregressive decoding, token for token, also when sampling: the
    verifier picks every token itself, under the same grammar and with the same noise, and
    guesses only decide how many it can pick at once. Drafts share mask and noise, so that they
    agree as often as possible. `drafter` None copies from the context and, where the network
    has a diffusion pathway, denoises. `draft_threshold` above 0 refines drafts (see `Drafter`).

    `side_guesses` checks so many guesses more in the same forward, in branches off the draft
    where the drafter thought other tokens likely, too: more tokens per forward where further
    rows of one are cheap, as on a GPU. Each needs scratch room in the cache (a slot; a page of
    16 with the compiled forward).

    Sources: Nemotron-Labs-Diffusion, arXiv 2607.05722, section 3.4 (linear self-speculation);
    SpecInfer, arXiv 2305.09781 (trees of guesses).
    """

    block_length: int = 8
    drafter: Drafter | None = None
    draft_threshold: float = 0.0
    side_guesses: int = 0

    def __post_init__(self) -> None:
        check_count("block_length", self.block_length)
        if type(self.side_guesses) is not int or self.side_guesses < 0:
            raise ValueError(
                f"side_guesses must be a whole number >= 0 (0 is off), not {self.side_guesses!r}"
            )
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
        count = min(self.side_guesses, sequence.num_scratch)
        yield from verify(sequence, branch_out(sequence, draft, count))


def verify(sequence: Decodable, draft: Draft) -> Step:
    """Encodes tail and draft causally, and beside it the draft's sides; commits the guesses that
    the network itself picks, and its own pick at the first that it does not, or behind them all.

    A side that was taken is encoded again in the next step: its rows were scratch.
    """
    start, tail, length = sequence.num_cached, sequence.tail, sequence.length
    tokens = (*tail, *draft.tokens)
    checks = [_Checks.of(draft.guesses, draft)]
    picks = [Pick(len(tail) - 1 + place, length + place, mask) for place, mask in checks[0].picked]
    branches, row = [], len(tokens)
    for side in draft.sides:
        guesses = side.draft.guesses
        branches.append(Branch(len(tail) + side.place, side.draft.tokens))
        checks.append(_Checks.of(guesses[1:], side.draft))
        at = length + side.place + 1
        picks += [Pick(row + place, at + place, mask) for place, mask in checks[-1].picked]
        row += len(guesses)
    scores = yield Span(
        tokens,
        start=start,
        picks=tuple(picks),
        purpose=Purpose.VERIFY if draft.guesses else Purpose.NEXT,
        branches=tuple(branches),
    )
    sequence.num_drafted += sum(check.num_checked for check in checks) + len(draft.sides)
    answers = iter(zip(scores.tokens, scores.logprobs, strict=True))
    answered = [list(islice(answers, len(check.picked))) for check in checks]
    wrong = _commit(sequence, checks[0], answered[0], draft.sides)
    if wrong is not None:
        _commit(sequence, checks[wrong + 1], answered[wrong + 1], ())
    agreed = _common_prefix(tokens, sequence.tokens[start:])
    sequence.num_cached = min(start + agreed, sequence.length - 1)


@dataclass(frozen=True, slots=True)
class _Checks:
    """Guesses in a row, and where a token is picked: a place, its mask, and none for what is
    forced. The place behind the last guess is among them where the draft is open."""

    guesses: tuple[Guess, ...]
    picked: tuple[tuple[int, Tensor | None], ...]

    @classmethod
    def of(cls, guesses: tuple[Guess, ...], draft: Draft) -> "_Checks":
        picked = [
            (place, guess.mask_W) for place, guess in enumerate(guesses) if not guess.is_forced
        ]
        if draft.is_open:
            picked.append((len(guesses), draft.mask_W))
        return cls(guesses, tuple(picked))

    @property
    def num_checked(self) -> int:
        return sum(place < len(self.guesses) for place, _ in self.picked)


def _commit(
    sequence: Decodable,
    checks: _Checks,
    answers: Sequence[tuple[int, float]],
    sides: Sequence[SideDraft],
) -> int | None:
    """Commits picks up to the first that is not what was guessed; the number of the side that
    guessed it, if one did and the sequence goes on."""
    for (place, _), (token, logprob) in zip(checks.picked, answers, strict=True):
        guess = checks.guesses[place] if place < len(checks.guesses) else None
        if guess is None:
            sequence.commit(token, logprob, Origin.AUTOREGRESSIVE)
        elif token == guess.token:
            sequence.commit(token, logprob, guess.candidate.origin)
        else:
            return _correct(sequence, place, token, logprob, sides)
        if sequence.finished:
            return None
    return None


def _correct(
    sequence: Decodable, place: int, token: int, logprob: float, sides: Sequence[SideDraft]
) -> int | None:
    for number, side in enumerate(sides):
        first = side.draft.guesses[0]
        if side.place == place and first.token == token:
            sequence.commit(token, logprob, first.candidate.origin)
            return None if sequence.finished else number
    sequence.commit(token, logprob, Origin.CORRECTED)
    return None


def _common_prefix(ours: tuple[int, ...], final: Sequence[int]) -> int:
    pairs = zip(ours, final, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(final)))
