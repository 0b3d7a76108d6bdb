"""Where the last tokens of a growing text stood before."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

_MOST_LOOKS = 256
"""Earlier places that are looked at, the latest first; bounds the time of a search."""
_LONGEST = 16
"""Matches are not measured beyond so many tokens."""


Allows = Callable[[int], bool]
"""Whether a token may follow."""


@dataclass(frozen=True, slots=True)
class Match:
    """The last `length` tokens stood right before position `place` as well."""

    length: int
    place: int


class CopyIndex:
    """Finds earlier occurrences of a text's last tokens, in time that does not grow with it.

    Takes in what was appended to `tokens` since it was last asked. Each position is chained to
    the one before it with the same n-gram on its left, as in LZ77. `push` and `drop` try
    further tokens out.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._text: list[int] = []
        self._chains: dict[int, _Chain] = {}
        self._asked: tuple[int, int, int] | None = None
        self._found: Match | None = None

    @property
    def text(self) -> Sequence[int]:
        """The tokens taken in, and what was pushed behind them."""
        return self._text

    def match(self, max_match: int, min_match: int, allows: Allows | None = None) -> Match | None:
        """The longest match of `max_match` down to `min_match` of the last tokens that was
        followed by a token which may follow now, the latest of several; measured further to the
        left, up to 16 tokens. What may follow must not change while the text does not."""
        self._take_in()
        question = (len(self._text), max_match, min_match)
        if question != self._asked:
            self._asked, self._found = question, self.search(max_match, min_match, allows)
        return self._found

    def match_at(self, length: int) -> Match | None:
        """What `match` found when there were `length` tokens, if it was last asked then."""
        return self._found if self._asked is not None and self._asked[0] == length else None

    def push(self, token: int) -> None:
        """Appends a token that is not committed."""
        self._text.append(token)
        self._chain_new()

    def drop(self, count: int) -> None:
        """Takes back the last `count` tokens pushed."""
        for _ in range(count):
            for chain in self._chains.values():
                chain.pop(self._text)
            self._text.pop()

    def search(self, max_match: int, min_match: int, allows: Allows | None = None) -> Match | None:
        """As `match`, for the text with what was pushed."""
        text, end = self._text, len(self._text)
        place, best = self._chain(min_match).before(end), 0
        found = -1
        for _ in range(_MOST_LOOKS):
            if place < 0:
                break
            length = _common(text, place, end, max_match)
            if length > best and (allows is None or allows(text[place])):
                best, found = length, place
            if best == max_match:
                break
            place = self._chain(min_match).before(place)
        return None if found < 0 else Match(_common(text, found, end, _LONGEST), found)

    def _take_in(self) -> None:
        new = self._tokens[len(self._text) :]
        if new:
            self._text += new
            self._chain_new()

    def _chain_new(self) -> None:
        for chain in self._chains.values():
            chain.take_in(self._text)

    def _chain(self, size: int) -> "_Chain":
        chain = self._chains.get(size)
        if chain is None:
            chain = self._chains[size] = _Chain(size)
            chain.take_in(self._text)
        return chain


def _common(text: Sequence[int], one: int, other: int, most: int) -> int:
    """How many tokens before both positions are equal, `most` at most."""
    length = 0
    while length < most and length < one and text[one - 1 - length] == text[other - 1 - length]:
        length += 1
    return length


class _Chain:
    """For each end of an n-gram, the end of the same n-gram before it; -1 for none."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: dict[Hashable, int] = {}
        self._before = [-1]

    def before(self, end: int) -> int:
        return self._before[end]

    def take_in(self, text: Sequence[int]) -> None:
        """Takes in the n-grams that end in what was appended since it was last asked."""
        before, latest = self._before, self._latest  # a prompt has many
        for end in range(len(before), len(text) + 1):
            if end < self._size:
                before.append(-1)
                continue
            gram = self._gram(text, end)
            before.append(latest.get(gram, -1))
            latest[gram] = end

    def pop(self, text: Sequence[int]) -> None:
        """Forgets the n-gram at the text's end."""
        before = self._before.pop()
        if len(text) < self._size:
            return
        gram = self._gram(text, len(text))
        if before < 0:
            del self._latest[gram]
        else:
            self._latest[gram] = before

    def _gram(self, text: Sequence[int], end: int) -> Hashable:
        return text[end - 1] if self._size == 1 else tuple(text[end - self._size : end])
