"""What a tool returned, as the text a model reads."""

from typing import Any

from pydantic_core import to_json

from agentkit.errors import ToolResultError


def capped(text: str, max_chars: int | None) -> str:
    """`text`, or where it is longer than `max_chars` its start and its end, with a line between
    them that says how much was left out."""
    if max_chars is None or len(text) <= max_chars:
        return text
    end = max_chars // 4
    start = max_chars - end
    marker = f"\n[{len(text) - max_chars} of {len(text)} characters were left out here]\n"
    return text[:start] + marker + text[len(text) - end :]


def result_text(tool: str, value: Any) -> str:
    """A string as it is; anything else as compact JSON, non-ASCII characters kept.

    Dataclasses, pydantic models, dates, decimals, enums, sets, tuples and UTF-8 bytes have
    their usual JSON form. NaN and the infinities, which JSON lacks, become the strings "NaN",
    "Infinity" and "-Infinity". Raises `ToolResultError` for everything without a JSON form,
    cyclic values and text that is not Unicode included.
    """
    try:
        if isinstance(value, str):
            value.encode()
            return value
        return to_json(value, inf_nan_mode="strings").decode()
    except Exception as error:
        raise ToolResultError(tool, value, str(error)) from error
