"""Our decoder, one contender for each mode, over weights that are loaded once."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.base import Answer, Ask, Conversation, Model, Setting
from decoding import (
    Auto,
    Autoregressive,
    Completion,
    DecodeMode,
    Engine,
    Failed,
    Finished,
    Grammar,
    LookupDrafter,
    Profile,
    Request,
    SelfSpeculation,
    Tokenizer,
)

FAMILY = "ours"
MODES: dict[str, DecodeMode] = {
    "autoregressive": Autoregressive(),
    "speculation, lookup, 4": SelfSpeculation(4, LookupDrafter()),
    "speculation, lookup, 8": SelfSpeculation(8, LookupDrafter()),
    "auto": Auto(),
}


class Weights:
    """Loads an engine's network at the first asking, for all modes."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._loaded: Engine | None = None

    def engine(self, model: Model, cache_tokens: int) -> Engine:
        """A new engine with an empty cache."""
        if self._loaded is None:
            self._loaded = Engine.load(model.name, profile=self._profile, cache_tokens=16)
        # The tokenizer is the engine's own, because its end tokens are taken away and given back.
        tokenizer = Tokenizer.from_directory(model.directory)
        return Engine(self._loaded.network, tokenizer, cache_tokens=cache_tokens)


@dataclass
class Ours:
    """One mode. Its cache lives as long as the contender, as a server's would."""

    name: str
    mode: DecodeMode
    weights: Weights
    family: str = FAMILY
    has_grammar: bool = True
    is_for_schemas_only: bool = False
    _engine: Engine | None = None
    _grammars: dict[str, Grammar] = field(default_factory=dict)

    def missing(self) -> str:
        return ""

    def open(self, model: Model, setting: Setting) -> None:
        self._engine = self.weights.engine(model, 2 * setting.agents * setting.room)

    def generate(self, ask: Ask) -> Answer:
        return self.concurrent([(ask,)])[0][0]

    def converse(self, asks: Conversation) -> list[Answer]:
        return self.concurrent([asks])[0]

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        answers: list[list[Answer]] = [[] for _ in conversations]
        agents = {self._add(asks[0]): index for index, asks in enumerate(conversations)}
        while agents:
            for event in self.engine.step():
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, Finished):
                    index = agents.pop(event.request_id)
                    answers[index].append(_answer(event.completion))
                    if len(answers[index]) < len(conversations[index]):
                        agents[self._add(conversations[index][len(answers[index])])] = index
        return answers

    def close(self) -> None:
        self.engine.close()
        self._engine = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError(f"{self.name} is not open")
        return self._engine

    def _add(self, ask: Ask) -> int:
        grammar = None if ask.schema is None else self._grammar(dict(ask.schema))
        request = Request(
            ask.prompt, mode=self.mode, grammar=grammar, max_new_tokens=ask.max_tokens
        )
        if grammar is not None:
            return self.engine.add(request)
        with _endless(self.engine.tokenizer):
            return self.engine.add(request)

    def _grammar(self, schema: dict[str, Any]) -> Grammar:
        """Kept, as a caller keeps the grammar of a tool."""
        key = json.dumps(schema)
        if key not in self._grammars:
            self._grammars[key] = Grammar.json_schema(schema)
        return self._grammars[key]


@contextmanager
def _endless(tokenizer: Tokenizer) -> Iterator[None]:
    """Requests added meanwhile are not ended by end tokens."""
    ends, tokenizer.eos_token_ids = tokenizer.eos_token_ids, ()
    try:
        yield
    finally:
        tokenizer.eos_token_ids = ends


def _answer(completion: Completion) -> Answer:
    return Answer(completion.text, len(completion.token_ids), len(completion.prompt_token_ids))


def contenders(profile: Profile) -> list[Ours]:
    weights = Weights(profile)
    return [Ours(name, mode, weights) for name, mode in MODES.items()]
