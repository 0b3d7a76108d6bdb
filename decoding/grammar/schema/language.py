"""A schema, read once: its grammar and its spelling of documents."""

from dataclasses import dataclass, field
from typing import Any

from decoding.errors import GrammarError
from decoding.grammar.schema.clauses import State, state_of
from decoding.grammar.schema.document import SchemaNode
from decoding.grammar.schema.expand import Expander
from decoding.grammar.schema.formula import Use
from decoding.grammar.schema.instance import Speller, parse
from decoding.grammar.schema.rules import Rules, Text
from decoding.grammar.schema.spelling import Marks
from decoding.grammar.schema.write import Writer

_MOST_EXAMPLES = 16
_SPACE = "/[ \\n\\r\\t]{0,32}/"


@dataclass(frozen=True, slots=True)
class WrittenSchema:
    """Rules, and texts that may complete a string in them."""

    lark: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchemaLanguage:
    """The JSON documents that are valid under a schema."""

    _expander: Expander
    _root: State
    _whitespace: bool = field(default=False)

    @classmethod
    def compile(cls, schema: Any, *, whitespace: bool) -> "SchemaLanguage":
        """Raises `GrammarError` for what is no schema."""
        root = SchemaNode.root(schema)
        try:
            return cls(Expander(root), state_of(Use(root)), whitespace)
        except RecursionError as error:
            raise GrammarError("the schema is nested too deeply", "") from error

    def rules(self, prefix: str, start: str = "start", *, spaced: bool = False) -> "WrittenSchema":
        """The grammar as Lark rules; their names begin with the prefix, but for the start.

        With `spaced`, a space stands behind each comma and colon.

        Raises `GrammarError` for what cannot be enforced, and where no document is valid.
        """
        rules = Rules(prefix)
        space = Text(_SPACE) if self._whitespace else None
        writer = Writer(rules, self._expander, Marks(space, " " if spaced else ""))
        try:
            root = writer.write(self._root)
        except RecursionError as error:
            raise GrammarError("the schema is nested too deeply", "") from error
        lark = rules.lark(start, root.name)
        if lark is None:
            raise GrammarError("no JSON document is valid under the schema", "")
        return WrittenSchema(lark, tuple(writer.examples)[:_MOST_EXAMPLES])

    def canonical(self, text: str) -> str | None:
        """The document as the grammar spells it; None if it is not valid, or not JSON."""
        try:
            value = parse(text)
        except (ValueError, RecursionError):
            return None
        return Speller(self._expander).spell(self._root, value)
