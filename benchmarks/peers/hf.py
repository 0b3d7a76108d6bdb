"""`transformers.generate`, alone and with the logits processors of outlines and xgrammar.

Every prompt goes on with the cache of the one before, as far as the two agree; concurrent agents
are batched, turn by turn, each on its own row. Grammars are compiled once for each schema.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer

from benchmarks.peers.base import (
    Answer,
    Ask,
    Conversation,
    Model,
    Schema,
    Setting,
    not_installed,
)

FAMILY = "transformers"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
Row = list[int | None]
"""Tokens by column; None where a column only pads the row."""


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
    _held: "_Held | None" = None

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
        return self._batch([ask])[0]

    def converse(self, asks: Conversation) -> list[Answer]:
        return [self.generate(ask) for ask in asks]

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        turns = zip(*conversations, strict=True)
        answers = [self._batch(turn) for turn in turns]
        return [list(each) for each in zip(*answers, strict=True)]

    def close(self) -> None:
        self._network = self._held = None

    def _batch(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers on top of what is held, cut back to what every prompt shares with its row."""
        # Taken away meanwhile, so that a run that fails leaves nothing that is half written.
        held, self._held = self._held, None
        if held is None or len(held.rows) != len(asks):
            held = _Held(DynamicCache(config=self._network.config), [[] for _ in asks])
        held.cut([ask.prompt for ask in asks])
        held.rows = _extended(held.rows, [ask.prompt for ask in asks])
        out = self._run(held.rows, asks[0], held.cache)
        width = len(held.rows[0])
        # The last token was picked and never encoded.
        held.rows = [[*row, *ids[width:-1]] for row, ids in zip(held.rows, out, strict=True)]
        if held.can_be_cut:
            self._held = held
        return [self._answer(ask, ids[width:]) for ask, ids in zip(asks, out, strict=True)]

    def _run(self, rows: Sequence[Row], ask: Ask, cache: DynamicCache) -> list[list[int]]:
        pad = self._ends[0]
        ids = torch.tensor([[pad if token is None else token for token in row] for row in rows])
        mask = torch.tensor([[int(token is not None) for token in row] for row in rows])
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
                pad_token_id=pad,
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
class _Held:
    """A cache and what it holds. All rows are as long."""

    cache: DynamicCache
    rows: list[Row]

    @property
    def can_be_cut(self) -> bool:
        """Layers with a sliding window or a state have lost what they would go back to."""
        return all(type(layer) is DynamicLayer for layer in self.cache.layers)

    def cut(self, prompts: Sequence[Sequence[int]]) -> None:
        """Back to the columns that hold nothing but beginnings of these prompts."""
        shared = map(_shared_columns, self.rows, prompts)
        width, before = min(shared), len(self.rows[0])
        if width < before:
            self.cache.crop(width - before)  # negative: so many columns are removed
            self.rows = [row[:width] for row in self.rows]


def _shared_columns(row: Row, prompt: Sequence[int]) -> int:
    """How many columns of the row hold only the prompt's beginning, its last token left over:
    that one has to be read for what follows it."""
    place = 0
    for column, token in enumerate(row):
        if token is None:
            continue
        if place == len(prompt) - 1 or token != prompt[place]:
            return column
        place += 1
    return len(row)


def _extended(rows: Sequence[Row], prompts: Sequence[Sequence[int]]) -> list[Row]:
    """The rows with the rest of their prompts, padded so that all prompts end together."""
    known = [sum(token is not None for token in row) for row in rows]
    rests = [prompt[start:] for prompt, start in zip(prompts, known, strict=True)]
    longest = max(map(len, rests))
    return [
        [*row, *[None] * (longest - len(rest)), *rest]
        for row, rest in zip(rows, rests, strict=True)
    ]


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
