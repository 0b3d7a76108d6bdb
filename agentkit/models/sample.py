"""Makes up one value for a JSON Schema."""

from collections.abc import Callable, Mapping
from math import ceil, floor, inf
from typing import Any

from agentkit.errors import ModelError

_DEPTH = 12

_FORMATS: Mapping[str, str] = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Mapping[str, Any]) -> Any:
    """The same small value every time: required properties, smallest sizes, first choices.

    Raises `ModelError` for `pattern` and other keywords that take more than a simple choice.
    """
    return _Sampler(schema).value(schema, 0)


class _Sampler:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._makers: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": _string,
            "integer": _integer,
            "number": _number,
            "boolean": lambda schema, depth: False,
            "null": lambda schema, depth: None,
        }

    def value(self, schema: Any, depth: int) -> Any:
        if schema is True:
            return None
        if schema is False or depth > _DEPTH:
            raise _cannot("a schema that nothing small satisfies")
        if "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self.value({**self._target(schema["$ref"]), **beside}, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._first(schema, keyword, depth)
        if "allOf" in schema:
            return self.value(self._joined(schema), depth)
        return self._makers[_type_of(schema)](schema, depth)

    def _target(self, reference: str) -> Mapping[str, Any]:
        target: Any = self._root
        for name in reference.removeprefix("#").split("/")[1:]:
            if isinstance(target, Mapping):
                target = target.get(name.replace("~1", "/").replace("~0", "~"))
        if not (reference.startswith("#") and isinstance(target, Mapping)):
            raise _cannot(f"the reference {reference!r}")
        return target

    def _first(self, schema: Mapping[str, Any], keyword: str, depth: int) -> Any:
        """A value of the first option that has one; options that may recurse come last."""
        beside = {key: value for key, value in schema.items() if key != keyword}
        error = None
        for option in sorted(schema[keyword], key=lambda option: "$ref" in option):
            try:
                return self.value({**beside, **option}, depth + 1)
            except ModelError as refused:
                error = refused
        raise error or _cannot(f"an empty {keyword}")

    def _joined(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """`schema` and its allOf parts as one schema."""
        joined = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved = {**self._target(part["$ref"]), **part} if "$ref" in part else part
            for key, value in resolved.items():
                if key == "properties":
                    joined[key] = {**joined.get(key, {}), **value}
                elif key == "required":
                    joined[key] = [*joined.get(key, ()), *value]
                elif key != "$ref":
                    joined[key] = value
        return joined

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        made = {
            name: self.value(properties.get(name, extra), depth + 1)
            for name in dict.fromkeys(schema.get("required", ()))
        }
        optional = [name for name in properties if name not in made]
        spare = [f"key{index}" for index in range(schema.get("minProperties", 0))]
        for name in [*optional, *spare][: max(0, schema.get("minProperties", 0) - len(made))]:
            made[name] = self.value(properties.get(name, extra), depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        prefix = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        length = schema.get("minItems", 0)
        if length > 1 and schema.get("uniqueItems"):
            raise _cannot("uniqueItems")
        return [
            self.value(prefix[index] if index < len(prefix) else rest, depth + 1)
            for index in range(length)
        ]


def _type_of(schema: Mapping[str, Any]) -> str:
    named = schema.get("type")
    if isinstance(named, str):
        return named
    if named:
        return str(named[0])
    for keyword, kind in (("properties", "object"), ("items", "array"), ("pattern", "string")):
        if keyword in schema:
            return kind
    return "null"


def _string(schema: Mapping[str, Any], depth: int) -> str:
    if "pattern" in schema:
        raise _cannot(f"the pattern {schema['pattern']!r}")
    text: str = _FORMATS.get(schema.get("format", ""), "a")
    text += "a" * (schema.get("minLength", 0) - len(text))
    return text[: schema.get("maxLength", len(text))]


def _integer(schema: Mapping[str, Any], depth: int) -> int:
    least, above = schema.get("minimum", -inf), schema.get("exclusiveMinimum", -inf)
    most, below = schema.get("maximum", inf), schema.get("exclusiveMaximum", inf)
    low = max((ceil(least) if least > -inf else -inf), (floor(above) + 1 if above > -inf else -inf))
    high = min((floor(most) if most < inf else inf), (ceil(below) - 1 if below < inf else inf))
    number = _multiple(low, high, schema.get("multipleOf", 1))
    if not low <= number <= high or number != int(number):
        raise _cannot(f"an integer from {low} to {high}")
    return int(number)


def _number(schema: Mapping[str, Any], depth: int) -> float:
    least, above = schema.get("minimum", -inf), schema.get("exclusiveMinimum", -inf)
    most, below = schema.get("maximum", inf), schema.get("exclusiveMaximum", inf)
    low, high = max(least, above), min(most, below)
    if "multipleOf" in schema:
        number = _multiple(low, high, schema["multipleOf"])
    elif low < 0 < high:
        number = 0.0
    else:
        number = low + 1 if high == inf else high - 1 if low == -inf else (low + high) / 2
    if not (least <= number <= most and above < number < below):
        raise _cannot(f"a number from {low} to {high}")
    return float(number)


def _multiple(low: float, high: float, step: float) -> float:
    """The multiple of `step` in the range that is nearest to zero; outside it if there is none."""
    if low <= 0 <= high:
        return 0
    return ceil(low / step) * step if low > 0 else floor(high / step) * step


def _cannot(what: str) -> ModelError:
    return ModelError(f"TestModel cannot make up a value for {what}; use a FunctionModel")
