"""Adding one assertion to a clause."""

import re
from dataclasses import replace

from decoding.errors import GrammarError
from decoding.grammar.schema.clauses import (
    ArrayClause,
    BooleanClause,
    Bound,
    Clause,
    Group,
    NumberClause,
    ObjectClause,
    StringClause,
    Witness,
    search,
    state_of,
)
from decoding.grammar.schema.formats import FORMATS, format_pattern
from decoding.grammar.schema.formula import (
    TRUE,
    All,
    AtLeast,
    Atom,
    BooleanIs,
    Formula,
    Has,
    HasFormat,
    ItemCount,
    Items,
    Kind,
    LongerThan,
    Matches,
    MemberCount,
    Members,
    MultipleOf,
    Names,
    Not,
    SomeItems,
    SomeMember,
    StringIs,
    Unique,
    negate,
    some,
)


def without_negation(atom: Atom, kind: Kind) -> Formula | None:
    """What the negation of an assertion says, without one; None where clauses can hold it."""
    match atom:
        case BooleanIs(value):
            return BooleanIs(not value)
        case Items(prefix, rest):
            exceptions = [_item_is(index, negate(part)) for index, part in enumerate(prefix)]
            location = "items"
            return some([*exceptions, SomeItems(negate(rest), len(prefix), 1, location)])
        case SomeItems(part, start, 1, _):
            return Items((TRUE,) * start, negate(part))
        case Unique(location):
            raise GrammarError("'not' over 'uniqueItems' is not supported", location)
        case Members():
            return _exception_to(atom)
        case Has(name, part) if part != TRUE:
            return Members(((name, negate(part)),), (), TRUE)
        case SomeMember(name, value, location):
            if value == TRUE:
                return Names(negate(name))
            if isinstance(name, Matches):
                return Members((), ((name, negate(value)),), TRUE)
            raise GrammarError("this 'not' over properties is not supported", location)
        case Names(part):
            return SomeMember(negate(part), TRUE, "propertyNames")
        case _:
            return None


def _item_is(index: int, part: Formula) -> Formula:
    return All((ItemCount(index + 1), Items((TRUE,) * index + (part,), TRUE)))


def _exception_to(members: Members) -> Formula:
    named = [Has(name, negate(part)) for name, part in members.named]
    matching = [
        SomeMember(pattern, negate(part), pattern.location) for pattern, part in members.patterns
    ]
    other = All(
        (
            Not(StringIs(frozenset(name for name, _ in members.named))),
            *(Not(pattern) for pattern, _ in members.patterns),
        )
    )
    rest = SomeMember(other, negate(members.rest), "additionalProperties")
    exceptions: list[Formula] = [*named, *matching]
    # A member whose value would have to fulfil nothing does not exist.
    return some([*_possible(exceptions), *_possible([rest])])


def _possible(exceptions: list[Formula]) -> list[Formula]:
    return [
        each
        for each in exceptions
        if not (isinstance(each, Has) and each.part == negate(TRUE))
        and not (isinstance(each, SomeMember) and each.value == negate(TRUE))
    ]


def meet(clause: Clause, atom: Atom, positive: bool, kind: Kind) -> Clause | None:
    """The clause with one more assertion, negated if not `positive`; None for a contradiction.

    Only negations that `without_negation` leaves are given.
    """
    match clause:
        case BooleanClause(values):
            assert isinstance(atom, BooleanIs)
            left = values & {atom.value}
            return BooleanClause(left) if left else None
        case NumberClause():
            return _meet_number(clause, atom, positive, kind)
        case StringClause():
            return _checked_string(_meet_string(clause, atom, positive))
        case ArrayClause():
            return _checked_array(_meet_array(clause, atom, positive))
        case ObjectClause():
            return _checked_object(_meet_object(clause, atom, positive))
        case _:
            raise AssertionError(f"{atom} is no assertion about {kind}")


def _meet_number(
    clause: NumberClause, atom: Atom, positive: bool, kind: Kind
) -> NumberClause | None:
    if isinstance(atom, AtLeast):
        if positive:
            return clause.at_least(Bound(atom.bound, atom.strict))
        return clause.at_most(Bound(atom.bound, not atom.strict))
    assert isinstance(atom, MultipleOf)
    if kind is Kind.FRACTION and float(atom.divisor).is_integer():
        return None if positive else clause  # a number that is no integer divides by none
    return clause.divided(atom, positive)


