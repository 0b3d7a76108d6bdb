"""A Python type as seen from JSON text: its schema, and the way in."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from agentkit.errors import ModelRetry
from agentkit.json_schema import is_open, json_schema

T = TypeVar("T")

_MAX_PROBLEMS = 8
_MAX_SHOWN = 60
_MAX_MESSAGE = 200  # pydantic's list all values that are allowed


@dataclass(frozen=True, slots=True, eq=False)
class JsonType(Generic[T]):
    """JSON on the one side, values of a Python type on the other. Immutable, shareable.

    Validation is strict: "5" is not a number and 1 is not a truth value, just as the schema
    says; text stays the natural form of dates, enums, decimals and the like. Fields that the
    schema does not name are refused, in nested objects too, unless some nested model asks for
    extra fields: then each nested model keeps its own rule.
    """

    schema: dict[str, Any]
    _adapter: TypeAdapter[T] = field(repr=False)
    _extra: Literal["forbid"] | None = field(repr=False)

    @classmethod
    def of(cls, python_type: Any) -> "JsonType[Any]":
        """Raises whatever pydantic raises for a type without a JSON form."""
        adapter: TypeAdapter[Any] = TypeAdapter(python_type)
        schema = json_schema(adapter)
        return cls(schema, adapter, None if is_open(schema) else "forbid")

    def validate(self, text: str, subject: str) -> T:
        """The value `text` stands for. Raises `ModelRetry` saying what to mend, with `subject`
        for the name of the whole."""
        parse_json(text, subject)
        try:
            return self._adapter.validate_json(text, strict=True, extra=self._extra)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            value = from_json(text)
            raise refusal(subject, (_problem(detail, value) for detail in details)) from error

    def check_closed(self, value: Any, open_path: tuple[str | int, ...]) -> None:
        """Raises `ValueError` for something wrong in `value`, a JSON value that is not yet
        whole, that is not on the way to `open_path`. What is wrong in one branch of a union
        only is let pass, and so is what a validator of the developer's trips over."""
        try:
            self._adapter.validate_json(to_json(value), strict=True, extra=self._extra)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                path = tuple(_steps(detail, value))
                place = path[:-1] if detail["type"].startswith("missing") else path
                if path == detail["loc"] and open_path[: len(place)] != place:
                    raise ValueError(_problem(detail, value)) from error
        except Exception:  # noqa: BLE001 - it was made for whole values, and will see one
            return

    def accepts(self, value: Any) -> bool:
        """Whether a Python value, written as JSON, would be taken back."""
        return any(self._takes_back(value, by_alias) for by_alias in (True, False))

    def dump(self, value: Any) -> Any:
        """A Python value as the JSON value (dicts, lists, strings, numbers) that `validate` takes
        back: by aliases if it can, else by the names of fields, and without what is computed."""
        return self._adapter.dump_python(
            value,
            mode="json",
            by_alias=self._takes_back(value, by_alias=True),
            round_trip=True,
            warnings=False,
        )

    def _takes_back(self, value: Any, by_alias: bool) -> bool:
        try:
            text = self._adapter.dump_json(
                value, by_alias=by_alias, round_trip=True, warnings=False
            )
            self._adapter.validate_json(text, strict=True, extra=self._extra)
        except Exception:  # noqa: BLE001 - a validator of the developer's may raise anything
            return False
        return True


def parse_json(text: str, subject: str) -> Any:
    """The JSON value in `text`, where NaN and numbers too large for a float are not JSON.

    Raises `ModelRetry` for anything else, whatever the text.
    """
    try:
        value = from_json(text.encode(), allow_inf_nan=False)
    except UnicodeEncodeError as error:
        raise ModelRetry(f"{subject}: not JSON: it holds half a surrogate pair") from error
    except ValueError as error:
        hint = "; write JSON alone, without a code fence" if "```" in text else ""
        raise ModelRetry(f"{subject}: not JSON: {error}{hint}") from error
    if _overflows(value):
        raise ModelRetry(f"{subject}: it holds a number too large for a double")
    return value


def refusal(subject: str, problems: Iterable[str]) -> ModelRetry:
    """What to tell the model: one line for each distinct problem."""
    lines = list(dict.fromkeys(problems))
    shown = [f"- {line}" for line in lines[:_MAX_PROBLEMS]]
    if len(lines) > _MAX_PROBLEMS:
        shown.append(f"- and {len(lines) - _MAX_PROBLEMS} more")
    return ModelRetry("\n".join([f"{subject}: not valid, mend this:", *shown]))


def show(value: Any) -> str:
    """A JSON value, cut to a readable length."""
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str, length: int = _MAX_SHOWN) -> str:
    return text if len(text) <= length else text[:length] + "..."


def show_path(parts: Iterable[str | int]) -> str:
    """`order.items[0].price`; "the value" for the whole."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".") or "the value"


def _problem(detail: ErrorDetails, value: Any) -> str:
    path = show_path(_steps(detail, value))
    match detail["type"]:
        case "missing" | "missing_argument":
            return f"{path}: missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{path}: not known here, leave it out"
        case _:
            return f"{path}: {_cut(detail['msg'], _MAX_MESSAGE)}, got {show(detail['input'])}"


def _steps(detail: ErrorDetails, value: Any) -> Iterator[str | int]:
    """The part of the location that is a path into `value`; pydantic also lists the branches
    of unions, which mean nothing to a model."""
    is_missing = detail["type"].startswith("missing")
    last = len(detail["loc"]) - 1
    for index, part in enumerate(detail["loc"]):
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif not (is_missing and index == last):
            continue
        yield part


def _overflows(value: Any) -> bool:
    match value:
        case float():
            return math.isinf(value)
        case list():
            return any(map(_overflows, value))
        case dict():
            return any(map(_overflows, value.values()))
        case _:
            return False
