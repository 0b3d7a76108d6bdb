"""Partial outputs: prefixes of the output, whose closed parts never change."""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from agentkit import Agent, PartialOutput, RunEvent
from agentkit.events import JsonPath
from agentkit.models import ScriptedModel
from agentkit.output import OutputSpec
from agentkit.partial import PartialReader
from tests.agentkit.support import events_of
from tests.agentkit.typed_cases import cases, json_values

ANYTHING = OutputSpec.of(Any)


@dataclass
class Order:
    item: str
    count: int
    notes: list[str]


def is_prefix(part: Any, whole: Any) -> bool:
    """Whether `part` can grow into `whole`: text at its end, lists and objects at their last
    child and behind it."""
    match part, whole:
        case str(), str():
            return whole.startswith(part)
        case list(), list():
            return _children_are_prefix(part, whole[: len(part)])
        case dict(), dict():
            names = list(whole)[: len(part)]
            wholes = [whole[name] for name in names]
            return list(part) == names and _children_are_prefix(list(part.values()), wholes)
        case _:
            return type(part) is type(whole) and part == whole


def _children_are_prefix(part: list[Any], whole: list[Any]) -> bool:
    return len(part) == len(whole) and (
        not part or (part[:-1] == whole[:-1] and is_prefix(part[-1], whole[-1]))
    )


def at(value: Any, path: JsonPath) -> Any:
    for key in path:
        value = value[key]
    return value


def pieces_of(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(text) - 1, 1)), max_size=30)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def read(output: OutputSpec, pieces: list[str]) -> list[PartialOutput]:
    reader = PartialReader(0, output)
    told = [partial for piece in pieces for partial in reader.push(piece)]
    output.validate("".join(pieces))
    return [*told, *reader.finish("".join(pieces))]


def check(partials: list[PartialOutput], whole: Any) -> None:
    assert partials[-1] == PartialOutput(0, whole, None)
    for before, after in pairwise(partials):
        assert (before.value, before.open_path) != (after.value, after.open_path)
        assert is_prefix(before.value, after.value)
        assert before.closed <= after.closed
        for path in before.closed:
            assert at(before.value, path) == at(after.value, path)
    for partial in partials[:-1]:
        assert partial.open_path is not None
        at(partial.value, partial.open_path)  # the open place is there
        assert () not in partial.closed
        for length in range(len(partial.open_path) + 1):
            assert not partial.is_closed(partial.open_path[:length])


@given(st.data())
def test_any_json_in_any_pieces(data: st.DataObject) -> None:
    value = data.draw(json_values)
    text = json.dumps(
        value,
        ensure_ascii=data.draw(st.booleans()),
        indent=data.draw(st.sampled_from([None, 1])),
    )
    check(read(ANYTHING, pieces_of(text, data)), json.loads(text))


@given(st.data())
def test_whatever_the_type_the_last_is_the_output(data: st.DataObject) -> None:
    case = data.draw(cases)
    output = OutputSpec.of(case.type)
    text = json.dumps(data.draw(case.valid))
    partials = read(output, pieces_of(text, data))
    check(partials, json.loads(text))
    assert output.validate(json.dumps(partials[-1].value)) == output.validate(text)


def test_letter_by_letter() -> None:
    text = '{"item":"tea","count":12,"notes":["hot"]}'
    partials = read(OutputSpec.of(Order), list(text))
    shown = [(partial.value, partial.open_path) for partial in partials]
    assert ({"item": "te"}, ("item",)) in shown
    assert ({"item": "tea"}, ()) in shown
    assert ({"item": "tea", "count": 1}, ()) not in shown  # it might become 12, and does
    assert ({"item": "tea", "count": 12, "notes": ["ho"]}, ("notes", 0)) in shown
    closed = partials[-3].closed
    assert ("count",) in closed
    assert ("notes",) not in closed


class Even(BaseModel):
    number: int
    text: str = ""

    @field_validator("number")
    @classmethod
    def is_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number


@pytest.mark.parametrize(
    ("output_type", "text", "last"),
    [
        (Order, '{"item":5,"count":1,"notes":[]}', {}),  # of the wrong type
        (Order, '{"item":"a","price":5,"count":1,"notes":[]}', {"item": "a"}),  # not known
        (Even, '{"number":3,"text":"abc"}', {}),  # what a validator refuses
        (Order, 'Sure: {"item":"a"}', None),
        (Order, '{"item":"a","item":"b"}', {"item": "a"}),
        (Order, '{"item":"a",,', {"item": "a"}),
    ],
)
def test_it_falls_silent_at_what_cannot_be_final(output_type: Any, text: str, last: Any) -> None:
    reader = PartialReader(0, OutputSpec.of(output_type))
    told = [partial for letter in text for partial in reader.push(letter)]
    assert [partial.value for partial in told[-1:]] == ([] if last is None else [last])
    assert list(reader.finish(text)) == []


def test_a_model_that_tells_no_parts_tells_the_whole() -> None:
    reader = PartialReader(2, OutputSpec.of(Order))
    assert list(reader.finish('{"item":"a"}')) == [PartialOutput(2, {"item": "a"}, None)]


def partials_of(events: list[RunEvent]) -> list[PartialOutput]:
    return [event for event in events if isinstance(event, PartialOutput)]


@pytest.mark.anyio
async def test_partials_in_a_run() -> None:
    answer = '{"item":"tea","count":2,"notes":["hot","black"]}'
    with ScriptedModel(["no order", answer]) as model:
        events = await events_of(Agent(model, output_type=Order))
    partials = partials_of(events)
    assert len(partials) > 2
    assert {partial.index for partial in partials} == {1}
    assert partials[-1] == PartialOutput(1, json.loads(answer), None)


@pytest.mark.anyio
async def test_free_text_has_no_partials() -> None:
    with ScriptedModel(['{"a":1}']) as model:
        assert partials_of(await events_of(Agent(model))) == []
