"""Python output types as grammars, by way of the type layer of `outlines`."""

from typing import Any

from outlines.types import dsl

from decoding.errors import GrammarError
from decoding.grammar.language import render
from decoding.grammar.pattern import PatternError, fullmatch_language


def term_of(output_type: Any) -> dsl.Term:
    """The `outlines` term for a Python output type. Raises `GrammarError` where it has none."""
    try:
        return dsl.python_types_to_terms(output_type)
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError(f"{output_type!r} is no output type: {error}") from error


def lark_expression(term: dsl.Term) -> str:
    """The term as an expression of a Lark rule; schemas in it as `%json {...}`.

    Raises `GrammarError` for a whole grammar (`CFG`) inside of another term.
    """
    if _is_regular(term):
        return regex_terminal(dsl.to_regex(term))
    match term:
        case dsl.JsonSchema():
            return f"%json {term.schema}"
        case dsl.Alternatives(terms):
            return _alternatives(terms)
        case dsl.Sequence(terms):
            return " ".join(f"({lark_expression(part)})" for part in terms) or '""'
        case dsl.KleeneStar(part):
            return f"({lark_expression(part)})*"
        case dsl.KleenePlus(part):
            return f"({lark_expression(part)})+"
        case dsl.Optional(part):
            return f"({lark_expression(part)})?"
        case dsl.QuantifyExact(part, count):
            return f"({lark_expression(part)}){{{count}}}"
        case dsl.QuantifyMinimum(part, least):
            return f"({lark_expression(part)}){{{least},}}"
        case dsl.QuantifyMaximum(part, most):
            return f"({lark_expression(part)}){{0,{most}}}"
        case dsl.QuantifyBetween(part, least, most):
            return f"({lark_expression(part)}){{{least},{most}}}"
        case _:
            raise GrammarError(
                f"{type(term).__name__} cannot be part of another term; use it alone"
            )


def regex_terminal(pattern: str) -> str:
    """A regular expression as a Lark terminal that it must match from start to end."""
    try:
        return render(fullmatch_language(pattern), quoted=False)
    except PatternError as error:
        raise GrammarError(str(error)) from error


def _is_regular(term: dsl.Term) -> bool:
    """Whether the term is a regular expression, which one terminal then spells as a whole."""
    if isinstance(term, dsl.JsonSchema | dsl.CFG):
        return False
    inner = getattr(term, "terms", None) or [part for part in [getattr(term, "term", None)] if part]
    return all(_is_regular(part) for part in inner)


def _alternatives(terms: list[dsl.Term]) -> str:
    if not terms:
        raise GrammarError("an output type without alternatives allows no text")
    return "(" + " | ".join(lark_expression(term) for term in terms) + ")"
