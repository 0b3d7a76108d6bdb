"""Array clauses as rules."""

from itertools import product

from decoding.errors import GrammarError
from decoding.grammar.schema.clauses import ArrayClause, NumberClause, State, StringClause, state_of
from decoding.grammar.schema.expand import Expander
from decoding.grammar.schema.formula import Kind, negate
from decoding.grammar.schema.numbers import integer_bounds
from decoding.grammar.schema.rules import Alternative, Many, Ref, Symbol, Text, text
from decoding.grammar.schema.spelling import Writing
from decoding.grammar.schema.strings import is_spellable, json_string

_MOST_RULES = 4000
_MOST_DISTINCT = 60


def write_array(writing: Writing, clause: ArrayClause) -> list[Alternative]:
    """The alternatives that spell the arrays of a clause."""
    clause = _shortened(writing.expander, clause)
    if clause.max_items is not None and clause.max_items < clause.min_items:
        return []
    if clause.unique is not None and clause.max_items not in (0, 1):
        return _write_distinct(writing, clause)
    if clause.witnesses:
        return _write_counting(writing, clause)
    return [_bracketed(writing, [_write_prefix(writing, clause, 0)])]


def _shortened(expander: Expander, clause: ArrayClause) -> ArrayClause:
    """With a length that stops before the first item that no value can be."""
    most = clause.max_items
    for index in range(len(clause.prefix) + 1):
        if expander.is_empty(clause.item(index)):
            most = index if most is None else min(most, index)
            break
    if most is not None and most < len(clause.prefix):
        clause = ArrayClause(clause.prefix[:most], clause.rest, clause.min_items, most,
                             clause.witnesses, clause.unique)  # fmt: skip
    return ArrayClause(clause.prefix, clause.rest, clause.min_items, most,
                       clause.witnesses, clause.unique)  # fmt: skip


def _bracketed(writing: Writing, inner: list[Symbol]) -> Alternative:
    return (*writing.marks.opening("["), *inner, *writing.marks.closing("]"))


def _write_prefix(writing: Writing, clause: ArrayClause, index: int) -> Symbol:
    """What may follow `index` items."""
    if index >= len(clause.prefix):
        return _write_rest(writing, clause, index)
    name = writing.rules.new()
    comma = writing.marks.comma() if index else []
    if clause.max_items is None or index < clause.max_items:
        after = _write_prefix(writing, clause, index + 1)
        writing.rules.add(name, [[*comma, writing.value(clause.item(index)), after]])
    if index >= clause.min_items:
        writing.rules.add(name, [[]])
    return Ref(name)


def _write_rest(writing: Writing, clause: ArrayClause, index: int) -> Symbol:
    low = max(0, clause.min_items - index)
    high = None if clause.max_items is None else clause.max_items - index
    if high is not None and high <= 0:
        return text("")
    item, comma = writing.value(clause.rest), writing.marks.comma()
    if index:
        return Many((*comma, item), low, high)
    more = Many((*comma, item), max(0, low - 1), None if high is None else high - 1)
    first = Many((item, more), 1, 1)
    return first if low else Many((item, more), 0, 1)


def _write_counting(writing: Writing, clause: ArrayClause) -> list[Alternative]:
    """One rule per number of items and of witnesses so far, both up to where they matter."""
    witnesses = clause.witnesses
    last = max(
        len(clause.prefix),
        clause.min_items,
        clause.max_items or 0,
        *(witness.start for witness in witnesses),
    )
    tops = [witness.low if witness.high is None else witness.high + 1 for witness in witnesses]
    size = last + 1
    for top in tops:
        size *= top + 1
    if size > _MOST_RULES:
        raise GrammarError(
            "'contains' or the array's length asks for too many items to count them",
            witnesses[0].source.location,
        )
    cells = {
        (index, counts): Ref(writing.rules.new())
        for index in range(last + 1)
        for counts in product(*(range(top + 1) for top in tops))
    }
    for (index, counts), rule in cells.items():
        done = index >= clause.min_items and all(
            count >= witness.low and (witness.high is None or count <= witness.high)
            for count, witness in zip(counts, witnesses, strict=True)
        )
        if done:
            writing.rules.add(rule.name, [[]])
        if clause.max_items is not None and index >= clause.max_items:
            continue
        comma = writing.marks.comma() if index else []
        for hits in product((False, True), repeat=len(witnesses)):
            state = _witnessed(clause, index, hits)
            moved = tuple(min(c + h, top) for c, h, top in zip(counts, hits, tops, strict=True))
            too_many = any(
                witness.high is not None and count > witness.high
                for witness, count in zip(witnesses, moved, strict=True)
            )
            if state is None or too_many or writing.expander.is_empty(state):
                continue
            if any(hits):
                writing.suggest(listed_values(writing.expander, state) or [])
            after = cells[min(index + 1, last), moved]
            writing.rules.add(rule.name, [[*comma, writing.value(state), after]])
    return [_bracketed(writing, [cells[0, (0,) * len(witnesses)]])]


