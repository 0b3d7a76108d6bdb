"""What a model is asked, to learn from its own answers."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from decoding.grammar import Grammar

_LONGEST_TEXT = 2_000  # characters of a question; longer ones are mostly pasted material


class Kind(Enum):
    """What an answer is made of; drafts are judged by kind."""

    PROSE = "prose"
    CODE = "code"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Task:
    """One question to the model.

    `messages` are (role, text) pairs. `source` is where it comes from: what is held out is held
    out by source, never by row. `grammar` constrains the answer.
    """

    messages: tuple[tuple[str, str], ...]
    source: str
    kind: Kind
    grammar: Grammar | None = None

    @property
    def chat(self) -> list[dict[str, str]]:
        return [{"role": role, "content": text} for role, text in self.messages]


def read_instructions(file: Path, source: str, kind: Kind) -> Iterator[Task]:
    """The tasks of a JSON Lines file, perhaps gzipped: `{"instruction": ..., "input": ...}`.

    Raises `ValueError` naming the line where one is not of that form.
    """
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            text = _text(line, f"{file.name}, line {number}")
            if text and len(text) <= _LONGEST_TEXT:
                yield Task((("user", text),), source, kind)


def seed_of(seed: int, number: int) -> int:
    """The seed of the request of that number. Those of another `seed` have none of it."""
    return (seed * 1_000_003 + number) % (1 << 64)


def _text(line: str, place: str) -> str:
    try:
        values = json.loads(line)
        parts = [values["instruction"].strip(), (values.get("input") or "").strip()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{place}: a task is an object such as {{"instruction": "...", "input": "..."}}'
        ) from error
    return "\n\n".join(part for part in parts if part)
