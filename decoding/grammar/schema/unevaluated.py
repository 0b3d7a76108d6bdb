"""`unevaluatedProperties` and `unevaluatedItems`, where what is evaluated is always the same.

What `properties`, `allOf` and `$ref` evaluate does not depend on the document. What `anyOf`,
`oneOf`, `if` and `dependentSchemas` evaluate does; a schema in which that matters is refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from decoding.grammar.schema.arguments import list_in, mapping_in, matches_in, use
from decoding.grammar.schema.document import SchemaNode
from decoding.grammar.schema.formula import (
    ARRAYS,
    OBJECTS,
    TRUE,
    Formula,
    Items,
    Matches,
    Members,
    On,
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Members by name and pattern, and a number of first items; or all of them."""

    names: tuple[str, ...] = ()
    patterns: tuple[Matches, ...] = ()
    items: int = 0
    everything: bool = False

    def __or__(self, other: "Evaluated") -> "Evaluated":
        return Evaluated(
            tuple(dict.fromkeys(self.names + other.names)),
            tuple(dict.fromkeys(self.patterns + other.patterns)),
            max(self.items, other.items),
            self.everything or other.everything,
        )


_Own = Callable[[SchemaNode], Evaluated]


def unevaluated_properties(node: SchemaNode) -> Formula:
    """Raises `GrammarError` where the document decides what is evaluated."""
    found = _evaluated(node, "unevaluatedProperties", _own_members, ())
    if found.everything:
        return TRUE
    named = tuple((name, TRUE) for name in found.names)
    patterns = tuple((pattern, TRUE) for pattern in found.patterns)
    return On(OBJECTS, Members(named, patterns, use(node, "unevaluatedProperties")))


def unevaluated_items(node: SchemaNode) -> Formula:
    """Raises `GrammarError` where the document decides what is evaluated."""
    found = _evaluated(node, "unevaluatedItems", _own_items, ())
    if found.everything:
        return TRUE
    return On(ARRAYS, Items((TRUE,) * found.items, use(node, "unevaluatedItems")))


def _evaluated(
    node: SchemaNode, keyword: str, own: _Own, ancestors: tuple[SchemaNode, ...]
) -> Evaluated:
    if isinstance(node.contents, bool) or node in ancestors:
        return Evaluated()
    found = own(node) if ancestors else _without(node, keyword, own)
    for always in _parts(node, ("$ref", "allOf")):
        found |= _evaluated(always, keyword, own, (*ancestors, node))
    for sometimes in _parts(node, ("anyOf", "oneOf", "if", "then", "else", "dependentSchemas")):
        extra = _evaluated(sometimes, keyword, own, (*ancestors, node))
        if found | extra != found:
            root = ancestors[0] if ancestors else node
            raise root.error(keyword, f"depends on the alternatives at '{sometimes.location}'")
    return found


def _without(node: SchemaNode, keyword: str, own: _Own) -> Evaluated:
    others = {each: value for each, value in node.contents.items() if each != keyword}
    return own(SchemaNode(others, node.location, node.resolver, node.dialect))


def _own_members(node: SchemaNode) -> Evaluated:
    return Evaluated(
        names=tuple(mapping_in(node, "properties")),
        patterns=tuple(
            matches_in(node, "patternProperties", pattern)
            for pattern in mapping_in(node, "patternProperties")
        ),
        everything="additionalProperties" in node.contents
        or "unevaluatedProperties" in node.contents,
    )


def _own_items(node: SchemaNode) -> Evaluated:
    contents = node.contents
    if node.dialect.draft == 2020 and "contains" in contents:
        raise node.error("contains", "together with 'unevaluatedItems' is not supported")
    if isinstance(contents.get("items"), list):
        whole = "additionalItems" in contents or "unevaluatedItems" in contents
        return Evaluated(items=len(contents["items"]), everything=whole)
    prefix = len(list_in(node, "prefixItems")) if "prefixItems" in contents else 0
    return Evaluated(items=prefix, everything="items" in contents or "unevaluatedItems" in contents)


def _parts(node: SchemaNode, keywords: tuple[str, ...]) -> Iterator[SchemaNode]:
    for keyword in keywords:
        if keyword not in node.contents:
            continue
        if keyword == "$ref":
            yield node.target()
        elif keyword in ("if", "then", "else"):
            yield node.child(keyword)
        elif keyword == "dependentSchemas":
            yield from (node.child(keyword, name) for name in mapping_in(node, keyword))
        else:
            yield from (node.child(keyword, i) for i in range(len(list_in(node, keyword))))
