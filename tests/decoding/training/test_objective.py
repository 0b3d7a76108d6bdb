"""The loss of drafts, against its definition written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoding.training.objective import Objective, accepted, reach


@given(
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    data=st.data(),
)
def test_reach_sums_what_is_left_in_the_block(counts: list[int], data: st.DataObject) -> None:
    logprobs = data.draw(st.lists(st.floats(-9.0, 0.0), min_size=sum(counts), max_size=sum(counts)))
    block = [number for number, count in enumerate(counts) for _ in range(count)]
    reached = reach(torch.tensor(logprobs), torch.tensor(block)).tolist()
    first = 0
    for count in counts:
        for place in range(count):
            expected = math.fsum(logprobs[first : first + place])
            assert reached[first + place] == pytest.approx(expected, abs=1e-4)
        first += count


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
def test_accepted_counts_from_the_left(counts: list[int], data: st.DataObject) -> None:
    total = sum(counts)
    right = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    block = [number for number, count in enumerate(counts) for _ in range(count)]
    targets = torch.arange(total) % 7
    logits = torch.zeros(total, 7)
    for row, is_right in enumerate(right):
        logits[row, targets[row] if is_right else (targets[row] + 1) % 7] = 1.0
    found = accepted(logits, targets, torch.tensor(block)).tolist()
    first = 0
    for number, count in enumerate(counts):
        marks = right[first : first + count]
        assert found[number] == (marks.index(False) if False in marks else count)
        first += count


def test_a_guess_behind_a_hopeless_one_hardly_counts() -> None:
    targets, block = torch.tensor([0, 0]), torch.tensor([0, 0])
    logits = torch.tensor([[-20.0, 0.0, 0.0], [0.0, 1.0, 0.0]], requires_grad=True)
    loss = Objective(least_weight=0.0, teacher=0.0).loss(logits, logits.detach(), targets, block)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0.5
    assert logits.grad[1].abs().sum() < 1e-6


def test_the_teacher_is_met_when_the_distributions_are_equal() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(6, 200) * 3.0
    targets, block = teacher.argmax(-1), torch.tensor([0, 0, 0, 1, 1, 1])
    learner = (teacher + torch.randn(6, 200)).requires_grad_()
    objective = Objective(least_weight=1.0, teacher=1.0)
    optimiser = torch.optim.Adam([learner], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        objective.loss(learner, teacher, targets, block).backward()
        optimiser.step()
    told, learned = teacher.softmax(-1), learner.detach().softmax(-1)
    best = told.topk(64, dim=-1).indices
    torch.testing.assert_close(learned.gather(1, best), told.gather(1, best), atol=0.01, rtol=0.1)


def test_without_a_teacher_it_is_cross_entropy() -> None:
    torch.manual_seed(1)
    logits, targets = torch.randn(5, 9), torch.arange(5)
    loss = Objective(least_weight=1.0, teacher=0.0).loss(
        logits, torch.zeros(5, 9), targets, torch.arange(5)
    )
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, targets))
