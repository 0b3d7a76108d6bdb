"""The tables in the benchmarks' README come from reports."""

import json
from typing import Any

import pytest

from benchmarks.peers.tables import merged, replaced, section
from tests.documents import ROOT

SPOKEN = {
    "tool_json": "tool calls under a schema, one by one",
    "agent_conversation": "an agent's conversation of 8 turns",
    "concurrent_agents": "8 agents at once",
    "code": "code",
    "prose": "prose",
}
"""Workloads as the first page names them."""


def report(name: str, ours: float, theirs: float) -> dict[str, Any]:
    def figures(speed: float) -> dict[str, Any]:
        return {
            "tokens_per_second": speed,
            "tasks_per_second": speed / 10,
            "characters_per_second": speed * 4,
            "tokens_per_task": 10.0,
            "finished": 3,
            "tasks": 3,
        }

    return {
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "threads": 2,
            "features": ["avx2"],
            "python": "3.11",
        },
        "versions": {"torch": "2"},
        "workloads": {
            name: {
                "unit": "tokens",
                "source": "somewhere",
                "best_ours": "auto",
                "best_peer": "other",
                "ratio_to_best_peer": ours / theirs,
                "ratio_to_transformers": None,
                "details": {"other": figures(theirs), "auto": figures(ours)},
            }
        },
    }


def test_every_workload_and_contender_is_listed_the_fastest_first() -> None:
    text = section(merged([report("code", 30.0, 20.0), report("prose", 50.0, 20.0)]))
    assert "| `code` | tokens | auto | other | 1.50 |  |" in text
    assert "| `prose` | tokens | auto | other | 2.50 |  |" in text
    assert text.index("| auto | 30.0 |") < text.index("| other | 20.0 |")


def test_a_later_report_replaces_an_earlier_one() -> None:
    both = merged([report("code", 30.0, 20.0), report("code", 60.0, 20.0)])
    assert both["workloads"]["code"]["ratio_to_best_peer"] == 3.0


def test_only_what_stands_between_the_marks_changes() -> None:
    text = "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n"
    changed = replaced(text, "new")
    assert changed.startswith("before\n")
    assert changed.endswith("\nafter\n")
    assert "new" in changed
    assert "old" not in changed
    assert replaced(changed, "new") == changed


@pytest.mark.parametrize("text", ["", "<!-- figures: begin -->", "<!-- figures: end -->"])
def test_a_file_without_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="figures: begin"):
        replaced(text, "new")


@pytest.mark.parametrize("name", SPOKEN)
def test_the_first_page_says_what_the_reports_say(name: str) -> None:
    file = ROOT / "benchmarks" / "reports" / f"{name}.json"
    found = json.loads(file.read_text(encoding="utf-8"))["workloads"][name]
    to_best, to_transformers = found["ratio_to_best_peer"], found["ratio_to_transformers"]
    row = f"| {SPOKEN[name]} | {to_best:.1f} | {to_transformers:.0f} |"
    assert row in (ROOT / "README.md").read_text(encoding="utf-8")
