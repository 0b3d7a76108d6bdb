"""From states to the rules of a grammar."""

import json
from dataclasses import dataclass, field

from decoding.errors import GrammarError
from decoding.grammar.language import Language, cat, literal, render
from decoding.grammar.schema.arrays import write_array
from decoding.grammar.schema.clauses import (
    ArrayClause,
    BooleanClause,
    NumberClause,
    ObjectClause,
    State,
    StringClause,
)
from decoding.grammar.schema.expand import Expander
from decoding.grammar.schema.formula import Kind
from decoding.grammar.schema.multiples import listed_integers, multiple_schema
from decoding.grammar.schema.numbers import (
    fraction_language,
    integer_language,
    number_language,
)
from decoding.grammar.schema.objects import write_object
from decoding.grammar.schema.rules import Alternative, Ref, Rules, Text, text
from decoding.grammar.schema.spelling import Marks
from decoding.grammar.schema.strings import (
    enum_terminal,
    is_spellable,
    is_void,
    string_examples,
    string_language,
    string_terminal,
)

_MOST_STATES = 20_000


@dataclass(slots=True)
class Writer:
    """Writes each state of a document once."""

    rules: Rules
    expander: Expander
    marks: Marks
    examples: dict[str, None] = field(default_factory=dict)
    _values: dict[State, Ref] = field(default_factory=dict)
    _waiting: list[State] = field(default_factory=list)

    def write(self, root: State) -> Ref:
        """The rule for the root; afterwards all rules it needs are written too."""
        rule = self.value(root)
        while self._waiting:
            state = self._waiting.pop()
            self.rules.add(self._values[state].name, self._alternatives(state))
        return rule

    def value(self, state: State) -> Ref:
        """The rule for values of a state, which may be written later."""
        if state not in self._values:
            if len(self._values) >= _MOST_STATES:
                raise GrammarError("the schema needs too many different rules", "")
            self._values[state] = Ref(self.rules.new())
            self._waiting.append(state)
        return self._values[state]

    def suggest(self, examples: list[str]) -> None:
        """Notes texts that bring what is asked for nearer to its end."""
        self.examples |= dict.fromkeys(examples)

    def _alternatives(self, state: State) -> list[Alternative]:
        found: list[Alternative] = []
        for kind in (Kind.NULL, Kind.BOOLEAN, Kind.STRING, Kind.ARRAY, Kind.OBJECT):
            for clause in self.expander.clauses(state, kind):
                match clause:
                    case BooleanClause(values):
                        found += [(text(str(value).lower()),) for value in sorted(values)]
                    case StringClause():
                        found += self._string(clause)
                    case ArrayClause():
                        found += write_array(self, clause)
                    case ObjectClause():
                        found += write_object(self, clause)
                    case _:
                        found.append((text("null"),))
        return [*found, *self._numbers(state)]

    def _string(self, clause: StringClause) -> list[Alternative]:
        if clause.one_of is not None:
            texts = frozenset(filter(is_spellable, clause.one_of))
            return [(self.rules.terminal(enum_terminal(texts)),)] if texts else []
        language = string_language(clause)
        if is_void(language):
            return []
        self.suggest(string_examples(clause))
        return [(self.rules.terminal(string_terminal(language)),)]

    def _numbers(self, state: State) -> list[Alternative]:
        kinds = (Kind.INTEGER, Kind.WHOLE, Kind.FRACTION)
        of_kind = {
            kind: dict.fromkeys(self.expander.clauses(state, kind))
            for kind in kinds
            if kind in self.expander.kinds
        }
        integers, fractions = of_kind[Kind.INTEGER], of_kind[Kind.FRACTION]
        wholes = of_kind.get(Kind.WHOLE, integers)
        found: list[Alternative] = []
        for clause in dict.fromkeys([*integers, *wholes, *fractions]):
            assert isinstance(clause, NumberClause)
            if clause.divisors:
                found += self._multiples(clause, clause in integers, clause in wholes and
                                         Kind.WHOLE in of_kind, clause in fractions)  # fmt: skip
            elif clause in integers and clause in wholes and clause in fractions:
                found += self._number(number_language(clause))
                if Kind.WHOLE in of_kind and clause.low is not None and clause.low == clause.high:
                    found += self._number(cat([integer_language(clause), literal(".0")]))
            else:
                if clause in integers:
                    found += self._number(integer_language(clause))
                if clause in wholes and Kind.WHOLE in of_kind:
                    found += self._number(cat([integer_language(clause), literal(".0")]))
                if clause in fractions:
                    found += self._number(fraction_language(clause))
        return found

    def _number(self, language: Language) -> list[Alternative]:
        if is_void(language):
            return []
        return [(self.rules.terminal(render(language, quoted=False)),)]

    def _multiples(
        self, clause: NumberClause, integer: bool, whole: bool, fraction: bool
    ) -> list[Alternative]:
        listed = listed_integers(clause)
        if listed is not None and not fraction:
            return self._listed(listed, integer, whole)
        schema = multiple_schema(clause, fraction)
        if schema is None:
            return []
        spelled = Text(f"%json {json.dumps(schema)}")
        if fraction:
            return [(spelled,)]
        return [*([(spelled,)] if integer else []), *([(spelled, text(".0"))] if whole else [])]

    def _listed(self, values: list[int], integer: bool, whole: bool) -> list[Alternative]:
        spelled = [text(str(value)) for value in values]
        return [
            *([(each,) for each in spelled] if integer else []),
            *([(each, text(".0")) for each in spelled] if whole else []),
        ]
