"""Every decoding mode beside autoregressive decoding, by kind of text.

    python -m benchmarks.modes [--json] [--model smollm2-135m] [--profile exact]
        [--blocks 8] [--workloads tool code prose] [--tasks 3] [--tokens 64] [--repeats 3]
        [--temperature 0] [--untrained-mask] [--device cpu] [--threads 2]

All in one process on the same weights, taking turns; every answer begins with an empty cache.
Counts are sums over a workload's tasks. Tokens per second are medians over the repeats, counted
from the end of the forward that finished the prompt; "x" is the ratio to the first row. "same" are
the answers equal to the autoregressive ones, token for token; self-speculation must reach all
in the profile "exact". What a model cannot do is listed with the reason, and so are tasks
whose prompt is beyond its context.

`--untrained-mask` gives a model without a diffusion pathway a mask token whose embedding means
nothing: drafts are then no good, but take their time.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.options import device, positive, told_as_errors
from benchmarks.workloads import WORKLOADS, Task
from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    CombinedDrafter,
    Completion,
    ContextOverflow,
    DecodeMode,
    DiffusionDrafter,
    Drafter,
    Engine,
    LookupDrafter,
    Purpose,
    Request,
    Sampling,
    SelfSpeculation,
    UnsupportedMode,
)
from decoding.network.base import Network
from decoding.network.transformer import Transformer
from decoding.weights import EMBEDDED

BASE = "autoregressive"


@dataclass(frozen=True, slots=True)
class Case:
    """A mode and what it is called in the table. `block` is 0 where there is none."""

    label: str
    mode: DecodeMode
    block: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One mode on one workload; the definitions are those of `decoding.Stats`."""

    tasks: int
    tokens: int
    forwards: int
    prefill_forwards: int
    tokens_per_forward: float
    drafted: int
    accepted: int
    acceptance: float
    accepted_per_verify: float
    forced: int
    mask_microseconds_per_token: float
    tokens_per_second: float
    ratio: float
    same: int


@dataclass(frozen=True, slots=True)
class Row:
    """`figures` are None where the model cannot decode this way, and `unsupported` says why, or
    where all tasks are `too_long` for it: their numbers, from 1, with what was wrong."""

    workload: str
    label: str
    block: int
    figures: Figures | None
    unsupported: str = ""
    too_long: tuple[tuple[int, str], ...] = ()


def cases(blocks: Sequence[int]) -> tuple[Case, ...]:
    """All modes; those over blocks once for each block length."""
    speculating: dict[str, Drafter] = {
        "speculation, diffusion": DiffusionDrafter(),
        "speculation, lookup": LookupDrafter(),
        "speculation, combined": CombinedDrafter(),
    }
    built = [Case(BASE, Autoregressive())]
    for block in blocks:
        built += [
            Case(label, SelfSpeculation(block, drafter), block)
            for label, drafter in speculating.items()
        ]
        built.append(Case("block diffusion", BlockDiffusion(block), block))
    return (*built, Case("auto", Auto()))


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts of an answer, and how it went on behind the forward that ended the prompt."""

    completion: Completion
    tokens: int
    seconds: float

    @classmethod
    def of(cls, completion: Completion) -> "Sample":
        forwards = completion.forwards
        reading = (at for at, each in enumerate(forwards) if each.purpose is not Purpose.PREFILL)
        first = next(reading, None)
        if first is None:
            return cls(completion, 0, 0.0)
        prompt = forwards[first].started + forwards[first].seconds
        tokens = sum(record.forward > first for record in completion.records)
        return cls(completion, tokens, completion.stats.seconds - prompt)


Open = Callable[[], Engine]
"""Makes an engine with an empty cache over weights that are loaded already."""


def answer(open_engine: Open, task: Task, mode: DecodeMode, sampling: Sampling, n: int) -> Sample:
    with open_engine() as engine:
        request = Request(
            prompt_of(engine, task),
            mode=mode,
            grammar=task.grammar,
            sampling=sampling,
            max_new_tokens=n,
        )
        return Sample.of(engine.generate_many([request])[0])


def prompt_of(engine: Engine, task: Task) -> tuple[int, ...]:
    """Rendered by the model's chat template; as plain text where it has none for the task."""
    try:
        return tuple(engine.tokenizer.encode_chat(task.messages))
    except ValueError:
        return engine.encode(task.text)


