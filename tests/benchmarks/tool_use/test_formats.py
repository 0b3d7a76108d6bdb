"""The forms: which questions they get, prompts that hold what they must, and valid calls."""

import json
from itertools import pairwise

import jsonschema
import pytest

from agentkit.models import LocalModel
from benchmarks.bfcl import Entry, Function, json_schema
from benchmarks.tool_use.__main__ import HEADER, is_valid, line, measure
from benchmarks.tool_use.checker import check
from benchmarks.tool_use.formats import FORMATS, Answer, Asked, Cost, Dialect, Written
from benchmarks.tool_use.parts import Part, chosen, thinned
from benchmarks.tool_use.worked import EXAMPLES
from decoding import AsyncEngine, Engine
from decoding.testing import ScriptedNetwork
from tests.decoding.tiny import byte_tokenizer

FUNCTIONS = tuple(
    Function(
        name,
        f"{name} something.",
        {
            "type": "dict",
            "properties": {
                "what": {"type": "string", "enum": ["cup", "pan"], "description": "The thing."},
                "count": {"type": "integer"},
            },
            "required": ["what"],
        },
    )
    for name in ("kitchen.wash", "kitchen.break")
)
ENTRY = Entry(
    "t_0", "Wash a cup.", FUNCTIONS, ({"kitchen.wash": {"what": ["cup"], "count": [1, ""]}},)
)


@pytest.mark.parametrize("count", [1, 7, 50])
@pytest.mark.parametrize("size", [100, 131, 240])
def test_parts_are_spread_and_apart(count: int, size: int) -> None:
    entries = [Entry(str(number), "", (), ()) for number in range(size)]
    reported, developed = ([int(each.id) for each in chosen(entries, count, part)] for part in Part)
    assert len(set(reported)) == len(set(developed)) == count
    assert not set(reported) & set(developed)
    steps = [later - earlier for earlier, later in pairwise(reported)]
    assert not steps or max(steps) - min(steps) <= 1
    few = thinned(chosen(entries, count, Part.REPORTED), 5)
    assert len(few) == min(5, count)
    assert {int(each.id) for each in few} <= set(reported)


def test_too_few_entries_for_two_parts() -> None:
    with pytest.raises(ValueError, match="two parts of 2 entries"):
        chosen([ENTRY] * 3, 2, Part.REPORTED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.question)
def test_worked_examples_are_right(example: Entry) -> None:
    [[(name, accepted)]] = [each.items() for each in example.accepted]
    arguments = {key: values[0] for key, values in accepted.items()}
    answer = Answer(((name, json.dumps(arguments)),), Cost())
    assert is_valid(example, answer)
    assert check(example, answer.parsed()).arguments
    jsonschema.validate(arguments, json_schema(example.function(name).parameters))


def test_prompts_hold_the_question_and_all_functions() -> None:
    for form in FORMATS.values():
        if isinstance(form, Written):
            text = "\n".join(turn["content"] for turn in form.chat(ENTRY))
            assert text.count(ENTRY.question) == 1 + form.repeated
            for function in FUNCTIONS:
                assert function.name in text
                assert function.description in text


def test_what_is_no_valid_answer() -> None:
    def valid(name: str, arguments: str) -> bool:
        return is_valid(ENTRY, Answer(((name, arguments),), Cost()))

    assert valid("kitchen.wash", '{"what": "cup"}')
    assert not valid("kitchen.wash", '{"what": "cup"')
    assert not valid("kitchen.wash", '{"what": "mug"}')
    assert not valid("kitchen.dry", '{"what": "cup"}')


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "name", [name for name in FORMATS if FORMATS[name] != Dialect(may_answer=True)]
)
async def test_whatever_the_weights_calls_are_valid(name: str) -> None:
    def make() -> Engine:
        network = ScriptedNetwork(288, seed=3, max_positions=6000)
        return Engine(network, byte_tokenizer(), cache_tokens=16384)

    engine = AsyncEngine(make)
    async with engine:
        models = (LocalModel("scripted", engine=engine, spaced_json=each) for each in (False, True))
        asked = Asked(engine, *models)
        result = await measure(name, FORMATS[name], "simple", [ENTRY], asked)
    assert (result.questions, result.valid) == (1, 1)
    assert result.arguments <= result.names <= 1
    assert result.prompt_tokens > result.cached_tokens
    assert result.forwards > 0
    assert len(line(result)) == len(HEADER)
