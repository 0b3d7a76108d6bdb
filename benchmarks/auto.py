"""Tokens per second by number of live sequences: fixed modes beside `Auto`.

    python -m benchmarks.auto [--json] [--plot] [--model smollm2-135m] [--profile exact]
        [--workloads tool prose alternating] [--live 1 2 4 8 16 32] [--blocks 4 8]
        [--tokens 48] [--repeats 3] [--temperature 0.7] [--device cpu] [--threads 2]
        [--without head ngrams]

`--without` adds an `Auto` for each of the drafters named, that has all but it.

"alternating" are calls under a grammar and prose by turns, as an agent's answers are. In each
measurement as many answers are decoded together as there are live sequences; their seeds differ.
All modes take turns on the same weights and prompts, whose encodings are re-used from the
first round, which is not counted; figures are medians over the rounds. `Auto` keeps what it learns
within a workload, and decides by the cost of forwards that is measured at the start.

`--plot` draws the figures into `benchmarks/plots/` (pip install "trimode[bench]").
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import torch

from benchmarks.modes import prompt_of
from benchmarks.options import device, positive, told_as_errors
from benchmarks.workloads import WORKLOADS, Task
from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    DecodeMode,
    Engine,
    Fastest,
    ForwardCost,
    LookupDrafter,
    Request,
    Sampling,
    SelfSpeculation,
    UnsupportedMode,
)
from decoding.weights import EMBEDDED

PLOTS = Path(__file__).parent / "plots"
TASKS: Mapping[str, tuple[Task, ...]] = {
    "tool": WORKLOADS["tool"],
    "prose": WORKLOADS["prose"],
    "code": WORKLOADS["code"],
    "alternating": tuple(
        chain.from_iterable(zip(WORKLOADS["tool"], WORKLOADS["prose"], strict=True))
    ),
}
USUAL = ["tool", "prose", "alternating"]


@dataclass(frozen=True, slots=True)
class Point:
    """One mode with so many live sequences on one workload."""

    workload: str
    mode: str
    live: int
    tokens_per_second: float
    tokens_per_forward: float
    decisions: Mapping[str, int]


_LESS: Mapping[str, Fastest] = {
    "lookup": Fastest(lookup=None),
    "ngrams": Fastest(ngrams=None),
    "head": Fastest(head=None),
    "denoiser": Fastest(denoiser=None),
}


def cases(blocks: Sequence[int], without: Sequence[str] = ()) -> dict[str, DecodeMode]:
    """The modes measured, the reference first and `Auto` last."""
    modes: dict[str, DecodeMode] = {"autoregressive": Autoregressive()}
    for block in blocks:
        modes[f"lookup {block}"] = SelfSpeculation(block, LookupDrafter())
        modes[f"self-speculation {block}"] = SelfSpeculation(block)
        modes[f"diffusion {block}"] = BlockDiffusion(block)
    for drafter in without:
        modes[f"auto without {drafter}"] = Auto(_LESS[drafter], _LESS[drafter])
    return {**modes, "auto": Auto()}


def measure(
    engine: Engine,
    cost: ForwardCost,
    modes: Mapping[str, DecodeMode],
    workload: str,
    counts: Sequence[int],
    *,
    tokens: int,
    repeats: int,
    temperature: float,
) -> list[Point]:
    """The points of one workload. Modes that the network cannot do have none."""
    engines = {
        name: Engine(
            engine.network,
            engine.tokenizer,
            max_live=max(counts),
            cache_tokens=engine_room(engine, workload, max(counts), tokens),
            forward_cost=cost,
        )
        for name, mode in modes.items()
        if _is_able(engine, mode)
    }
    points = []
    for live in counts:
        rounds: dict[str, list[Point]] = {name: [] for name in engines}
        for number in range(-1, repeats):
            for name, own in engines.items():
                requests = [
                    Request(
                        prompt_of(own, task),
                        mode=modes[name],
                        grammar=task.grammar,
                        sampling=Sampling(temperature=temperature, seed=(number + 1) * live + one),
                        max_new_tokens=tokens,
                    )
                    for one, task in enumerate(_cycle(TASKS[workload], live))
                ]
                rounds[name].append(_timed(own, requests, workload, name, live))
        print(f"{workload}: {live} live done", file=sys.stderr)
        points += [_median(each[1:]) for each in rounds.values()]
    return points


def engine_room(engine: Engine, workload: str, live: int, tokens: int) -> int:
    """Cache for the answers of all live sequences, and some for prompts that are kept."""
    longest = max(len(prompt_of(engine, task)) for task in TASKS[workload])
    return (live + len(TASKS[workload])) * (longest + tokens + 16)


def _cycle(tasks: Sequence[Task], count: int) -> list[Task]:
    return [tasks[number % len(tasks)] for number in range(count)]


def _is_able(engine: Engine, mode: DecodeMode) -> bool:
    try:
        mode.fit(engine.network)
    except UnsupportedMode:
        return False
    return True


def _timed(
    engine: Engine, requests: Sequence[Request], workload: str, mode: str, live: int
) -> Point:
    forwards, started = engine.stats().forwards, time.perf_counter()
    completions = engine.generate_many(requests)
    seconds = time.perf_counter() - started
    tokens = sum(each.stats.new_tokens for each in completions)
    decisions: dict[str, int] = {}
    for each in completions:
        for decision, count in each.stats.decisions.items():
            decisions[decision] = decisions.get(decision, 0) + count
    per_forward = tokens / max(engine.stats().forwards - forwards, 1)
    return Point(workload, mode, live, tokens / seconds, per_forward, decisions)


def _median(points: Sequence[Point]) -> Point:
    """The point in the middle; decisions and counts are its own."""
    middle = statistics.median_low(point.tokens_per_second for point in points)
    return next(point for point in points if point.tokens_per_second == middle)


def main() -> None:
    parser = options()
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        Sampling(temperature=args.temperature)
        engine = Engine.load(args.model, profile=args.profile, device=args.device, cache_tokens=16)
        cost = engine.calibrate()
        points = [
            point
            for workload in args.workloads
            for point in measure(
                engine,
                cost,
                cases(args.blocks, args.without),
                workload,
                args.live,
                tokens=args.tokens,
                repeats=args.repeats,
                temperature=args.temperature,
            )
        ]
        if args.plot:
            draw(points, args.plots / f"auto-{Path(args.model).name}-{args.profile}.svg")
    print(as_json(args, cost, points) if args.json else as_table(points))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON instead of tables")
    add("--plot", action="store_true", help="draw an SVG; needs matplotlib")
    add("--plots", type=Path, default=PLOTS, help="where to put the SVG")
    add("--model", default=EMBEDDED, help="embedded name, directory or hub id")
    add("--profile", choices=["exact", "fast"], default="exact", help="of the numerics")
    add("--device", type=device, default="cpu", help="cpu or cuda")
    add("--threads", type=positive, default=2, help="of torch")
    add("--workloads", nargs="+", choices=TASKS, default=USUAL, help="kinds of text")
    add("--without", nargs="*", choices=_LESS, default=[], help="drafters of further Autos")
    add("--live", type=positive, nargs="+", default=[1, 2, 4, 8, 16, 32], help="live sequences")
    add("--blocks", type=positive, nargs="*", default=[4, 8], help="block lengths")
    add("--tokens", type=positive, default=48, help="most tokens per answer")
    add("--repeats", type=positive, default=3, help="counted rounds")
    add("--temperature", type=float, default=0.7, help="of sampling; 0 decodes greedily")
    return parser


def as_json(args: argparse.Namespace, cost: ForwardCost, points: Sequence[Point]) -> str:
    about = {
        "machine": {"processor": platform.machine(), "threads": args.threads},
        "versions": {name: version(name) for name in ("torch", "llguidance")},
        **{key: getattr(args, key) for key in ("model", "profile", "device", "tokens", "repeats")},
        "temperature": args.temperature,
        "forward_cost": asdict(cost),
        "results": [asdict(point) for point in points],
    }
    return json.dumps(about, indent=2)


def as_table(points: Sequence[Point]) -> str:
    lines = []
    for workload, shown in _grouped(points).items():
        counts = list(dict.fromkeys(point.live for point in points))
        lines.append(f"{workload:20} tokens/s at " + "".join(f"{live:8}" for live in counts))
        for mode, line in shown.items():
            lines.append(f"{mode:32} " + "".join(f"{p.tokens_per_second:8.1f}" for p in line))
        lines.append("")
    return "\n".join(lines)


def _grouped(points: Sequence[Point]) -> dict[str, dict[str, list[Point]]]:
    """By workload and mode."""
    found: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        found.setdefault(point.workload, {}).setdefault(point.mode, []).append(point)
    return found


def draw(points: Sequence[Point], file: Path) -> None:
    """One picture per workload, side by side. Raises `ValueError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError('--plot needs matplotlib: pip install "trimode[bench]"') from None
    grouped = _grouped(points)
    figure = Figure(figsize=(4.5 * len(grouped), 4), layout="constrained")
    for place, (workload, modes) in enumerate(grouped.items(), start=1):
        axes = figure.add_subplot(1, len(grouped), place)
        for mode, line in modes.items():
            counts = [point.live for point in line]
            speeds = [point.tokens_per_second for point in line]
            axes.plot(counts, speeds, "k-o" if mode == "auto" else "--", label=mode)
        axes.set(title=workload, xlabel="live sequences", ylabel="tokens per second")
        axes.set_xscale("log", base=2)
        axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


if __name__ == "__main__":
    main()
