"""The one spelling a grammar has for a document."""

import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from decoding.grammar.schema.clauses import (
    ArrayClause,
    BooleanClause,
    Clause,
    NumberClause,
    ObjectClause,
    State,
    StringClause,
    state_of,
)
from decoding.grammar.schema.expand import Expander
from decoding.grammar.schema.formula import NUMBERS, Kind
from decoding.grammar.schema.meet import string_fits
from decoding.grammar.schema.objects import known_members, resolve_some
from decoding.grammar.schema.strings import json_string


class _NotStrict(ValueError):
    """Raised for JSON that readers may understand differently."""


def parse(text: str) -> Any:
    """Strict JSON. Raises `ValueError` for anything else, for repeated names, for numbers beyond
    a double's range and for half of a surrogate pair."""
    value = json.loads(
        text, object_pairs_hook=_object, parse_float=_float, parse_constant=_no_constant
    )
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _NotStrict("a name is repeated in an object")
    return members


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _NotStrict(f"{digits} is beyond a double's range")
    return value


def _no_constant(name: str) -> Any:
    raise _NotStrict(f"{name} is not JSON")


def spell_number(value: int | float) -> str:
    """Digits without an exponent; the shortest that a double is read from."""
    return str(value) if isinstance(value, int) else f"{Decimal(repr(value)):f}"


class Speller:
    """Spells one document as the grammar of a state would write it.

    Alternatives are chosen here by checking the document against their clauses; whether the
    grammar takes the result is for the grammar to say.
    """

    def __init__(self, expander: Expander) -> None:
        self._expander = expander
        self._known: dict[tuple[State, int], str | None] = {}

    def spell(self, state: State, value: Any) -> str | None:
        """None where no alternative fits."""
        key = (state, id(value))
        if key not in self._known:
            self._known[key] = self._spell(state, value)
        return self._known[key]

    def _spell(self, state: State, value: Any) -> str | None:
        kind, value = self._kind(value)
        spellings = (
            self._by_clause(clause, kind, value) for clause in self._expander.clauses(state, kind)
        )
        return next((each for each in spellings if each is not None), None)

    def _kind(self, value: Any) -> tuple[Kind, Any]:
        if (
            isinstance(value, float)
            and value.is_integer()
            and Kind.WHOLE not in self._expander.kinds
        ):
            value = int(value)
        match value:
            case None:
                return Kind.NULL, value
            case bool():
                return Kind.BOOLEAN, value
            case int():
                return Kind.INTEGER, value
            case float():
                return (Kind.WHOLE if value.is_integer() else Kind.FRACTION), value
            case str():
                return Kind.STRING, value
            case list():
                return Kind.ARRAY, value
            case _:
                return Kind.OBJECT, value

    def _by_clause(self, clause: Clause, kind: Kind, value: Any) -> str | None:
        match clause:
            case BooleanClause(values):
                return str(value).lower() if value in values else None
            case NumberClause() if kind in NUMBERS:
                return spell_number(value) if clause.fits(Fraction(value)) else None
            case StringClause():
                return json_string(value) if string_fits(clause, value) else None
            case ArrayClause():
                return self._array(clause, value)
            case ObjectClause():
                return self._object(clause, value)
            case _:
                return "null"

    def _array(self, clause: ArrayClause, value: list[Any]) -> str | None:
        if len(value) < clause.min_items:
            return None
        if clause.max_items is not None and len(value) > clause.max_items:
            return None
        items = [self.spell(clause.item(index), item) for index, item in enumerate(value)]
        for witness in clause.witnesses:
            state = state_of(witness.formula)
            hits = sum(self.spell(state, item) is not None for item in value[witness.start :])
            if hits < witness.low or (witness.high is not None and hits > witness.high):
                return None
        if clause.unique is not None and len(set(items)) < len(items):
            return None
        return None if None in items else "[" + ",".join(map(str, items)) + "]"

    def _object(self, clause: ObjectClause, value: dict[str, Any]) -> str | None:
        for each in resolve_some(self._expander, clause):
            spelled = self._resolved_object(each, value)
            if spelled is not None:
                return spelled
        return None

    def _resolved_object(self, clause: ObjectClause, value: dict[str, Any]) -> str | None:
        if len(value) < clause.min_members or not all(name in value for name in clause.required):
            return None
        if clause.max_members is not None and len(value) > clause.max_members:
            return None
        told_apart = set(clause.known_names())
        known = [each for each in known_members(self._expander, clause) if each.name in value]
        if len(known) < sum(name in told_apart for name in value):
            return None
        others = [name for name in value if name not in told_apart]
        if not all(self._expander.name_fits(clause.names, name) for name in others):
            return None
        for some in clause.some:
            name = self._witness(clause, some.name, some.value, others, value)
            if name is None:
                return None
            others.remove(name)
            others.append(name)
        states = [(each.name, each.state) for each in known]
        states += [(name, clause.value(name)) for name in others]
        parts = [(name, self.spell(state, value[name])) for name, state in states]
        if any(spelled is None for _, spelled in parts):
            return None
        return "{" + ",".join(f"{json_string(name)}:{spelled}" for name, spelled in parts) + "}"

    def _witness(
        self, clause: ObjectClause, name: Any, part: Any, others: list[str], value: dict[str, Any]
    ) -> str | None:
        names, state = state_of(name), state_of(part)
        for other in others:
            if (
                self._expander.name_fits(names, other)
                and self.spell(state, value[other]) is not None
            ):
                return other
        return None
