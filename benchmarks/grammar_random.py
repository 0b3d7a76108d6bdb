"""Random tokens under real schemas, closed within a budget: always valid JSON?

    python -m benchmarks.grammar_random CASES.jsonl[.gz] --cases 2000 [--budget 400] [--seed 0]

Stands for a network with random weights: every token is drawn from the mask, forced tokens
are taken, and a closing path is kept. Prints what failed, and the time of `closing_tokens`.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import jsonschema

from benchmarks.byte_tokenizer import ByteTokenizer
from benchmarks.grammar_coverage import read_cases
from benchmarks.options import positive, told_as_errors
from decoding.errors import DecodingError
from decoding.grammar import Grammar, Matcher
from tests.decoding.grammar.conftest import random_text


class Timed:
    """A matcher that notes how long its `closing_tokens` took."""

    def __init__(self, matcher: Matcher, milliseconds: list[float]) -> None:
        self._matcher = matcher
        self._milliseconds = milliseconds

    def closing_tokens(self, limit: int) -> tuple[int, ...] | None:
        started = time.perf_counter()
        path = self._matcher.closing_tokens(limit)
        self._milliseconds.append((time.perf_counter() - started) * 1e3)
        return path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._matcher, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("cases", type=Path, help="schemas, one JSON object a line; may be gzip")
    add("--cases", dest="count", type=positive, default=2000, help="texts, the schemas in turn")
    add("--budget", type=positive, default=400, help="most tokens per text")
    add("--seed", type=int, default=0, help="of the tokens")
    options = parser.parse_args()
    with told_as_errors(parser):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    tokenizer = ByteTokenizer()
    results: Counter[str] = Counter()
    milliseconds: list[float] = []
    grammars: dict[str, Grammar | None] = {}
    cases = list(read_cases(options.cases))
    for number, case in enumerate(islice(cycle(cases), options.count)):
        if case["id"] not in grammars:
            grammars[case["id"]] = grammar_of(case["schema"])
        grammar = grammars[case["id"]]
        verdict = "refused"
        if grammar is not None:
            matcher = Timed(grammar.compile(tokenizer).matcher(), milliseconds)
            verdict = run(matcher, case, options.budget, options.seed + number, tokenizer)  # type: ignore[arg-type]
        results[verdict] += 1
    for verdict, count in results.most_common():
        print(f"{verdict:32} {count:6}")
    if len(milliseconds) > 1:
        cuts = statistics.quantiles(milliseconds, n=100)
        print(
            f"closing_tokens, ms: median {cuts[49]:.2f}, p90 {cuts[89]:.2f}, p99 {cuts[98]:.2f}, "
            f"most {max(milliseconds):.0f}, of {len(milliseconds)} calls"
        )


def grammar_of(schema: Any) -> Grammar | None:
    try:
        return Grammar.json_schema(schema)
    except DecodingError:
        return None


def run(
    matcher: Matcher, case: dict[str, Any], budget: int, seed: int, tokenizer: ByteTokenizer
) -> str:
    try:
        tokens = random_text(matcher, budget, seed)
    except DecodingError as error:
        print(f"{type(error).__name__}: {case['id']}: {str(error)[:200]}")
        return type(error).__name__
    if tokens is None:
        print(f"no closing path within {budget} tokens: {case['id']}")
        return "no closing path"
    text = tokenizer.hf.backend_tokenizer.decode(tokens, skip_special_tokens=True)
    judge = jsonschema.validators.validator_for(case["schema"], jsonschema.Draft202012Validator)
    validator = judge(case["schema"], format_checker=judge.FORMAT_CHECKER)
    try:
        fault = next(validator.iter_errors(json.loads(text)), None)
    except ValueError as not_json:
        print(f"not JSON: {case['id']}: {not_json}")
        return "not JSON"
    if fault is not None:
        print(f"invalid: {case['id']}: {fault.message[:200]}")
        return "invalid"
    return "valid"


if __name__ == "__main__":
    main()
