"""Contenders that cost nothing, on a clock of their own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.peers.base import Answer, Ask, Conversation, Model, Serial, Setting


@dataclass
class Clock:
    """Time passes only where a contender says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakePeer(Serial):
    """Writes `text` under a schema, and takes so many seconds for an answer."""

    name: str
    clock: Clock
    seconds: float = 1.0
    text: str = json.dumps({"a": 1})
    family: str = "fake"
    has_grammar: bool = True
    is_for_schemas_only: bool = False
    reason: str = ""
    fails: Exception | None = None
    miscounts: int = 0
    asked: list[Ask] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    is_open: bool = False

    def missing(self) -> str:
        return self.reason

    def open(self, model: Model, setting: Setting) -> None:
        self.is_open = True

    def generate(self, ask: Ask) -> Answer:
        if self.fails is not None:
            raise self.fails
        self.calls.append("generate")
        self.asked.append(ask)
        self.clock.now += self.seconds
        text = "x" * ask.max_tokens if ask.schema is None else self.text
        tokens = ask.max_tokens if ask.schema is None else len(text)
        return Answer(text, tokens, len(ask.prompt) + self.miscounts)

    def converse(self, asks: Conversation) -> list[Answer]:
        self.calls.append("converse")
        return super().converse(asks)

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        self.calls.append("concurrent")
        return super().concurrent(conversations)

    def close(self) -> None:
        self.is_open = False
