"""Tokens per second by number of live sequences: fixed modes beside `Auto`.

    python -m benchmarks.auto [--json] [--plot] [--model smollm2-135m] [--profile exact]
        [--workloads tool prose alternating] [--live 1 2 4 8 16 32] [--blocks 4 8]
        [--tokens 48] [--rounds 10] [--seconds 0.5] [--temperature 0.7] [--device cpu]
        [--threads 2] [--without head ngrams] [--modes autoregressive "lookup 4" auto]

`--without` adds an `Auto` for each of the drafters named, that has all but it. `--modes` leaves
out all but those named, so that more rounds fit into the time.

"alternating" are calls under a grammar and prose by turns, as an agent's answers are. So many
sequences are live at all times: where one ends the next begins, with another seed. All modes take
turns of some tenths of a second on the same weights and requests, in another order each round; the
first round of a point, which is three times as long, does not count. Figures are tokens over
seconds of all rounds, and those of `Auto` to the best fixed mode medians of the rounds' ratios,
with the standard error of these medians.
Each engine begins with the cost of forwards that is measured at the start, and learns from there.

`--plot` draws the figures into `benchmarks/plots/` (pip install "trimode[bench]").
"""

import argparse
import json
import math
import platform
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain, count, cycle
from pathlib import Path

import torch

from benchmarks.modes import prompt_of
from benchmarks.options import device, positive, seconds, told_as_errors
from benchmarks.workloads import WORKLOADS, Task
from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    Committed,
    DecodeMode,
    Engine,
    Failed,
    Fastest,
    Finished,
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
    """One mode with so many live sequences on one workload. `to_best` are its tokens per second
    to those of the fixed mode that was best, give or take `to_best_error`."""

    workload: str
    mode: str
    live: int
    tokens_per_second: float
    tokens_per_forward: float
    to_best: float
    to_best_error: float | None
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


def chosen(modes: Mapping[str, DecodeMode], names: Sequence[str]) -> dict[str, DecodeMode]:
    """Those named, all where none is. Raises `ValueError` for an unknown one, and where no fixed
    one is left to compare with."""
    unknown = [name for name in names if name not in modes]
    if unknown:
        raise ValueError(f"--modes: no {unknown[0]!r} among {', '.join(map(repr, modes))}")
    found = {name: mode for name, mode in modes.items() if name in names or not names}
    _check_fixed(found, "--modes")
    return found


def _check_fixed(modes: Mapping[str, DecodeMode], where: str) -> None:
    if all(isinstance(mode, Auto) for mode in modes.values()):
        raise ValueError(f"{where}: name a fixed mode too, to compare with")


def measure(
    engine: Engine,
    cost: ForwardCost,
    modes: Mapping[str, DecodeMode],
    workload: str,
    counts: Sequence[int],
    *,
    tokens: int,
    rounds: int,
    seconds: float,
    temperature: float,
) -> list[Point]:
    """The points of one workload. Modes that the network cannot do have none. Raises `ValueError`
    where no fixed one is left to compare with."""
    able = {name: mode for name, mode in modes.items() if _is_able(engine, mode)}
    names = ", ".join(able) or "none"
    _check_fixed(able, f"of the modes asked for {engine.network.name} can do {names}")
    points: list[Point] = []
    for live in counts:
        loads = {
            name: Load(engine, cost, mode, workload, live, tokens, temperature)
            for name, mode in able.items()
        }
        order = list(loads.values())
        for load in order:
            load.run(3 * seconds)
            load.forget()
        for number in range(rounds):
            random.Random(number).shuffle(order)
            for load in order:
                load.run(seconds)
        fixed = [load for name, load in loads.items() if not isinstance(able[name], Auto)]
        best = max(fixed, key=lambda load: load.tokens_per_second)
        points += [load.point(name, best) for name, load in loads.items()]
        print(f"{workload}: {live} live done", file=sys.stderr)
    return points


@dataclass(frozen=True, slots=True)
class Turn:
    """What was committed in a stretch of time."""

    tokens: int
    forwards: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


