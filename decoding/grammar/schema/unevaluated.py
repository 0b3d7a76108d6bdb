"""`unevaluatedProperties` and `unevaluatedItems`, where what is evaluated is known."""

from decoding.grammar.schema.document import SchemaNode
from decoding.grammar.schema.formula import Formula


def unevaluated_properties(node: SchemaNode) -> Formula:
    raise node.error("unevaluatedProperties", "is not supported")


def unevaluated_items(node: SchemaNode) -> Formula:
    raise node.error("unevaluatedItems", "is not supported")
