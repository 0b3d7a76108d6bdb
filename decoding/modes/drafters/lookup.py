"""Copies from what is there already: prompt and output."""

from collections.abc import Sequence
from dataclasses import dataclass

from decoding.copies import Allows, CopyIndex, Match
from decoding.modes.base import Decodable
from decoding.modes.draft import Candidate, Guess, empty_draft, extend_draft
from decoding.modes.drafters.base import Drafter, Drafting
from decoding.modes.fitting import check_count
from decoding.network.base import Network
from decoding.pace.acceptance import Guesser
from decoding.record import Origin

_HOPELESS = 0.15
"""Copies are not sent where fewer of the last ones that matched as long were right."""


@dataclass(frozen=True, slots=True)
class LookupDrafter:
    """Guesses what followed the last few tokens when they stood there before.

    The longest match of `max_match` down to `min_match` tokens counts, the latest of several.
    Costs no forward and works with every network. Where what matched as long was nearly always
    wrong of late in this text, nothing is guessed. Source: prompt lookup decoding, as in
    LLMA, arXiv 2304.04487.
    """

    max_match: int = 4
    min_match: int = 2

    def __post_init__(self) -> None:
        check_count("max_match", self.max_match)
        check_count("min_match", self.min_match)
        if self.min_match > self.max_match:
            raise ValueError(
                f"min_match <= max_match must hold, not {self.min_match} and {self.max_match}"
            )

    def fit(self, network: Network) -> Drafter:
        return self

    def find(self, sequence: Decodable) -> Match | None:
        """What is to be copied; None where nothing that may follow does, or a match of its length
        means nothing here."""
        match = sequence.copies.match(self.max_match, self.min_match, sequence.allows)
        if match is None:
            return None
        right = sequence.outlook.acceptance(Guesser.COPY, sequence.region, match.length)
        return None if right < _HOPELESS else match

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()  # asks for no forward
        draft, count = empty_draft(sequence), min(block_length, sequence.room) - 1
        if count < 1 or self.find(sequence) is None:
            return draft
        source = CopySource.of(sequence, self)
        try:
            return extend_draft(sequence, draft, count, source.next)
        finally:
            source.close()


class CopySource:
    """Where a copy comes from. Follows its first match until the guesses leave it.

    The guesses stand in the index until `close`.
    """

    def __init__(
        self, index: CopyIndex, max_match: int, min_match: int, allows: Allows | None = None
    ) -> None:
        self._index = index
        self._bounds = (max_match, min_match)
        match = index.match(max_match, min_match, allows)
        self._place = None if match is None else match.place
        self._num_guesses = 0

    @classmethod
    def of(cls, sequence: Decodable, lookup: LookupDrafter) -> "CopySource":
        """What the drafter would copy behind the sequence."""
        return cls(sequence.copies, lookup.max_match, lookup.min_match, sequence.allows)

    def next(self, guesses: Sequence[Guess]) -> tuple[Candidate, ...]:
        added = [guess.token for guess in guesses[self._num_guesses :]]
        self._num_guesses = len(guesses)
        for token in added:
            self._index.push(token)
        self._follow(added)
        if self._place is None:
            return ()
        return (Candidate(self._index.text[self._place], Origin.COPIED),)

    def token(self, guesses: Sequence[Guess]) -> int | None:
        """The token that followed, where something did."""
        found = self.next(guesses)
        return found[0].token if found else None

    def close(self) -> None:
        self._index.drop(self._num_guesses)
        self._num_guesses = 0

    def _follow(self, added: list[int]) -> None:
        if not added:
            return
        place = self._place
        if place is not None and self._index.text[place : place + len(added)] == added:
            self._place = place + len(added)
        else:
            match = self._index.search(*self._bounds)
            self._place = None if match is None else match.place
