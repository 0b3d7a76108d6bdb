"""llama.cpp's server inside this process, by the wheel `xllamacpp`: no HTTP is spoken.

Set up as its own documentation advises for speed: flash attention on, weights repacked for the
processor, prompt cache on, one slot for each agent, greedy by a sampler chain of one. Schemas
are written compactly, because that spares it tokens.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks.peers.base import Answer, Ask, Conversation, Model, Setting, compact, not_installed
from benchmarks.peers.quantised import FORMATS, SHIPPED, quantised

FAMILY = "llama.cpp"
_INSTALL = "pip install xllamacpp"
# How many tokens must recur before what followed them is proposed, and how many are proposed: the
# fastest of several tried. The defaults (12 or 24, and 48 or 64) are made for copying whole files.
_SIMPLE_MATCH, _MOD_MATCH, _PROPOSE = 3, 5, 4


@dataclass
class LlamaCpp:
    """One format of the weights and one way of speculation ("" for none)."""

    form: str
    speculation: str = ""
    family: str = FAMILY
    has_grammar: bool = True
    is_for_schemas_only: bool = False
    _single: Any = None
    _slots: Any = None

    @property
    def name(self) -> str:
        return f"{FAMILY} {self.form}{self.speculation and f', {self.speculation}'}"

    def missing(self) -> str:
        return not_installed({"xllamacpp": "xllamacpp"}, _INSTALL)

    def open(self, model: Model, setting: Setting) -> None:
        if model.gguf is None:
            raise FileNotFoundError("the model has no GGUF file")
        path = str(quantised(model.gguf, self.form, model.cache))
        self._single = self._server(path, setting, slots=1)
        self._slots = self._server(path, setting, slots=setting.agents)

    def generate(self, ask: Ask) -> Answer:
        return _complete(self._single, ask, slot=0)

    def converse(self, asks: Conversation) -> list[Answer]:
        return [self.generate(ask) for ask in asks]

    def concurrent(self, conversations: Sequence[Conversation]) -> list[list[Answer]]:
        def run(slot: int) -> list[Answer]:
            return [_complete(self._slots, ask, slot) for ask in conversations[slot]]

        with ThreadPoolExecutor(len(conversations)) as threads:
            return list(threads.map(run, range(len(conversations))))

    def close(self) -> None:
        self._single = self._slots = None

    def _server(self, path: str, setting: Setting, slots: int) -> Any:
        xlc = import_module("xllamacpp")
        params = xlc.CommonParams()
        params.model.path = path
        params.n_parallel = slots
        params.n_ctx = slots * setting.room
        params.n_batch, params.n_ubatch = 2048, 512
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = setting.threads
        params.flash_attn_type = xlc.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.cache_prompt = params.cont_batching = params.warmup = True
        params.fit_params = params.ui = params.endpoint_slots = False
        params.verbosity = 0
        self._speculate(xlc, params)
        return xlc.Server(params)

    def _speculate(self, xlc: Any, params: Any) -> None:
        if not self.speculation:
            return
        kinds = xlc.common_speculative_type
        if self.speculation == "ngram-simple":
            params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
            params.speculative.ngram_simple.size_n = _SIMPLE_MATCH
            params.speculative.ngram_simple.size_m = _PROPOSE
        elif self.speculation == "ngram-mod":
            params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_MOD]
            params.speculative.ngram_mod.n_match = _MOD_MATCH
            params.speculative.ngram_mod.n_min = 1
            params.speculative.ngram_mod.n_max = _PROPOSE
        else:
            raise ValueError(f"{self.speculation!r} is no speculation of llama.cpp")


def _complete(server: Any, ask: Ask, slot: int) -> Answer:
    request: dict[str, Any] = {
        "prompt": list(ask.prompt),
        "max_tokens": ask.max_tokens,
        "samplers": ["top_k"],
        "top_k": 1,
        "temperature": 0.0,
        "cache_prompt": True,
        "id_slot": slot,
        "ignore_eos": ask.schema is None,
    }
    if ask.schema is not None:
        request["json_schema"] = compact(ask.schema)
    answer = server.handle_completions(request)
    if "choices" not in answer:
        raise RuntimeError(f"llama.cpp refused the request: {json.dumps(answer)[:300]}")
    usage = answer["usage"]
    return Answer(answer["choices"][0]["text"], usage["completion_tokens"], usage["prompt_tokens"])


def contenders() -> list[LlamaCpp]:
    plain = [LlamaCpp(form) for form in (SHIPPED, *FORMATS)]
    kinds = ("ngram-simple", "ngram-mod")
    return [*plain, *(LlamaCpp(form, kind) for form in FORMATS for kind in kinds)]
