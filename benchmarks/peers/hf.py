"""`transformers.generate`, alone and with the logits processors of outlines and xgrammar.

Turns of a conversation go on with the cache of the turn before; concurrent agents are batched,
turn by turn. Grammars are compiled once for each schema.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from benchmarks.peers.base import (
    Answer,
    Ask,
    Conversation,
    Model,
    Schema,
    Setting,
    not_installed,
    shared_length,
)

FAMILY = "transformers"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Constrainer(Protocol):
    """Makes logits processors. `start` comes first."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str: ...

    def start(self, network: Any, tokenizer: Any) -> None: ...

    def processor(self, schema: Schema) -> Any:
        """A fresh processor, for any number of rows."""
        ...


class Networks:
    """Loads the network once in each type."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def load(self, model: Model, dtype: str) -> Any:
        if dtype not in self._loaded:
            self._loaded[dtype] = AutoModelForCausalLM.from_pretrained(
                model.directory, dtype=DTYPES[dtype], local_files_only=True
            )
        return self._loaded[dtype]


@dataclass
class Transformers:
    dtype: str
    networks: Networks
    constrainer: Constrainer | None = None
    family: str = FAMILY
    _network: Any = None
    _model: Model | None = None
    _cache: Any = None
    _cached: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        extra = "" if self.constrainer is None else f" + {self.constrainer.name}"
        return f"{FAMILY}{extra} {self.dtype}"

    @property
    def has_grammar(self) -> bool:
        return self.constrainer is not None

    @property
    def is_for_schemas_only(self) -> bool:
        return self.constrainer is not None

    def missing(self) -> str:
        return "" if self.constrainer is None else self.constrainer.missing()

    def open(self, model: Model, setting: Setting) -> None:
        self._model = model
        self._network = self.networks.load(model, self.dtype)
        if self.constrainer is not None:
            self.constrainer.start(self._network, model.tokenizer.hf)

    def generate(self, ask: Ask) -> Answer:
        self._cache, self._cached = None, []
        return self._continue(ask)

    def converse(self, asks: Conversation) -> list[Answer]:
        self._cache, self._cached = None, []
        return [self._continue(ask) for ask in asks]

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        turns = zip(*conversations, strict=True)
        answers = [self._batch(turn) for turn in turns]
        return [list(each) for each in zip(*answers, strict=True)]

    def close(self) -> None:
        self._network = self._cache = None

    def _continue(self, ask: Ask) -> Answer:
        """Answers on top of the cache, cut back to what the prompt shares with it."""
        if self._cache is None:
            self._cache = DynamicCache(config=self._network.config)
        shared = min(shared_length(self._cached, ask.prompt), len(ask.prompt) - 1)
        if shared < len(self._cached):
            self._cache.crop(shared - len(self._cached))  # negative: so many tokens are removed
        out = self._run([ask.prompt], ask, self._cache)
        # The last token was picked and never encoded.
        self._cached = out[0][:-1]
        return self._answer(ask, out[0][len(ask.prompt) :])

    def _batch(self, asks: Sequence[Ask]) -> list[Answer]:
        width = max(len(ask.prompt) for ask in asks)
        pad = self._ends[0]
        rows = [[pad] * (width - len(ask.prompt)) + list(ask.prompt) for ask in asks]
        out = self._run(rows, asks[0], None, [width - len(ask.prompt) for ask in asks])
        return [self._answer(ask, row[width:]) for ask, row in zip(asks, out, strict=True)]

    def _run(
        self,
        rows: Sequence[Sequence[int]],
        ask: Ask,
        cache: Any,
        padding: Sequence[int] | None = None,
    ) -> list[list[int]]:
        ids = torch.tensor([list(row) for row in rows])
        mask = torch.ones_like(ids)
        for row, count in enumerate(padding or ()):
            mask[row, :count] = 0
        processors = []
        if ask.schema is not None:
            assert self.constrainer is not None
            processors = [self.constrainer.processor(ask.schema)]
        with torch.inference_mode():
            out = self._network.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=ask.max_tokens,
                min_new_tokens=ask.max_tokens if ask.schema is None else None,
                do_sample=False,
                past_key_values=cache,
                logits_processor=processors,
                eos_token_id=self._ends,
                pad_token_id=self._ends[0],
            )
        rows_out: list[list[int]] = out.tolist()
        return rows_out

    def _answer(self, ask: Ask, ids: list[int]) -> Answer:
        """Rows that ended before others of their batch are padded behind their end."""
        if ask.schema is not None:
            end = next((at for at, token in enumerate(ids) if token in self._ends), len(ids) - 1)
            ids = ids[: end + 1]
        assert self._model is not None
        text = self._model.tokenizer.decode(ids, skip_special_tokens=True)
        return Answer(text, len(ids), len(ask.prompt))

    @property
    def _ends(self) -> list[int]:
        assert self._model is not None
        return list(self._model.tokenizer.eos_token_ids)


@dataclass
class Outlines:
    """The default backend of outlines, told to write compact JSON."""

    name: str = "outlines"
    _backend: Any = None
    _processors: dict[str, Any] = field(default_factory=dict)

    def missing(self) -> str:
        return not_installed({"outlines": "outlines"}, "pip install outlines")

    def start(self, network: Any, tokenizer: Any) -> None:
        model = import_module("outlines").from_transformers(network, tokenizer)
        self._backend = import_module("outlines.backends.outlines_core").OutlinesCoreBackend(model)

    def processor(self, schema: Schema) -> Any:
        key = json.dumps(schema)
        if key not in self._processors:
            self._processors[key] = self._backend.get_json_schema_logits_processor(key, "")
        self._processors[key].reset()
        return self._processors[key]


@dataclass
class XGrammar:
    """The logits processor that xgrammar brings for transformers, on compact JSON."""

    name: str = "xgrammar"
    _module: Any = None
    _wrap: Callable[[Any], Any] | None = None
    _compiler: Any = None

    def missing(self) -> str:
        modules = {"xgrammar": "xgrammar", "tvm_ffi": "apache-tvm-ffi"}
        return not_installed(modules, "pip install --no-deps xgrammar apache-tvm-ffi")

    def start(self, network: Any, tokenizer: Any) -> None:
        self._module = import_module("xgrammar")
        self._wrap = import_module("xgrammar.contrib.hf").LogitsProcessor
        info = self._module.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=network.config.vocab_size
        )
        self._compiler = self._module.GrammarCompiler(info)

    def processor(self, schema: Schema) -> Any:
        assert self._wrap is not None
        compiled = self._compiler.compile_json_schema(  # keeps what it compiled
            json.dumps(schema), any_whitespace=False, separators=(",", ":")
        )
        return self._wrap(compiled)


def contenders() -> list[Transformers]:
    networks = Networks()
    return [
        Transformers(dtype, networks, constrainer)
        for constrainer in (None, Outlines(), XGrammar())
        for dtype in DTYPES
    ]
