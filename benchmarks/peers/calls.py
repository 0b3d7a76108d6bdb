"""Tool calls to compare engines by: questions of BFCL, one function or several at hand.

Texts and lists get an upper length, so that an answer ends within its tokens in every contender.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import bfcl
from benchmarks.bfcl import Entry, Limits
from benchmarks.workloads import Task
from decoding import Grammar

# Parameters of texts, whole numbers, truth values and lists of them, with one function or several.
IDS: tuple[str, ...] = tuple(
    f"{kind}_{number}"
    for pair in zip(
        (10, 45, 80, 98, 125, 163, 195, 211, 249, 267, 305, 340),
        (3, 18, 31, 42, 54, 62, 73, 79, 91, 112, 144, 171),
        strict=True,
    )
    for kind, number in zip(("simple_python", "multiple"), pair, strict=True)
)
LIMITS = Limits(longest_text=48, longest_list=4)
_SYSTEM = (
    "Answer with one call of a function: a JSON object of its name and its arguments.\n"
    "These are the functions:\n"
)


def entries(wheel: Path | None) -> list[Entry]:
    """The chosen entries in order. Raises `FileNotFoundError` where the data is not there."""
    found: dict[str, Entry] = {}
    for category in dict.fromkeys(each.rsplit("_", 1)[0] for each in IDS):
        found |= bfcl.entries(category, wheel)
    return [found[each] for each in IDS]


def task(entry: Entry) -> tuple[Task, dict[str, Any]]:
    """The question, and the schema of the call that answers it."""
    calls = [_call_schema(each.name, each.parameters) for each in entry.functions]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    system = _SYSTEM + "\n".join(each.spelled for each in entry.functions)
    return Task(entry.question, system, Grammar.json_schema(schema)), schema


def _call_schema(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    arguments = bfcl.json_schema(parameters, limits=LIMITS)
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
