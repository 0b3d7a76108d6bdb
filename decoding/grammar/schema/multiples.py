"""Multiples, which are not left to a regular expression of ours: a list, or the backend's."""

from fractions import Fraction
from math import ceil, floor
from typing import Any

from decoding.errors import GrammarError
from decoding.grammar.schema.clauses import NumberClause
from decoding.grammar.schema.formula import MultipleOf
from decoding.grammar.schema.numbers import integer_bounds

_MOST_LISTED = 256
_MOST_CANDIDATES = 100_000
_LARGEST = 2**53


def listed_integers(clause: NumberClause) -> list[int] | None:
    """The integers of the clause, if they are few and between two bounds."""
    low, high = integer_bounds(clause)
    if low is None or high is None or high - low > _MOST_CANDIDATES:
        return None
    step = max(
        (
            int(each.divisor)
            for each, must in clause.divisors
            if must and each.divisor == int(each.divisor)
        ),
        default=1,
    )
    first = ceil(Fraction(low, step)) * step
    if (floor(high) - first) // step > _MOST_LISTED:
        return None
    return [value for value in range(first, high + 1, step) if clause.fits(Fraction(value))]


def multiple_schema(clause: NumberClause, fraction: bool) -> dict[str, Any] | None:
    """The clause as a schema for the backend, for integers or for all numbers.

    None where no multiple is between the bounds. Raises `GrammarError` for what the backend
    would not decide as `jsonschema` does.
    """
    divisor = Fraction(0)
    for each, must in sorted(clause.divisors, key=lambda pair: pair[0].location):
        if not must:
            raise GrammarError("'not' over 'multipleOf' needs a short range", each.location)
        exact = _exact(each)
        divisor = _least_common_multiple(divisor, exact) if divisor else exact
    if not _reaches(clause, divisor if fraction else Fraction(divisor.numerator)):
        return None
    schema: dict[str, Any] = {
        "multipleOf": _plain(divisor),
        "x-guidance": {"whitespace_flexible": False},
    }
    if fraction:
        schema["type"] = "number"
        for keyword, bound in (("minimum", clause.low), ("maximum", clause.high)):
            if bound is not None:
                name = f"exclusive{keyword.capitalize()}" if bound.strict else keyword
                schema[name] = _plain(bound.value)
    else:
        schema |= {"type": "integer", "multipleOf": divisor.numerator}
        low, high = integer_bounds(clause)
        schema |= {"minimum": low} if low is not None else {}
        schema |= {"maximum": high} if high is not None else {}
    sizes = [abs(value) for value in schema.values() if isinstance(value, int | float)]
    if max(sizes) > _LARGEST or divisor.numerator >= 2**32:
        location = next(each.location for each, _ in clause.divisors)
        raise GrammarError("'multipleOf' is not supported with numbers beyond 2^53", location)
    return schema


def _reaches(clause: NumberClause, divisor: Fraction) -> bool:
    if clause.low is None or clause.high is None:
        return True
    first = ceil(clause.low.value / divisor) * divisor
    if clause.low.strict and first == clause.low.value:
        first += divisor
    return first < clause.high.value or (first == clause.high.value and not clause.high.strict)


def _exact(multiple: MultipleOf) -> Fraction:
    divisor = Fraction(multiple.divisor)
    if divisor.denominator & (divisor.denominator - 1) or divisor.denominator > 2**20:
        raise GrammarError(
            "'multipleOf' can be enforced only for sums of powers of two, such as 10 or 0.25; "
            f"{multiple.divisor} has no exact multiples among doubles",
            multiple.location,
        )
    return divisor


def _plain(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _least_common_multiple(one: Fraction, other: Fraction) -> Fraction:
    quotient = one / other
    return one * quotient.denominator
