"""How far drafts get: tokens per cycle of draft and verification, and per forward.

    python -m benchmarks.drafters [--json] [--profile fast] [--limit 24] [--bfcl WHEEL]
        [--drafters head ...] [--side-guesses 16 48] [--prompts prose:FILE ...]

Every drafter decodes the same questions with every block length, and all give the text that
autoregressive decoding gives. A cycle is a forward that commits tokens, with the drafts before
it; a forward is any. Tokens that a grammar forces are committed by every drafter and by
autoregressive decoding, and are counted apart: `chosen` is tokens per cycle without them.

Questions are those of `benchmarks.workloads` (code, prose) and synthetic tools of held-out
domains. `--bfcl` takes the tools of the Berkeley leaderboard instead (see `benchmarks.peers`),
`--prompts` asks a JSON Lines file of {"instruction", "input"} before the other questions of a kind.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch

from benchmarks import bfcl
from benchmarks.options import positive, told_as_errors
from benchmarks.peers import calls
from benchmarks.workloads import MORE, WORKLOADS, Task
from decoding import Autoregressive, Completion, DecodeMode, Engine, Request, SelfSpeculation
from decoding.modes.drafters import (
    CombinedDrafter,
    DiffusionDrafter,
    Drafter,
    HeadDrafter,
    LookupDrafter,
    NgramDrafter,
)
from decoding.span import Purpose
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.tasks import Kind, read_instructions
from decoding.training.tool_tasks import HELD_OUT_DOMAINS, tool_tasks
from decoding.weights.checkpoint import read_network
from decoding.weights.embedded import embedded_directory

_MODEL = "smollm2-135m"
_TOKENS = 128
_AT_ONCE = 16
_FREE: Mapping[str, Drafter] = {
    "lookup": LookupDrafter(),
    "n-grams": NgramDrafter(),
    "head": HeadDrafter(),
}
"""They need no forward, and so no adapter."""
_ADAPTED: Mapping[str, Drafter] = {
    "adapter": DiffusionDrafter(),
    "adapter + hints": DiffusionDrafter(hints=LookupDrafter(min_match=2)),
    "adapter + lookup": CombinedDrafter(),
}
_UNTRAINED = "untrained mask"


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the table: a drafter with a block length on one kind of question."""

    kind: str
    drafter: str
    block_length: int
    tokens_per_cycle: float
    chosen_per_cycle: float
    tokens_per_forward: float
    acceptance: float
    new_tokens: int

    @classmethod
    def of(cls, kind: str, drafter: str, block_length: int, done: Sequence[Completion]) -> "Row":
        tokens = sum(each.stats.new_tokens for each in done)
        forced = sum(each.stats.forced for each in done)
        drafted = sum(each.stats.drafted for each in done)
        accepted = sum(each.stats.accepted for each in done)
        cycles = sum(
            forward.purpose in (Purpose.VERIFY, Purpose.NEXT)
            for each in done
            for forward in each.forwards
        )
        forwards = sum(each.stats.forwards for each in done)
        return cls(
            kind,
            drafter,
            block_length,
            tokens / cycles,
            (tokens - forced) / cycles,
            tokens / forwards,
            accepted / drafted if drafted else 0.0,
            tokens,
        )


def questions(args: argparse.Namespace) -> Mapping[str, list[Task]]:
    """By kind, at most so many of each."""
    if args.bfcl is None:
        tools = [
            Task(
                question=each.messages[-1][1],
                system=each.messages[0][1],
                grammar=each.grammar,
            )
            for each in islice(
                (task for task in tool_tasks(1, 500, HELD_OUT_DOMAINS) if len(task.messages) == 2),
                args.limit,
            )
        ]
    else:
        tools = [calls.task(entry)[0] for entry in calls.entries(args.bfcl)]
    found = {
        "tool": tools,
        "code": [*WORKLOADS["code"], *MORE["code"]],
        "prose": [*WORKLOADS["prose"], *MORE["prose"]],
    }
    for each in args.prompts:
        kind, file = each.split(":", 1)
        read = read_instructions(Path(file), "file", Kind(kind))
        given = [Task(task.messages[-1][1]) for task in islice(read, args.limit)]
        found[kind] = [*given, *found[kind]]  # the others only fill up to the limit
    return {kind: tasks[: args.limit] for kind, tasks in found.items()}


