"""Horizontal bars of a peers report, as an SVG file.

    python -m benchmarks.plots.bars REPORT.json CHART.svg

One panel for each workload, in its own unit per second; our modes in another colour. With
matplotlib where it is installed, else written out by hand, so that a chart needs no package.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_OURS, _PEERS = "#b8432f", "#7d8a97"
_WIDTH, _LABEL, _BAR, _HEAD = 760, 270, 18, 40


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    value: float
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    bars: tuple[Bar, ...]


def panels(report: Mapping[str, Any]) -> list[Panel]:
    """Fastest first."""
    found = []
    for name, workload in report["workloads"].items():
        unit = workload["unit"]
        bars = (
            Bar(contender, each[f"{unit}_per_second"], contender in workload["ours"])
            for contender, each in workload["details"].items()
        )
        ordered = tuple(sorted(bars, key=lambda bar: -bar.value))
        found.append(Panel(f"{name}, {unit} per second", ordered))
    return found


def write_bars(report: Mapping[str, Any], file: Path) -> None:
    found = panels(report)
    if find_spec("matplotlib") is None:
        file.write_text(svg(found), encoding="utf-8")
    else:
        _write_with_matplotlib(found, file)


def svg(found: Sequence[Panel]) -> str:
    """The chart as text."""
    parts: list[str] = []
    top = 0
    for panel in found:
        parts.append(f'<text x="8" y="{top + 26}" font-weight="bold">{escape(panel.title)}</text>')
        top += _HEAD
        longest = max((bar.value for bar in panel.bars), default=0.0) or 1.0
        for bar in panel.bars:
            length = (_WIDTH - _LABEL - 80) * bar.value / longest
            colour = _OURS if bar.is_ours else _PEERS
            middle = top + _BAR - 5
            parts += [
                f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>',
                f'<rect x="{_LABEL}" y="{top + 2}" width="{length:.1f}" height="{_BAR - 4}" '
                f'fill="{colour}"/>',
                f'<text x="{_LABEL + length + 6:.1f}" y="{middle}">{bar.value:.3g}</text>',
            ]
            top += _BAR
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 12}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _write_with_matplotlib(found: Sequence[Panel], file: Path) -> None:
    from matplotlib.figure import Figure

    heights = [len(panel.bars) + 2 for panel in found]
    figure = Figure(figsize=(9, 0.26 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(found), 1, squeeze=False, height_ratios=heights)
    for axis, panel in zip(axes[:, 0], found, strict=True):
        colours = [_OURS if bar.is_ours else _PEERS for bar in panel.bars]
        drawn = axis.barh(
            [bar.name for bar in panel.bars], [bar.value for bar in panel.bars], color=colours
        )
        axis.bar_label(drawn, fmt="%.3g", padding=3)
        axis.invert_yaxis()
        axis.set_title(panel.title, loc="left")
    figure.savefig(file, format="svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("report", type=Path, help="what `benchmarks.peers --json` printed")
    parser.add_argument("chart", type=Path, help="the SVG file to write")
    args = parser.parse_args()
    write_bars(json.loads(args.report.read_text(encoding="utf-8")), args.chart)


if __name__ == "__main__":
    main()
