"""Block diffusion's tokens per forward against its agreement with autoregressive decoding.

    python -m benchmarks.denoising --answers held.jsonl [--json] [--plot FILE] [--adapter FOLDER]

The answers are greedy ones of the same model, as `python -m decoding.training answers` makes them.
Their blocks are denoised, each behind the true text, by confidence thresholds and by
the trained sampler, over a range of thresholds. Agreement is the share of denoised positions that
are as in the answer; a block of n costs its denoising forwards and the one that encodes it, and
gives n tokens. At equal agreement the two policies are compared by interpolation.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.options import positive, told_as_errors
from decoding.engine import Engine
from decoding.modes.reveal import ConfidenceThreshold, RevealPolicy
from decoding.modes.trained_sampler import TrainedSampler
from decoding.training.answers import Answer, read_answers
from decoding.training.rollout import Canvas, Rolled, canvases, roll
from decoding.weights import EMBEDDED
from decoding.weights.embedded import ASSETS

_THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_LEVELS = tuple(level / 20 for level in range(8, 20))


@dataclass(frozen=True, slots=True)
class Point:
    """One policy at one threshold, over all blocks of one length."""

    policy: str
    block_length: int
    threshold: float
    agreement: float
    tokens_per_forward: float

    @classmethod
    def of(cls, policy: str, length: int, threshold: float, rolled: Sequence[Rolled]) -> "Point":
        right = sum(each.num_right for each in rolled)
        forwards = sum(each.forwards + 1 for each in rolled)
        return cls(
            policy,
            length,
            threshold,
            right / (len(rolled) * (length - 1)),
            sum(1 + len(each.tokens) for each in rolled) / forwards,
        )


def blocks_of(answers: Sequence[Answer], length: int) -> list[Canvas]:
    """Raises `ValueError` where nothing can be denoised."""
    if length < 2:
        raise ValueError(
            "a block of 1 is its given token, of which nothing is masked: take 2 or more"
        )
    blocks = [canvas for answer in answers for canvas in canvases(answer, length)]
    if not blocks:
        raise ValueError(
            f"none of the {len(answers)} greedy answers without a grammar is {length} tokens long: "
            "take shorter blocks or longer answers"
        )
    return blocks


def measure(
    engine: Engine,
    answers: Sequence[Answer],
    length: int,
    policies: dict[str, Callable[[float], RevealPolicy]],
) -> list[Point]:
    blocks = blocks_of(answers, length)
    points = []
    for name, make in policies.items():
        for threshold in _THRESHOLDS:
            policy = make(threshold)
            rolled = list(roll(engine, [(canvas, policy) for canvas in blocks]))
            if not rolled:
                raise ValueError(
                    "the engine decodes the first token of every block otherwise than the answers "
                    "have it: make them with this model, and with the same --profile"
                )
            points.append(Point.of(name, length, threshold, rolled))
            print(
                f"{name} {length}, {threshold}: agreement {points[-1].agreement:.3f}, "
                f"{points[-1].tokens_per_forward:.2f} tokens per forward",
                file=sys.stderr,
            )
    return points


def at_agreement(points: Sequence[Point], level: float) -> float | None:
    """Tokens per forward at that agreement, between the points around it; None beyond them."""
    ordered = sorted(points, key=lambda point: point.agreement)
    for low, high in pairwise(ordered):
        if low.agreement <= level <= high.agreement and low.agreement < high.agreement:
            share = (level - low.agreement) / (high.agreement - low.agreement)
            return low.tokens_per_forward + share * (
                high.tokens_per_forward - low.tokens_per_forward
            )
    return None


def ratios(points: Sequence[Point], block_length: int) -> dict[float, tuple[float, float]]:
    """By agreement: tokens per forward by confidence and by the sampler, where both get there."""
    found = {}
    for level in _LEVELS:
        each = [
            at_agreement(
                [p for p in points if p.policy == name and p.block_length == block_length], level
            )
            for name in ("confidence", "sampler")
        ]
        if each[0] is not None and each[1] is not None:
            found[level] = (each[0], each[1])
    return found


def _points(args: argparse.Namespace) -> list[Point]:
    answers = [
        each
        for each in read_answers(args.answers)
        if not each.temperature and "1" not in each.forced
    ][: args.limit]
    for length in args.block_lengths:
        blocks_of(answers, length)  # refused before anything is measured
    sampler = TrainedSampler.load(args.sampler)
    policies: dict[str, Callable[[float], RevealPolicy]] = {
        "confidence": ConfidenceThreshold,
        "sampler": lambda threshold: TrainedSampler(sampler.network, sampler.features, threshold),
    }
    with Engine.load(EMBEDDED, profile=args.profile, adapter=args.adapter) as engine:
        return [
            point
            for length in args.block_lengths
            for point in measure(engine, answers, length, policies)
        ]


def _plot(points: Sequence[Point], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lengths = sorted({point.block_length for point in points})
    figure, axes = pyplot.subplots(
        1, len(lengths), figsize=(5 * len(lengths), 4), sharey=True, squeeze=False
    )
    for axis, length in zip(axes[0], lengths, strict=True):
        for name, marker in (("confidence", "o"), ("sampler", "s")):
            chosen = [p for p in points if p.policy == name and p.block_length == length]
            axis.plot(
                [p.agreement for p in chosen],
                [p.tokens_per_forward for p in chosen],
                marker=marker,
                label=name,
            )
        axis.set_title(f"blocks of {length}")
        axis.set_xlabel("agreement with autoregressive decoding")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("tokens per forward")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--answers", type=Path, required=True, help="of `python -m decoding.training answers`"
    )
    parser.add_argument("--limit", type=positive, default=48, help="answers, without grammar")
    parser.add_argument(
        "--adapter", type=Path, default=ASSETS / "linear_spec_lora", help="that denoises"
    )
    parser.add_argument("--sampler", type=Path, default=ASSETS / "sampler", help="a trained one")
    parser.add_argument(
        "--profile", choices=("exact", "fast"), default="fast", help="of the engine"
    )
    parser.add_argument(
        "--block-lengths", type=positive, nargs="+", default=[8, 16], help="each by itself, from 2"
    )
    parser.add_argument("--plot", type=Path, help="draw the curves into this SVG")
    parser.add_argument("--threads", type=positive, help="of torch")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        points = _points(args)
        if args.plot:
            _plot(points, args.plot)
    if args.json:
        print(json.dumps([asdict(point) for point in points], indent=2))
        return
    print("| block | agreement | confidence | sampler | ratio |\n|---|---|---|---|---|")
    for length in args.block_lengths:
        for level, (plain, trained) in ratios(points, length).items():
            print(f"| {length} | {level} | {plain:.2f} | {trained:.2f} | {trained / plain:.2f} |")


if __name__ == "__main__":
    main()
