"""How many schemas of a collection are enforced, and whether exactly.

    python -m benchmarks.grammar_coverage CASES.jsonl[.gz] [--refusals] [--limit N]

Each line is {"id", "schema", "tests": [{"valid", "data"}]}. An accepted schema is *exact* if it
accepts every valid instance, also with its properties in reverse order, and no invalid one.
"""

import argparse
import gzip
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.byte_tokenizer import ByteTokenizer
from benchmarks.options import positive, told_as_errors
from decoding.errors import DecodingError
from decoding.grammar import Grammar


def read_cases(path: Path, *, with_tests: bool = False) -> Iterator[dict[str, Any]]:
    """Raises `ValueError` for a line that is no such object, and for a file without any."""
    number = 0
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            try:
                case = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where} is not JSON: {error}") from error
            if not isinstance(case, dict) or not {"id", "schema"} <= case.keys():
                raise ValueError(f"{where} is no object with the members id and schema")
            if with_tests and not _has_tests(case):
                raise ValueError(
                    f"{where} has no tests: a list of objects with the members valid and data"
                )
            yield case
    if not number:
        raise ValueError(f"{path} holds no cases")


def _has_tests(case: dict[str, Any]) -> bool:
    tests = case.get("tests")
    return isinstance(tests, list) and all(
        isinstance(test, dict) and {"valid", "data"} <= test.keys() for test in tests
    )


def reversed_members(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reversed_members(value[name]) for name in reversed(value)}
    return [reversed_members(item) for item in value] if isinstance(value, list) else value


def judge(grammar: Grammar, tests: list[dict[str, Any]], tokenizer: ByteTokenizer) -> str:
    for test in tests:
        for data in (test["data"], reversed_members(test["data"])):
            if grammar.accepts(json.dumps(data), tokenizer) != test["valid"]:
                return "valid instance rejected" if test["valid"] else "invalid instance accepted"
    return "exact"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, help="schemas, one JSON object a line; may be gzip")
    parser.add_argument("--refusals", action="store_true", help="list every refused schema")
    parser.add_argument("--limit", type=positive, help="most schemas; all unless given")
    options = parser.parse_args()
    with told_as_errors(parser):
        run(options)


def run(options: argparse.Namespace) -> None:
    tokenizer = ByteTokenizer()
    results: Counter[str] = Counter()
    refusals: dict[str, list[str]] = defaultdict(list)
    milliseconds: list[float] = []
    for number, case in enumerate(read_cases(options.cases, with_tests=True)):
        if number == options.limit:
            break
        started = time.perf_counter()
        try:
            grammar = Grammar.json_schema(case["schema"])
            grammar.compile(tokenizer)
        except DecodingError as error:
            reason = str(error)
            refusals[reason.split(" at '")[0]].append(f"{case['id']}: {reason}")
            continue
        finally:
            elapsed = (time.perf_counter() - started) * 1e3
        milliseconds.append(elapsed)
        verdict = judge(grammar, case["tests"], tokenizer)
        results[verdict] += 1
        if verdict != "exact":
            print(f"{verdict}: {case['id']}")
    report(results, refusals, milliseconds, options.refusals)


def report(
    results: Counter[str],
    refusals: dict[str, list[str]],
    milliseconds: list[float],
    list_refusals: bool,
) -> None:
    accepted, refused = sum(results.values()), sum(map(len, refusals.values()))
    print(f"schemas                     {accepted + refused:6}")
    print(f"accepted                    {accepted:6}  {accepted / (accepted + refused):.1%}")
    for verdict in ("exact", "valid instance rejected", "invalid instance accepted"):
        print(f"  {verdict:25} {results[verdict]:6}")
    print(f"refused                     {refused:6}")
    for reason, cases in sorted(refusals.items(), key=lambda item: -len(item[1])):
        print(f"  {len(cases):4}  {reason[:140]}")
        for each in cases if list_refusals else ():
            print(f"          {each[:200]}")
    if len(milliseconds) > 1:
        cuts = statistics.quantiles(milliseconds, n=100)
        print(
            f"ms to check and compile: median {cuts[49]:.1f}, p90 {cuts[89]:.1f}, "
            f"p99 {cuts[98]:.1f}, most {max(milliseconds):.0f}"
        )


if __name__ == "__main__":
    main()
