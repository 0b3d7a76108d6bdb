"""Guesses from what the network was about to say when it picked the last token."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decoding.draft_head import DraftHead
from decoding.errors import UnsupportedMode
from decoding.modes.base import Decodable
from decoding.modes.draft import Candidate, Guess, empty_draft, extend_draft
from decoding.modes.drafters.base import Drafting
from decoding.modes.fitting import check_record
from decoding.network.base import Network
from decoding.ngrams import Continuation
from decoding.record import Origin

_FORESEEN, _SURE = 8, 0.3
"""So many tokens at most, and no more behind one that the head holds less probable."""


@dataclass(frozen=True, slots=True)
class HeadDrafter:
    """Lets the network's draft head guess from the vector that the last token was picked from.

    Costs no forward. Drafts nothing behind a token that the grammar forced. `head` None takes the
    network's own. Source: Hydra, arXiv 2402.05109.
    """

    head: DraftHead | None = None

    def __post_init__(self) -> None:
        if self.head is not None:
            check_record("head", self.head, "guess", "the draft_head of a network")

    def fit(self, network: Network) -> "HeadDrafter":
        """Raises `UnsupportedMode` where the network has no head: then it keeps no vectors."""
        if network.draft_head is None:
            raise UnsupportedMode(
                "self-speculation with a draft head",
                network.name,
                "it has none, or runs without the compiled forward; "
                "`python -m decoding.training head` trains one",
            )
        return replace(self, head=self.head or network.draft_head)

    def foreseen(self, sequence: Decodable) -> tuple[Continuation, ...]:
        """What the head expects behind the last token, as far as it is sure of it, and one more."""
        assert self.head is not None, "fit the drafter to a network first"
        hidden_E = sequence.hidden_E
        if hidden_E is None:
            return ()
        return self.head.guess(hidden_E, sequence.tokens[-1], _FORESEEN, _SURE)

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()  # asks for no forward
        assert self.head is not None, "fit the drafter to a network first"
        draft, hidden_E = empty_draft(sequence), sequence.hidden_E
        count = min(block_length, sequence.room) - 1
        if count < 1 or hidden_E is None:
            return draft
        guessed = self.head.guess(hidden_E, sequence.tokens[-1], count)

        def propose(guesses: Sequence[Guess]) -> tuple[Candidate, ...]:
            place = len(guesses)
            if place == len(guessed) or (guesses and guesses[-1].is_forced):
                return ()
            return (Candidate(guessed[place].token, Origin.ACCEPTED),)

        return extend_draft(sequence, draft, count, propose)
