"""Conjunctions of assertions about values of one kind.

A clause is the meeting of assertions in a form that can be checked for contradiction and
written as grammar. Values of other places in the document appear as *states*: the set of
formulas that the value there must all fulfil.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from decoding.grammar.schema.formula import (
    FALSE,
    TRUE,
    Formula,
    HasFormat,
    Matches,
    MultipleOf,
    SomeItems,
    SomeMember,
    Unique,
)

State = tuple[Formula, ...]
ANYTHING: State = ()
IMPOSSIBLE: State = (FALSE,)


def state_of(*formulas: Formula) -> State:
    """Formulas in the order of the document, which is the order members are written in."""
    state = tuple(dict.fromkeys(formula for formula in formulas if formula != TRUE))
    return IMPOSSIBLE if FALSE in state else state


@dataclass(frozen=True, slots=True)
class BooleanClause:
    values: frozenset[bool] = frozenset({False, True})


@dataclass(frozen=True, slots=True)
class Bound:
    value: Fraction
    strict: bool = False


@dataclass(frozen=True, slots=True)
class NumberClause:
    """`divisors` come with whether they must divide the number."""

    low: Bound | None = None
    high: Bound | None = None
    divisors: frozenset[tuple[MultipleOf, bool]] = frozenset()

    def at_least(self, bound: Bound) -> "NumberClause | None":
        low = self.low
        if low is None or (bound.value, bound.strict) > (low.value, low.strict):
            low = bound
        return replace(self, low=low)._checked()

    def at_most(self, bound: Bound) -> "NumberClause | None":
        high = self.high
        if high is None or (-bound.value, bound.strict) > (-high.value, high.strict):
            high = bound
        return replace(self, high=high)._checked()

    def divided(self, divisor: MultipleOf, must: bool) -> "NumberClause | None":
        return replace(self, divisors=self.divisors | {(divisor, must)})._checked()

    def fits(self, value: Fraction) -> bool:
        low, high = self.low, self.high
        return (
            (low is None or value > low.value or (value == low.value and not low.strict))
            and (high is None or value < high.value or (value == high.value and not high.strict))
            and all(divisor.divides(value) == must for divisor, must in self.divisors)
        )

    def _checked(self) -> "NumberClause | None":
        if self.low is None or self.high is None or self.low.value < self.high.value:
            return self
        if self.low.value > self.high.value or not self.fits(self.low.value):
            return None
        return NumberClause(self.low, self.high)


@dataclass(frozen=True, slots=True)
class StringClause:
    """`one_of` None for any string. Patterns and formats come with whether they must hold."""

    one_of: frozenset[str] | None = None
    none_of: frozenset[str] = frozenset()
    patterns: frozenset[tuple[Matches, bool]] = frozenset()
    formats: frozenset[tuple[HasFormat, bool]] = frozenset()
    min_length: int = 0
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """Between `low` and `high` items from index `start` on are in the state."""

    formula: Formula
    start: int
    low: int
    high: int | None
    source: SomeItems


@dataclass(frozen=True, slots=True)
class ArrayClause:
    prefix: tuple[State, ...] = ()
    rest: State = ANYTHING
    min_items: int = 0
    max_items: int | None = None
    witnesses: tuple[Witness, ...] = ()
    unique: Unique | None = None

    def item(self, index: int) -> State:
        return self.prefix[index] if index < len(self.prefix) else self.rest


@dataclass(frozen=True, slots=True)
class Group:
    """What one schema says of members: by name, by pattern, and of the rest."""

    named: tuple[tuple[str, Formula], ...]
    patterns: tuple[tuple[Matches, Formula], ...]
    rest: Formula

    def value(self, name: str) -> list[Formula]:
        matching = [formula for pattern, formula in self.patterns if search(pattern, name)]
        found = [formula for each, formula in self.named if each == name] + matching
        return found or [self.rest]


def search(pattern: Matches, text: str) -> bool:
    return re.search(pattern.pattern, text) is not None


@dataclass(frozen=True, slots=True)
class ObjectClause:
    """`required` and `absent` names; `values` for what members of a name must be besides."""

    groups: tuple[Group, ...] = ()
    required: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    values: tuple[tuple[str, Formula], ...] = ()
    names: State = ANYTHING
    min_members: int = 0
    max_members: int | None = None
    some: tuple[SomeMember, ...] = ()
    count_location: str = ""

    def known_names(self) -> list[str]:
        """The names that are told apart, in the order members are written in."""
        named = [name for group in self.groups for name, _ in group.named]
        others = [*self.required, *(name for name, _ in self.values), *sorted(self.absent)]
        return list(dict.fromkeys([*named, *others]))

    def value(self, name: str) -> State:
        """What the value of a known name must be."""
        found = [formula for group in self.groups for formula in group.value(name)]
        return state_of(*found, *(formula for each, formula in self.values if each == name))


@dataclass(frozen=True, slots=True)
class NullClause:
    pass


Clause = NullClause | BooleanClause | NumberClause | StringClause | ArrayClause | ObjectClause
