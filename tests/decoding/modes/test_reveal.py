"""Reveal policies: progress in every forward, and no more forwards than permitted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding.modes.reveal import Block, ConfidenceThreshold, FixedSchedule
from decoding.span import Ranking

probabilities = st.floats(1e-6, 1.0)


def block_of(confidences: list[float | None], step: int = 1, max_steps: int = 8) -> Block:
    """A block whose best candidates are so probable; None for a position that is decided."""
    return Block(
        tokens=tuple(None if each is not None else 7 for each in confidences),
        rankings={
            place: Ranking((3, 5), (math.log(each), -30.0), each**2)
            for place, each in enumerate(confidences)
            if each is not None
        },
        step=step,
        max_steps=max_steps,
    )


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """At least one position is masked; decided ones may lie anywhere between."""
    cells = draw(st.lists(st.none() | probabilities, min_size=0, max_size=31))
    cells.insert(draw(st.integers(0, len(cells))), draw(probabilities))
    max_steps = draw(st.integers(1, 40))
    return block_of(cells, draw(st.integers(1, max_steps)), max_steps)


@given(blocks(), probabilities)
def test_every_policy_reveals_a_masked_position(block: Block, threshold: float) -> None:
    for policy in (ConfidenceThreshold(threshold), FixedSchedule()):
        shown = policy.reveal(block)
        assert shown
        assert shown <= block.rankings.keys()


@given(blocks(), probabilities, probabilities)
def test_a_lower_threshold_reveals_at_least_as_much(block: Block, one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert ConfidenceThreshold(high).reveal(block) <= ConfidenceThreshold(low).reveal(block)


@given(blocks(), probabilities)
def test_the_threshold_is_met_by_all_but_the_surest(block: Block, threshold: float) -> None:
    shown = ConfidenceThreshold(threshold).reveal(block)
    surest = max(block.confidence(place) for place in block.rankings)
    for place in block.rankings:
        if place in shown:
            assert block.confidence(place) >= min(threshold, surest)
        else:
            assert block.confidence(place) < threshold


def test_the_ends_of_the_threshold() -> None:
    block = block_of([0.2, None, 0.9, 0.5])
    assert ConfidenceThreshold(0.0).reveal(block) == {0, 2, 3}
    assert ConfidenceThreshold(1.0).reveal(block) == {2}
    assert ConfidenceThreshold(0.5).reveal(block) == {2, 3}


@given(st.lists(probabilities, min_size=1, max_size=63), st.integers(1, 70))
def test_the_schedule_is_even_and_ends_in_time(confidences: list[float], max_steps: int) -> None:
    """Each forward reveals the surest; no forward reveals two more than another does."""
    cells: list[float | None] = list(confidences)
    counts = []
    for step in range(1, max_steps + 1):
        block = block_of(cells, step, max_steps)
        shown = FixedSchedule().reveal(block)
        hidden = block.rankings.keys() - shown
        least = min(block.confidence(place) for place in shown)
        assert all(block.confidence(place) <= least for place in hidden)
        counts.append(len(shown))
        cells = [None if place in shown else cell for place, cell in enumerate(cells)]
        if not hidden:
            break
    assert cells == [None] * len(cells)
    assert max(counts) - min(counts) <= 1
    assert len(counts) == min(max_steps, len(confidences))


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_a_threshold_is_a_probability(bad: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        ConfidenceThreshold(bad)
