"""Logits far below a row's largest may be those of fewer bits; the others are the head's own."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoding.native.transformer import NativeTransformer, Precision
from tests.decoding.batches import Part, forward_batch
from tests.decoding.native.networks import CONFIGS, packable, random_network

NUM_ROWS = 9
TOKENS = list(range(5, 5 + NUM_ROWS))
LARGE = 8192


def network_of(
    build: ctypes.CDLL,
    vocab_size: int = LARGE,
    precision: Precision = Precision.COARSE,
    scale: float = 1.0,
) -> NativeTransformer:
    config = replace(CONFIGS["llama-odd"], vocab_size=vocab_size, hidden_size=64)
    parameters = packable(random_network(config)).parameters
    parameters = replace(parameters, head_VE=scale * parameters.head_VE)
    return NativeTransformer(config, parameters, "random", precision=precision, build=build)


def logits_of(
    network: NativeTransformer, reaches: Sequence[float] | None, rows: Sequence[int] | None = None
) -> Tensor:
    """Of one sequence's rows, or of some of them."""
    batch = forward_batch([Part(TOKENS, range(NUM_ROWS), read=rows)])
    if reaches is not None:
        batch = replace(batch, reach_R=np.array(reaches, dtype=np.float32))
    return network.forward(batch, network.allocate_cache(16)).clone()


@pytest.fixture(scope="module")
def network(build: ctypes.CDLL) -> NativeTransformer:
    network = network_of(build)
    assert network.has_rough_head
    return network


def test_what_is_near_a_rows_largest_is_the_heads_own(network: NativeTransformer) -> None:
    own_RV = logits_of(network, None)
    for reach in (1.5, 2.0, 3.0):
        found_RV = logits_of(network, [reach] * NUM_ROWS)
        off_RV = (found_RV - own_RV).abs()
        # What is told apart is told by the rough head: as far off as that may be.
        most = float(off_RV.max())
        near_RV = own_RV >= own_RV.amax(-1, keepdim=True) - (reach - 2 * most)
        assert near_RV.any()
        assert torch.equal(found_RV[near_RV], own_RV[near_RV])
        assert most < 0.5 * float(own_RV.std())
        assert 0.0 < float(off_RV.mean()) < 0.1 * float(own_RV.std())


def test_the_best_token_is_that_of_the_head(network: NativeTransformer) -> None:
    reach = float(logits_of(network, None).std())
    found_RV = logits_of(network, [reach] * NUM_ROWS)
    assert torch.equal(found_RV.argmax(-1), logits_of(network, None).argmax(-1))


def test_a_reach_without_end_is_the_head_itself(network: NativeTransformer) -> None:
    assert torch.equal(logits_of(network, [math.inf] * NUM_ROWS), logits_of(network, None))
    assert torch.equal(logits_of(network, [1e30] * NUM_ROWS), logits_of(network, None))


@settings(max_examples=25, deadline=None)
@given(
    read=st.lists(
        st.tuples(st.integers(0, NUM_ROWS - 1), st.sampled_from([0.0, 1.0, math.inf])), max_size=12
    ),
    num_threads=st.integers(1, 3),
)
def test_a_row_does_not_depend_on_those_read_with_it(
    network: NativeTransformer, read: list[tuple[int, float]], num_threads: int
) -> None:
    alone = {
        reach: logits_of(network, [reach] * NUM_ROWS) for reach in {reach for _, reach in read}
    }
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        found_RV = logits_of(network, [reach for _, reach in read], [row for row, _ in read])
    finally:
        torch.set_num_threads(before)
    for place, (row, reach) in enumerate(read):
        assert torch.equal(found_RV[place], alone[reach][row])


def test_a_reach_for_each_row_that_is_read(network: NativeTransformer) -> None:
    with pytest.raises(ValueError, match=f"2 reaches for the {NUM_ROWS} rows"):
        logits_of(network, [1.0, 2.0])


def test_what_the_head_read_is_kept_for_all_rows(network: NativeTransformer) -> None:
    network.keeps_hidden = True
    try:
        logits_of(network, None)
        whole_RE = network.hidden_RE
        logits_of(network, [1.0, math.inf, 0.0] * 3)
        assert whole_RE is not None
        assert network.hidden_RE is not None
        assert np.array_equal(network.hidden_RE, whole_RE)
    finally:
        network.keeps_hidden, network.hidden_RE = False, None


@pytest.mark.parametrize(
    ("vocab_size", "precision", "scale"),
    [
        (LARGE, Precision.FINE, 1.0),
        (LARGE + 8, Precision.COARSE, 1.0),
        (1024, Precision.COARSE, 1.0),
        (LARGE, Precision.COARSE, 2.0**18),
    ],
    ids=["fine", "odd", "small", "large-weights"],
)
def test_other_networks_have_none(
    build: ctypes.CDLL, vocab_size: int, precision: Precision, scale: float
) -> None:
    network = network_of(build, vocab_size, precision, scale)
    assert not network.has_rough_head
    found_RV = logits_of(network, [0.0] * NUM_ROWS)
    assert found_RV.isfinite().all()
    assert torch.equal(found_RV, logits_of(network, None))
