"""The arguments of keywords, checked. All raise `GrammarError` for one of the wrong kind."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from decoding.grammar.pattern import PatternError, search_language
from decoding.grammar.schema.document import SchemaNode
from decoding.grammar.schema.formula import FALSE, TRUE, Formula, Matches, Use, exact


def use(node: SchemaNode, keyword: str) -> Formula:
    """The schema in a keyword."""
    child = node.child(keyword)
    if isinstance(child.contents, bool):
        return TRUE if child.contents else FALSE
    return Use(child)


def uses(node: SchemaNode, keyword: str) -> list[Formula]:
    """The schemas listed in a keyword."""
    return [Use(node.child(keyword, index)) for index in range(len(list_in(node, keyword)))]


def list_in(node: SchemaNode, keyword: str) -> list[Any]:
    """The list in a keyword."""
    value = node.contents[keyword]
    if not isinstance(value, list):
        raise node.error(keyword, "must be a list")
    return value


def names_in(node: SchemaNode, keyword: str) -> list[str]:
    """The list of strings in a keyword."""
    names = list_in(node, keyword)
    if not all(isinstance(name, str) for name in names):
        raise node.error(keyword, "must be a list of strings")
    return names


def mapping_in(node: SchemaNode, keyword: str) -> Mapping[str, Any]:
    """The object in a keyword, empty where the keyword is missing."""
    value = node.contents.get(keyword, {})
    if not isinstance(value, Mapping):
        raise node.error(keyword, "must be an object")
    return value


def number_in(node: SchemaNode, keyword: str) -> Fraction:
    """The number in a keyword."""
    value = node.contents[keyword]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise node.error(keyword, "must be a number")
    try:
        return exact(value)
    except (ValueError, OverflowError) as error:
        raise node.error(keyword, "must be within a double's range") from error


def count_in(node: SchemaNode, keyword: str) -> int:
    """The natural number in a keyword."""
    value = number_in(node, keyword)
    if value.denominator != 1 or value < 0:
        raise node.error(keyword, "must be an integer of at least 0")
    return int(value)


def matches_in(node: SchemaNode, keyword: str, pattern: Any) -> Matches:
    """The assertion of a pattern that stands in a keyword."""
    if not isinstance(pattern, str):
        raise node.error(keyword, "must be a string")
    try:
        search_language(pattern)
    except PatternError as error:
        raise node.error(keyword, f"cannot be enforced: {error}") from error
    return Matches(pattern, f"{node.location}/{keyword}")
