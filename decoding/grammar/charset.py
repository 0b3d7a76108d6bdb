"""Sets of characters as sorted, disjoint ranges of code points."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


@dataclass(frozen=True, slots=True)
class CharSet:
    """Characters that text can hold: all code points but the surrogates."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> "CharSet":
        """From inclusive ranges in any order, overlapping or not."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(_without_surrogates(merged)))

    @classmethod
    def chars(cls, text: str) -> "CharSet":
        return cls.of((ord(char), ord(char)) for char in text)

    def __contains__(self, char: str) -> bool:
        index = bisect_right(self.ranges, (ord(char), _LAST)) - 1
        return index >= 0 and self.ranges[index][0] <= ord(char) <= self.ranges[index][1]

    def __or__(self, other: "CharSet") -> "CharSet":
        return CharSet.of(self.ranges + other.ranges)

    def __invert__(self) -> "CharSet":
        gaps, start = [], 0
        for first, last in self.ranges:
            if first > start:
                gaps.append((start, first - 1))
            start = last + 1
        if start <= _LAST:
            gaps.append((start, _LAST))
        return CharSet.of(gaps)

    def __and__(self, other: "CharSet") -> "CharSet":
        return ~(~self | ~other)

    def __sub__(self, other: "CharSet") -> "CharSet":
        return self & ~other

    def ignoring_ascii_case(self) -> "CharSet":
        letters = [chr(code) for code in range(128) if chr(code).isalpha() and chr(code) in self]
        return self | CharSet.chars("".join(letter.swapcase() for letter in letters))


def _without_surrogates(ranges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    low, high = _SURROGATES
    for first, last in ranges:
        if first < low:
            yield first, min(last, low - 1)
        if last > high:
            yield max(first, high + 1), last


ANY_CHAR = CharSet.of([(0, _LAST)])
NOT_NEWLINE = ANY_CHAR - CharSet.chars("\n")
DIGITS = CharSet.chars("0123456789")
WORD = DIGITS | CharSet.of([(65, 90), (95, 95), (97, 122)])
SPACE = CharSet.chars(" \t\n\r\f\v")
