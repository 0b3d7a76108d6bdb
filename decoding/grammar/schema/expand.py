"""States as alternatives of clauses: the disjunctive normal form, one kind of value at a time."""

from collections.abc import Iterator

from decoding.errors import GrammarError
from decoding.grammar.schema.clauses import (
    IMPOSSIBLE,
    ArrayClause,
    BooleanClause,
    Clause,
    NullClause,
    NumberClause,
    ObjectClause,
    State,
    StringClause,
    state_of,
)
from decoding.grammar.schema.document import SchemaNode, tells_whole_floats_apart
from decoding.grammar.schema.formula import (
    NUMBERS,
    TRUE,
    All,
    Either,
    Formula,
    Kind,
    KindIs,
    Not,
    On,
    One,
    Use,
    every,
    negate,
    some,
)
from decoding.grammar.schema.meet import meet, string_fits, without_negation
from decoding.grammar.schema.read import read

_MOST_CLAUSES = 512
_MOST_STEPS = 200_000

_START: dict[Kind, Clause] = {
    Kind.NULL: NullClause(),
    Kind.BOOLEAN: BooleanClause(),
    **{kind: NumberClause() for kind in NUMBERS},
    Kind.STRING: StringClause(),
    Kind.ARRAY: ArrayClause(),
    Kind.OBJECT: ObjectClause(),
}

_Ancestors = tuple[tuple[SchemaNode, bool], ...]
_Item = tuple[Formula, bool, _Ancestors]


