"""What a contender is asked, what it answers, and what it must offer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from decoding import Tokenizer

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """One answer, decoded greedily.

    With a `schema` the answer is JSON under it and ends where that ends, or is cut off after
    `max_tokens`. Without one it has exactly `max_tokens` tokens: end tokens do not end it.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    schema: Schema | None = None


Conversation = tuple[Ask, ...]
"""Asks of one agent. Each is asked after the one before is answered, and its prompt begins with
that one's; what stands behind is scripted, so that all contenders read the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`tokens` are those decoded, an end token included; `prompt_tokens` those of the prompt as
    the contender counts them."""

    text: str
    tokens: int
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Model:
    """The weights in each of their forms. `directory` holds those of `gguf`, dequantised; `name`
    is what our engine loads, so that an embedded model comes with its drafters."""

    name: str
    directory: Path
    gguf: Path | None
    tokenizer: Tokenizer
    cache: Path


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for every contender. `room` are the tokens of a whole conversation."""

    threads: int
    agents: int
    room: int


class Peer(Protocol):
    """A contender. `open` comes first; every other method may be called any number of times.

    `family` is what it is selected and compared by. One thread at a time.
    """

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def has_grammar(self) -> bool:
        """Whether it can answer under a schema."""
        ...

    @property
    def is_for_schemas_only(self) -> bool:
        """Whether it is the same as another contender where there is no schema."""
        ...

    def missing(self) -> str:
        """Why it cannot be measured here and what to install; empty where it can."""
        ...

    def open(self, model: Model, setting: Setting) -> None:
        """Loads the weights. Slow work may be kept in the model's cache directory."""
        ...

    def generate(self, ask: Ask) -> Answer: ...

    def converse(self, asks: Conversation) -> list[Answer]:
        """Answers one after another, re-using what is encoded where it can."""
        ...

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        """All conversations at once where it can, else one after another."""
        ...

    def close(self) -> None: ...


class Serial:
    """For contenders that answer one request at a time and re-use prefixes by themselves."""

    def generate(self, ask: Ask) -> Answer:
        raise NotImplementedError

    def converse(self, asks: Conversation) -> list[Answer]:
        return [self.generate(ask) for ask in asks]

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        return [self.converse(asks) for asks in conversations]


def not_installed(packages: Mapping[str, str], install: str) -> str:
    """Names the packages, by module, that are not there, and the command that brings them."""
    absent = [package for module, package in packages.items() if find_spec(module) is None]
    return f"{', '.join(absent)} not installed; {install}" if absent else ""


def fingerprint(weights: Path) -> str:
    """Names a file, or a directory's files, as they are now: what is made of other weights, or of
    these before a change, is kept under another name."""
    place = weights.resolve()
    files = sorted(filter(Path.is_file, place.iterdir())) if place.is_dir() else [place]
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr((str(place), states)).encode()).hexdigest()[:12]


def compact(schema: Schema) -> dict[str, Any]:
    """The schema for those that use llguidance inside, told to leave whitespace out: it spares
    them tokens."""
    return {**schema, "x-guidance": {"whitespace_flexible": False}}
