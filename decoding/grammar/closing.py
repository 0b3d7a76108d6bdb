"""A short way from a state of a grammar to its end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Walk(Protocol):
    """What the search needs of a matcher. The search moves it, and moves it back."""

    @property
    def is_accepting(self) -> bool: ...

    def forced_tokens(self) -> tuple[int, ...]: ...

    def validate(self, tokens: tuple[int, ...]) -> int: ...

    def accept(self, token: int) -> None: ...

    def rollback(self, num_tokens: int) -> None: ...


# What to write where there is a choice, best first. In text that is free to choose, a
# separator is worth more than one more letter: it tends to bring a required shape to its
# end. The later orders exist for grammars in which the first choice leads around in circles.
_SEPARATORS = b",@.:/T_ #=()<>~?%&*!;|'"
_LETTERS = b"ntfaebcdghijklmopqrsuvwxyz"
_ORDERS = (
    b'"' + _SEPARATORS + b"0123456789-+" + _LETTERS + _LETTERS.upper() + b"[{\\^`$\n",
    _LETTERS[::-1] + b"1234567890" + _LETTERS[::-1].upper() + b'"-' + _SEPARATORS + b"{[\\^`$\n",
    b'[{,"' + _LETTERS.upper() + _LETTERS[::-1] + b"9876543210" + _SEPARATORS[1:] + b"\\^`$\n",
)  # fmt: skip
_LENGTHS = (48, 256, 2048, 8192)
_QUOTE, _BRACE, _BRACKET, _LETTER = b'"}]a'
_LONGEST_RUN = 8
_MOST_REPEATS = 4
_STEPS_BEFORE_OLD_WAY = 12
_OLD_STARTS = 4

Way = tuple[tuple[int, ...], ...]
"""Tokens to an end, in the pieces in which they were chosen."""


@dataclass(frozen=True, slots=True)
class Closers:
    """What a search may write: the end token, a token for each byte, and a few longer texts
    that fulfil what a string in the grammar is searched for."""

    end: int
    single_bytes: Mapping[int, int]
    examples: tuple[tuple[int, ...], ...]


def closing_way(walk: Walk, closers: Closers, limit: int, old: Way = ()) -> Way | None:
    """At most `limit` tokens to the end of the grammar, it included; None for none found.

    Greedy: forced tokens are taken, the end where there may be one, else what looks most like
    closing. Each order of preference gets a short try before any gets a long one. `old` is a
    way from a state nearby: its rest is taken as soon as it fits.
    """
    for length in _LENGTHS:
        for order in _ORDERS:
            search = _Search(walk, closers, order, min(limit, length))
            if search.run(old, limit):
                return tuple(search.way)
        if length >= limit:
            break
    return None


class _Search:
    """One greedy descent. Leaves the walk where it was."""

    def __init__(self, walk: Walk, closers: Closers, order: bytes, limit: int) -> None:
        self.way: list[tuple[int, ...]] = []
        self._walk = walk
        self._single_bytes = closers.single_bytes
        self._examples = closers.examples
        self._end = closers.end
        self._order = order
        self._limit = limit
        self._used: Counter[int | tuple[int, ...]] = Counter()
        self._last = -1
        self._after_example = False
        self._run = 0

    def run(self, old: Way, old_limit: int) -> bool:
        length = 0
        try:
            while length < self._limit:
                if self._walk.is_accepting:
                    self.way.append((self._end,))
                    return True
                tokens = forced = self._walk.forced_tokens()
                if forced:
                    self._used.clear()
                elif len(self.way) < _STEPS_BEFORE_OLD_WAY and self._rejoins(
                    old, old_limit - length
                ):
                    return True
                else:
                    tokens = self._choose()
                if not tokens or length + len(tokens) > self._limit:
                    return False
                if tokens[-1] == self._end:
                    self.way.append(tokens)
                    return True
                taken = self._accept(tokens, are_forced=bool(forced))
                self.way.append(tokens[:taken])
                length += taken
            return False
        finally:
            self._walk.rollback(length)

    def _rejoins(self, old: Way, limit: int) -> bool:
        """Whether the rest of the old way, from one of its first pieces on, leads to the end."""
        for start in range(min(_OLD_STARTS, len(old))):
            rest = old[start:]
            if self._fits(rest[0]) and sum(map(len, rest)) <= limit and self._replays(rest):
                self.way += rest
                return True
        return False

    def _replays(self, rest: Way) -> bool:
        """Whether the tokens may be taken here: legal, and where some are forced, those."""
        tokens = [token for piece in rest for token in piece]
        place = forced_until = 0
        try:
            for token in tokens:
                if place >= forced_until:
                    forced = self._walk.forced_tokens()
                    forced_until = place + len(forced)
                    if forced != tuple(tokens[place:forced_until]):
                        return False
                if not self._fits((token,)):
                    return False
                if token == self._end:
                    return True
                self._walk.accept(token)
                place += 1
            return False
        finally:
            self._walk.rollback(place)

    def _accept(self, tokens: tuple[int, ...], *, are_forced: bool) -> int:
        """Takes the tokens and returns how many. Behind a chosen one others may be forced, in
        another spelling than chosen: there it stops."""
        for count, token in enumerate(tokens, 1):
            self._walk.accept(token)
            if not are_forced and count < len(tokens) and self._walk.forced_tokens():
                return count
        return len(tokens)

    def _choose(self) -> tuple[int, ...]:
        byte = self._closer()
        after_example, self._after_example = self._after_example, False
        if byte is None and not after_example:
            for example in self._examples:
                if self._used[example] < _MOST_REPEATS and self._fits(example):
                    self._used[example] += 1
                    self._after_example = True
                    return example
        if byte is None:
            # Bytes used before are put off, so that no loop of the grammar holds the search.
            ranked = sorted(self._order, key=self._used.__getitem__) if self._used else self._order
            legal = (each for each in (*ranked, *self._single_bytes) if self._is_legal(each))
            byte = next(legal, None)
            if byte is None:
                return ()
            if all(each == byte for each in legal):  # as good as forced
                self._used.clear()
        self._used[byte] += 1
        self._run = self._run + 1 if byte == self._last else 1
        self._last = byte
        return (self._single_bytes[byte],)

    def _closer(self) -> int | None:
        brace, bracket = self._is_legal(_BRACE), self._is_legal(_BRACKET)
        # Both, or one beside a letter that begins no word of JSON: inside of a string only.
        if (brace or bracket) and (brace == bracket or self._is_legal(_LETTER)):
            return _QUOTE if self._is_legal(_QUOTE) else None
        closer = _BRACE if brace else _BRACKET if bracket else None
        return None if closer == self._last and self._run >= _LONGEST_RUN else closer

    def _is_legal(self, byte: int) -> bool:
        token = self._single_bytes.get(byte)
        return token is not None and self._fits((token,))

    def _fits(self, tokens: tuple[int, ...]) -> bool:
        return self._walk.validate(tokens) == len(tokens)
