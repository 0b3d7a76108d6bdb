"""Output types: a schema for the model, and the check that its answer fits."""

import enum
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator
from typing_extensions import TypedDict

from agentkit.errors import AgentError, ModelRetry, OutputTypeError
from agentkit.models.base import OutputFormat
from agentkit.output import OutputSpec
from tests.agentkit.typed_cases import Case, Tree, cases


class City(BaseModel):
    name: str
    people: int


@dataclass
class Point:
    x: float


class Movie(TypedDict):
    title: str


class Size(enum.Enum):
    SMALL = "s"


class Even(BaseModel):
    n: int

    @model_validator(mode="after")
    def _even(self) -> "Even":
        if self.n % 2:
            raise ValueError("n must be even")
        return self


@pytest.mark.parametrize("text", ["", "any text", '"quoted"', "\x00"])
def test_str_is_free_text(text: str) -> None:
    spec = OutputSpec.of(str)
    assert spec.format == OutputFormat(str, None)
    assert spec.format.is_text
    assert spec.validate(text) == text


@pytest.mark.parametrize(
    ("output_type", "text", "value"),
    [
        (City, '{"name": "Ulm", "people": 3}', City(name="Ulm", people=3)),
        (Point, '{"x": 1}', Point(1.0)),
        (Movie, ' {"title": "M"} ', {"title": "M"}),
        (City | Point, '{"x": 1}', Point(1.0)),
        (int | str, '"a"', "a"),
        (Literal["a", "b"], '"b"', "b"),
        (Size, '"s"', Size.SMALL),
        (int, "3", 3),
        (float, "3", 3.0),
        (bool, "true", True),
        (list[int], "[1]", [1]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (None, "null", None),
        (Annotated[str, Field(max_length=3)], '"abc"', "abc"),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (Any, "[null]", [None]),
    ],
)
def test_other_types_are_json(output_type: Any, text: str, value: Any) -> None:
    spec = OutputSpec.of(output_type)
    assert spec.format.python_type == output_type
    assert spec.format.json_schema is not None
    jsonschema.validate(json.loads(text), spec.format.json_schema)
    validated = spec.validate(text)
    assert validated == value
    assert type(validated) is type(value)


def test_schemas_are_closed_and_clean() -> None:
    assert OutputSpec.of(City).format.json_schema == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["name", "people"],
        "additionalProperties": False,
    }
    assert OutputSpec.of(Tree).format.json_schema["$ref"] == "#/$defs/Tree"  # type: ignore[index]


@pytest.mark.parametrize(
    ("output_type", "text", "words"),
    [
        (City, "", ["answer: not JSON"]),
        (City, "The city is Ulm.", ["not JSON"]),
        (City, '```json\n{"name": "Ulm", "people": 3}\n```', ["code fence"]),
        (City, '{"name": "Ulm"}', ["people: missing"]),
        (City, '{"name": "Ulm", "people": 3, "sea": false}', ["sea: not known"]),
        (City, '{"name": 1, "people": "3"}', ["name", "people"]),
        (int, '"3"', ["the value", "integer"]),
        (int, "true", ["integer"]),
        (float, "NaN", ["not JSON"]),
        (City | Point, "{}", ["name: missing", "people: missing", "x: missing"]),
        (Even, '{"n": 3}', ["n must be even"]),
        (str | None, "plain words", ["not JSON"]),
        (Tree, '{"value": 1, "children": [{}]}', ["children[0].value: missing"]),
    ],
)
def test_what_does_not_fit_is_told(output_type: Any, text: str, words: list[str]) -> None:
    with pytest.raises(ModelRetry) as caught:
        OutputSpec.of(output_type).validate(text)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "output_type",
    [
        logging.Logger,
        Callable[[], int],
        3,
        "Missing",
        list[logging.Logger],
        ...,
        Iterable[int],
        Iterable[int] | None,
    ],
)
def test_types_without_a_schema_are_refused(output_type: Any) -> None:
    with pytest.raises(OutputTypeError, match="has no JSON Schema") as caught:
        OutputSpec.of(output_type)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, AgentError)


@given(cases, st.data())
def test_valid_json_becomes_the_python_value(case: Case, data: st.DataObject) -> None:
    if case.type is str:
        return
    spec = OutputSpec.of(case.type)
    value = data.draw(case.valid)
    jsonschema.validate(value, spec.format.json_schema or {})
    assert case.arrived(spec.validate(json.dumps(value)))


@given(cases, st.text())
def test_any_text_gives_a_value_or_a_retry(case: Case, text: str) -> None:
    spec = OutputSpec.of(case.type)
    try:
        value = spec.validate(text)
    except ModelRetry:
        return
    assert case.arrived(value)
