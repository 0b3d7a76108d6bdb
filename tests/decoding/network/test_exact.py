"""Exact products: a row comes out the same, bit for bit, in whatever product it is computed."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoding.network import exact
from decoding.network.exact import ALONE, ExactLinear, agrees, pack, random_patterns, silu

NUM_ROWS = 70


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def one_by_one(linear: ExactLinear, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.cat([linear(row, weight, bias) for row in rows.split(1)])


class Case:
    """A weight with its rows computed one by one."""

    def __init__(self, out: int, width: int, biased: bool, packed: bool) -> None:
        self.plain = random(out, width)
        self.weight = pack(self.plain) if packed else self.plain
        self.bias = random(out, seed=1) if biased else None
        self.rows = random(NUM_ROWS, width, seed=2)
        self.linear = ExactLinear()
        self.alone = one_by_one(self.linear, self.rows, self.weight, self.bias)


SHAPES = [(576, 1536), (3072, 576), (960, 576), (37, 53), (270, 48), (5, 3)]


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    found: tuple[int, int] = request.param
    return found


@pytest.fixture(scope="module", params=[(True, False), (True, True), (False, False)])
def case(request: pytest.FixtureRequest, shape: tuple[int, int]) -> Case:
    packed, biased = request.param
    return Case(*shape, biased=biased, packed=packed)


@settings(max_examples=8, deadline=None)
@given(cuts=st.sets(st.integers(1, NUM_ROWS - 1), max_size=8))
def test_rows_are_the_same_in_any_grouping(case: Case, cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), NUM_ROWS]
    for first, last in pairwise(edges):
        found = case.linear(case.rows[first:last].clone(), case.weight, case.bias)
        assert torch.equal(found, case.alone[first:last])


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(NUM_ROWS)))
def test_rows_are_the_same_at_any_place(case: Case, order: list[int]) -> None:
    found = case.linear(case.rows[order], case.weight, case.bias)
    assert torch.equal(found, case.alone[order])


def test_the_product_is_right(case: Case) -> None:
    bias = None if case.bias is None else case.bias.double()
    right = F.linear(case.rows.double(), case.plain.double(), bias)
    torch.testing.assert_close(case.alone.double(), right, rtol=1e-5, atol=2e-4)


def test_more_rows_than_one_product_takes() -> None:
    weight, rows = pack(random(24, 40)), random(1100, 40)
    linear = ExactLinear()
    assert torch.equal(linear(rows, weight, None), one_by_one(linear, rows, weight, None))


def test_no_rows() -> None:
    for weight in (random(24, 40), pack(random(24, 40))):
        assert ExactLinear()(random(0, 40), weight, None).shape == (0, 24)


def test_half_precision_rows_are_the_same_too() -> None:
    weight, rows = pack(random(24, 40).bfloat16()), random(33, 40).bfloat16()
    linear = ExactLinear()
    found = linear(rows, weight, None)
    assert found.dtype is torch.bfloat16
    assert torch.equal(found, one_by_one(linear, rows, weight, None))


@pytest.mark.parametrize("most", [1, 5, 16, 40])
def test_counts_that_fail_their_trial_are_cut(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that changes its sums where a product has more than so many rows."""
    counts = []

    def multiply(weight: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
        counts.append(len(rows))
        return F.linear(rows.double(), plain.double()).float() * (1.0 + 1e-3 * (len(rows) > most))

    monkeypatch.setattr(exact, "_multiply", multiply)
    plain, rows = random(24, 40), random(70, 40)
    weight = pack(plain)
    if not weight.is_mkldnn:
        pytest.skip("oneDNN is not there: products have at least 16 rows")
    linear = ExactLinear()
    found = linear(rows, weight, None)
    assert max(counts) == 70, "the trial itself"
    counts.clear()
    assert torch.equal(linear(rows, weight, None), found)
    assert torch.equal(one_by_one(linear, rows, weight, None), found)
    assert max(counts) <= most


@pytest.mark.parametrize("packed", [True, False])
def test_a_library_that_looks_at_the_place_gets_rows_one_by_one(
    packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def multiply(weight: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
        place = 1.0 + torch.arange(len(rows))[:, None] * 1e-3
        return F.linear(rows.double(), plain.double()).float() * place

    monkeypatch.setattr(exact, "_multiply", multiply)
    plain, rows = random(24, 40), random(40, 40)
    weight = pack(plain) if packed else plain
    linear = ExactLinear()
    found = linear(rows, weight, None)
    assert torch.equal(found, one_by_one(linear, rows, weight, None))
    torch.testing.assert_close(found, F.linear(rows, plain))
    if not weight.is_mkldnn:
        assert ALONE in linear._sizes.values()


def test_a_trial_sees_a_single_wrong_place() -> None:
    patterns = random_patterns((3, 8), torch.empty(0))
    weight = random(8, 6)

    def all_but_one(rows: Tensor) -> Tensor:
        out = rows @ weight
        out[..., 14:15, :] *= 1.001
        return out.double().float()

    assert agrees(lambda rows: (rows.double() @ weight.double()).float(), patterns, 5, 2)
    assert not agrees(all_but_one, patterns, 5, 2)


def test_results_are_found_again_for_another_number_of_threads() -> None:
    weight, rows = pack(random(24, 40)), random(9, 40)
    linear, threads = ExactLinear(), torch.get_num_threads()
    linear(rows, weight, None)
    try:
        torch.set_num_threads(threads + 1)
        linear(rows, weight, None)
    finally:
        torch.set_num_threads(threads)
    assert len(linear._sizes) == 2


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 40000), count=st.integers(1, 70))
def test_silu_is_the_same_at_any_place(first: int, count: int) -> None:
    gate = 4.0 * random(40100)
    assert torch.equal(silu(gate[first : first + count]), silu(gate)[first : first + count])


def test_silu_is_right_out_to_the_ends() -> None:
    gate = torch.tensor([-1e30, -200.0, -88.0, -1.0, 0.0, 1e-30, 1.0, 88.0, 200.0, 1e30])
    torch.testing.assert_close(silu(gate), F.silu(gate.double()).float(), rtol=1e-6, atol=1e-30)
