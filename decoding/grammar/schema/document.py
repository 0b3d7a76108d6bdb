"""A schema as a document: its draft, its references, and where in it things stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import validators
from jsonschema_specifications import REGISTRY
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from decoding.errors import GrammarError

_DEFAULT = "https://json-schema.org/draft/2020-12/schema"
_DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    _DEFAULT: 2020,
}

# What `referencing` raises for a document whose keywords are not of the kind they should be.
_MALFORMED = (AttributeError, TypeError)
_AN_ID = "an identifier or a container of schemas is malformed"


@dataclass(frozen=True, slots=True)
class Dialect:
    """A draft: which keywords it has is what `jsonschema` asserts for it."""

    uri: str
    draft: int
    assertions: frozenset[str]

    @property
    def ref_hides_siblings(self) -> bool:
        return self.draft <= 7

    @property
    def whole_floats_are_integers(self) -> bool:
        return self.draft >= 6

    @classmethod
    def of(cls, schema: Any, otherwise: "Dialect | None" = None) -> "Dialect":
        """By `$schema`; where there is none or it names no draft, `otherwise`, or 2020-12."""
        declared = schema.get("$schema") if isinstance(schema, dict) else None
        uri = declared.removesuffix("#") if isinstance(declared, str) else ""
        if "json-schema.org/draft-03" in uri:
            raise GrammarError("draft 3 of JSON Schema is not supported", "/$schema")
        if uri in _DRAFTS:
            return _dialect(uri)
        return otherwise or _dialect(_DEFAULT)


@cache
def _dialect(uri: str) -> Dialect:
    validator = validators.validator_for({"$schema": uri})
    return Dialect(uri, _DRAFTS[uri], frozenset(validator.VALIDATORS))


ALL_ASSERTIONS = frozenset().union(*(_dialect(uri).assertions for uri in _DRAFTS))


@dataclass(frozen=True, slots=True, eq=False)
class SchemaNode:
    """A subschema: a dict or a boolean, where it stands, and what its references mean.

    Nodes are equal if they are the same part of the same document.
    """

    contents: Any
    location: str
    resolver: Any  # a `referencing` resolver, whose class has no public name
    dialect: Dialect

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SchemaNode):
            return NotImplemented
        return self.contents is other.contents and self.dialect == other.dialect

    def __hash__(self) -> int:
        return hash(self.contents) if isinstance(self.contents, bool) else id(self.contents)

    @classmethod
    def root(cls, schema: Any) -> "SchemaNode":
        """Raises `GrammarError` for what is no schema, or of an unsupported draft."""
        if not isinstance(schema, dict | bool):
            raise GrammarError("a schema must be an object or a boolean", "")
        dialect = Dialect.of(schema)
        specification = specification_with(dialect.uri)
        resource: Resource[Any] = specification.create_resource(schema)
        try:
            resolver = REGISTRY.resolver_with_root(resource)
        except (*_MALFORMED, ValueError) as error:
            raise GrammarError(_AN_ID, "") from error
        return cls(schema, "", resolver, dialect)

    def child(self, *path: str | int) -> "SchemaNode":
        """The subschema at the path."""
        contents = self.contents
        for step in path:
            contents = contents[step]
        location = self.location + "".join("/" + _escape(str(step)) for step in path)
        specification = specification_with(self.dialect.uri)
        resolver = self.resolver
        if isinstance(contents, dict):
            try:
                resolver = resolver.in_subresource(specification.create_resource(contents))
            except (*_MALFORMED, ValueError) as error:
                raise GrammarError(_AN_ID, location) from error
        node = SchemaNode(contents, location, resolver, Dialect.of(contents, self.dialect))
        node._check()
        return node

    def target(self, keyword: str = "$ref") -> "SchemaNode":
        """What the reference in `keyword` points to. Raises `GrammarError` where nothing is."""
        reference = self.contents[keyword]
        where = f"{self.location}/{keyword}"
        if not isinstance(reference, str):
            raise GrammarError(f"'{keyword}' must be a string", where)
        try:
            resolved = self.resolver.lookup(reference)
        except _MALFORMED as error:
            raise GrammarError(f"'{keyword}' cannot be followed: {_AN_ID}", where) from error
        except (Unresolvable, ValueError) as error:
            raise GrammarError(
                f"'{keyword}' to {reference!r} cannot be resolved: it is not in this document, "
                "and nothing is fetched",
                where,
            ) from error
        local = reference == "#" or reference.startswith("#/")
        location = reference[1:] if local else f"{where} -> {reference}"
        dialect = Dialect.of(resolved.contents, self.dialect)
        node = SchemaNode(resolved.contents, location, resolved.resolver, dialect)
        node._check()
        return node

    def error(self, keyword: str, reason: str) -> GrammarError:
        """The refusal of a keyword of this schema."""
        return GrammarError(f"'{keyword}' {reason}", f"{self.location}/{_escape(keyword)}")

    def _check(self) -> None:
        if isinstance(self.contents, bool):
            return
        if not isinstance(self.contents, Mapping):
            raise GrammarError("a schema must be an object or a boolean", self.location)


def tells_whole_floats_apart(contents: Any) -> bool:
    """Whether any part of a document is of draft 4, in which 1.0 is no integer."""
    if isinstance(contents, dict):
        if "$schema" in contents and not Dialect.of(contents).whole_floats_are_integers:
            return True
        return any(map(tells_whole_floats_apart, contents.values()))
    return isinstance(contents, list) and any(map(tells_whole_floats_apart, contents))


def _escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
