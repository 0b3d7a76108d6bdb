"""Whether a row's logits depend on the rows computed with it, for the two profiles.

Each as an engine loads it on a CPU, and on torch alone, as where nothing was compiled.

    python -m benchmarks.numerics [--json] [--model smollm2-135m] [--threads 2] [--positions 256]

Every position of a text is computed alone, and again in spans as a verification computes them,
each over the same cached prefix. A flip is a position whose most likely token changes. Each
profile is also held against float32 on torch, both computed one row at a time. The text is this
project's README.
"""

import argparse
import json
import math
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.options import positive, told_as_errors
from decoding.cache.storage import KVStorage, Storage
from decoding.native.storage import PagedStorage
from decoding.native.transformer import NativeTransformer
from decoding.network.base import Network
from decoding.network.numerics import ChooseNumerics
from decoding.span import Attention, ForwardBatch, Segment
from decoding.weights import EMBEDDED, Precision, exact_numerics, load, plain_numerics

TEXT = Path(__file__).parent.parent / "README.md"
SPANS = (2, 4, 8, 16, 32)
REFERENCE = "exact on torch"
PROFILES: dict[str, tuple[torch.dtype, ChooseNumerics, Precision | None]] = {
    REFERENCE: (torch.float32, exact_numerics, None),
    "exact": (torch.float32, exact_numerics, Precision.FINE),
    "fast": (torch.bfloat16, plain_numerics, Precision.COARSE),
    "fast on torch": (torch.bfloat16, plain_numerics, None),
}
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Distance:
    """Between a profile's logits and those of float32 on torch, one row at a time in both."""

    profile: str
    compiled: bool
    largest: float
    root_mean_square: float
    flips: float  # share of positions, 0.0 to 1.0
    divergence: float  # nats per position


@dataclass(frozen=True, slots=True)
class Difference:
    """Between rows computed alone and the same rows in spans."""

    profile: str
    compiled: bool
    span: int
    largest: float
    flips: float  # share of positions, 0.0 to 1.0
    logits_equal: bool
    cache_equal: bool


def forward(
    network: Network,
    tokens: list[int],
    start: int,
    storage: Storage,
    reach: float = math.inf,
) -> Tensor:
    """Logits of the tokens behind `start` cached ones; rough where they are further than `reach`
    below a row's largest. The next forward may overwrite them."""
    end = start + len(tokens)
    segment = Segment(0, len(tokens), start, slice(0, end), Attention.CAUSAL, adapter=False)
    places, rows = range(start, end), range(len(tokens))
    batch = ForwardBatch.of(tokens, places, places, rows, (segment,), [reach] * len(tokens))
    return network.forward(batch, storage)


def in_spans(
    network: Network, tokens: list[int], span: int, reach: float = math.inf
) -> tuple[Tensor, list[Tensor]]:
    """Logits of all positions, computed so many at a time, and what that left in the cache."""
    storage = network.allocate_cache(len(tokens))
    kept = stores(storage)
    for store in kept:
        store.zero_()
    logits = [
        forward(network, tokens[start : start + span], start, storage, reach).clone()
        for start in range(0, len(tokens), span)
    ]
    return torch.cat(logits), kept


def stores(storage: Storage) -> list[Tensor]:
    """The keys and values of all layers."""
    if isinstance(storage, PagedStorage):
        return [*storage.keys_PGDN, *storage.values_PGND]
    assert isinstance(storage, KVStorage)
    return [*storage.keys_SGD, *storage.values_SGD]


def flips(one_TV: Tensor, other_TV: Tensor) -> float:
    return float((one_TV.argmax(-1) != other_TV.argmax(-1)).float().mean())


def distance(profile: str, network: Network, found_TV: Tensor, right_TV: Tensor) -> Distance:
    difference_TV = found_TV - right_TV
    return Distance(
        profile,
        isinstance(network, NativeTransformer),
        largest=float(difference_TV.abs().max()),
        root_mean_square=float(difference_TV.square().mean().sqrt()),
        flips=flips(found_TV, right_TV),
        divergence=divergence(found_TV, right_TV),
    )


def divergence(found_TV: Tensor, right_TV: Tensor) -> float:
    """From the right distribution to the one found (Kullback-Leibler), nats per position."""
    right_TV = right_TV.double().log_softmax(-1)
    gaps_TV = right_TV.exp() * (right_TV - found_TV.double().log_softmax(-1))
    return float(gaps_TV.sum(-1).mean())


def compare(
    profile: str,
    network: Network,
    tokens: list[int],
    alone_TV: Tensor,
    alone: list[Tensor],
    reach: float,
) -> Iterator[Difference]:
    for span in SPANS:
        found_TV, found = in_spans(network, tokens, span, reach)
        yield Difference(
            profile,
            isinstance(network, NativeTransformer),
            span,
            largest=float((found_TV - alone_TV).abs().max()),
            flips=flips(found_TV, alone_TV),
            logits_equal=torch.equal(found_TV, alone_TV),
            cache_equal=all(map(torch.equal, found, alone)),
        )
        print(f"{profile}, spans of {span} done", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--model", default=EMBEDDED, help="embedded name, directory or hub id")
    parser.add_argument("--threads", type=positive, default=2, help="of torch")
    parser.add_argument(
        "--positions", type=positive, default=256, help="most tokens of the text, from its start"
    )
    parser.add_argument(
        "--reach",
        type=float,
        default=math.inf,
        help="logits further below the largest are rough",
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found: list[Difference] = []
    distances: list[Distance] = []
    right_TV: Tensor | None = None
    with told_as_errors(parser):
        for profile, (dtype, numerics, native) in PROFILES.items():
            loaded = load(args.model, device=CPU, dtype=dtype, numerics=numerics, native=native)
            longest = min(args.positions, loaded.network.max_positions)
            tokens = loaded.tokenizer.encode(TEXT.read_text(encoding="utf-8"))[:longest]
            alone_TV, alone = in_spans(loaded.network, list(tokens), 1, args.reach)
            found += compare(profile, loaded.network, list(tokens), alone_TV, alone, args.reach)
            right_TV = alone_TV if right_TV is None else right_TV  # the reference comes first
            distances.append(distance(profile, loaded.network, alone_TV, right_TV))
    report(args, len(tokens), found, distances)


def report(
    args: argparse.Namespace,
    num_positions: int,
    found: list[Difference],
    distances: list[Distance],
) -> None:
    if args.json:
        about = {
            "machine": {"processor": platform.machine(), "threads": args.threads},
            "versions": {"torch": version("torch")},
            "model": args.model,
            "positions": num_positions,
            "results": [asdict(each) for each in found],
            "distances": [asdict(each) for each in distances],
        }
        print(json.dumps(about, indent=2))
        return
    print(f"{num_positions} positions, {args.threads} threads, against one row at a time")
    print("profile         compiled  rows  largest difference   flips  logits equal  cache equal")
    for each in found:
        print(
            f"{each.profile:15} {'yes' if each.compiled else 'no':>8}  {each.span:4}  "
            f"{each.largest:18.2e}  {each.flips:6.2%}  "
            f"{'yes' if each.logits_equal else 'no':>12}  {'yes' if each.cache_equal else 'no':>11}"
        )
    print(f"\nagainst '{REFERENCE}', one row at a time in both")
    print("profile         compiled  largest difference  root mean square   flips  divergence")
    for line in distances:
        print(
            f"{line.profile:15} {'yes' if line.compiled else 'no':>8}  {line.largest:18.2e}  "
            f"{line.root_mean_square:16.2e}  {line.flips:6.2%}  {line.divergence:10.2e}"
        )


if __name__ == "__main__":
    main()
