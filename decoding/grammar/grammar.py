"""What a text may be: a JSON Schema, a regular expression, a choice, or a Lark grammar."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from llguidance import LLMatcher
from outlines.types import dsl
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from decoding.errors import GrammarError
from decoding.grammar.compiled import CompiledGrammar
from decoding.grammar.lark import quote, replace_schemas
from decoding.grammar.outline import lark_expression, regex_terminal, term_of
from decoding.grammar.pattern import example_match
from decoding.grammar.schema import SchemaLanguage, WrittenSchema
from decoding.grammar.vocabulary import TokenizerLike, vocabulary_of

_CACHED_PER_TOKENIZER, _CACHED_LETTERS = 256, 2**22  # the last one is kept however long
_compiled: WeakKeyDictionary[TokenizerLike, dict[tuple[str, int | None], CompiledGrammar]]
_compiled = WeakKeyDictionary()
_compiling = Lock()


@dataclass(frozen=True, slots=True)
class Grammar:
    """A language of texts, independent of any tokenizer. Immutable; equal by content.

    Everything is checked on construction: what cannot be enforced is refused there with a
    `GrammarError` that names it. Use the class methods to make one; `source` is the Lark text
    that all of them end in.
    """

    source: str
    _schema: SchemaLanguage | None = field(default=None, repr=False, compare=False)
    _examples: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __repr__(self) -> str:
        shown = self.source if len(self.source) <= 80 else f"{self.source[:77]}..."
        return f"Grammar({shown!r})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What notebooks and hypothesis print: the short form, not the fields."""
        printer.text(repr(self))

    @classmethod
    def json_schema(
        cls, schema: dict[str, Any] | bool | str | type, *, whitespace: bool = False
    ) -> "Grammar":
        """JSON that is valid under a schema: a dict, its JSON text, or a Python type.

        A type (pydantic model, dataclass, TypedDict, or anything pydantic has a schema for) is
        converted by `outlines`. The JSON is compact, properties in the schema's order; with
        `whitespace`, up to 32 characters of it may stand wherever JSON allows some.

        The meaning is that of `jsonschema` under the schema's `$schema`, by default draft
        2020-12, with formats asserted. See `decoding.grammar.schema` for the details. Raises
        `GrammarError` with the JSON pointer of a keyword that cannot be enforced.
        """
        language = SchemaLanguage.compile(_schema_of(schema), whitespace=whitespace)
        written = language.rules("json")
        return cls(written.lark, language, written.examples)

    @classmethod
    def regex(cls, pattern: str) -> "Grammar":
        """Text that the pattern matches from start to end.

        Python syntax with ASCII classes and look-ahead, without look-behind, back-references
        and word boundaries; a `GrammarError` says so.
        """
        source = f"start: TEXT\nTEXT: {regex_terminal(pattern)}\n"
        example = example_match(pattern)
        return cls._checked(source, (example,) if example else ())

    @classmethod
    def choice(cls, options: Sequence[str]) -> "Grammar":
        """One of the texts, letter by letter."""
        if isinstance(options, str) or not options:
            raise GrammarError("a choice needs a list of at least one text")
        return cls._checked("start: " + " | ".join(map(quote, dict.fromkeys(options))) + "\n")

    @classmethod
    def lark(cls, text: str, *, whitespace: bool = False, spaced: bool = False) -> "Grammar":
        """A grammar in `llguidance`'s dialect of Lark, starting at the rule `start`.

        `%json {...}` stands for a schema, with the meaning, the refusals and the compact
        spelling of `json_schema`; so a grammar can offer several tool calls or an answer. With
        `spaced`, one space stands behind each comma and colon, as most JSON in texts is written.
        `<name>` stands for a special token. Terminals (upper case, strings, regular
        expressions) are matched greedily.
        """
        prefix = _unused_prefix(text)
        schemas: list[WrittenSchema] = []

        def compile_schema(schema: Any) -> str:
            name = f"{prefix}{len(schemas)}"
            language = SchemaLanguage.compile(schema, whitespace=whitespace)
            schemas.append(language.rules(f"{name}r", start=name, spaced=spaced))
            return name

        replaced = replace_schemas(text, compile_schema)
        source = "\n".join([replaced, *(schema.lark for schema in schemas)])
        return cls._checked(source, tuple(each for schema in schemas for each in schema.examples))

    @classmethod
    def output_type(cls, output_type: Any) -> "Grammar":
        """The texts that `outlines` takes for a Python type or a term of its own.

        Structured types (pydantic models, dataclasses, TypedDicts) are JSON. All else is
        spelled as `outlines` spells it, `True` and `[1, 2]` for example; use `json_schema` for
        JSON throughout.
        """
        term = term_of(output_type)
        if isinstance(term, dsl.JsonSchema):
            return cls.json_schema(term.schema)
        if isinstance(term, dsl.CFG):
            return cls.lark(term.definition)
        return cls.lark(f"start: {lark_expression(term)}\n")

    def compile(self, tokenizer: TokenizerLike, vocab_size: int | None = None) -> CompiledGrammar:
        """The grammar bound to a tokenizer, cached. Takes about a millisecond the first time.

        `vocab_size` is the width of the masks, by default the tokenizer's; a network's logits
        may be wider. The first call for a tokenizer prepares it, 0.3 to 1.5 s.
        """
        with _compiling:
            cache = _compiled.setdefault(tokenizer, {})
            key = (self.source, vocab_size)
            known = cache.pop(key, None)
            if known is None:
                vocabulary = vocabulary_of(tokenizer)
                known = CompiledGrammar.build(self.source, vocabulary, vocab_size, self._examples)
            cache[key] = known
            while len(cache) > 1 and (
                len(cache) > _CACHED_PER_TOKENIZER
                or sum(len(source) for source, _ in cache) > _CACHED_LETTERS
            ):
                del cache[next(iter(cache))]
        return known

    def accepts(self, text: str, tokenizer: TokenizerLike) -> bool:
        """Whether the whole text is in the language.

        For a `json_schema` the *document* counts, not its spelling: order of properties,
        white space, escapes and the notation of numbers carry no meaning (RFC 8259), so the
        text is parsed and spelled anew, compactly and in the order the grammar writes, and that
        spelling must be in the grammar. Text that is no JSON is not accepted, nor a document
        with a repeated name, a number beyond a double's range or half of a surrogate pair.
        """
        if self._schema is not None:
            canonical = self._schema.canonical(text)
            if canonical is None:
                return False
            text = canonical
        return self.compile(tokenizer).accepts(text)

    @classmethod
    def _checked(cls, source: str, examples: tuple[str, ...] = ()) -> "Grammar":
        is_error, messages = LLMatcher.validate_grammar_with_warnings(source)
        if is_error:
            raise GrammarError(f"the grammar was refused: {messages[0].strip()}")
        return cls(source, None, examples)


def _unused_prefix(text: str) -> str:
    """One for names of rules, short, and nowhere in `text` but where a schema begins."""
    text = text.replace("%json", "")
    if "json" not in text:
        return "json"
    taken = set(re.findall("json([0-9]+)_", text))
    return next(f"json{number}_" for number in count() if str(number) not in taken)


def _schema_of(schema: dict[str, Any] | bool | str | type) -> Any:
    if isinstance(schema, str):
        try:
            return json.loads(schema)
        except ValueError as error:
            raise GrammarError(f"the schema is not JSON: {error}") from error
    if schema is None or isinstance(schema, dict | bool | list | int | float):
        return schema
    if dsl.JsonSchema.is_json_schema(schema):
        return json.loads(dsl.JsonSchema(schema).schema)
    try:
        return TypeAdapter(schema).json_schema()
    except PydanticUserError as error:
        raise GrammarError(f"{schema!r} has no JSON schema: {error}") from error
