"""Rotary positions: known frequencies, amplitudes and query scales, and the turn itself."""

import math
from typing import Any

import pytest
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama import LlamaConfig

from decoding.errors import WeightsError
from decoding.network.rope import (
    LinearScaling,
    QueryScaling,
    Rope,
    RotaryEmbedding,
    YarnScaling,
    inverse_frequencies,
    read_rope,
)

CPU = torch.device("cpu")
YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def amplitude(**parameters: Any) -> float:
    scaling = read_rope({"rope_parameters": YARN | parameters}).scaling
    assert isinstance(scaling, YarnScaling)
    return scaling.amplitude


@pytest.mark.parametrize("parameters", [YARN, LLAMA3])
def test_the_original_length_beside_the_parameters_counts(parameters: dict[str, Any]) -> None:
    """As transformers has it, also where the parameters name another."""
    key = "original_max_position_embeddings"
    inside = read_rope({"rope_parameters": parameters | {key: 4096}})
    assert read_rope({"rope_parameters": parameters, key: 4096}) == inside
    assert read_rope({"rope_parameters": parameters}) != inside


@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        (1e6, [1.0, 8.058422e-1, 1.154782e-1, 1.333521e-2, 6.907023e-4, 1.111425e-5, 7.755861e-8]),
        (1e9, [1.0, 7.233942e-1, 3.92419e-2, 6.977792e-4, 3.776852e-6, 1.482109e-7, 8.639826e-11]),
    ],
)
def test_yarn_frequencies_are_those_published(theta: float, expected: list[float]) -> None:
    """Ministral 3 and Nemotron-Labs-Diffusion 3B and 8B (theta 1e6), 14B (1e9); head width 128."""
    frequencies_F = inverse_frequencies(
        read_rope({"rope_parameters": YARN | {"rope_theta": theta}}), 128
    )
    for pair, value in zip((0, 1, 10, 20, 30, 40, 63), expected, strict=True):
        assert float(frequencies_F[pair]) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("parameters", [YARN, YARN | {"truncate": False}, LLAMA3])
@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_frequencies_match_transformers(parameters: dict[str, Any], head_dim: int) -> None:
    config = LlamaConfig(
        head_dim=head_dim, rope_parameters=dict(parameters), max_position_embeddings=131072
    )
    theirs, _ = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, CPU)
    ours = inverse_frequencies(read_rope({"rope_parameters": parameters}), head_dim)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0.0)


def test_amplitude_rules() -> None:
    assert amplitude() == pytest.approx(0.1 * math.log(16) + 1)
    assert amplitude(mscale=1.0, mscale_all_dim=1.0) == 1.0
    assert amplitude(mscale=1.0) == amplitude(), "one of the two alone does not count"
    two_scales = amplitude(mscale=0.5, mscale_all_dim=1.0)
    assert two_scales == pytest.approx((0.05 * math.log(16) + 1) / (0.1 * math.log(16) + 1))
    assert amplitude(attention_factor=0.7, mscale=1.0, mscale_all_dim=1.0) == 0.7
    assert amplitude(factor=1.0) == 1.0


def test_query_scales_are_those_published() -> None:
    rope = Rope(query_scaling=QueryScaling(beta=0.1, original_positions=16384))
    positions_T = torch.tensor([0, 16383, 16384, 32768, 65536, 262143])
    rotation = RotaryEmbedding(rope, 4, CPU).at(positions_T, torch.float32)
    assert rotation.query_scale_T11 is not None
    assert rotation.query_scale_T11.flatten().tolist() == pytest.approx(
        [1.0, 1.0, 1.0693, 1.1099, 1.1609, 1.2773], abs=1e-4
    )


def test_no_query_is_scaled_by_default() -> None:
    assert (
        RotaryEmbedding(Rope(), 4, CPU).at(torch.arange(3), torch.float32).query_scale_T11 is None
    )


