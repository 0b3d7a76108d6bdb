"""The counting and comparing of `benchmarks.drafters` and `benchmarks.denoising`."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.denoising import Point, at_agreement, ratios
from benchmarks.drafters import Row, questions, table
from decoding import Completion
from decoding.record import ForwardRecord, Stats
from decoding.span import Purpose


def completion(purposes: list[Purpose], **stats: int) -> Completion:
    records = tuple(ForwardRecord(each, 1, 1, 0.0, 0.0) for each in purposes)
    return Completion("", (), "stop", Stats(**stats), forwards=records)


def test_a_cycle_is_a_forward_that_commits() -> None:
    draft, verify, following = Purpose.DRAFT, Purpose.VERIFY, Purpose.NEXT
    one = completion(
        [Purpose.PREFILL, following, draft, verify, draft, verify],
        new_tokens=12,
        forced=3,
        forwards=5,
        drafted=14,
        accepted=6,
    )
    two = completion([following], new_tokens=1, forwards=1)
    row = Row.of("tool", "adapter", 8, [one, two])
    assert row.tokens_per_cycle == pytest.approx(13 / 4)
    assert row.chosen_per_cycle == pytest.approx(10 / 4)
    assert row.tokens_per_forward == pytest.approx(13 / 6)
    assert row.acceptance == pytest.approx(6 / 14)


def test_the_table_has_a_line_for_each_drafter_and_length() -> None:
    rows = [
        Row(kind, drafter, length, 2.0, 1.0 if kind == "tool" else 2.0, 1.5, 0.5, 100)
        for drafter, length in (("none", 1), ("adapter", 4), ("adapter", 8))
        for kind in ("tool", "prose")
    ]
    lines = table(rows).splitlines()
    assert lines[0] == "| drafter | block | tool | prose |"
    assert lines[2] == "| none | 1 | 2.00 / 1.50 | 2.00 / 1.50 |"
    assert lines[-1] == "Forced tokens: tool: 50%, prose: 0%"
    assert len(lines) == 2 + 3 + 2


def test_the_questions_of_a_file_are_asked_first(tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": f"Sort {n} lists.", "input": ""}) for n in range(3)]
    file = tmp_path / "more.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    args = Namespace(bfcl=None, limit=4, prompts=[f"code:{file}"])
    found = questions(args)
    assert {len(tasks) for tasks in found.values()} == {4}
    assert [task.question for task in found["code"][:3]] == [f"Sort {n} lists." for n in range(3)]
    assert "Sort" not in found["prose"][0].question


def point(policy: str, agreement: float, tokens: float) -> Point:
    return Point(policy, 8, 0.5, agreement, tokens)


def test_policies_are_compared_where_both_get() -> None:
    points = [
        point("confidence", 0.5, 3.0),
        point("confidence", 0.9, 1.0),
        point("sampler", 0.65, 3.0),
        point("sampler", 0.85, 2.0),
    ]
    assert at_agreement(points[:2], 0.7) == pytest.approx(2.0)
    assert at_agreement(points[:2], 0.95) is None
    found = ratios(points, 8)
    assert min(found) == pytest.approx(0.65)
    assert max(found) == pytest.approx(0.85)
    assert found[0.75] == pytest.approx((1.75, 2.5))
    assert ratios(points, 16) == {}
