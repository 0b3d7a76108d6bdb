"""Function calls of the Berkeley Function Calling Leaderboard, read from its package.

    pip install --no-deps bfcl-eval==2026.3.23      (Apache-2.0)

Only the data files are read; they are no part of this repository. The parameters are turned
into the JSON Schema of a call, {"name": ..., "arguments": {...}}. Texts and lists get an upper
length, so that an answer ends within its tokens in every contender.
"""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from benchmarks.workloads import Task
from decoding import Grammar

INSTALL = "pip install --no-deps bfcl-eval==2026.3.23"
_PACKAGE = "bfcl-eval"
_FILE = "bfcl_eval/data/BFCL_v4_{}.json"
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
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "any": "string"}
_LONGEST_TEXT, _LONGEST_LIST = 48, 4
_SYSTEM = (
    "Answer with one call of a function: a JSON object of its name and its arguments.\n"
    "These are the functions:\n"
)


def entries(wheel: Path | None) -> list[dict[str, Any]]:
    """The chosen entries in order. Raises `FileNotFoundError` where the data is not there."""
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(each.rsplit("_", 1)[0] for each in IDS):
        for line in _read(wheel, _FILE.format(kind)).splitlines():
            entry = json.loads(line)
            found[entry["id"]] = entry
    return [found[each] for each in IDS]


def _read(wheel: Path | None, name: str) -> str:
    if wheel is not None:
        with ZipFile(wheel) as archive:
            return archive.read(name).decode("utf-8")
    try:
        package = distribution(_PACKAGE)
    except PackageNotFoundError:
        raise FileNotFoundError(f"{_PACKAGE} is not installed; {INSTALL}") from None
    return Path(str(package.locate_file(name))).read_text(encoding="utf-8")


def task(entry: Mapping[str, Any]) -> tuple[Task, dict[str, Any]]:
    """The question, and the schema of the call that answers it."""
    [[message]] = entry["question"]
    calls = [call_schema(each["name"], each["parameters"]) for each in entry["function"]]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    system = _SYSTEM + "\n".join(json.dumps(each) for each in entry["function"])
    return Task(message["content"], system, Grammar.json_schema(schema)), schema


def call_schema(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": json_schema(parameters)},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def json_schema(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a parameter; descriptions and defaults stay in the prompt."""
    if "enum" in spec:
        return {"enum": list(spec["enum"])}
    kind = _TYPES.get(spec["type"], spec["type"])
    if kind == "object":
        properties = spec.get("properties", {})
        return {
            "type": "object",
            "properties": {key: json_schema(value) for key, value in properties.items()},
            "required": [key for key in properties if key in spec.get("required", ())],
            "additionalProperties": False,
        }
    if kind == "array":
        items = json_schema(spec.get("items", {"type": "string"}))
        return {"type": "array", "items": items, "minItems": 1, "maxItems": _LONGEST_LIST}
    return {"type": kind} | ({"maxLength": _LONGEST_TEXT} if kind == "string" else {})