def _meet_string(clause: StringClause, atom: Atom, positive: bool) -> StringClause:
    match atom:
        case StringIs(values) if positive:
            one_of = values if clause.one_of is None else clause.one_of & values
            return replace(clause, one_of=one_of)
        case StringIs(values):
            return replace(clause, none_of=clause.none_of | values)
        case Matches():
            return replace(clause, patterns=clause.patterns | {(atom, positive)})
        case HasFormat(name, location):
            if name not in FORMATS:
                raise GrammarError(f"'format' {name!r} cannot be enforced", location)
            return replace(clause, formats=clause.formats | {(atom, positive)})
        case LongerThan(length) if positive:
            return replace(clause, min_length=max(clause.min_length, length))
        case LongerThan(length):
            most = length - 1
            return replace(clause, max_length=_least(clause.max_length, most))
        case _:
            raise AssertionError(f"{atom} is no assertion about strings")


def _checked_string(clause: StringClause) -> StringClause | None:
    if clause.one_of is not None:
        kept = frozenset(text for text in clause.one_of if string_fits(clause, text))
        return StringClause(one_of=kept) if kept else None
    if clause.max_length is not None and clause.max_length < clause.min_length:
        return None
    return clause


def string_fits(clause: StringClause, text: str) -> bool:
    """Whether the string fulfils the clause, by Python's regular expressions."""
    return (
        (clause.one_of is None or text in clause.one_of)
        and text not in clause.none_of
        and clause.min_length <= len(text)
        and (clause.max_length is None or len(text) <= clause.max_length)
        and all(search(pattern, text) == must for pattern, must in clause.patterns)
        and all(
            (re.fullmatch(format_pattern(each.name), text) is not None) == must
            for each, must in clause.formats
        )
    )


def _meet_array(clause: ArrayClause, atom: Atom, positive: bool) -> ArrayClause:
    match atom:
        case Items(prefix, rest):
            longest = max(len(prefix), len(clause.prefix))
            here = [prefix[i] if i < len(prefix) else rest for i in range(longest)]
            items = tuple(state_of(*clause.item(i), here[i]) for i in range(longest))
            return replace(clause, prefix=items, rest=state_of(*clause.rest, rest))
        case ItemCount(count) if positive:
            return replace(clause, min_items=max(clause.min_items, count))
        case ItemCount(count):
            return replace(clause, max_items=_least(clause.max_items, count - 1))
        case SomeItems(part, start, count, _):
            low, high = (count, None) if positive else (0, count - 1)
            witness = Witness(part, start, low, high, atom)
            return replace(
                clause,
                witnesses=(*clause.witnesses, witness),
                min_items=max(clause.min_items, start + low if low else 0),
            )
        case Unique():
            return replace(clause, unique=atom)
        case _:
            raise AssertionError(f"{atom} is no assertion about arrays")


def _checked_array(clause: ArrayClause) -> ArrayClause | None:
    if clause.max_items is not None and clause.max_items < clause.min_items:
        return None
    return clause


def _meet_object(clause: ObjectClause, atom: Atom, positive: bool) -> ObjectClause:
    match atom:
        case Members(named, patterns, rest):
            return replace(clause, groups=(*clause.groups, Group(named, patterns, rest)))
        case Has(name, part) if positive:
            values = () if part == TRUE else ((name, part),)
            required = tuple(dict.fromkeys([*clause.required, name]))
            return replace(clause, required=required, values=clause.values + values)
        case Has(name, _):
            return replace(clause, absent=clause.absent | {name})
        case Names(part):
            return replace(clause, names=state_of(*clause.names, part))
        case SomeMember():
            return replace(clause, some=(*clause.some, atom))
        case MemberCount(count, location) if positive:
            least = max(clause.min_members, count)
            return replace(clause, min_members=least, count_location=location)
        case MemberCount(count, location):
            most = _least(clause.max_members, count - 1)
            return replace(clause, max_members=most, count_location=location)
        case _:
            raise AssertionError(f"{atom} is no assertion about objects")


def _checked_object(clause: ObjectClause) -> ObjectClause | None:
    least = max(clause.min_members, len(clause.required))
    if clause.max_members is not None and clause.max_members < least:
        return None
    return None if clause.absent.intersection(clause.required) else clause


def _least(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)
