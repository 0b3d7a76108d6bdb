"""Ranges of numbers as languages of their decimal notation.

Integers are compared exactly. A number with a fraction is a double to whoever reads it, so
its bounds are doubles: an inclusive bound is exact, since rounding a decimal to the nearest
double keeps order, and an exclusive one becomes the inclusive bound of the next double.
"""

import math
from decimal import Decimal
from fractions import Fraction

from decoding.grammar.charset import DIGITS, CharSet
from decoding.grammar.language import (
    ANY_TEXT,
    NOTHING,
    Chars,
    Language,
    Repeat,
    alt,
    both,
    cat,
    literal,
)
from decoding.grammar.schema.clauses import NumberClause

_DIGIT = Chars(DIGITS)
_ANY_DIGITS = Repeat(_DIGIT, 0, None)
_MINUS = literal("-")
_POINT = literal(".")
_LARGEST = 2.0**1023


def _span(first: int, last: int) -> Language:
    return Chars(CharSet.of([(48 + first, 48 + last)])) if first <= last else NOTHING


_NONZERO = _span(1, 9)
_HAS_NONZERO = cat([ANY_TEXT, _NONZERO, ANY_TEXT])
_NATURAL = alt([literal("0"), cat([_NONZERO, _ANY_DIGITS])])
_UNBOUNDED = cat(
    [
        Repeat(_MINUS, 0, 1),
        _NATURAL,
        Repeat(cat([_POINT, Repeat(_DIGIT, 1, None)]), 0, 1),
        Repeat(cat([Chars(CharSet.chars("eE")), Repeat(Chars(CharSet.chars("+-")), 0, 1),
                    Repeat(_DIGIT, 1, 2)]), 0, 1),
    ]
)  # fmt: skip


def integer_bounds(clause: NumberClause) -> tuple[int | None, int | None]:
    """The least and the greatest integer of the clause, None for no bound."""
    low = None if clause.low is None else _ceiling(clause.low.value, clause.low.strict)
    high = None if clause.high is None else -_ceiling(-clause.high.value, clause.high.strict)
    return low, high


def integer_language(clause: NumberClause) -> Language:
    """Integers without leading zeros, zero without a sign."""
    return _integers(*integer_bounds(clause))


def number_language(clause: NumberClause) -> Language:
    """Numbers of any notation a bound leaves: with an exponent only where there is none."""
    if clause == NumberClause():
        return _UNBOUNDED
    if clause.low is not None and clause.low == clause.high and clause.low.value.denominator == 1:
        return integer_language(clause)
    return alt([integer_language(clause), _fractions(clause)])


def fraction_language(clause: NumberClause) -> Language:
    """Numbers that are no integers, of at most 15 digits: a double tells those apart."""
    few_digits = Repeat(Chars(DIGITS | CharSet.chars("-.")), 0, 16)
    nonzero_fraction = cat([ANY_TEXT, _POINT, _HAS_NONZERO])
    return both([_fractions(clause), few_digits, nonzero_fraction])


def _ceiling(value: Fraction, strict: bool) -> int:
    least = math.ceil(value)
    return least + 1 if strict and least == value else least


def _integers(low: int | None, high: int | None) -> Language:
    parts: list[Language] = []
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        parts.append(cat([_MINUS, _naturals(least, None if low is None else -low)]))
    if high is None or high >= 0:
        parts.append(_naturals(max(0, low or 0), high))
    return alt(parts)


def _naturals(low: int, high: int | None) -> Language:
    """Integers in [low, high], low at least 0."""
    if high is None:
        if low == 0:
            return _NATURAL
        longer = cat([_NONZERO, Repeat(_DIGIT, len(str(low)), None)])
        return alt([_naturals(low, 10 ** len(str(low)) - 1), longer])
    parts: list[Language] = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        last = min(high, 10**length - 1)
        if first <= last:
            parts.append(_same_length(str(first), str(last)))
    return alt(parts)