def measure(
    open_engine: Open,
    chosen: Sequence[Case],
    workload: str,
    tasks: Sequence[Task],
    *,
    sampling: Sampling,
    tokens: int,
    repeats: int,
) -> Iterator[Row]:
    """A row for each case, the first of which is what the others are compared with."""
    refused = {case: _refusal(open_engine, case) for case in chosen}
    able = [case for case in chosen if not refused[case]]
    overflows = {
        number: _overflow(open_engine, task, tokens) for number, task in enumerate(tasks, start=1)
    }
    too_long = tuple((number, reason) for number, reason in overflows.items() if reason)
    tasks = [task for task, reason in zip(tasks, overflows.values(), strict=True) if not reason]
    if not tasks:
        for case in chosen:
            yield Row(workload, case.label, case.block, None, refused[case], too_long)
        return
    rounds: dict[Case, list[list[Sample]]] = {case: [] for case in able}
    for number in range(-1, repeats):  # the first round warms up and is not counted
        samples: dict[Case, list[Sample]] = {case: [] for case in able}
        for task in tasks:
            for case in able:
                samples[case].append(answer(open_engine, task, case.mode, sampling, tokens))
        if number >= 0:
            for case in able:
                rounds[case].append(samples[case])
        print(f"{workload}: round {number + 1} of {repeats} done", file=sys.stderr)
    base = rounds[chosen[0]]
    for case in chosen:
        found = figures(rounds[case], base) if case in rounds else None
        yield Row(workload, case.label, case.block, found, refused[case], too_long)


def _refusal(open_engine: Open, case: Case) -> str:
    """Why the model cannot decode this way; empty where it can."""
    with open_engine() as engine:
        try:
            case.mode.fit(engine.network)
        except UnsupportedMode as error:  # the row's label says more than the mode's name
            return str(error).removeprefix(f"{error.model} cannot decode in mode {error.mode}: ")
        except ValueError as error:
            return str(error)
    return ""


def _overflow(open_engine: Open, task: Task, tokens: int) -> str:
    """Why the task does not fit the model's context; empty where it does."""
    with open_engine() as engine:
        try:
            engine.add(Request(prompt_of(engine, task), max_new_tokens=tokens))
        except ContextOverflow as error:
            return str(error)
    return ""


def figures(rounds: Sequence[Sequence[Sample]], base: Sequence[Sequence[Sample]]) -> Figures:
    """Counts of the last round, which are those of every round, and median speed."""
    completions = [sample.completion for sample in rounds[-1]]
    stats = [completion.stats for completion in completions]
    tokens = sum(each.new_tokens for each in stats)
    forwards = sum(each.forwards for each in stats)
    drafted = sum(each.drafted for each in stats)
    accepted = sum(each.accepted for each in stats)
    verifies = sum(
        forward.purpose is Purpose.VERIFY
        for completion in completions
        for forward in completion.forwards
    )
    pairs = zip(completions, (sample.completion for sample in base[-1]), strict=True)
    return Figures(
        tasks=len(completions),
        tokens=tokens,
        forwards=forwards,
        prefill_forwards=sum(each.prefill_forwards for each in stats),
        tokens_per_forward=tokens / max(forwards, 1),
        drafted=drafted,
        accepted=accepted,
        acceptance=accepted / max(drafted, 1),
        accepted_per_verify=accepted / max(verifies, 1),
        forced=sum(each.forced for each in stats),
        mask_microseconds_per_token=sum(each.mask_microseconds for each in stats) / max(tokens, 1),
        tokens_per_second=_speed(rounds),
        ratio=_speed(rounds) / max(_speed(base), 1e-9),
        same=sum(one.token_ids == other.token_ids for one, other in pairs),
    )


def _speed(rounds: Sequence[Sequence[Sample]]) -> float:
    """Tokens per second behind the prompts, the median over the rounds."""
    return statistics.median(
        sum(sample.tokens for sample in samples)
        / max(sum(sample.seconds for sample in samples), 1e-9)
        for samples in rounds
    )


