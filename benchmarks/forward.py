"""What one forward costs by its rows, for the two profiles as an engine loads them on a CPU.

    python -m benchmarks.forward [--json] [--model smollm2-135m] [--threads 1 2] [--context 256]
        [--reach 6]

Each forward encodes so many rows of one sequence behind a cached context and reads the logits of
all of them, as a verification does; those of free text need be precise only within a reach of
a row's largest. Times are milliseconds.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version

import torch

from benchmarks.numerics import CPU, PROFILES, forward
from benchmarks.options import positive, told_as_errors
from decoding.native.transformer import NativeTransformer
from decoding.network.base import Network
from decoding.weights import EMBEDDED, load

ROWS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of one forward, over several tries."""

    profile: str
    compiled: bool
    threads: int
    rows: int
    median: float
    least: float


def measure(
    profile: str, network: Network, context: int, repeats: int, reach: float
) -> Iterator[Cost]:
    """With torch's present number of threads."""
    storage = network.allocate_cache(context + max(ROWS))
    tokens = [index % network.vocab_size for index in range(context + max(ROWS))]
    forward(network, tokens[:context], 0, storage)
    for rows in ROWS:
        times = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            forward(network, tokens[context : context + rows], context, storage, reach)
            times.append(1000.0 * (time.perf_counter() - start))
        yield Cost(
            profile,
            isinstance(network, NativeTransformer),
            torch.get_num_threads(),
            rows,
            median=statistics.median(times[1:]),  # the first one warms up
            least=min(times[1:]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--model", default=EMBEDDED, help="embedded name, directory or hub id")
    parser.add_argument("--threads", type=positive, nargs="+", default=[1, 2], help="of torch")
    parser.add_argument("--context", type=positive, default=256, help="tokens cached before")
    parser.add_argument(
        "--reach", type=float, default=math.inf, help="of rows that are picked from; all otherwise"
    )
    parser.add_argument("--repeats", type=positive, default=15, help="timed tries of each")
    args = parser.parse_args()
    found: list[Cost] = []
    with told_as_errors(parser):
        for profile in ("exact", "fast"):
            dtype, numerics, native = PROFILES[profile]
            network = load(
                args.model, device=CPU, dtype=dtype, numerics=numerics, native=native
            ).network
            if args.context + max(ROWS) > network.max_positions:
                most = network.max_positions - max(ROWS)
                parser.error(f"--context {args.context}: {args.model} takes at most {most}")
            for threads in args.threads:
                torch.set_num_threads(threads)
                found += measure(profile, network, args.context, args.repeats, args.reach)
                print(f"{profile}, {threads} threads done", file=sys.stderr)
    report(args, found)


def report(args: argparse.Namespace, found: list[Cost]) -> None:
    if args.json:
        about = {
            "machine": {"processor": platform.machine(), "torch": version("torch")},
            "model": args.model,
            "context": args.context,
            "reach": None if math.isinf(args.reach) else args.reach,
            "repeats": args.repeats,
            "results": [asdict(each) for each in found],
        }
        print(json.dumps(about, indent=2))
        return
    print(f"{args.model}, {args.context} tokens cached, {args.repeats} tries, milliseconds")
    print("profile  compiled  threads  rows   median    least")
    for each in found:
        print(
            f"{each.profile:7} {'yes' if each.compiled else 'no':>9}  {each.threads:7}  "
            f"{each.rows:4}  {each.median:7.2f}  {each.least:7.2f}"
        )


if __name__ == "__main__":
    main()
