"""Guesses about the next tokens, always legal under the grammar, and their growth to the right.

The masks met on the way are kept with the guesses: whoever checks them applies the same ones,
and no mask is computed twice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from decoding.errors import GrammarDeadEnd, GrammarError
from decoding.grammar import allows
from decoding.modes.base import Decodable, Preview
from decoding.record import Origin


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that somebody proposes for a position."""

    token: int
    origin: Origin
    logprob: float = 0.0
    denoise_step: int = 0


@dataclass(frozen=True, slots=True)
class Guess:
    """A candidate that the grammar allows at its place. `mask_W` is None where all was allowed,
    and where the token is forced."""

    candidate: Candidate
    mask_W: Tensor | None = None

    @property
    def token(self) -> int:
        return self.candidate.token

    @property
    def is_forced(self) -> bool:
        return self.candidate.origin is Origin.FORCED

    @property
    def is_denoised(self) -> bool:
        return self.candidate.denoise_step > 0


@dataclass(frozen=True, slots=True)
class Draft:
    """Guesses for the positions behind the committed tokens, one after the other.

    `mask_W` is the mask of the position behind the last guess. `is_open` says whether a token
    may be picked there: not behind an end token, where no room is left, or in a dead end.
    `proposals` are what the guesses were chosen from, by place, best first; empty where nothing
    else was proposed. `sides` are other ways to go on, checked beside the guesses.
    """

    guesses: tuple[Guess, ...]
    mask_W: Tensor | None
    is_open: bool = True
    proposals: tuple[Sequence[Candidate], ...] = ()
    sides: tuple["SideDraft", ...] = ()

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(guess.token for guess in self.guesses)

    @property
    def num_chosen(self) -> int:
        """Guesses that the grammar did not force."""
        return sum(not guess.is_forced for guess in self.guesses)


@dataclass(frozen=True, slots=True)
class SideDraft:
    """Guesses behind the first `place` ones of another draft, in place of its next."""

    place: int
    draft: Draft


Propose = Callable[[Sequence[Guess]], Sequence[Candidate]]
"""Candidates, best first, for the position behind the guesses; none to stop there."""


def empty_draft(sequence: Decodable) -> Draft:
    """Raises `GrammarDeadEnd` where the grammar allows no token at all."""
    return Draft((), sequence.mask())


def extend_draft(sequence: Decodable, draft: Draft, count: int, propose: Propose) -> Draft:
    """Walks right from the end of the draft until it has `count` guesses.

    Each position gets what the grammar forces there, else the first candidate it allows; the
    walk stops where it allows none of them. Forced tokens are taken beyond `count` as well:
    they cost nothing. A dead end ahead is nobody's error yet: the draft stops there.
    """
    guesses, mask_W = list(draft.guesses), draft.mask_W
    ahead = sequence.preview()
    for guess in guesses:
        ahead.accept(guess.token)
    while len(guesses) < count:
        candidate = next(allowed(propose(guesses), mask_W), None)
        if candidate is None:
            break
        guesses.append(Guess(candidate, mask_W))
        forced, mask_W, is_open = follow(ahead, candidate.token, sequence.room - len(guesses))
        guesses += forced
        if not is_open:
            return Draft(tuple(guesses), None, is_open=False)
    return Draft(tuple(guesses), mask_W)


def follow(ahead: Preview, token: int, room: int) -> tuple[list[Guess], Tensor | None, bool]:
    """Moves over a token that is allowed: the guesses that are forced behind it, at most `room`,
    the mask of the position behind them, and whether a token may be picked there."""
    ahead.accept(token)
    forced: list[Guess] = []
    try:
        forced = _forced(ahead, room)
        is_open = not ahead.over and len(forced) < room
        return forced, ahead.mask() if is_open else None, is_open
    except (GrammarDeadEnd, GrammarError):
        return forced, None, False


def allowed(candidates: Sequence[Candidate], mask_W: Tensor | None) -> Iterator[Candidate]:
    """Those that the mask allows, in their order."""
    return (each for each in candidates if mask_W is None or allows(mask_W, each.token))


def _forced(ahead: Preview, room: int) -> list[Guess]:
    guesses = []
    for token in () if ahead.over else ahead.forced()[: max(room, 0)]:
        ahead.accept(token)
        guesses.append(Guess(Candidate(token, Origin.FORCED)))
    return guesses