class Expander:
    """Reads and expands the schemas of one document, each once."""

    def __init__(self, root: SchemaNode) -> None:
        apart = tells_whole_floats_apart(root.contents)
        self.kinds = tuple(kind for kind in Kind if apart or kind is not Kind.WHOLE)
        self._formulas: dict[SchemaNode, Formula] = {}
        self._clauses: dict[tuple[State, Kind], tuple[Clause, ...]] = {}
        self._empty: dict[State, bool] = {}
        self._open: set[State] = set()
        self._steps = 0

    def formula(self, node: SchemaNode) -> Formula:
        if node not in self._formulas:
            self._formulas[node] = read(node)
        return self._formulas[node]

    def clauses(self, state: State, kind: Kind) -> tuple[Clause, ...]:
        """The alternatives for a value of the kind in the state.

        None of them holds an obvious contradiction. They may overlap. Raises `GrammarError`
        where there are too many, or where a schema needs itself to say what it means.
        """
        key = (state, kind)
        if key not in self._clauses:
            items: list[_Item] = [(formula, True, ()) for formula in reversed(state)]
            found: dict[Clause, None] = {}
            for clause in self._solve(items, _START[kind], kind):
                found.setdefault(clause)
                if len(found) > _MOST_CLAUSES:
                    raise self._too_many(state)
            self._clauses[key] = tuple(found)
        return self._clauses[key]

    def is_empty(self, state: State) -> bool:
        """Whether certainly no value is in the state. False may also mean unknown."""
        if state == IMPOSSIBLE:
            return True
        if state in self._empty:
            return self._empty[state]
        if state in self._open:
            return False
        self._open.add(state)
        try:
            empty = not any(self.clauses(state, kind) for kind in self.kinds)
        finally:
            self._open.discard(state)
        self._empty[state] = empty
        return empty

    def name_fits(self, names: State, name: str) -> bool:
        """Whether a member's name fulfils what is said of names."""
        clauses = self.clauses(names, Kind.STRING) if names else (StringClause(),)
        return any(isinstance(each, StringClause) and string_fits(each, name) for each in clauses)

    def _solve(self, items: list[_Item], clause: Clause, kind: Kind) -> Iterator[Clause]:
        """Clauses for the conjunction of the items (the last is the first in the document)."""
        choices: list[_Item] = []
        while items:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise self._too_many(tuple(formula for formula, _, _ in items))
            formula, positive, ancestors = items.pop()
            parts = self._step(formula, positive, ancestors, kind)
            if parts is False:
                return
            if isinstance(parts, list):
                items += reversed(parts)
            elif isinstance(parts, Either):
                choices.append((parts, True, ancestors))
            elif parts is None:
                met = meet(clause, formula, positive, kind)  # type: ignore[arg-type]
                if met is None:
                    return
                clause = met
        if self._contradicts(clause):
            return
        if not choices:
            yield clause
            return
        choices.sort(key=lambda item: len(item[0].parts), reverse=True)  # type: ignore[union-attr]
        (choice, _, ancestors) = choices.pop()
        for option in choice.parts:  # type: ignore[union-attr]
            yield from self._solve([*choices, (option, True, ancestors)], clause, kind)

    def _step(
        self, formula: Formula, positive: bool, ancestors: _Ancestors, kind: Kind
    ) -> list[_Item] | Either | bool | None:
        """What a formula means for the kind: items to fulfil, a choice, False for a
        contradiction, or None for an assertion that a clause can hold."""
        match formula:
            case Not(part):
                return [(part, not positive, ancestors)]
            case KindIs(kinds):
                return [] if (kind in kinds) == positive else False
            case On(kinds, part):
                if kind in kinds:
                    return [(part, positive, ancestors)]
                return [] if positive else False
            case Use(node):
                if (node, positive) in ancestors:
                    raise GrammarError(
                        "the schema refers to itself for its own value", node.location
                    )
                below = (*ancestors, (node, positive))
                return [(self.formula(node), positive, below)]
            case All(parts) | Either(parts):
                if isinstance(formula, All) == positive:
                    return [(part, positive, ancestors) for part in parts]
                return self._choice(parts if positive else tuple(map(negate, parts)), ancestors)
            case One(parts):
                return self._choice(self._exactly_one(parts, kind, positive), ancestors)
            case _:
                meaning = None if positive else without_negation(formula, kind)
                return None if meaning is None else [(meaning, True, ancestors)]

    def _choice(
        self, parts: tuple[Formula, ...], ancestors: _Ancestors
    ) -> list[_Item] | Either | bool:
        if not parts:
            return False
        return [(parts[0], True, ancestors)] if len(parts) == 1 else Either(parts)

    def _exactly_one(
        self, parts: tuple[Formula, ...], kind: Kind, positive: bool
    ) -> tuple[Formula, ...]:
        """`oneOf` as a choice; only parts that overlap have to exclude each other."""
        live = [part for part in parts if self.clauses(state_of(part), kind)]
        overlaps = {
            (i, j): bool(self.clauses(state_of(live[i], live[j]), kind))
            for i in range(len(live))
            for j in range(i)
        }
        if positive:
            options = []
            for i, part in enumerate(live):
                rivals = [
                    live[j] for j in range(len(live)) if j != i and overlaps[max(i, j), min(i, j)]
                ]
                options.append(every([part, *map(negate, rivals)]))
            return tuple(options)
        pairs = [every([live[i], live[j]]) for (i, j), both in overlaps.items() if both]
        return _options(some([every(map(negate, live)), *pairs]))

    def _contradicts(self, clause: Clause) -> bool:
        match clause:
            case ObjectClause():
                return any(
                    self.is_empty(clause.value(name)) or not self.name_fits(clause.names, name)
                    for name in clause.required
                )
            case ArrayClause():
                return any(self.is_empty(clause.item(i)) for i in range(min(clause.min_items, 64)))
            case _:
                return False

    def _too_many(self, state: State) -> GrammarError:
        location = next((each.node.location for each in state if isinstance(each, Use)), "")
        return GrammarError("the schema combines too many alternatives", location)


def _options(formula: Formula) -> tuple[Formula, ...]:
    if formula == TRUE:
        return (TRUE,)
    return formula.parts if isinstance(formula, Either) else (formula,)