def measure(
    engine: Engine, tasks: Mapping[str, Sequence[Task]], name: str, modes: Mapping[int, DecodeMode]
) -> Iterator[Row]:
    for block_length, mode in modes.items():
        for kind, asked in tasks.items():
            requests = [
                Request(
                    engine.tokenizer.encode_chat(task.messages),
                    mode=mode,
                    grammar=task.grammar,
                    max_new_tokens=_TOKENS,
                )
                for task in asked
            ]
            row = Row.of(kind, name, block_length, engine.generate_many(requests))
            print(
                f"{kind:6} {name:17} {block_length:2}: {row.tokens_per_cycle:.2f}", file=sys.stderr
            )
            yield row


def _rows(args: argparse.Namespace) -> list[Row]:
    tasks = questions(args)
    rows: list[Row] = []
    lengths = args.block_lengths
    with _engine(args, None) as engine:
        rows += measure(engine, tasks, "none", {1: Autoregressive()})
        for name in (each for each in _FREE if each in args.drafters):
            modes = {n: SelfSpeculation(n, _FREE[name]) for n in lengths}
            rows += measure(engine, tasks, name, modes)
    if _UNTRAINED in args.drafters:
        rows += _untrained(args, tasks)
    with _engine(args, args.adapter) as engine:
        for name in (each for each in _ADAPTED if each in args.drafters):
            for beside in (0, *args.side_guesses):
                modes = {
                    n: SelfSpeculation(n, _ADAPTED[name], side_guesses=beside) for n in lengths
                }
                label = f"{name}, {beside} beside" if beside else name
                rows += measure(engine, tasks, label, modes)
    return rows


def _untrained(args: argparse.Namespace, tasks: Mapping[str, Sequence[Task]]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        plain = read_network(
            embedded_directory(None, None),
            dtype=torch.float32,
            device=torch.device("cpu"),
            name=_MODEL,
        )
        mean_E = plain.parameters.embedding_VE.mean(0)
        DraftAdapter(plain.config, 1, 1.0, mean_E).save(Path(folder))
        with _engine(args, folder) as engine:
            modes = {n: SelfSpeculation(n, DiffusionDrafter()) for n in args.block_lengths}
            return list(measure(engine, tasks, _UNTRAINED, modes))


def _engine(args: argparse.Namespace, adapter: str | None) -> Engine:
    return Engine.load(_MODEL, profile=args.profile, adapter=adapter, max_live=_AT_ONCE)


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each drafter and block length, tokens per cycle and per forward."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    cells = {(row.drafter, row.block_length, row.kind): row for row in rows}
    lines = [
        "| drafter | block | " + " | ".join(kinds) + " |",
        "|---|---|" + "---|" * len(kinds),
    ]
    for drafter, length in dict.fromkeys((row.drafter, row.block_length) for row in rows):
        found = [cells[drafter, length, kind] for kind in kinds]
        texts = [f"{row.tokens_per_cycle:.2f} / {row.tokens_per_forward:.2f}" for row in found]
        lines.append(f"| {drafter} | {length} | " + " | ".join(texts) + " |")
    forced = [1.0 - statistics.fmean(_shares(rows, kind)) for kind in kinds]
    lines += ["", "Forced tokens: " + ", ".join(map("{}: {:.0%}".format, kinds, forced))]
    return "\n".join(lines)


def _shares(rows: Sequence[Row], kind: str) -> list[float]:
    return [row.chosen_per_cycle / row.tokens_per_cycle for row in rows if row.kind == kind]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--profile", choices=["exact", "fast"], default="fast")
    parser.add_argument("--limit", type=positive, default=24, help="questions of each kind")
    drafters = [*_FREE, _UNTRAINED, *_ADAPTED]
    parser.add_argument("--drafters", nargs="*", choices=drafters, default=drafters)
    parser.add_argument("--block-lengths", type=positive, nargs="+", default=[4, 8, 16])
    parser.add_argument(
        "--side-guesses",
        type=positive,
        nargs="*",
        default=[],
        help="of the adapter's drafts, each number by itself",
    )
    parser.add_argument("--adapter", default="linear_spec_lora", help="a name or a folder")
    parser.add_argument("--bfcl", type=Path, help=f"the wheel of bfcl-eval ({bfcl.INSTALL})")
    parser.add_argument("--prompts", nargs="*", default=[], metavar="KIND:FILE")
    parser.add_argument("--threads", type=positive)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        rows = _rows(args)
    if args.json:
        print(
            json.dumps({"profile": args.profile, "rows": [asdict(row) for row in rows]}, indent=2)
        )
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
