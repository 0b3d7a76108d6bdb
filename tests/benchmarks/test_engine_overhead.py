"""The benchmark of the loop runs, and its figures are those of sequences that go on."""

from benchmarks.engine_overhead import measure


def test_every_case_has_its_figures() -> None:
    found = measure(tokens=20, repeats=1)
    assert [(each.live, each.grammar) for each in found] == [
        (live, grammar) for grammar in (False, True) for live in (1, 8, 32)
    ]
    assert all(0.0 < each.tenth <= each.median for each in found)
