"""Reads the JSON files that lie beside a checkpoint's weights."""

import json
from pathlib import Path
from typing import Any

from decoding.errors import WeightsError

_CHECKPOINT = "give a directory as transformers' save_pretrained writes it"


def read_json_object(path: Path, advice: str = _CHECKPOINT) -> dict[str, Any]:
    """The object in the file. Raises `WeightsError` if there is none to be read.

    `advice` says what to do where there is no file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path.name} is missing; {advice}", path) from None
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be read ({error.strerror})", path) from error
    except ValueError as error:
        raise WeightsError(
            f"{path.name} is not valid JSON ({error}); fetch the file again", path
        ) from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path.name} must hold a JSON object", path)
    return content
