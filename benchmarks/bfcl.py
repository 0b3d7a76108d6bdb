"""Function calls of the Berkeley Function Calling Leaderboard, read from its package.

    pip install --no-deps bfcl-eval==2026.3.23      (Apache-2.0)

Only the data files are read; they are no part of this repository. Parameters are turned into
JSON Schema.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from zipfile import ZipFile

INSTALL = "pip install --no-deps bfcl-eval==2026.3.23"
PACKAGE = "bfcl-eval"
_QUESTIONS = "bfcl_eval/data/BFCL_v4_{}.json"
_ANSWERS = "bfcl_eval/data/possible_answer/BFCL_v4_{}.json"
_WITHOUT_ANSWERS = ("irrelevance",)
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "any": "string"}

Accepted = Mapping[str, Mapping[str, list[Any]]]
"""An expected call: its function's name, and for each parameter the values that are right. The
empty text among them says that the parameter may be left out."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the data describe it; `parameters` has the data's own type names."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    @property
    def spelled(self) -> str:
        """The description as it stands in the data."""
        fields = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return json.dumps(fields)


@dataclass(frozen=True, slots=True)
class Entry:
    """A question and the functions at hand. No accepted call means that none should be made."""

    id: str
    question: str
    functions: tuple[Function, ...]
    accepted: tuple[Accepted, ...]

    def function(self, name: str) -> Function:
        return next(each for each in self.functions if each.name == name)


def entries(category: str, wheel: Path | None) -> dict[str, Entry]:
    """All single-turn entries of a category, by id, in their order.

    They are read from `wheel`, else from the installed package. Raises `FileNotFoundError`
    where there is none.
    """
    answers: dict[str, list[Accepted]] = {}
    if category not in _WITHOUT_ANSWERS:
        answers = {
            each["id"]: each["ground_truth"] for each in _lines(wheel, _ANSWERS.format(category))
        }
    return {
        each["id"]: _entry(each, answers.get(each["id"], []))
        for each in _lines(wheel, _QUESTIONS.format(category))
    }


def _entry(line: Mapping[str, Any], accepted: list[Accepted]) -> Entry:
    [[message]] = line["question"]
    functions = (
        Function(each["name"], each["description"], each["parameters"]) for each in line["function"]
    )
    return Entry(line["id"], message["content"], tuple(functions), tuple(accepted))


def _lines(wheel: Path | None, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _read(wheel, name).splitlines()]


def _read(wheel: Path | None, name: str) -> str:
    if wheel is not None:
        with ZipFile(wheel) as archive:
            return archive.read(name).decode("utf-8")
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise FileNotFoundError(f"{PACKAGE} is not installed; {INSTALL}") from None
    return Path(str(package.locate_file(name))).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper lengths for a schema, so that an answer ends within its tokens; lists are not empty."""

    longest_text: int
    longest_list: int


def json_schema(
    spec: Mapping[str, Any], *, described: bool = False, limits: Limits | None = None
) -> dict[str, Any]:
    """The JSON Schema of a parameter. With `described` it keeps what is only told, not enforced."""
    kind = json_type(spec)
    if kind == "array":
        schema = _array(spec, described, limits)
    elif "enum" in spec:
        schema = {"enum": list(spec["enum"])} | ({"type": kind} if described else {})
    elif kind == "object" and "properties" in spec:
        schema = _object(spec, described, limits)
    elif kind == "string" and limits is not None:
        schema = {"type": kind, "maxLength": limits.longest_text}
    else:
        schema = {"type": kind}
    told = ("description", "default") if described else ()
    return schema | {key: spec[key] for key in told if key in spec}


def json_type(spec: Mapping[str, Any]) -> str:
    """The type of a parameter as JSON Schema names it."""
    return _TYPES.get(spec["type"], str(spec["type"]))


def _object(spec: Mapping[str, Any], described: bool, limits: Limits | None) -> dict[str, Any]:
    properties: Mapping[str, Any] = spec["properties"]
    return {
        "type": "object",
        "properties": {
            key: json_schema(value, described=described, limits=limits)
            for key, value in properties.items()
        },
        "required": [key for key in properties if key in spec.get("required", ())],
        "additionalProperties": False,
    }


def _array(spec: Mapping[str, Any], described: bool, limits: Limits | None) -> dict[str, Any]:
    items = json_schema(spec.get("items", {"type": "string"}), described=described, limits=limits)
    bounds = {} if limits is None else {"minItems": 1, "maxItems": limits.longest_list}
    return {"type": "array", "items": items} | bounds
