"""Writes the figures of peers reports into a Markdown file, between its two marks.

    python -m benchmarks.peers.tables REPORT.json [REPORT.json ...] [--into benchmarks/README.md]

Each report holds one or more workloads; later ones replace earlier ones of the same name.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


def merged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One report with the workloads of all; machine and versions are the last one's."""
    workloads = {name: each for report in reports for name, each in report["workloads"].items()}
    return {**reports[-1], "workloads": workloads}


def section(report: Mapping[str, Any]) -> str:
    """The machine, a table of ratios, and a table of all contenders for each workload."""
    machine, versions = report["machine"], report["versions"]
    about = ", ".join(f"{name} {each}" for name, each in sorted(versions.items()))
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{', '.join(machine['features'])}; Python {machine['python']}, {about}.",
        "",
        "| workload | compared by | best of ours | best peer | ratio | ratio to transformers |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in report["workloads"].items():
        ratios = (each["ratio_to_best_peer"], each["ratio_to_transformers"])
        shown = " | ".join("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"| `{name}` | {each['unit']} | {each['best_ours']} | {each['best_peer']} | {shown} |"
        )
    for name, each in report["workloads"].items():
        lines += ["", *_contenders(name, each)]
    return "\n".join(lines)


def _contenders(name: str, workload: Mapping[str, Any]) -> list[str]:
    lines = [
        f"**`{name}`** ({workload['source']})",
        "",
        "| contender | tokens/s | tasks/s | characters/s | tokens per task | finished |",
        "|---|---|---|---|---|---|",
    ]
    unit = f"{workload['unit']}_per_second"
    for contender, each in sorted(workload["details"].items(), key=lambda item: -item[1][unit]):
        lines.append(
            f"| {contender} | {each['tokens_per_second']:.1f} | {each['tasks_per_second']:.2f} | "
            f"{each['characters_per_second']:.0f} | {each['tokens_per_task']:.0f} | "
            f"{each['finished']} of {each['tasks']} |"
        )
    return lines


def replaced(text: str, figures: str) -> str:
    """The text with the figures between its marks. Raises `ValueError` where it has none."""
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"the file needs one line {_BEGIN!r} and one line {_END!r} behind it")
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    return f"{before}{_BEGIN}\n\n{figures}\n\n{_END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, default=Path("benchmarks/README.md"))
    args = parser.parse_args()
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in args.reports]
    text = args.into.read_text(encoding="utf-8")
    args.into.write_text(replaced(text, section(merged(reports))), encoding="utf-8")


if __name__ == "__main__":
    main()
