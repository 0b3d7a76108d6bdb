"""Lark grammar text as the matcher backend reads it: literals, and schemas inside of it."""

import json
import re
from collections.abc import Callable
from typing import Any

from decoding.errors import GrammarError
from decoding.grammar.language import literal, render

# What must be stepped over as a whole, since it may hold anything, and what is looked for.
_TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*"i?'
    r"|//[^\n]*|#[^\n]*"
    r"|/(?:[^/\\\n]|\\.)+/[imslux]*"
    r"|%(?P<directive>json|lark|regex|llguidance)\b\s*"
)
_decoder = json.JSONDecoder()


def quote(text: str) -> str:
    """The text as a Lark literal. The empty text is a literal too."""
    if all(char.isprintable() or char in "\n\r\t" for char in text):
        return json.dumps(text, ensure_ascii=False)
    return render(literal(text), quoted=False)


def replace_schemas(lark: str, compile_schema: Callable[[Any], str]) -> str:
    """Puts a rule's name in the place of each `%json {...}`.

    `compile_schema` is given the schema and answers the name. Raises `GrammarError` for a
    schema that is not JSON, and for `%lark`, whose rules could not see that name.
    """
    parts: list[str] = []
    position = 0
    while match := _TOKEN.search(lark, position):
        parts.append(lark[position : match.start()])
        position = match.end()
        directive = match["directive"]
        if directive == "lark":
            raise GrammarError("nested '%lark' grammars are not supported; write one grammar")
        if directive is None:
            parts.append(match[0])
            continue
        try:
            value, position = _decoder.raw_decode(lark, position)
        except ValueError as error:
            raise GrammarError(f"'%{directive}' is not followed by JSON: {error}") from error
        if directive == "json":
            parts.append(compile_schema(value))
        else:
            parts.append(lark[match.start() : position])
    return "".join(parts) + lark[position:]
