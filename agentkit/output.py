"""What a run's final answer must be, and the check that it is."""

import json
from dataclasses import dataclass, field
from typing import Any, Generic

from typing_extensions import TypeVar

from agentkit.errors import OutputTypeError
from agentkit.events import JsonPath
from agentkit.json_type import JsonType
from agentkit.models.base import OutputFormat
from agentkit.schema import first_line

T = TypeVar("T", default=Any)


@dataclass(frozen=True, slots=True, eq=False)
class OutputSpec(Generic[T]):
    """An output type, compiled. Immutable; shareable by any number of runs.

    Exactly `str` is free text, taken as it is. Every other type is JSON under
    `format.json_schema`: pydantic models, dataclasses, TypedDicts, enums, literals, numbers,
    lists, dicts, None, and unions of them. A `str` inside a union is a JSON string, in quotes;
    so is a constrained one such as `Annotated[str, Field(max_length=80)]`.
    """

    format: OutputFormat
    _type: JsonType[T] | None = field(repr=False)

    @classmethod
    def of(cls, output_type: Any) -> "OutputSpec[Any]":
        """Raises `OutputTypeError`, a `TypeError`, for a type without a JSON Schema."""
        if output_type is str:
            return cls(OutputFormat(), None)
        try:
            json_type = JsonType.of(output_type)
        except Exception as error:
            raise OutputTypeError(output_type, first_line(error)) from error
        return cls(OutputFormat(output_type, json_type.schema), json_type)

    def validate(self, text: str) -> T | str:
        """The output that a model's `text` stands for. Raises `ModelRetry` saying what to
        mend."""
        return text if self._type is None else self._type.validate(text, "answer")

    def check_closed(self, value: Any, open_path: JsonPath) -> None:
        """Raises `ValueError` where something in the JSON value `value` that is not on the way
        to `open_path`, and so will not change, cannot be part of an output."""
        if self._type is not None:
            self._type.check_closed(value, open_path)

    def written(self, output: Any) -> str:
        """The text that stands for `output`."""
        if self._type is None:
            return str(output)
        return json.dumps(self._type.dump(output), ensure_ascii=False, separators=(",", ":"))
