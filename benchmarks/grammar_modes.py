"""A random network under real schemas, in every mode: valid JSON, and the same JSON?

    python -m benchmarks.grammar_modes CASES.jsonl[.gz] [--budget 400] [--block-length 8] [--seed 0]

Per schema one answer is sampled autoregressively, by self-speculation and by block diffusion,
each closed within the budget. Prints what was not valid, where self-speculation did not equal
autoregressive decoding, and tokens per forward.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
from rich.console import Console
from rich.progress import track

from benchmarks.grammar_coverage import read_cases
from benchmarks.grammar_random import grammar_of
from benchmarks.options import positive, told_as_errors
from decoding import (
    Autoregressive,
    BlockDiffusion,
    BudgetTooSmall,
    Completion,
    DecodeMode,
    DecodingError,
    DiffusionDrafter,
    Engine,
    Grammar,
    Request,
    Sampling,
    SelfSpeculation,
)
from decoding.testing import ScriptedNetwork
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
PROMPT = [1, 2, 3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, help="schemas, one JSON object a line; may be gzip")
    parser.add_argument("--budget", type=positive, default=400, help="most tokens per answer")
    parser.add_argument("--block-length", type=positive, default=8, help="of drafts and blocks")
    parser.add_argument("--seed", type=int, default=0, help="of networks and sampling")
    options = parser.parse_args()
    with told_as_errors(parser):
        run(options)


def run(options: argparse.Namespace) -> None:
    length = options.block_length
    modes: list[DecodeMode] = [
        Autoregressive(),
        SelfSpeculation(length, DiffusionDrafter()),
        BlockDiffusion(length, threshold=0.3),
    ]
    for mode in modes:
        mode.fit(network(options.seed))
    verdicts: dict[str, Counter[str]] = {mode.name: Counter() for mode in modes}
    tokens, forwards = Counter[str](), Counter[str]()
    cases = list(read_cases(options.cases))
    for number, case in enumerate(track(cases, console=Console(file=sys.stderr))):
        grammar = grammar_of(case["schema"])
        outs = {}
        for mode in modes:
            verdict, out = decode(grammar, mode, options.budget, options.seed + number, case)
            verdicts[mode.name][verdict] += 1
            if out is not None:
                outs[mode.name] = out.token_ids
                tokens[mode.name] += out.stats.new_tokens
                forwards[mode.name] += out.stats.forwards
        if {"autoregressive", "self-speculation"} <= outs.keys():
            same = outs["autoregressive"] == outs["self-speculation"]
            verdicts["self-speculation"]["equals autoregressive" if same else "DIFFERS"] += 1
    for line in lines(verdicts, tokens, forwards):
        print(line)


def network(seed: int) -> ScriptedNetwork:
    mask = TOKENIZER.mask_token_id
    return ScriptedNetwork(TOKENIZER.vocab_size, mask_token_id=mask, has_adapter=True, seed=seed)


def decode(
    grammar: Grammar | None, mode: DecodeMode, budget: int, seed: int, case: dict[str, Any]
) -> tuple[str, Completion | None]:
    if grammar is None:
        return "refused", None
    engine = Engine(network(seed), TOKENIZER, cache_tokens=budget + 64)
    request = Request(
        PROMPT,
        mode=mode,
        grammar=grammar,
        sampling=Sampling(temperature=1.0, seed=seed),
        max_new_tokens=budget,
        close_at_budget=True,
    )
    try:
        out = engine.generate_many([request])[0]
    except BudgetTooSmall:
        return "no closing path", None
    except DecodingError as error:
        print(f"{mode.name}: {type(error).__name__}: {case['id']}: {str(error)[:160]}")
        return type(error).__name__, None
    judge = jsonschema.validators.validator_for(case["schema"], jsonschema.Draft202012Validator)
    validator = judge(case["schema"], format_checker=judge.FORMAT_CHECKER)
    try:
        fault = next(validator.iter_errors(json.loads(out.text)), None)
    except ValueError as not_json:
        print(f"{mode.name}: not JSON: {case['id']}: {not_json}")
        return "not JSON", out
    if fault is not None:
        print(f"{mode.name}: invalid: {case['id']}: {fault.message[:160]}")
    return ("valid" if fault is None else "invalid"), out


def lines(
    verdicts: dict[str, Counter[str]], tokens: Counter[str], forwards: Counter[str]
) -> Iterator[str]:
    for name, counts in verdicts.items():
        told = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
        rate = tokens[name] / max(forwards[name], 1)
        yield f"{name:18} {told}; {rate:.2f} tokens per forward"


if __name__ == "__main__":
    main()
