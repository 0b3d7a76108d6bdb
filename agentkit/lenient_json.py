"""Values of any kind, for those who only look on."""

import json
from typing import Any

from pydantic_core import to_jsonable_python

from agentkit.unicode import as_unicode


def lenient_json(value: Any) -> Any:
    """`value` in the form of JSON; as its `str` what has none, as bytes that are no text."""
    try:
        return to_jsonable_python(value, fallback=str)
    except ValueError:
        return str(value)


def lenient_text(value: Any) -> str:
    """`lenient_json` of `value` as text."""
    return as_unicode(json.dumps(lenient_json(value), ensure_ascii=False, separators=(",", ":")))
