"""What the engine's loop itself costs per step, with a network that answers at once.

    python -m benchmarks.engine_overhead [--tokens N] [--repeats N] [--json]

Prints microseconds per step (their first tenth and their median) for 1, 8 and 32 live sequences,
in free text and under a JSON grammar. A step is one `Engine.step`: admission, one forward, the
picks, commits and events. The picks (`decoding.sampling`) are also measured on their own, with
as many rows; under the grammar the matcher's masks and moves are part of the rest.
"""

import argparse
import gc
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import Tensor

from benchmarks.byte_tokenizer import ByteTokenizer
from benchmarks.options import positive
from decoding import Engine, Grammar, Request, Sampling, Tokenizer
from decoding.cache.storage import KVStorage, Storage
from decoding.sampling import Choice, pick_tokens
from decoding.span import ForwardBatch

_LIVE = (1, 8, 32)
_PROMPT = 20
_WARM = 8


class FreeNetwork:
    """Always prefers the same token, and takes no time to say so."""

    name = "free"
    max_positions = 1 << 20
    mask_token_id = None
    has_adapter = False
    ngrams = None
    draft_head = None
    hidden_RE = None

    def __init__(self, vocab_size: int, token: int) -> None:
        self.vocab_size = vocab_size
        logits_V = torch.zeros(vocab_size)
        logits_V[token] = 9.0
        self.logits_RV = logits_V.repeat(max(_LIVE), 1)

    def allocate_cache(self, num_slots: int) -> KVStorage:
        return KVStorage.allocate(
            num_layers=1,
            num_slots=num_slots,
            num_kv_heads=1,
            head_dim=1,
            dtype=torch.int8,
            device=torch.device("cpu"),
        )

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        return self.logits_RV[: batch.num_read]


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds per step; a tenth of the steps took at most `tenth`. `picks` are part of it."""

    live: int
    grammar: bool
    tenth: float
    median: float
    picks: float


def seconds_per_call(call: Callable[[], object], count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        started = perf_counter()
        call()
        seconds.append(perf_counter() - started)
    return seconds


def step_seconds(
    network: FreeNetwork, tokenizer: Tokenizer, live: int, grammar: Grammar | None, tokens: int
) -> list[float]:
    """Seconds of each step of an engine with `live` sequences that all go on."""
    engine = Engine(network, tokenizer, cache_tokens=live * (tokens + 2 * _PROMPT) + 64)
    for index in range(live):
        engine.add(Request([index + 1] * _PROMPT, grammar=grammar, max_new_tokens=tokens))
    for _ in range(_WARM):
        engine.step()
    seconds = seconds_per_call(engine.step, tokens - 2 * _WARM)
    assert engine.stats().live_sequences == live
    return seconds


def pick_seconds(network: FreeNetwork, mask_W: Tensor | None, live: int) -> float:
    """Median seconds of `pick_tokens` alone for one row of each sequence."""
    choices = [Choice(Sampling(), 0, 0, mask_W) for _ in range(live)]
    with torch.inference_mode():
        return median(seconds_per_call(lambda: pick_tokens(network.logits_RV[:live], choices), 300))


def measure(tokens: int, repeats: int) -> list[Overhead]:
    tokenizer = Tokenizer(ByteTokenizer().hf)
    network = FreeNetwork(tokenizer.vocab_size, tokenizer.encode("a")[0])
    string = Grammar.json_schema({"type": "string"})
    gc.collect()
    mask_W = string.compile(tokenizer, network.vocab_size).matcher().fill_mask()
    found = []
    for grammar in (None, string):
        for live in _LIVE:
            runs = [step_seconds(network, tokenizer, live, grammar, tokens) for _ in range(repeats)]
            steps = [1e6 * seconds for run in runs for seconds in run]
            tenth = quantiles(steps, n=10)[0]
            mask = None if grammar is None else mask_W
            picks = min(1e6 * pick_seconds(network, mask, live) for _ in range(repeats))
            found.append(Overhead(live, grammar is not None, tenth, median(steps), picks))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Microseconds per step of the engine's loop.")
    parser.add_argument("--tokens", type=positive, default=300, help="tokens per sequence")
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(max(options.tokens, 4 * _WARM), options.repeats)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return
    for each in found:
        kind = "JSON grammar" if each.grammar else "free text"
        times = f"{each.tenth:7.1f} us tenth {each.median:7.1f} us median"
        print(f"{kind:13} {each.live:3} live {times} {each.picks:7.1f} us of it picks")


if __name__ == "__main__":
    main()
