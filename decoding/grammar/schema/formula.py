"""Conditions on a JSON value, as formulas over assertions.

A schema is a formula: keywords are assertions, applicators are connectives. `Use` stands for
a schema that is read when needed, which is what makes recursion finite. The assertions about
members and items hold formulas about *other* values, the children.

Assertions are about values of one kind. `On(kinds, formula)` makes an assertion a keyword: it
holds for every value of any other kind, as JSON Schema wants it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from decoding.grammar.schema.document import SchemaNode


class Kind(Enum):
    """What a JSON value is. Numbers are split by what schemas can tell apart."""

    NULL = "null"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    WHOLE = "whole"  # an integer spelled with a fraction, 1.0; a kind of its own in draft 4 only
    FRACTION = "fraction"  # a number that is no integer
    STRING = "string"
    ARRAY = "array"
    OBJECT = "object"


NUMBERS = frozenset({Kind.INTEGER, Kind.WHOLE, Kind.FRACTION})
STRINGS = frozenset({Kind.STRING})
ARRAYS = frozenset({Kind.ARRAY})
OBJECTS = frozenset({Kind.OBJECT})


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class One:
    """Exactly one of the parts."""

    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Formula"


@dataclass(frozen=True, slots=True)
class Use:
    """The formula of a schema, read when it is met."""

    node: SchemaNode


@dataclass(frozen=True, slots=True)
class KindIs:
    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class On:
    kinds: frozenset[Kind]
    part: "Formula"


@dataclass(frozen=True, slots=True)
class BooleanIs:
    value: bool


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number of at least the bound, or more than it."""

    bound: Fraction
    strict: bool = False


@dataclass(frozen=True, slots=True)
class MultipleOf:
    """`is_float` since a divisor spelled as a double divides as doubles do."""

    divisor: int | float
    is_float: bool
    location: str

    def divides(self, value: Fraction) -> bool:
        """As `jsonschema` decides it: by the quotient's double, for a double."""
        if not self.is_float:
            return (value / int(self.divisor)).denominator == 1
        number = int(value) if value.denominator == 1 else float(value)
        try:
            quotient = number / self.divisor
            return int(quotient) == quotient
        except OverflowError:
            return (value / Fraction(self.divisor)).denominator == 1


@dataclass(frozen=True, slots=True)
class StringIs:
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Matches:
    """A string in which the pattern is found."""

    pattern: str
    location: str


@dataclass(frozen=True, slots=True)
class HasFormat:
    name: str
    location: str


@dataclass(frozen=True, slots=True)
class LongerThan:
    """A string of at least `length` characters."""

    length: int


@dataclass(frozen=True, slots=True)
class Items:
    """Items [0, len(prefix)) by the prefix, where there are any; all others by `rest`."""

    prefix: tuple["Formula", ...]
    rest: "Formula"


@dataclass(frozen=True, slots=True)
class ItemCount:
    at_least: int


@dataclass(frozen=True, slots=True)
class SomeItems:
    """At least `at_least` items from index `start` on fulfil the part."""

    part: "Formula"
    start: int
    at_least: int
    location: str


@dataclass(frozen=True, slots=True)
class Unique:
    location: str


@dataclass(frozen=True, slots=True)
class Members:
    """Each member by its name, by each pattern its name matches, and by `rest` for neither."""

    named: tuple[tuple[str, "Formula"], ...]
    patterns: tuple[tuple[Matches, "Formula"], ...]
    rest: "Formula"


@dataclass(frozen=True, slots=True)
class Has:
    """There is a member of that name, and its value fulfils the part."""

    name: str
    part: "Formula"


@dataclass(frozen=True, slots=True)
class SomeMember:
    """Some member has a name that fulfils `name` and a value that fulfils `value`."""

    name: "Formula"
    value: "Formula"
    location: str


@dataclass(frozen=True, slots=True)
class Names:
    """All names fulfil the part."""

    part: "Formula"


@dataclass(frozen=True, slots=True)
class MemberCount:
    at_least: int
    location: str


Atom = (
    BooleanIs | AtLeast | MultipleOf | StringIs | Matches | HasFormat | LongerThan
    | Items | ItemCount | SomeItems | Unique
    | Members | Has | SomeMember | Names | MemberCount
)  # fmt: skip
Formula = All | Either | One | Not | Use | KindIs | On | Atom

TRUE: Formula = All(())
FALSE: Formula = Either(())


def negate(formula: Formula) -> Formula:
    if isinstance(formula, Not):
        return formula.part
    if formula == TRUE:
        return FALSE
    return TRUE if formula == FALSE else Not(formula)


def every(parts: Iterable[Formula]) -> Formula:
    kept = tuple(dict.fromkeys(part for part in parts if part != TRUE))
    if FALSE in kept:
        return FALSE
    return kept[0] if len(kept) == 1 else All(kept)


def some(parts: Iterable[Formula]) -> Formula:
    kept = tuple(dict.fromkeys(part for part in parts if part != FALSE))
    if TRUE in kept:
        return TRUE
    return kept[0] if len(kept) == 1 else Either(kept)


def at_most(bound: Fraction, *, strict: bool) -> Formula:
    return Not(AtLeast(bound, strict=not strict))


def exact(value: int | float) -> Fraction:
    """The number; `OverflowError` or `ValueError` for one that no double is near to."""
    float(value)
    return Fraction(value)


def equals(value: Any) -> Formula:
    """Equality as JSON Schema has it: 1 is 1.0, true is not 1, order of members is nothing."""
    if value is None:
        return KindIs(frozenset({Kind.NULL}))
    if isinstance(value, bool):
        return _typed(frozenset({Kind.BOOLEAN}), BooleanIs(value))
    if isinstance(value, int | float):
        bound = exact(value)
        return _typed(NUMBERS, AtLeast(bound), at_most(bound, strict=False))
    if isinstance(value, str):
        return _typed(STRINGS, StringIs(frozenset({value})))
    if isinstance(value, list):
        items = Items(tuple(map(equals, value)), FALSE)
        return _typed(ARRAYS, items, ItemCount(len(value)))
    named = tuple((name, equals(part)) for name, part in value.items())
    members = Members(named, (), FALSE)
    return _typed(OBJECTS, members, *(Has(name, TRUE) for name, _ in named))


def _typed(kinds: frozenset[Kind], *parts: Formula) -> Formula:
    return All((KindIs(kinds), On(kinds, All(parts))))


def one_of_values(values: Iterable[Any]) -> Formula:
    """`enum`. Its strings share one assertion, so that a long list stays one."""
    values = list(values)
    strings = frozenset(value for value in values if isinstance(value, str))
    others = [equals(value) for value in values if not isinstance(value, str)]
    texts = [_typed(STRINGS, StringIs(strings))] if strings else []
    return some([*texts, *others])
