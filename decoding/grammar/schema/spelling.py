"""The marks of JSON as grammar symbols, and what writers of objects and arrays share."""

from dataclasses import dataclass
from typing import Protocol

from decoding.grammar.schema.clauses import State
from decoding.grammar.schema.expand import Expander
from decoding.grammar.schema.rules import Ref, Rules, Symbol, text
from decoding.grammar.schema.strings import json_string


@dataclass(frozen=True, slots=True)
class Marks:
    """Brackets, commas and names; with white space after and before them if `space` is given.

    `behind` is written behind each comma and colon.
    """

    space: Symbol | None
    behind: str = ""

    def opening(self, mark: str) -> list[Symbol]:
        return [text(mark), *self._gap()]

    def closing(self, mark: str) -> list[Symbol]:
        return [*self._gap(), text(mark)]

    def comma(self) -> list[Symbol]:
        return [*self._gap(), text("," + self.behind), *self._gap()]

    def name(self, name: str) -> list[Symbol]:
        # The colon is a terminal of its own: terminals are matched greedily, and a known name
        # must end where any other name would that an alternative allows here.
        return [text(json_string(name)), *self.colon()]

    def colon(self) -> list[Symbol]:
        return [*self._gap(), text(":" + self.behind), *self._gap()]

    def _gap(self) -> list[Symbol]:
        return [] if self.space is None else [self.space]


class Writing(Protocol):
    """What a writer of one kind of clause needs of the whole."""

    @property
    def rules(self) -> Rules: ...

    @property
    def expander(self) -> Expander: ...

    @property
    def marks(self) -> Marks: ...

    def value(self, state: State) -> Ref:
        """The rule for values of a state, which may be written later."""
        ...

    def suggest(self, examples: list[str]) -> None:
        """Notes texts that bring what is asked for nearer to its end."""
        ...
