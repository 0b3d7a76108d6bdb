"""Random types together with JSON that fits them and the Python value it becomes."""

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Case:
    """`valid` draws JSON values for `type`; `arrived` tells whether a value is the Python form
    of such JSON."""

    type: Any
    valid: st.SearchStrategy[Any]
    arrived: Callable[[Any], bool]


# Integral floats are left out everywhere: JSON Schema counts 1.0 as an integer, we do not.
numbers = st.integers(-(10**6), 10**6)
fractions = st.floats(-1e6, 1e6).filter(lambda x: not x.is_integer())
words = st.text(max_size=6)
keys = st.sampled_from(["a", "b", "c", "title", "properties", "$ref", "default"])
json_values = st.recursive(
    st.none() | st.booleans() | numbers | fractions | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)

LEAVES = [
    Case(int, numbers, lambda v: type(v) is int),
    Case(float, numbers | fractions, lambda v: type(v) is float),
    Case(str, words, lambda v: type(v) is str),
    Case(bool, st.booleans(), lambda v: type(v) is bool),
    Case(None, st.none(), lambda v: v is None),
    Case(Literal["x", "y"], st.sampled_from(["x", "y"]), lambda v: v in ("x", "y")),
    Case(Colour, st.sampled_from(["red", "blue"]), lambda v: isinstance(v, Colour)),
    Case(Annotated[int, Field(ge=0, lt=5)], st.integers(0, 4), lambda v: 0 <= v < 5),
    Case(Annotated[str, Field(max_length=2)], st.text(max_size=2), lambda v: len(v) <= 2),
]


def _list(item: Case) -> Case:
    def arrived(value: Any) -> bool:
        return type(value) is list and all(map(item.arrived, value))

    return Case(list[item.type], st.lists(item.valid, max_size=3), arrived)


def _set(_: Case) -> Case:
    return Case(set[int], st.lists(numbers, max_size=4), lambda v: type(v) is set)


def _dict(item: Case) -> Case:
    def arrived(value: Any) -> bool:
        return type(value) is dict and all(map(item.arrived, value.values()))

    return Case(dict[str, item.type], st.dictionaries(keys, item.valid, max_size=3), arrived)


def _pair(item: Case) -> Case:
    def arrived(value: Any) -> bool:
        return type(value) is tuple and item.arrived(value[0]) and type(value[1]) is str

    return Case(tuple[item.type, str], st.tuples(item.valid, words).map(list), arrived)


def _optional(item: Case) -> Case:
    def arrived(value: Any) -> bool:
        return value is None or item.arrived(value)

    return Case(item.type | None if item.type else None, item.valid | st.none(), arrived)


def _record(make: Callable[[Any], Any], get: Callable[[Any, str], Any]) -> Callable[[Case], Case]:
    """A type with a required field `a` and an optional text `b`."""

    def build(item: Case) -> Case:
        record = make(item.type)

        def arrived(value: Any) -> bool:
            return item.arrived(get(value, "a")) and isinstance(get(value, "b"), str)

        valid = st.fixed_dictionaries({"a": item.valid}, optional={"b": words})
        return Case(record, valid, arrived)

    return build


def _dataclass(item: Any) -> Any:
    fields = [("a", item), ("b", str, dataclasses.field(default="x"))]
    return dataclasses.make_dataclass("Data", fields)


def _model(item: Any) -> Any:
    return create_model("Model", a=(item, ...), b=(str, "x"))


def _typed_dict(item: Any) -> Any:
    return TypedDict("Typed", {"a": item, "b": NotRequired[str]})  # type: ignore[misc]


COMPOUNDS = [
    _list,
    _set,
    _dict,
    _pair,
    _optional,
    _record(_dataclass, getattr),
    _record(_model, getattr),
    _record(_typed_dict, lambda value, key: value.get(key, "")),
]

cases: st.SearchStrategy[Case] = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.builds(lambda make, item: make(item), st.sampled_from(COMPOUNDS), inner),
    max_leaves=4,
)


class Tree(BaseModel):
    """A recursive model."""

    value: int
    children: list["Tree"] = []
