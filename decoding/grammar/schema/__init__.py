"""JSON Schema as a grammar.

    document   the schema, its draft and references
    formula    what it says, as a formula            read: keywords -> formula
    clauses    conjunctions about one kind of value  meet, expand: formula -> clauses
    rules      the grammar                           write, objects, arrays, numbers, strings
    instance   how the grammar spells a given document

Schemas are expanded to alternatives, so `allOf`, `anyOf`, `oneOf`, `not`, `if`, `dependent...`
and siblings of `$ref` are exact. What cannot be is refused by name and place, never ignored:

- Keywords of the schema's draft are enforced or refused; keywords of another draft are refused.
  Names that no draft knows are annotations, as the standard has it, misspelt ones included.
- Formats are asserted: see `formats`. A standard format that is not regular is refused; a
  name that is not of the standard is an annotation.
- Patterns mean what they mean to Python, within what ECMA-262 agrees to: see `pattern`.
- The meaning of numbers is that of doubles and of exact integers: see `numbers`.
- `multipleOf` is exact for sums of powers of two (10, 0.5); others, such as 0.01, are refused.
- `uniqueItems` needs items of few listed values; `minProperties` needs enough named ones;
  `unevaluated...` needs to be independent of alternatives; `$dynamicRef`, `$recursiveRef` and
  references to other documents are refused.
"""

from decoding.grammar.schema.language import SchemaLanguage, WrittenSchema

__all__ = ["SchemaLanguage", "WrittenSchema"]
