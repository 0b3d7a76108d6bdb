"""Logits far below a row's largest may be those of fewer bits; the others are the head's own.

Those of tokens that may not be picked may be anything.
"""

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
from decoding.sampling import unpack_masks
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
    network: NativeTransformer,
    reaches: Sequence[float] | None,
    rows: Sequence[int] | None = None,
    masks: Sequence[Tensor | None] | None = None,
) -> Tensor:
    """Of one sequence's rows, or of some of them."""
    batch = forward_batch([Part(TOKENS, range(NUM_ROWS), read=rows)])
    if masks is not None:
        batch = replace(batch, masks=lambda: masks)
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


def mask_of(share: float, seed: int, vocab_size: int = LARGE) -> Tensor:
    """Words of a random such share of all tokens, at least one, in as few words as can be."""
    count = max(int(share * vocab_size), 1)
    order = torch.randperm(-(-vocab_size // 32), generator=torch.Generator().manual_seed(seed))
    allowed = (32 * order[:, None] + torch.arange(32)).flatten()
    allowed = allowed[allowed < vocab_size][:count]
    bits_WB = torch.zeros(-(-vocab_size // 32), 32, dtype=torch.int64)
    bits_WB.view(-1)[allowed] = 1
    return (bits_WB << torch.arange(32)).sum(-1).to(torch.int32)


def allowed_by(mask_W: Tensor | None) -> Tensor:
    if mask_W is None:
        return torch.ones(LARGE, dtype=torch.bool)
    return unpack_masks(mask_W[None], LARGE)[0]


SHARES = [None, 0.0, 0.01, 0.24, 0.26, 0.9, 1.0]


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.integers(0, NUM_ROWS - 1), st.sampled_from([1.5, math.inf]), st.sampled_from(SHARES)
        ),
        max_size=8,
    ),
    seed=st.integers(0, 1000),
)
def test_what_may_be_picked_is_the_heads_own_near_the_largest_of_it(
    network: NativeTransformer, asked: list[tuple[int, float, float | None]], seed: int
) -> None:
    own_RV = logits_of(network, None)
    masks = [None if share is None else mask_of(share, seed + row) for row, _, share in asked]
    rows, reaches = [row for row, *_ in asked], [reach for _, reach, _ in asked]
    found_RV = logits_of(network, reaches, rows, masks)
    for place, (row, reach, share) in enumerate(asked):
        allowed_V = allowed_by(masks[place])
        own_V, found_V = own_RV[row][allowed_V], found_RV[place][allowed_V]
        off = float((found_V - own_V).abs().max())
        if reach == math.inf or (share is not None and share < 0.25):
            assert off == 0.0
        near_V = own_V >= own_V.max() - (reach - 2 * off)
        assert torch.equal(found_V[near_V], own_V[near_V])
        alone_RV = logits_of(network, [reach], [row], [masks[place]])
        assert torch.equal(alone_RV[0][allowed_V], found_V)


def test_few_tokens_that_may_be_picked_are_all_that_is_scored(network: NativeTransformer) -> None:
    own_RV = logits_of(network, None)
    network._logits_kept[0].fill_(math.nan)
    mask_W = mask_of(0.1, 5)
    found_RV = logits_of(network, None, masks=[mask_W] * NUM_ROWS)
    allowed_V = allowed_by(mask_W)
    assert torch.equal(found_RV[:, allowed_V], own_RV[:, allowed_V])
    assert found_RV.isnan().float().mean() > 0.85


@pytest.mark.parametrize("share", SHARES)
def test_fine_logits_of_what_may_be_picked_are_as_without_a_mask(
    build: ctypes.CDLL, share: float | None
) -> None:
    network = network_of(build, precision=Precision.FINE)
    mask_W = None if share is None else mask_of(share, 3)
    allowed_V = allowed_by(mask_W)
    found_RV = logits_of(network, [1.5] * NUM_ROWS, masks=[mask_W] * NUM_ROWS)
    assert torch.equal(found_RV[:, allowed_V], logits_of(network, None)[:, allowed_V])


def test_a_head_of_four_bits_scores_what_may_be_picked(build: ctypes.CDLL) -> None:
    config = network_of(build).config
    parameters = packable(random_network(config)).parameters
    shape = parameters.head_VE.shape
    levels_VE = torch.randint(16, shape, generator=torch.Generator().manual_seed(4))
    levels_VE[:, ::32], levels_VE[:, 1::32] = 0, 15  # each group has its least and its most
    parameters = replace(parameters, head_VE=levels_VE / 64)
    network = NativeTransformer(config, parameters, "random", build=build)
    assert network._structure.head.bits == 4
    own_RV = logits_of(network, None)
    network._logits_kept[0].fill_(math.nan)
    mask_W = mask_of(0.1, 6)
    found_RV = logits_of(network, None, masks=[mask_W] * NUM_ROWS)
    allowed_V = allowed_by(mask_W)
    assert torch.equal(found_RV[:, allowed_V], own_RV[:, allowed_V])
    assert found_RV.isnan().any()


def test_a_vocabulary_may_end_within_a_word(build: ctypes.CDLL) -> None:
    network = network_of(build, LARGE + 8)
    own_RV = logits_of(network, None)
    words = torch.zeros(LARGE // 32 + 1, dtype=torch.int32)
    words[-1] = 0xFF
    network._logits_kept[0].fill_(math.nan)
    found_RV = logits_of(network, None, masks=[words] * NUM_ROWS)
    assert torch.equal(found_RV[:, LARGE:], own_RV[:, LARGE:])
    assert found_RV[:, :LARGE].isnan().all()


@pytest.mark.parametrize("kept", [0, 7, 8, 15, 16, 31])
def test_a_forbidden_favourite_beside_allowed_tokens_does_not_count(
    network: NativeTransformer, kept: int
) -> None:
    """One token of each word is allowed: what is near the best of these is the head's own."""
    own_RV, reach = logits_of(network, None), 1.5
    mask_W = torch.full((LARGE // 32,), 1 << kept if kept < 31 else -(1 << 31), dtype=torch.int32)
    found_RV = logits_of(network, [reach] * NUM_ROWS, masks=[mask_W] * NUM_ROWS)
    own_RA, found_RA = own_RV[:, kept::32], found_RV[:, kept::32]
    assert (own_RV.amax(-1) > own_RA.amax(-1)).any()
    off = float((found_RA - own_RA).abs().max())
    near_RA = own_RA >= own_RA.amax(-1, keepdim=True) - (reach - 2 * off)
    assert near_RA.any(-1).all()
    assert torch.equal(found_RA[near_RA], own_RA[near_RA])
    assert not torch.equal(found_RA, own_RA)


def test_masks_that_do_not_fit_are_refused(network: NativeTransformer) -> None:
    with pytest.raises(ValueError, match=f"2 masks for the {NUM_ROWS} rows"):
        logits_of(network, None, masks=[None, None])
    for mask_W in (mask_of(0.5, 1)[:-1], mask_of(0.5, 1, 2 * LARGE)[::2]):
        with pytest.raises(ValueError, match=f"a mask of .* for {LARGE} tokens"):
            logits_of(network, None, masks=[mask_W] * NUM_ROWS)


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
