"""Object clauses as rules: known names in order, then all others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from decoding.errors import GrammarError
from decoding.grammar.language import ANY_TEXT, Except, Language, alt, both, literal
from decoding.grammar.pattern import search_language
from decoding.grammar.schema.clauses import ObjectClause, State, StringClause, state_of
from decoding.grammar.schema.expand import Expander
from decoding.grammar.schema.formula import Formula, Kind, SomeMember
from decoding.grammar.schema.rules import Alternative, Many, Ref, Symbol
from decoding.grammar.schema.spelling import Writing
from decoding.grammar.schema.strings import is_spellable, is_void, string_language, string_terminal

_MOST_CLASSES = 64
_MOST_RULES = 20_000


@dataclass(frozen=True, slots=True)
class Known:
    """A member whose name is told apart."""

    name: str
    state: State
    required: bool


@dataclass(frozen=True, slots=True)
class Others:
    """Members with any other name of a language."""

    names: Language
    state: State


def known_members(expander: Expander, clause: ObjectClause) -> list[Known]:
    """The members of known name that there can be, in the order they are written in."""
    return [
        Known(name, state, name in clause.required)
        for name in clause.known_names()
        if name not in clause.absent
        and is_spellable(name)
        and expander.name_fits(clause.names, name)
        and not expander.is_empty(state := clause.value(name))
    ]


def resolve_some(expander: Expander, clause: ObjectClause) -> Iterator[ObjectClause]:
    """The clause's alternatives once "some member" is either of a known name or of none."""
    for index, some in enumerate(clause.some):
        for name in clause.known_names():
            if expander.name_fits(state_of(some.name), name):
                rest = clause.some[:index] + clause.some[index + 1 :]
                value = ((name, some.value),) if state_of(some.value) else ()
                required = tuple(dict.fromkeys([*clause.required, name]))
                met = replace(clause, some=rest, required=required, values=clause.values + value)
                if name not in clause.absent and not expander.is_empty(met.value(name)):
                    yield from resolve_some(expander, met)
    if len(clause.some) <= 1:
        yield clause
    else:
        raise GrammarError(
            "two different members of unknown name would be needed, which is not supported",
            clause.some[0].location,
        )


def write_object(writing: Writing, clause: ObjectClause) -> list[Alternative]:
    """The alternatives that spell the objects of a clause."""
    return [
        alternative
        for each in resolve_some(writing.expander, clause)
        for alternative in _ObjectWriter(writing, each).write()
    ]


