"""Tokens per second of each mode, with and without a grammar, beside `transformers.generate`.

    python -m benchmarks.decode [--json] [--model smollm2-135m] [--threads 2] [--repeats 5]

All on the same weights (float32), prompts and thread count, in one process, taking turns;
medians over the repeats. Prompts are short, and every answer begins with an empty cache, so
prefill is in every figure. Where transformers has no such model, its row is left out and the
reason is told.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.options import directory_of, positive, told_as_errors
from decoding import Autoregressive, DecodeMode, Engine, Grammar
from decoding.weights import EMBEDDED

PEER = "transformers.generate"
MODES: tuple[DecodeMode, ...] = (Autoregressive(),)
PROSE = "Write a short story about a lighthouse keeper. Story number {}."
CALL = "Order {} red apples for Ms Smith, to be delivered to Baker Street 12 on Monday."
SCHEMA = {
    "type": "object",
    "properties": {
        "customer_name": {"type": "string", "maxLength": 30},
        "product_name": {"enum": ["apple", "pear", "plum"]},
        "quantity": {"type": "integer", "minimum": 0, "maximum": 1000},
        "delivery_address": {"type": "string", "maxLength": 40},
        "delivery_day": {"enum": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]},
    },
    "required": [
        "customer_name",
        "product_name",
        "quantity",
        "delivery_address",
        "delivery_day",
    ],
    "additionalProperties": False,
}


def chat(template: str, number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": template.format(number)}]


def measure_ours(
    engine: Engine, mode: DecodeMode, grammar: Grammar | None, count: int, number: int
) -> dict[str, float]:
    asked = chat(PROSE if grammar is None else CALL, number)
    with Engine(engine.network, engine.tokenizer) as fresh:
        started = time.perf_counter()
        out = fresh.generate(asked, mode=mode, grammar=grammar, max_new_tokens=count)
        return figures(out.stats.new_tokens, out.stats.forwards, time.perf_counter() - started)


def measure_transformers(model: Any, engine: Engine, count: int, number: int) -> dict[str, float]:
    ids = torch.tensor([engine.encode(chat(PROSE, number))])
    started = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False
        )
    new = out.shape[1] - ids.shape[1]
    return figures(new, new, time.perf_counter() - started)


def figures(tokens: int, forwards: int, seconds: float) -> dict[str, float]:
    return {
        "tokens_per_second": tokens / seconds,
        "tokens_per_forward": tokens / max(forwards, 1),  # all may be forced
        "tokens": tokens,
    }


def why_no_peer(source: str | Path) -> str:
    """Why transformers cannot be measured on this model; empty where it can."""
    settings, _ = PretrainedConfig.get_config_dict(source, local_files_only=True)
    kind = settings.get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return ""
    return f"transformers {version('transformers')} knows no causal model of type {kind!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--model", default=EMBEDDED, help="embedded name, directory or hub id")
    parser.add_argument("--threads", type=positive, default=2, help="of torch")
    parser.add_argument("--repeats", type=positive, default=5, help="counted rounds")
    parser.add_argument("--tokens", type=positive, default=64, help="most tokens per answer")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        results, left_out = measure(args)
    report(args, results, left_out)


def measure(args: argparse.Namespace) -> tuple[dict[str, dict[str, float]], str]:
    """Medians by row, and why the row of transformers is not among them."""
    engine = Engine.load(args.model, cache_tokens=16)
    source = directory_of(args.model)
    left_out = why_no_peer(source)
    runs: dict[str, Callable[[int], dict[str, float]]] = {}
    if not left_out:
        peer = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, local_files_only=True
        )
        runs[PEER] = partial(measure_transformers, peer, engine, args.tokens)
    grammar = Grammar.json_schema(SCHEMA)
    for mode in MODES:
        runs[mode.name] = partial(measure_ours, engine, mode, None, args.tokens)
        runs[f"{mode.name} + grammar"] = partial(measure_ours, engine, mode, grammar, args.tokens)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for number in range(-1, args.repeats):  # the first round warms up and is not counted
        for name, run in runs.items():
            result = run(number)
            if number >= 0:
                samples[name].append(result)
        print(f"round {number + 1} of {args.repeats} done", file=sys.stderr)
    return {name: medians(each) for name, each in samples.items()}, left_out


def medians(samples: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(each[key] for each in samples) for key in samples[0]}


def report(args: argparse.Namespace, results: dict[str, dict[str, float]], left_out: str) -> None:
    if not left_out:
        base = results[PEER]["tokens_per_second"]
        for result in results.values():
            result["ratio_to_transformers"] = result["tokens_per_second"] / base
    if args.json:
        about = {
            "machine": {"processor": platform.machine(), "threads": args.threads},
            "versions": {name: version(name) for name in ("torch", "transformers", "llguidance")},
            "model": args.model,
            "repeats": args.repeats,
            "results": results,
            "left_out": {PEER: left_out} if left_out else {},
        }
        print(json.dumps(about, indent=2))
        return
    print(f"{'':28} tokens/s  per forward{'' if left_out else '  x transformers'}")
    for name, result in results.items():
        ratio = "" if left_out else f"{result['ratio_to_transformers']:14.2f}"
        print(
            f"{name:28} {result['tokens_per_second']:8.1f}  "
            f"{result['tokens_per_forward']:11.2f}  {ratio}".rstrip()
        )
    if left_out:
        print(f"{PEER} is left out: {left_out}")


if __name__ == "__main__":
    main()