def test_a_turn_is_a_rotation_of_the_two_halves() -> None:
    rope = Rope(theta=100.0)
    positions_T = torch.tensor([0, 1, 7])
    rotation = RotaryEmbedding(rope, 4, CPU).at(positions_T, torch.float32)
    heads_T1D = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(3, 1, 4)
    pairs_TF = torch.view_as_complex(
        torch.stack((heads_T1D[:, 0, :2], heads_T1D[:, 0, 2:]), dim=-1).contiguous()
    )
    angles_TF = positions_T[:, None] * torch.tensor([1.0, 0.1])
    turned_TF = pairs_TF * torch.polar(torch.ones_like(angles_TF), angles_TF)
    expected = torch.cat((turned_TF.real, turned_TF.imag), dim=-1)
    torch.testing.assert_close(rotation.turn(heads_T1D)[:, 0], expected)


def test_both_spellings_give_the_same() -> None:
    new = {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}}
    old = {"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 5e5}
    assert read_rope(new) == read_rope(old) == Rope(5e5, LinearScaling(4.0))
    assert read_rope({"rope_theta": 5e5}) == Rope(5e5)
    assert read_rope({"rope_scaling": None}) == Rope(10_000.0)


@pytest.mark.parametrize("kind", ["dynamic", "longrope", "su", "proportional"])
def test_other_scalings_are_refused_by_name(kind: str) -> None:
    with pytest.raises(WeightsError, match=f"'{kind}' is not supported.*linear, llama3, yarn"):
        read_rope({"rope_scaling": {"rope_type": kind, "factor": 2.0}})


@pytest.mark.parametrize("value", [0, -1.0, "16", True, [1.0], math.nan, math.inf, 1e39, 10**400])
@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        (YARN, "factor"),
        (YARN, "rope_theta"),
        (YARN, "original_max_position_embeddings"),
        (YARN, "beta_fast"),
        (YARN, "beta_slow"),
        (YARN, "attention_factor"),
        (LLAMA3, "factor"),
        (LLAMA3, "low_freq_factor"),
        (LLAMA3, "high_freq_factor"),
        (LLAMA3, "original_max_position_embeddings"),
        ({"rope_type": "linear"}, "factor"),
        ({"rope_type": "default"}, "rope_theta"),
    ],
)
@pytest.mark.parametrize("place", ["rope_parameters", "rope_scaling"])
def test_an_unusable_number_is_refused_by_key(
    place: str, parameters: dict[str, Any], key: str, value: object
) -> None:
    with pytest.raises(WeightsError, match=f"{key} must be a finite number above 0") as caught:
        read_rope({place: parameters | {key: value}})
    assert caught.value.key == key


@pytest.mark.parametrize("key", ["mscale", "mscale_all_dim", "llama_4_scaling_beta"])
def test_a_scale_may_be_zero_but_nothing_odder(key: str) -> None:
    assert read_rope({"rope_parameters": YARN | {key: 0.0}}) == read_rope({"rope_parameters": YARN})
    for value in (-1.0, "1", False, math.nan, math.inf):
        with pytest.raises(WeightsError, match=f"{key} must be a finite number") as caught:
            read_rope({"rope_parameters": YARN | {key: value}})
        assert caught.value.key == key


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        (YARN | {"beta_fast": 1.0, "beta_slow": 32.0}, "beta_fast"),
        (YARN | {"beta_slow": 32.0}, "beta_fast"),
        (YARN | {"rope_theta": 1.0}, "rope_theta"),
        (YARN | {"original_max_position_embeddings": 0.5}, "original_max_position_embeddings"),
        (YARN | {"truncate": "false"}, "truncate"),
        (LLAMA3 | {"high_freq_factor": 1.0}, "high_freq_factor"),
        ({"rope_type": "yarn", "factor": 2.0}, "original_max_position_embeddings"),
        ({"rope_type": "linear"}, "factor"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_by_key(parameters: dict[str, Any], key: str) -> None:
    with pytest.raises(WeightsError, match=key) as caught:
        read_rope({"rope_parameters": parameters})
    assert caught.value.key == key
