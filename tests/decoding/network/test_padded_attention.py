"""Attention of padded sequences against a softmax written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from decoding.network.attention import HeadShape
from decoding.network.padded_attention import VARIANTS, visible_keys


def by_hand(
    queries_THD: Tensor, keys_SGD: Tensor, values_SGD: Tensor, slots_BL: Tensor, seen_BNL: Tensor
) -> Tensor:
    num_sequences, num_rows = seen_BNL.shape[:2]
    out_THD = torch.empty_like(queries_THD)
    sharing = queries_THD.shape[1] // keys_SGD.shape[1]
    for sequence in range(num_sequences):
        for row in range(num_rows):
            slots = slots_BL[sequence, seen_BNL[sequence, row]]
            for head in range(queries_THD.shape[1]):
                query_D = queries_THD[sequence * num_rows + row, head]
                scores = keys_SGD[slots, head // sharing] @ query_D * len(query_D) ** -0.5
                mixed_D = scores.softmax(0) @ values_SGD[slots, head // sharing]
                out_THD[sequence * num_rows + row, head] = mixed_D
    return out_THD


@pytest.mark.parametrize("name", VARIANTS)
@given(
    heads=st.sampled_from([HeadShape(4, 2, 8), HeadShape(3, 3, 4), HeadShape(4, 1, 6)]),
    num_sequences=st.integers(1, 3),
    num_rows=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_each_variant_is_a_softmax_over_what_is_visible(
    name: str, heads: HeadShape, num_sequences: int, num_rows: int, seed: int
) -> None:
    make = torch.Generator().manual_seed(seed)
    num_keys = 9
    queries_THD = torch.randn(
        num_sequences * num_rows, heads.num_heads, heads.head_dim, generator=make
    )
    stores = torch.randn(2, 40, heads.num_kv_heads, heads.head_dim, generator=make)
    slots_BL = torch.randint(40, (num_sequences, num_keys), generator=make)
    seen_BNL = torch.rand(num_sequences, num_rows, num_keys, generator=make) < 0.5
    seen_BNL[..., 0] = True
    attend = VARIANTS[name](slots_BL, seen_BNL, heads, torch.float32)
    expected = by_hand(queries_THD, stores[0], stores[1], slots_BL, seen_BNL)
    torch.testing.assert_close(attend(queries_THD, stores[0], stores[1]), expected)


def test_a_row_sees_its_window_up_to_its_last_key() -> None:
    positions_BN, last_BN = torch.tensor([[3, 4], [0, 0]]), torch.tensor([[3, 6], [0, 0]])
    shown = [
        ["".join("x" if each else "." for each in row) for row in sequence]
        for sequence in visible_keys(positions_BN, last_BN, 8, 3).tolist()
    ]
    assert shown == [[".xxx....", "..xxxxx."], ["x.......", "x......."]]
    assert visible_keys(positions_BN, last_BN, 8, None).sum(-1).tolist() == [[4, 7], [1, 1]]
