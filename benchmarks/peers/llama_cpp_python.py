"""llama.cpp compiled for this very processor, by `llama-cpp-python`.

The wheel behind `benchmarks.peers.llama_cpp` is built for many processors and uses no
instructions younger than AVX2. This one is built from source, which takes a quarter of an hour,
and is the faster llama.cpp where there are such instructions. It has no server: one request at
a time, prefixes of the last one re-used, schemas by llama.cpp's own grammars.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any

from benchmarks.peers.base import Answer, Ask, Model, Serial, Setting, not_installed
from benchmarks.peers.quantised import FORMATS, quantised

FAMILY = "llama-cpp-python"
_INSTALL = "pip install llama-cpp-python, which builds llama.cpp in about a quarter of an hour"


@dataclass
class LlamaCppPython(Serial):
    form: str
    lookup: bool = False
    family: str = FAMILY
    has_grammar: bool = True
    is_for_schemas_only: bool = False
    _llama: Any = None
    _ends: tuple[int, ...] = ()
    _grammars: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{FAMILY} {self.form}{', lookup' if self.lookup else ''}"

    def missing(self) -> str:
        return not_installed({"llama_cpp": "llama-cpp-python"}, _INSTALL)

    def open(self, model: Model, setting: Setting) -> None:
        if model.gguf is None:
            raise FileNotFoundError("the model has no GGUF file")
        self._ends = model.tokenizer.eos_token_ids
        draft = None
        if self.lookup:
            speculative = import_module("llama_cpp.llama_speculative")
            draft = speculative.LlamaPromptLookupDecoding(max_ngram_size=3, num_pred_tokens=8)
        self._llama = import_module("llama_cpp").Llama(
            model_path=str(quantised(model.gguf, self.form, model.cache)),
            n_ctx=setting.room,
            n_batch=2048,
            n_threads=setting.threads,
            n_threads_batch=setting.threads,
            flash_attn=True,
            draft_model=draft,
            verbose=False,
        )

    def generate(self, ask: Ask) -> Answer:
        grammar = None if ask.schema is None else self._grammar(json.dumps(ask.schema))
        tokens = self._llama.generate(list(ask.prompt), top_k=1, temp=0.0, grammar=grammar)
        ids = list(islice(tokens if grammar is None else self._to_end(tokens), ask.max_tokens))
        text = self._llama.detokenize(ids).decode("utf-8", errors="replace")
        return Answer(text, len(ids), len(ask.prompt))

    def close(self) -> None:
        self._llama.close()
        self._llama = None

    def _to_end(self, tokens: Iterator[int]) -> Iterator[int]:
        for token in tokens:
            yield token
            if token in self._ends:
                return

    def _grammar(self, schema: str) -> Any:
        if schema not in self._grammars:
            module = import_module("llama_cpp.llama_grammar")
            rules = module.json_schema_to_gbnf(schema).splitlines()
            # Compact JSON, which spares it tokens.
            compact = ['space ::= ""' if rule.startswith("space ::=") else rule for rule in rules]
            grammar = module.LlamaGrammar.from_string("\n".join(compact), verbose=False)
            self._grammars[schema] = grammar
        return self._grammars[schema]


def contenders() -> list[LlamaCppPython]:
    return [*(LlamaCppPython(form) for form in FORMATS), LlamaCppPython("Q4_0", lookup=True)]
