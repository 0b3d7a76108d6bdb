"""Decoding on a GPU at the sizes of Nemotron-Labs-Diffusion, with random weights in bfloat16.

    python -m benchmarks.gpu [--sizes 3b 8b 14b] [--parts one concurrency ...] [--json]
        [--concurrency 1 2 4 ...] [--block 32] [--context 512] [--repeats 20]
        [--seconds 420] [--plot FILE]
    python -m benchmarks.gpu --toy        # a tiny network on the CPU, to try the script

A step is a forward with its picks, from a batch in host memory to tokens in host memory; times
are medians. Random weights draft nothing right, so what speculation yields is computed from
measured times for an assumed number of tokens per cycle of draft and verification.

    one          a step of one sequence against the time that reading the weights takes at the
                 bandwidth of a copy; a cycle against that step; plain against captured
    compiled     the same steps with layers that torch.compile has fused
    concurrency  throughput of autoregressive decoding and of speculation, and where they cross
    attention    the variants of padded attention over a short and a long context
    correctness  captured forwards against plain ones, and greedy self-speculation against
                 autoregressive decoding

The exit code says whether captured forwards are right and no part failed. Weights are made on the
device. What would begin after `--seconds` is left out and named, as are numbers of sequences that
memory does not hold; neither is a failure.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.gpu_checks import agreements, error_beside, same_texts
from benchmarks.gpu_network import (
    AR,
    KINDS,
    forward_of,
    random_transformer,
    share,
    weight_bytes,
)
from benchmarks.gpu_report import as_table, plot
from benchmarks.gpu_times import (
    Settings,
    Times,
    by_attention,
    compiled,
    copy_bandwidth,
    crossover,
    cycle,
    step_times,
    throughput,
)
from benchmarks.nemotron_shapes import SIZES, TOY, Size
from benchmarks.options import positive, told_as_errors
from decoding.network.captured import CapturedNetwork
from decoding.network.transformer import Transformer

DTYPE = torch.bfloat16
TOY_SETTINGS = Settings((1, 2, 4), 4, 32, 64, repeats=2, copy_bytes=2**16, compiler="eager")


class Clock:
    """Says when the time for starting anything new is over, and keeps what was left out."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.left_out: list[str] = []

    def allows(self, what: str) -> bool:
        if time.monotonic() < self._end:
            progress(what)
            return True
        self.left_out.append(what)
        return False


@dataclass(frozen=True, slots=True)
class Subject:
    """A network under measurement."""

    label: str
    size: Size
    transformer: Transformer
    settings: Settings
    clock: Clock

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    def times(self, concurrency: int, *, captured: bool) -> Times:
        network = CapturedNetwork(self.transformer) if captured else self.transformer
        return step_times(network, self.device, self.settings, concurrency, self.settings.context)


def one(subject: Subject) -> dict[str, Any] | None:
    if not subject.clock.allows(f"{subject.label}: one sequence"):
        return None
    captured, plain = (subject.times(1, captured=each) for each in (True, False))
    bandwidth = copy_bandwidth(subject.device, subject.settings)
    floor = weight_bytes(subject.size, DTYPE) / bandwidth * 1e3
    return {
        "copy_gb_per_second": bandwidth / 1e9,
        "weight_gb": weight_bytes(subject.size, DTYPE) / 1e9,
        "floor_ms": floor,
        "share_of_floor": floor / captured[AR],
        "cycle_over_ar": cycle(captured) / captured[AR],
        "captured_ms": captured,
        "plain_ms": plain,
    }


def compiled_layers(subject: Subject) -> dict[str, Any] | None:
    if not subject.clock.allows(f"{subject.label}: compiled layers"):
        return None
    settings, transformer = subject.settings, subject.transformer
    context = settings.context
    network = compiled(transformer, settings)
    errors = {
        kind: error_beside(
            network,
            transformer,
            forward_of([share(kind, settings.block, context)], context, network.vocab_size),
        )
        for kind in KINDS
    }
    times = step_times(network, subject.device, settings, 1, context)
    torch.compiler.reset()  # it keeps the weights alive
    return {"ms": times, "errors": errors}


