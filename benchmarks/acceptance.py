"""How often a drafted token is the one that its verification picks, when sampling.

    python -m benchmarks.acceptance [--json] [--draws 1000]

At every position draft and verifier have distributions q and p of their own: logits at random,
the draft's shifted by noise of a given size. How often both pick the same token is compared for

    shared        the decoder's noise, a function of seed and position, in both (measured)
    its theory    sum over i of 1 / sum over j of max(p_j / p_i, q_j / q_i)
    independent   two draws with noise of their own, compared by identity (measured)
    sum p q       its theory
    optimum       sum of min(p, q): no exact verification agrees more often

Shared noise never falls below optimum / (2 - optimum). Sources: Daliri, Musco, Suresh, Coupling
without Communication and Drafter-Invariant Speculative Decoding, arXiv 2408.07978; for the
optimum, Leviathan et al., arXiv 2211.17192.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import product

import torch
from torch import Tensor

from benchmarks.options import positive, told_as_errors
from decoding import Sampling
from decoding.sampling import Choice, pick_tokens

VOCABULARIES = (5, 100, 1_000, 10_000)
TEMPERATURES = (0.7, 1.0)
DISTANCES = (0.25, 0.5, 1.0, 2.0)
_SPREAD = 2.5  # standard deviation of the verifier's logits
_SEED, _OTHER_SEED = 1, 2


@dataclass(frozen=True, slots=True)
class Case:
    """`distance` is the standard deviation of the draft's error, in logits."""

    vocab_size: int
    temperature: float
    distance: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one position, or the mean over all: how probable it is that both pick the same."""

    shared: float
    shared_theory: float
    independent: float
    independent_theory: float
    optimum: float


def measure(cases: Sequence[Case], draws: int) -> list[Agreement]:
    """So many positions for every case; the cases share one vocabulary size."""
    samples: list[list[Agreement]] = [[] for _ in cases]
    for position in range(draws):
        for sample, agreement in zip(samples, _agreements(cases, position), strict=True):
            sample.append(agreement)
    return [
        Agreement(*map(statistics.fmean, zip(*map(astuple, sample), strict=True)))
        for sample in samples
    ]


def _agreements(cases: Sequence[Case], position: int) -> list[Agreement]:
    vocab_size = cases[0].vocab_size
    generator = torch.Generator().manual_seed(position)
    verify_V = torch.randn(vocab_size, generator=generator) * _SPREAD
    error_V = torch.randn(vocab_size, generator=generator)
    drafts_CV = torch.stack([verify_V + error_V * case.distance for case in cases])
    verified = _pick(verify_V.expand_as(drafts_CV), cases, _SEED, position)
    drafted = _pick(drafts_CV, cases, _SEED, position)
    other = _pick(drafts_CV, cases, _OTHER_SEED, position)
    agreements = []
    for index, case in enumerate(cases):
        p_V = (verify_V.double() / case.temperature).softmax(-1)
        q_V = (drafts_CV[index].double() / case.temperature).softmax(-1)
        agreements.append(
            Agreement(
                shared=float(verified[index] == drafted[index]),
                shared_theory=shared_noise_agreement(p_V, q_V),
                independent=float(verified[index] == other[index]),
                independent_theory=float((p_V * q_V).sum()),
                optimum=float(torch.minimum(p_V, q_V).sum()),
            )
        )
    return agreements


def _pick(logits_CV: Tensor, cases: Sequence[Case], seed: int, position: int) -> tuple[int, ...]:
    choices = [
        Choice(Sampling(temperature=case.temperature), seed, position, None) for case in cases
    ]
    return pick_tokens(logits_CV, choices).tokens


def shared_noise_agreement(p_V: Tensor, q_V: Tensor) -> float:
    """Sum over i of 1 / sum over j of max(p_j / p_i, q_j / q_i), in V log V steps.

    Sorted by p / q, falling, the first ratio is the greater for all tokens up to i, and the
    second for those behind.
    """
    order_V = (p_V / q_V).argsort(descending=True)
    p_V, q_V = p_V[order_V], q_V[order_V]
    behind_V = q_V.flip(-1).cumsum(-1).flip(-1) - q_V
    return float((1.0 / (p_V.cumsum(-1) / p_V + behind_V / q_V)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--draws", type=positive, default=1000, help="positions per case")
    args = parser.parse_args()
    results: dict[Case, Agreement] = {}
    with told_as_errors(parser):
        for vocab_size in VOCABULARIES:
            cases = [Case(vocab_size, *each) for each in product(TEMPERATURES, DISTANCES)]
            results |= zip(cases, measure(cases, args.draws), strict=True)
            print(f"vocabulary of {vocab_size} done", file=sys.stderr)
    if args.json:
        rows = [asdict(case) | asdict(each) for case, each in results.items()]
        print(json.dumps({"draws": args.draws, "results": rows}, indent=2))
        return
    print(f"{args.draws} positions each; the standard error is at most {0.5 / args.draws**0.5:.3f}")
    print("vocabulary    T  distance  shared  theory  independent  sum p q  optimum  kept")
    for case, each in results.items():
        print(
            f"{case.vocab_size:10}  {case.temperature:.1f}  {case.distance:8.2f}  "
            f"{each.shared:6.3f}  {each.shared_theory:6.3f}  {each.independent:11.3f}  "
            f"{each.independent_theory:7.3f}  {each.optimum:7.3f}  "
            f"{each.shared_theory / each.optimum:4.0%}"
        )


if __name__ == "__main__":
    main()
