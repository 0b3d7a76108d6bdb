"""The compiled pick takes the token, and gives the log-probability, that the definition says."""

import ctypes
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoding.native.pick import RowPick, can_pick
from decoding.native.pick import pick as pick_rows
from decoding.sampling import (
    Choice,
    Sampling,
    _key,
    _pick_tokens,
    apply_masks,
    gumbel_noise,
    pick_tokens,
)

CPU = torch.device("cpu")
sizes = st.sampled_from([1, 2, 15, 16, 17, 31, 32, 33, 71, 100, 1000, 4096, 4097, 9000])
temperatures = st.sampled_from([1e-30, 1e-7, 1e-3, 0.1, 0.7, 1.0, 1.5, 40.0, 1e6, 1e30])


def logits_of(size: int, seed: int, *, ties: bool = False, spread: float = 4.0) -> Tensor:
    logits_V = torch.randn(size, generator=torch.Generator().manual_seed(seed)) * spread
    return logits_V.round() if ties else logits_V


def mask_of(size: int, seed: int, density: float) -> Tensor:
    """Allows at least one token; bits behind the vocabulary are set too, and mean nothing."""
    generator = torch.Generator().manual_seed(seed)
    flags = torch.rand(-(-size // 32) * 32, generator=generator) < density
    flags[int(torch.randint(size, (1,), generator=generator))] = True
    flags[size:] = True
    words = (flags.reshape(-1, 32).long() << torch.arange(32)).sum(-1)
    return words.to(torch.int32)


def pick(
    logits_RV: Tensor,
    row: int,
    mask_W: Tensor | None,
    never: int | None,
    temperature: float = 0.0,
    key: int = 0,
    build: ctypes.CDLL | None = None,
) -> tuple[int, float]:
    [found] = pick_rows(logits_RV, [RowPick(row, mask_W, temperature, key)], never, build)
    return found


def defined(
    logits_V: Tensor, mask_W: Tensor | None, never: int | None, temperature: float, where: int
) -> tuple[int, float]:
    masked_V = apply_masks(logits_V[None], [mask_W], never)[0].double()
    order_V = masked_V
    if temperature:
        order_V = masked_V / temperature + gumbel_noise(7, where, len(logits_V), CPU)
    token = int(order_V.argmax())
    return token, float(masked_V.log_softmax(-1)[token])


@settings(max_examples=60, deadline=None)
@given(
    size=sizes,
    seed=st.integers(0, 500),
    density=st.sampled_from([None, 0.01, 0.5, 1.0]),
    ban=st.booleans(),
    temperature=st.one_of(st.just(0.0), temperatures),
    ties=st.booleans(),
)
def test_picks_are_those_of_the_definition(
    build: ctypes.CDLL,
    size: int,
    seed: int,
    density: float | None,
    ban: bool,
    temperature: float,
    ties: bool,
) -> None:
    logits_V = logits_of(size, seed, ties=ties)
    mask_W = None if density is None else mask_of(size, seed, density)
    never = seed % (size + 3) if ban else None
    if apply_masks(logits_V[None], [mask_W], never).isneginf().all():
        never = None
    token, logprob = defined(logits_V, mask_W, never, temperature, seed)
    found = pick(logits_V[None], 0, mask_W, never, temperature, _key(7, seed), build)
    assert found[0] == token
    assert found[1] == pytest.approx(logprob, abs=2e-5, rel=1e-6)


def test_ties_go_to_the_first(build: ctypes.CDLL) -> None:
    for size in (1, 17, 64, 70):
        assert pick(torch.zeros(1, size), 0, None, None, build=build)[0] == 0
        logits_V = torch.zeros(size)
        logits_V[size // 2 :] = 3.0
        assert pick(logits_V[None], 0, None, None, build=build)[0] == size // 2
        assert pick(logits_V[None], 0, None, size // 2, build=build)[0] == (size // 2 + 1) % size


def test_equal_logits_are_told_apart_by_noise_at_any_temperature(build: ctypes.CDLL) -> None:
    """At the smallest, logit / temperature is beyond single precision."""
    logits_V = torch.full((50,), 20.0)
    for temperature in (1e-38, 1e-20, 1e-8, 1e-7, 1e-6, 1.0):
        for where in range(20):
            token = defined(logits_V, None, None, temperature, where)[0]
            key = _key(7, where)
            assert pick(logits_V[None], 0, None, None, temperature, key, build)[0] == token


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_what_is_not_finite_gives_no_probability(temperature: float, build: ctypes.CDLL) -> None:
    """The engine tells it by that. A logit of minus infinity is a token of probability 0."""
    for number in (torch.nan, torch.inf):
        for place in (0, 20, 69):
            logits_V = logits_of(70, 0)
            logits_V[place] = number
            found = pick(logits_V[None], 0, None, None, temperature, 5, build)
            assert not math.isfinite(found[1])
            assert 0 <= found[0] < 70
    nothing = pick(torch.full((1, 70), -torch.inf), 0, None, None, temperature, 5, build)
    assert not math.isfinite(nothing[1])
    assert 0 <= nothing[0] < 70
    logits_V = logits_of(70, 0)
    logits_V[:69] = -torch.inf
    assert pick(logits_V[None], 0, None, None, temperature, 5, build) == (69, 0.0)


def test_rows_are_taken_where_they_lie(build: ctypes.CDLL) -> None:
    """Also those of a matrix that is wider than the vocabulary."""
    wide_RV = torch.stack([logits_of(96, seed) for seed in range(4)])
    wide_RV[:, 71:] = 1000.0
    logits_RV = wide_RV[:, :71]
    assert can_pick(logits_RV)
    for row, logits_V in enumerate(logits_RV):
        found = pick(logits_RV, row, None, None, build=build)
        assert found == pick(logits_V.clone()[None], 0, None, None, build=build)
        assert found[0] == int(logits_V.argmax())


def test_a_row_is_answered_alike_in_any_company(build: ctypes.CDLL) -> None:
    """To the bit, with one thread and with several."""
    size = 9000
    logits_RV = torch.stack([logits_of(size, seed) for seed in range(6)])
    asked = [
        RowPick(5 - at, mask_of(size, at, 0.3) if at % 2 else None, 0.7 * (at % 3), 11 + at)
        for at in range(6)
    ]
    alone = [pick_rows(logits_RV, [each], 17, build)[0] for each in asked]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert pick_rows(logits_RV, asked, 17, build) == alone
    finally:
        torch.set_num_threads(threads)
    assert pick_rows(logits_RV, [], 17, build) == []


def test_equal_logits_in_different_parts_go_to_the_first(build: ctypes.CDLL) -> None:
    logits_V = torch.zeros(9000)
    for place in (8999, 4096, 4095):
        logits_V[place] = 2.0
        assert pick(logits_V[None], 0, None, None, build=build)[0] == place
    assert pick(logits_V[None], 0, None, 4095, build=build)[0] == 4096


def test_a_number_that_is_none_is_told_where_all_else_is_forbidden(build: ctypes.CDLL) -> None:
    logits_V = torch.full((9000,), -torch.inf)
    logits_V[8000] = torch.nan
    assert not math.isfinite(pick(logits_V[None], 0, None, None, build=build)[1])
    logits_V[100] = 1.0
    assert not math.isfinite(pick(logits_V[None], 0, None, None, build=build)[1])


def test_only_rows_of_single_precision_side_by_side_can_be_picked_from() -> None:
    assert not can_pick(torch.zeros(3, 4).double())
    assert not can_pick(torch.zeros(4, 3).T)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), size=sizes)
def test_batches_are_answered_as_on_torch(data: st.DataObject, size: int) -> None:
    """Rows with filters and rankings among rows with neither."""
    count = data.draw(st.integers(1, 5))
    logits_RV = torch.stack([logits_of(size, seed) for seed in range(count)])
    samplings = st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.6, 1.0]),
        top_k=st.sampled_from([0, 3]),
        top_p=st.sampled_from([0.5, 1.0]),
    )
    choices = [
        Choice(
            data.draw(samplings),
            seed=7,
            position=row,
            mask_W=data.draw(st.sampled_from([None, mask_of(size, row, 0.5)])),
            ranks=data.draw(st.sampled_from([0, 2])),
        )
        for row in range(count)
    ]
    found, right = pick_tokens(logits_RV, choices), _pick_tokens(logits_RV, choices, None)
    assert found.tokens == right.tokens
    assert found.logprobs == pytest.approx(right.logprobs, abs=2e-5)
    assert [each is None for each in found.rankings] == [each is None for each in right.rankings]
    for one, other in zip(found.rankings, right.rankings, strict=True):
        if one is not None and other is not None:
            assert one.tokens == other.tokens
            assert one.logprobs == pytest.approx(other.logprobs, abs=2e-5)