def write_untrained_mask(network: Network, folder: Path) -> None:
    """Writes an adapter that changes nothing and brings a mask token of zeros."""
    if not isinstance(network, Transformer):
        raise TypeError("an adapter needs a transformer")
    hidden, inner = network.config.hidden_size, network.config.feed_forward_size
    key = "base_model.model.model.layers.0.mlp.up_proj"
    tensors = {
        f"{key}.lora_A.weight": torch.zeros(1, hidden),
        f"{key}.lora_B.weight": torch.zeros(inner, 1),
        "mask_embedding": torch.zeros(hidden),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["up_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")


def load(args: argparse.Namespace) -> Engine:
    engine = Engine.load(args.model, profile=args.profile, device=args.device, cache_tokens=16)
    if not args.untrained_mask:
        return engine
    if engine.network.mask_token_id is not None:
        raise ValueError(f"{args.model} has a mask token; leave --untrained-mask off")
    with tempfile.TemporaryDirectory() as folder:
        write_untrained_mask(engine.network, Path(folder))
        return Engine.load(
            args.model, profile=args.profile, device=args.device, adapter=folder, cache_tokens=16
        )


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        rows = run(args)
    print(as_json(args, rows) if args.json else as_table(rows))


def run(args: argparse.Namespace) -> list[Row]:
    sampling = Sampling(temperature=args.temperature, seed=0)
    chosen = cases(args.blocks)
    loaded = load(args)

    def open_engine() -> Engine:
        return Engine(loaded.network, loaded.tokenizer, cache_tokens=args.cache_tokens)

    return [
        row
        for workload in args.workloads
        for row in measure(
            open_engine,
            chosen,
            workload,
            WORKLOADS[workload][: args.tasks],
            sampling=sampling,
            tokens=args.tokens,
            repeats=args.repeats,
        )
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--model", default=EMBEDDED, help="embedded name, directory or hub id")
    add("--profile", choices=["exact", "fast"], default="exact", help="float32 or bfloat16")
    add("--device", type=device, default="cpu", help="cpu or cuda")
    add("--threads", type=positive, default=2, help="of torch")
    add("--blocks", type=positive, nargs="+", default=[8], help="block lengths")
    add(
        "--workloads",
        nargs="+",
        choices=WORKLOADS,
        default=list(WORKLOADS),
        help="kinds of text; all unless given",
    )
    add("--tasks", type=positive, default=3, help="most tasks of each workload")
    add("--tokens", type=positive, default=64, help="most tokens per answer")
    add("--repeats", type=positive, default=3, help="counted rounds")
    add("--temperature", type=float, default=0.0, help="of sampling; 0 decodes greedily")
    add("--cache-tokens", type=positive, default=4096, help="room in the cache")
    add(
        "--untrained-mask",
        action="store_true",
        help="give a model without a diffusion pathway a mask token that means nothing",
    )
    return parser


def as_json(args: argparse.Namespace, rows: Sequence[Row]) -> str:
    about = {
        "machine": {"processor": platform.machine(), "threads": args.threads},
        "versions": {name: version(name) for name in ("torch", "transformers", "llguidance")},
        **{key: getattr(args, key) for key in ("model", "profile", "device", "tokens", "repeats")},
        "temperature": args.temperature,
        "untrained_mask": args.untrained_mask,
        "results": [asdict(row) for row in rows],
    }
    return json.dumps(about, indent=2)


def as_table(rows: Sequence[Row]) -> str:
    lines = []
    for workload in dict.fromkeys(row.workload for row in rows):
        lines.append(
            f"{workload:22} block  tokens  forwards+prefill   TPF  accepted/drafted  "
            "per verify  forced  mask us  tokens/s      x  same"
        )
        shown = [row for row in rows if row.workload == workload]
        lines += [_line(row) for row in shown]
        lines += [
            f"task {number} is too long for this model and left out: {reason}"
            for number, reason in shown[0].too_long
        ]
        lines.append("")
    return "\n".join([*lines, *_reasons(rows)])


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Each reason once, with all the labels that it is for."""
    labels: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.unsupported:
            labels.setdefault(row.unsupported, {})[row.label] = None
    for reason, found in labels.items():
        yield f"unsupported ({'; '.join(found)}): {reason}"


def _line(row: Row) -> str:
    start = f"{row.label:22} {row.block or '':>5}"
    found = row.figures
    if found is None:
        return f"{start}  {'unsupported' if row.unsupported else 'all tasks are too long'}"
    drafts = f"{found.accepted}/{found.drafted} {found.acceptance:4.0%}" if found.drafted else ""
    per_verify = f"{found.accepted_per_verify:.2f}" if found.drafted else ""
    return (
        f"{start}  {found.tokens:6}  {found.forwards:8}+{found.prefill_forwards:<7}  "
        f"{found.tokens_per_forward:4.2f}  {drafts:>16}  {per_verify:>10}  {found.forced:6}  "
        f"{found.mask_microseconds_per_token:7.1f}  {found.tokens_per_second:8.1f}  "
        f"{found.ratio:5.2f}  {found.same}/{found.tasks}"
    )


if __name__ == "__main__":
    main()