class Load:
    """An engine that always has so many live sequences, and stands still between its turns."""

    def __init__(
        self,
        engine: Engine,
        cost: ForwardCost,
        mode: DecodeMode,
        workload: str,
        live: int,
        tokens: int,
        temperature: float,
    ) -> None:
        self._workload, self._live = workload, live
        self._engine = Engine(
            engine.network,
            engine.tokenizer,
            max_live=live,
            cache_tokens=engine_room(engine, workload, live, tokens),
            forward_cost=lambda _: cost,
        )
        self._requests = (
            Request(
                prompt_of(self._engine, task),
                mode=mode,
                grammar=task.grammar,
                sampling=Sampling(temperature=temperature, seed=seed),
                max_new_tokens=tokens,
            )
            for seed, task in zip(count(), cycle(TASKS[workload]), strict=False)
        )
        self._decisions: Counter[str] = Counter()
        self.turns: list[Turn] = []
        for _ in range(live):
            self._engine.add(next(self._requests))

    def run(self, seconds: float) -> None:
        """Goes on for so long, and until something was committed."""
        tokens, forwards, started = 0, self._engine.stats().forwards, time.perf_counter()
        taken = 0.0
        while tokens == 0 or taken < seconds:
            tokens += sum(self._step())
            taken = time.perf_counter() - started
        self.turns.append(Turn(tokens, self._engine.stats().forwards - forwards, taken))

    def forget(self) -> None:
        """Counts from here. Answers that are begun keep what was decided for them."""
        self.turns.clear()
        self._decisions.clear()

    def _step(self) -> Iterator[int]:
        """One step; how many tokens each of its events has."""
        for event in self._engine.step():
            match event:
                case Committed():
                    yield len(event.token_ids)
                case Finished():
                    self._decisions.update(event.completion.stats.decisions)
                    self._engine.add(next(self._requests))
                case Failed():
                    raise event.error

    @property
    def tokens_per_second(self) -> float:
        return sum(turn.tokens for turn in self.turns) / sum(turn.seconds for turn in self.turns)

    def point(self, mode: str, best: "Load") -> Point:
        tokens, forwards = (
            sum(getattr(turn, name) for turn in self.turns) for name in ("tokens", "forwards")
        )
        ratios = [
            own.tokens_per_second / others.tokens_per_second
            for own, others in zip(self.turns, best.turns, strict=True)
        ]
        return Point(
            self._workload,
            mode,
            self._live,
            self.tokens_per_second,
            tokens / max(forwards, 1),
            statistics.median(ratios),
            _error_of_median(ratios),
            dict(self._decisions),
        )


def _error_of_median(values: Sequence[float]) -> float | None:
    """The standard error, as if they were normal; None for a single one."""
    if len(values) == 1:
        return None
    return math.sqrt(math.pi / 2 / len(values)) * statistics.stdev(values)


def engine_room(engine: Engine, workload: str, live: int, tokens: int) -> int:
    """Cache for the answers of all live sequences, and some for prompts that are kept."""
    longest = max(len(prompt_of(engine, task)) for task in TASKS[workload])
    return (live + len(TASKS[workload])) * (longest + tokens + 16)


def _is_able(engine: Engine, mode: DecodeMode) -> bool:
    try:
        mode.fit(engine.network)
    except UnsupportedMode:
        return False
    return True


def main() -> None:
    parser = options()
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        if args.plot:
            check_can_draw()
        Sampling(temperature=args.temperature)
        modes = chosen(cases(args.blocks, args.without), args.modes)
        engine = Engine.load(args.model, profile=args.profile, device=args.device, cache_tokens=16)
        cost = engine.calibrate()
        points = [
            point
            for workload in args.workloads
            for point in measure(
                engine,
                cost,
                modes,
                workload,
                args.live,
                tokens=args.tokens,
                rounds=args.rounds,
                seconds=args.seconds,
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
    add("--modes", nargs="+", default=[], metavar="MODE", help="by name; all unless given")
    add("--live", type=positive, nargs="+", default=[1, 2, 4, 8, 16, 32], help="live sequences")
    add("--blocks", type=positive, nargs="*", default=[4, 8], help="block lengths")
    add("--tokens", type=positive, default=48, help="most tokens per answer")
    add("--rounds", type=positive, default=10, help="counted rounds")
    add("--seconds", type=seconds, default=0.5, help="of a mode's turn in a round")
    add("--temperature", type=float, default=0.7, help="of sampling; 0 decodes greedily")
    return parser


_SETTINGS = ("model", "profile", "device", "tokens", "rounds", "seconds")


def as_json(args: argparse.Namespace, cost: ForwardCost, points: Sequence[Point]) -> str:
    about = {
        "machine": {"processor": platform.machine(), "threads": args.threads},
        "versions": {name: version(name) for name in ("torch", "llguidance")},
        **{key: getattr(args, key) for key in _SETTINGS},
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
            if mode == "auto" or mode.startswith("auto without"):
                name = f"{mode} to the best fixed"
                lines.append(f"{name:32} " + "".join(f"{p.to_best:8.2f}" for p in line))
                lines.append(f"{'give or take':32} " + "".join(map(_shown_error, line)))
        lines.append("")
    return "\n".join(lines)


def _shown_error(point: Point) -> str:
    error = point.to_best_error
    return f"{'unknown':>8}" if error is None else f"{error:8.2f}"


def _grouped(points: Sequence[Point]) -> dict[str, dict[str, list[Point]]]:
    """By workload and mode."""
    found: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        found.setdefault(point.workload, {}).setdefault(point.mode, []).append(point)
    return found


def check_can_draw() -> None:
    """Raises `ValueError` without matplotlib: before all is measured, not behind it."""
    if find_spec("matplotlib") is None:
        raise ValueError('--plot needs matplotlib: pip install "trimode[bench]"')


def draw(points: Sequence[Point], file: Path) -> None:
    """One picture per workload, side by side. Raises `ValueError` without matplotlib."""
    check_can_draw()
    from matplotlib.figure import Figure

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
