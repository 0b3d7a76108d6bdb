"""The workloads: distinct prompts, growing conversations, schemas of BFCL's parameters."""

import json
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import jsonschema
import pytest

from benchmarks import bfcl
from benchmarks.peers import calls
from benchmarks.peers.agents import TOOLS, TURNS, Case, conversation
from benchmarks.peers.tasks import Amount, Workload, workloads
from benchmarks.workloads import MORE, WORKLOADS
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
SPEC = {
    "type": "dict",
    "properties": {
        "place": {"type": "string", "description": "where"},
        "days": {"type": "array", "items": {"type": "integer"}},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "exact": {"type": "float", "default": 0.5},
    },
    "required": ["place"],
}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Workload]:
    monkeypatch.setattr(bfcl, "PACKAGE", "a-package-that-is-not-there")
    return workloads(TOKENIZER, Amount(agents=3))


def test_each_prompt_of_a_conversation_begins_with_the_one_before() -> None:
    asks = conversation(Case(7), TURNS, TOKENIZER)
    assert len(asks) == TURNS
    for before, after in pairwise(asks):
        assert after.prompt[: len(before.prompt)] == before.prompt
        assert len(after.prompt) > len(before.prompt)
    assert [ask.schema is None for ask in asks] == [False] * (TURNS - 1) + [True]


def test_the_scripted_calls_are_valid_under_the_schemas_of_their_turns() -> None:
    for number in range(0, 2000, 37):
        for name, arguments, _ in Case(number).script():
            jsonschema.validate(arguments, TOOLS[name])


def test_cases_differ() -> None:
    assert len({Case(number).question() for number in range(60)}) == 60


def test_no_round_repeats_a_prompt(found: dict[str, Workload]) -> None:
    for workload in found.values():
        prompts = [
            asks[0].prompt for number in range(9) for job in workload.jobs(number) for asks in job
        ]
        assert len(set(prompts)) == len(prompts)


def test_the_rounds_of_the_default_run_ask_every_free_question_once() -> None:
    for name in MORE:
        questions = [task.question for task in (*WORKLOADS[name], *MORE[name])]
        assert len(set(questions)) == len(questions) == 12


def test_only_free_text_is_compared_by_tokens(found: dict[str, Workload]) -> None:
    assert {name: each.unit for name, each in found.items()} == {
        "tool_json": "tasks",
        "code": "tokens",
        "prose": "tokens",
        "agent_conversation": "tasks",
        "concurrent_agents": "tasks",
    }
    assert {len(job) for job in found["concurrent_agents"].jobs(0)} == {3}


def test_without_bfcl_our_own_tool_tasks_stand_in(found: dict[str, Workload]) -> None:
    assert "pip install --no-deps bfcl-eval" in found["tool_json"].source
    schemas = [job[0][0].schema for job in found["tool_json"].jobs(0)]
    assert len(schemas) == 4
    assert None not in schemas


def test_a_parameter_becomes_a_schema() -> None:
    schema = bfcl.json_schema(SPEC, limits=calls.LIMITS)
    assert schema == {
        "type": "object",
        "properties": {
            "place": {"type": "string", "maxLength": 48},
            "days": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 4},
            "unit": {"enum": ["C", "F"]},
            "exact": {"type": "number"},
        },
        "required": ["place"],
        "additionalProperties": False,
    }


def test_entries_are_read_from_a_wheel_in_their_fixed_order(tmp_path: Path) -> None:
    wheel = tmp_path / "bfcl.whl"
    function = {"name": "weather.get", "description": "", "parameters": SPEC}
    with ZipFile(wheel, "w") as archive:
        for kind in ("simple_python", "multiple"):
            lines = [
                json.dumps(
                    {
                        "id": each,
                        "question": [[{"role": "user", "content": f"asks {each}"}]],
                        "function": [function] * (1 if kind == "simple_python" else 2),
                    }
                )
                for each in reversed(calls.IDS)
                if each.startswith(kind)
            ]
            archive.writestr(f"bfcl_eval/data/BFCL_v4_{kind}.json", "\n".join(lines))
            archive.writestr(f"bfcl_eval/data/possible_answer/BFCL_v4_{kind}.json", "")
    entries = calls.entries(wheel)
    assert tuple(entry.id for entry in entries) == calls.IDS
    task, schema = calls.task(entries[1])
    assert task.question == f"asks {calls.IDS[1]}"
    assert len(schema["anyOf"]) == 2
    call = '{"name":"weather.get","arguments":{"place":"Oslo","unit":"C"}}'
    assert task.grammar is not None
    assert task.grammar.accepts(call, TOKENIZER)
    jsonschema.validate(json.loads(call), schema)
    assert not task.grammar.accepts(call.replace("weather.get", "weather"), TOKENIZER)