def concurrency(subject: Subject) -> dict[str, Any] | None:
    times: dict[int, Times] = {}
    for count in subject.settings.concurrency:
        if not subject.clock.allows(f"{subject.label}: {count} sequences"):
            break
        try:
            times[count] = subject.times(count, captured=True)
        except torch.OutOfMemoryError as error:  # what is measured so far counts
            name = type(error).__name__
            subject.clock.left_out.append(f"{subject.label}: {count} sequences ({name})")
            break
        finally:
            free(subject.device)
    if not times:
        return None
    return {
        "sequences": list(times),
        "ms": list(times.values()),
        "tokens_per_second": throughput(times, subject.settings.acceptance),
        "crossover": {
            str(tokens): crossover(times, tokens) for tokens in subject.settings.acceptance
        },
    }


def attention(subject: Subject) -> dict[str, Any] | None:
    report = {}
    for count in (1, subject.settings.concurrency[len(subject.settings.concurrency) // 2]):
        if subject.clock.allows(f"{subject.label}: attention of {count}"):
            report[str(count)] = by_attention(subject.transformer, subject.settings, count)
            free(subject.device)
    return report or None


def correctness(subject: Subject) -> dict[str, Any] | None:
    if not subject.clock.allows(f"{subject.label}: correctness"):
        return None
    block = subject.settings.block
    report = agreements(subject.size, subject.transformer, forwards=12, most_rows=block)
    network = CapturedNetwork(subject.transformer)
    return report | {"texts": same_texts(subject.size, network, block, count=2 * block)}


PARTS = {
    "correctness": correctness,
    "one": one,
    "compiled": compiled_layers,
    "concurrency": concurrency,
    "attention": attention,
}


def attempt(name: str, subject: Subject) -> dict[str, Any] | None:
    """A part's report. Where the device or the compiler fails, the other parts still count."""
    try:
        return PARTS[name](subject)
    except RuntimeError as error:
        told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        progress(f"{subject.label}: {name} failed, {told}")
        return {"failed": told}
    finally:
        free(subject.device)


def free(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> dict[str, Any]:
    device = torch.device("cpu" if args.toy else "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch sees no GPU here; --toy tries the script on the CPU")
    if args.plot and find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install matplotlib")
    settings = TOY_SETTINGS if args.toy else Settings()
    given = {name: getattr(args, name) for name in ("block", "context", "repeats")}
    given["concurrency"] = tuple(args.concurrency) if args.concurrency else None
    settings = replace(settings, **{name: each for name, each in given.items() if each})
    if settings.block > settings.context:
        raise ValueError("--block must not be longer than --context")
    clock = Clock(args.seconds)
    results = {}
    sizes = {"toy": TOY} if args.toy else {label: SIZES[label] for label in args.sizes}
    for label, size in sizes.items():
        if not clock.allows(f"{label}: weights"):
            continue
        subject = Subject(label, size, random_transformer(size, DTYPE, device), settings, clock)
        results[label] = {name: attempt(name, subject) for name in args.parts}
        del subject
        free(device)
    return {
        "machine": _machine(device),
        "torch": torch.__version__,
        "dtype": str(DTYPE),
        "settings": asdict(settings),
        "left_out": clock.left_out,
        "results": results,
    }


def _machine(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="all unless given")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all unless given")
    add("--concurrency", type=positive, nargs="+", help="numbers of sequences, ascending")
    add("--block", type=positive, help="rows of a draft and of its verification")
    add("--context", type=positive, help="tokens at the end of each forward")
    add("--repeats", type=positive, help="counted calls of each step")
    add("--seconds", type=positive, default=420, help="nothing begins after them")
    add("--toy", action="store_true", help="a tiny network on the CPU")
    add("--json", action="store_true", help="print JSON instead of tables")
    add("--plot", metavar="FILE", help="draw throughput over concurrency; needs matplotlib")
    return parser


def wrong(report: dict[str, Any]) -> Iterator[str]:
    for label, parts in report["results"].items():
        for name, part in parts.items():
            if part and "failed" in part:
                yield f"{label}: {name} failed"
            elif part and not part.get("is_right", True):
                yield f"{label}: captured forwards are wrong"


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    with told_as_errors(parser):
        report = run(args)
    print(json.dumps(report, indent=2) if args.json else as_table(report))
    if args.plot:
        with told_as_errors(parser):
            plot(report, args.plot)
    if bad := list(wrong(report)):
        sys.exit("; ".join(bad))


if __name__ == "__main__":
    main()