def _same_length(first: str, last: str) -> Language:
    """Digit strings between two of the same length. Without nesting: bounds may have hundreds of
    digits, as those of the largest double do."""
    if first == last:
        return literal(first)
    split = next(
        at for at, (one, other) in enumerate(zip(first, last, strict=True)) if one != other
    )
    is_low, is_high = not first[split + 1 :].strip("0"), not last[split + 1 :].strip("9")
    low, high = int(first[split]) + (not is_low), int(last[split]) - (not is_high)
    parts = [_led(first[:split], low, high, len(first))]
    if not is_low:
        stem = first.rstrip("0")
        for at in range(split + 1, len(stem)):
            is_end = at == len(stem) - 1
            parts.append(_led(first[:at], int(first[at]) + (not is_end), 9, len(first)))
    if not is_high:
        stem = last.rstrip("9")
        for at in range(split + 1, len(stem)):
            is_end = at == len(stem) - 1
            parts.append(_led(last[:at], 0, int(last[at]) - (not is_end), len(last)))
    return alt(parts)


def _led(lead: str, low: int, high: int, length: int) -> Language:
    """What begins so, then has a digit between the two, then any up to the length."""
    rest = length - len(lead) - 1
    return cat([literal(lead), _span(low, high), Repeat(_DIGIT, rest, rest)])


def _fractions(clause: NumberClause) -> Language:
    """Decimals with at least one digit behind the point."""
    low = None if clause.low is None else _next_double(clause.low.value, clause.low.strict)
    high = None
    if clause.high is not None:
        high = _next_double(-clause.high.value, clause.high.strict).copy_negate()
    parts: list[Language] = []
    if low is None or low < 0:
        least = Decimal(0) if high is None or high >= 0 else high.copy_negate()
        negative = _unsigned(least, None if low is None else low.copy_negate())
        parts.append(cat([_MINUS, both([negative, _HAS_NONZERO])]))
    if high is None or high >= 0:
        parts.append(_unsigned(max(Decimal(0), low or Decimal(0)), high))
    return alt(parts)


def _next_double(value: Fraction, strict: bool) -> Decimal:
    """The least double that is not less than the value, or more than it if `strict`."""
    if abs(value) > _LARGEST:
        return Decimal(math.copysign(_LARGEST, value)) * 2
    double = float(value)
    if Fraction(double) < value or (strict and Fraction(double) == value):
        double = math.nextafter(double, math.inf)
    return Decimal(repr(double))


def _unsigned(low: Decimal, high: Decimal | None) -> Language:
    """Decimals in [low, high] with a point, low at least 0."""
    low_whole, low_part = _split(low)
    behind = cat([_POINT, Repeat(_DIGIT, 1, None)])
    from_low = cat([literal(str(low_whole)), _POINT, _part_from(low_part)])
    if high is None:
        return alt([from_low, cat([_naturals(low_whole + 1, None), behind])])
    high_whole, high_part = _split(high)
    to_high = cat([literal(str(high_whole)), _POINT, _part_to(high_part)])
    if low > high:
        return NOTHING
    if low_whole == high_whole:
        return both([from_low, to_high])
    between: Language = NOTHING
    if low_whole + 1 < high_whole:
        between = cat([_naturals(low_whole + 1, high_whole - 1), behind])
    return alt([from_low, between, to_high])


def _split(value: Decimal) -> tuple[int, str]:
    whole, _, part = f"{value:f}".partition(".")
    return int(whole), part.rstrip("0")


def _part_from(digits: str) -> Language:
    """Digits behind a point that make at least 0.digits."""
    if not digits:
        return Repeat(_DIGIT, 1, None)
    options: list[Language] = [cat([literal(digits), _ANY_DIGITS])]
    for i, digit in enumerate(digits):
        options.append(cat([literal(digits[:i]), _span(int(digit) + 1, 9), _ANY_DIGITS]))
    return alt(options)


def _part_to(digits: str) -> Language:
    """Digits behind a point that make at most 0.digits."""
    zeros = Repeat(literal("0"), 0 if digits else 1, None)
    options: list[Language] = [cat([literal(digits), zeros])]
    for i, digit in enumerate(digits):
        options.append(cat([literal(digits[:i]), _span(0, int(digit) - 1), _ANY_DIGITS]))
        if i:
            options.append(literal(digits[:i]))
    return alt(options)
