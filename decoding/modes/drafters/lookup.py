"""Copies from what is there already: prompt and output."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from decoding.modes.base import Decodable
from decoding.modes.draft import Candidate, Guess, empty_draft, extend
from decoding.modes.drafters.base import Drafter, Drafting
from decoding.network.base import Network
from decoding.record import Origin


@dataclass(frozen=True, slots=True)
class LookupDrafter:
    """Guesses what followed the last few tokens when they stood there before.

    The longest match of `max_match` down to `min_match` tokens counts, the latest of several.
    Costs no forward and works with every network. Source: prompt lookup decoding, as in
    LLMA, arXiv 2304.04487.
    """

    max_match: int = 4
    min_match: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.min_match <= self.max_match:
            raise ValueError(
                f"1 <= min_match <= max_match must hold, not {self.min_match} and {self.max_match}"
            )

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()  # asks for no forward
        draft, count = empty_draft(sequence), min(block_length, sequence.room) - 1
        if count < 1:
            return draft
        source = _Source(sequence.tokens, self.max_match, self.min_match)
        return extend(sequence, draft, count, source.next)


class _Source:
    """Where a copy comes from. Follows its first match until the guesses leave it."""

    def __init__(self, tokens: Sequence[int], max_match: int, min_match: int) -> None:
        self._text = array("q", tokens)
        self._sizes = range(max_match, min_match - 1, -1)
        self._place: int | None = None
        self._num_guesses = 0

    def next(self, guesses: Sequence[Guess]) -> tuple[Candidate, ...]:
        added = array("q", [guess.token for guess in guesses[self._num_guesses :]])
        self._num_guesses = len(guesses)
        self._text.extend(added)
        self._follow(added)
        if self._place is None:
            return ()
        return (Candidate(self._text[self._place], Origin.COPIED),)

    def _follow(self, added: "array[int]") -> None:
        place = self._place
        if place is not None and self._text[place : place + len(added)] == added:
            self._place = place + len(added)
        else:
            self._place = self._find()

    def _find(self) -> int | None:
        """The place behind the latest earlier occurrence of the last tokens."""
        text = self._text.tobytes()
        width = self._text.itemsize
        for size in self._sizes:
            if size >= len(self._text):
                continue
            needle = text[-size * width :]
            at = text.rfind(needle, 0, len(text) - width)
            while at % width and at != -1:
                at = text.rfind(needle, 0, at + len(needle) - 1)
            if at != -1:
                return at // width + size
        return None