def _witnessed(clause: ArrayClause, index: int, hits: tuple[bool, ...]) -> State | None:
    """The state of an item that is, or need not be, a witness. None where it cannot be one."""
    extra = []
    for witness, hit in zip(clause.witnesses, hits, strict=True):
        if index < witness.start and hit:
            return None
        if hit:
            extra.append(witness.formula)
        elif witness.high is not None and index >= witness.start:
            extra.append(negate(witness.formula))
    return state_of(*clause.item(index), *extra)


def _write_distinct(writing: Writing, clause: ArrayClause) -> list[Alternative]:
    """Selections without repetition, where the items can be listed: one bit for each."""
    assert clause.unique is not None
    texts = listed_values(writing.expander, clause.rest)
    if texts is None or clause.prefix or clause.witnesses or len(texts) > _MOST_DISTINCT:
        raise GrammarError(
            f"'uniqueItems' can be enforced only for items of at most {_MOST_DISTINCT} listed "
            "values, as by 'enum', without 'prefixItems' and 'contains'",
            clause.unique.location,
        )
    name = writing.rules.new()
    most = len(texts) if clause.max_items is None else min(clause.max_items, len(texts))
    if clause.min_items > most:
        return []
    comma = " ".join(symbol.lark for symbol in writing.marks.comma() if isinstance(symbol, Text))
    options = []
    for bit, item in enumerate(texts):
        fits = f"%if and(bit_clear({bit}), bit_count_lt(_, {most}))"
        options.append(f"{comma} {text(item).lark} {name}::set_bit({bit}) {fits}")
    least = clause.min_items
    ending = f'"" %if bit_count_ge(_, {least})'
    firsts = [
        f"{text(item).lark} {name}::{hex(1 << bit)}" for bit, item in enumerate(texts) if most
    ]
    writing.rules.add_parametric(name, [*options, ending])
    start = writing.rules.new()
    writing.rules.add(start, [[Text(first)] for first in firsts])
    if least == 0:
        writing.rules.add(start, [[]])
    return [_bracketed(writing, [Ref(start)])]


def listed_values(expander: Expander, state: State) -> list[str] | None:
    """The spellings of all values in the state, if they are few scalars."""
    found: list[str] = []
    for kind in expander.kinds:
        for clause in expander.clauses(state, kind):
            if kind is Kind.NULL:
                found.append("null")
            elif kind is Kind.BOOLEAN:
                found += [str(value).lower() for value in sorted(clause.values)]  # type: ignore[union-attr]
            elif isinstance(clause, StringClause) and clause.one_of is not None:
                found += [json_string(each) for each in sorted(filter(is_spellable, clause.one_of))]
            elif kind is Kind.INTEGER and isinstance(clause, NumberClause):
                bounds = integer_bounds(clause)
                if clause.divisors or None in bounds or bounds[1] - bounds[0] > _MOST_DISTINCT:  # type: ignore[operator]
                    return None
                found += [str(each) for each in range(bounds[0], bounds[1] + 1)]  # type: ignore[arg-type,operator]
            elif isinstance(clause, NumberClause):
                if not _only_integral(clause):
                    return None
            else:
                return None
    return list(dict.fromkeys(found))


def _only_integral(clause: NumberClause) -> bool:
    """Whether a clause for numbers with a fraction holds a single number, which then has none."""
    low, high = clause.low, clause.high
    return (
        low is not None and high is not None and low.value == high.value.__floor__() == high.value
    )
