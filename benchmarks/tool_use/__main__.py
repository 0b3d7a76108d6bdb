"""How well a model calls tools, by the form in which it is asked, on single turns of BFCL v4.

    python -m benchmarks.tool_use [--json] [--wheel FILE] [--limit N] [--development]
        [--categories simple_python ...] [--format NAME ...] [--profile exact] [--threads 2]

Greedy decoding. Counted are answers whose calls are valid under the functions' schemas, those
with the right functions (`names`), and those that are right altogether (`arguments`), as the
leaderboard's rules have it (`benchmarks.tool_use.checker`). Tokens, forwards and seconds are
means per question. Forms are chosen with `--development`, on questions that the report does not
ask. The questions are read from the package bfcl-eval, or from its wheel.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import torch
from jsonschema import Draft202012Validator

from agentkit.models import LocalModel
from benchmarks import bfcl
from benchmarks.bfcl import Entry
from benchmarks.options import positive, told_as_errors
from benchmarks.peers.report import machine, versions
from benchmarks.tool_use.checker import check
from benchmarks.tool_use.formats import FORMATS, Answer, Asked, Cost, Format
from benchmarks.tool_use.parts import SIZES, Part, chosen, thinned
from decoding import AsyncEngine, Engine
from decoding.weights import EMBEDDED


@dataclass(frozen=True, slots=True)
class Result:
    """Of a form on a category. Counts of answers, and means per question."""

    format: str
    category: str
    questions: int
    valid: int
    names: int
    arguments: int
    prompt_tokens: float
    cached_tokens: float
    new_tokens: float
    forwards: float
    seconds: float


async def measure(
    name: str, form: Format, category: str, entries: Sequence[Entry], asked: Asked
) -> Result:
    started = time.perf_counter()
    valid = names = arguments = 0
    spent = Cost()
    for entry in entries:
        answer = await form.answer(asked, entry)
        spent += answer.cost
        if is_valid(entry, answer):
            verdict = check(entry, answer.parsed())
            valid, names = valid + 1, names + verdict.names
            arguments += verdict.arguments
    count = len(entries)
    return Result(
        name,
        category,
        count,
        valid,
        names,
        arguments,
        spent.prompt_tokens / count,
        spent.cached_tokens / count,
        spent.new_tokens / count,
        spent.forwards / count,
        (time.perf_counter() - started) / count,
    )


def is_valid(entry: Entry, answer: Answer) -> bool:
    """Whether every call names a function at hand, with arguments that its schema allows."""
    schemas = {each.name: bfcl.json_schema(each.parameters) for each in entry.functions}
    try:
        return all(
            each.name in schemas
            and Draft202012Validator(schemas[each.name]).is_valid(each.arguments)
            for each in answer.parsed()
        )
    except ValueError:
        return False


async def run(args: argparse.Namespace) -> list[Result]:
    part = Part.DEVELOPMENT if args.development else Part.REPORTED
    results = []
    questions = {
        category: chosen([*bfcl.entries(category, args.wheel).values()], SIZES[category], part)
        for category in args.categories
    }
    loaded = Engine.load(args.model, profile=args.profile, cache_tokens=16)
    for name in args.format:
        # Another each time, so that no form finds in the cache what one before it has read.
        engine = AsyncEngine(lambda: Engine(loaded.network, loaded.tokenizer))
        async with engine:
            models = (
                LocalModel(args.model, engine=engine, spaced_json=each) for each in (False, True)
            )
            asked = Asked(engine, *models)
            for category, entries in questions.items():
                few = thinned(entries, args.limit)
                results.append(await measure(name, FORMATS[name], category, few, asked))
                print(line(results[-1]), file=sys.stderr, flush=True)
    return results


HEADER = (
    f"{'form':40} {'category':14} {'asked':>5} {'valid':>6} {'names':>6} {'args':>6} "
    f"{'prompt':>7} {'cached':>7} {'new':>5} {'fwd':>5} {'s':>6}"
)


def line(result: Result) -> str:
    shares = (
        f"{count / result.questions:6.0%}"
        for count in (result.valid, result.names, result.arguments)
    )
    return (
        f"{result.format:40} {result.category:14} {result.questions:5} {' '.join(shares)} "
        f"{result.prompt_tokens:7.0f} {result.cached_tokens:7.0f} {result.new_tokens:5.0f} "
        f"{result.forwards:5.0f} {result.seconds:6.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.tool_use", description=str(__doc__).splitlines()[0]
    )
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--wheel", type=Path, help="the wheel of bfcl-eval, where it is not installed")
    add("--model", default=EMBEDDED, help="embedded name, directory or hub id")
    add("--profile", choices=["exact", "fast"], default="exact", help="of the engine")
    add(
        "--limit",
        type=positive,
        help="most questions of a category, evenly spread; all unless given",
    )
    add("--categories", nargs="+", choices=list(SIZES), default=list(SIZES), help="default: all")
    add("--format", nargs="+", choices=list(FORMATS), default=list(FORMATS), help="default: all")
    add("--development", action="store_true", help="ask the questions that forms are chosen on")
    add("--threads", type=positive, default=2, help="of the engine")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        results = anyio.run(run, args)
    if args.json:
        about = {
            "machine": machine(args.threads),
            "versions": versions(),
            "model": args.model,
            "profile": args.profile,
            "development": args.development,
            "results": [asdict(each) for each in results],
        }
        print(json.dumps(about, indent=2))
        return
    print("\n".join([HEADER, *map(line, results)]))


if __name__ == "__main__":
    main()