class _ObjectWriter:
    def __init__(self, writing: Writing, clause: ObjectClause) -> None:
        self._writing = writing
        self._clause = clause
        self._known = known_members(writing.expander, clause)
        self._others = _other_members(writing.expander, clause)
        most = clause.max_members
        self._top = max(1, clause.min_members) if most is None else most
        self._cells: dict[tuple[int, int], Ref] = {}
        self._waiting: list[tuple[int, int]] = []
        if (len(self._known) + 1) * (self._top + 1) > _MOST_RULES:
            raise self._too_large("too many members to count them")

    def write(self) -> list[Alternative]:
        if sum(each.required for each in self._known) < len(self._clause.required):
            return []
        start = self._cell(0, 0)
        while self._waiting:
            self._fill(*self._waiting.pop())
        marks = self._writing.marks
        return [(*marks.opening("{"), start, *marks.closing("}"))]

    def _cell(self, index: int, count: int) -> Ref:
        """What may follow `count` members, when the known names up to `index` are behind."""
        if (index, count) not in self._cells:
            self._cells[index, count] = Ref(self._writing.rules.new())
            self._waiting.append((index, count))
        return self._cells[index, count]

    def _fill(self, index: int, count: int) -> None:
        rule, most = self._cells[index, count].name, self._clause.max_members
        if index == len(self._known):
            self._writing.rules.add(rule, self._ending(count))
            return
        member = self._known[index]
        if most is None or count < most:
            after = self._cell(index + 1, min(count + 1, self._top))
            self._writing.rules.add(rule, [[*self._member(member, count), after]])
        if not member.required:
            self._writing.rules.add(rule, [[self._cell(index + 1, count)]])

    def _member(self, member: Known, count: int) -> list[Symbol]:
        marks = self._writing.marks
        comma = marks.comma() if count else []
        return [*comma, *marks.name(member.name), self._writing.value(member.state)]

    def _ending(self, count: int) -> list[list[Symbol]]:
        """The members of unknown name, after all known ones."""
        clause = self._clause
        if clause.some:
            return self._witnessed_ending(clause.some[0], count)
        low = max(0, clause.min_members - count)
        high = None if clause.max_members is None else clause.max_members - count
        if not self._others or high == 0:
            return [[]] if low == 0 else []
        if low > 1:
            # A repeated name would count twice here and once for whoever reads the object.
            raise self._too_large("more members than it names")
        comma, pair = self._writing.marks.comma(), self._other_pair()
        if count:
            return [[Many((*comma, pair), low, high)]]
        more = Many((*comma, pair), 0, None if high is None else high - 1)
        return [[pair, more]] if low else [[pair, more], []]

    def _witnessed_ending(self, some: SomeMember, count: int) -> list[list[Symbol]]:
        clause, comma = self._clause, self._writing.marks.comma()
        if clause.max_members is not None or clause.min_members > 1:
            raise GrammarError(
                "a member of unknown name is needed, which is not supported together with "
                "'minProperties' or 'maxProperties'",
                some.location,
            )
        fitting = state_language(self._writing.expander, state_of(some.name))
        endings: list[list[Symbol]] = []
        for other in self._others:
            names = both([other.names, fitting])
            state = state_of(*other.state, some.value)
            if is_void(names) or self._writing.expander.is_empty(state):
                continue
            # Last of all: of members with the same name, readers keep the last.
            last = self._pair(Others(names, state))
            before: list[Symbol] = [Many((self._other_pair(), *comma), 0, None)]
            endings.append([*(comma if count else []), *before, *last])
        return endings

    def _other_pair(self) -> Symbol:
        pairs = [self._pair(other) for other in self._others]
        rule = self._writing.rules.new()
        self._writing.rules.add(rule, pairs)
        return Ref(rule)

    def _pair(self, other: Others) -> list[Symbol]:
        name = self._writing.rules.terminal(string_terminal(other.names))
        return [name, *self._writing.marks.colon(), self._writing.value(other.state)]

    def _too_large(self, what: str) -> GrammarError:
        return GrammarError(
            f"the object's number of properties asks for {what}, which is not supported",
            self._clause.count_location or None,
        )


def state_language(expander: Expander, state: State) -> Language:
    """The strings of a state."""
    if not state:
        return ANY_TEXT
    clauses = expander.clauses(state, Kind.STRING)
    return alt(string_language(each) for each in clauses if isinstance(each, StringClause))


def _other_members(expander: Expander, clause: ObjectClause) -> list[Others]:
    """Names that are not known, split by which patterns they match."""
    if clause.max_members == 0:
        return []
    patterns = {
        pattern.pattern: pattern for group in clause.groups for pattern, _ in group.patterns
    }
    known = [literal(name) for name in clause.known_names() if is_spellable(name)]
    start = [state_language(expander, clause.names), *([Except(alt(known))] if known else [])]
    classes: list[tuple[list[Language], frozenset[str]]] = [(start, frozenset())]
    for pattern, source in patterns.items():
        classes = list(_split(classes, pattern))
        if len(classes) > _MOST_CLASSES:
            raise GrammarError("'patternProperties' overlap in too many ways", source.location)
    found: dict[State, list[Language]] = {}
    for parts, matched in classes:
        state = state_of(*_values(clause, matched))
        if not expander.is_empty(state):
            found.setdefault(state, []).append(both(parts))
    members = [Others(alt(languages), state) for state, languages in found.items()]
    return [other for other in members if not is_void(other.names)]


def _split(
    classes: list[tuple[list[Language], frozenset[str]]], pattern: str
) -> Iterator[tuple[list[Language], frozenset[str]]]:
    inside = search_language(pattern)
    outside = Except(search_language(pattern, widened=True))
    if inside == ANY_TEXT:
        yield from ((parts, matched | {pattern}) for parts, matched in classes)
        return
    for parts, matched in classes:
        if not matched or not is_void(both([*parts, inside])):
            yield [*parts, inside], matched | {pattern}
        yield [*parts, outside], matched


def _values(clause: ObjectClause, matched: frozenset[str]) -> Iterator[Formula]:
    for group in clause.groups:
        hits = [formula for pattern, formula in group.patterns if pattern.pattern in matched]
        yield from hits or [group.rest]
