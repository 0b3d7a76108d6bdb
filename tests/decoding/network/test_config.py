"""What a config.json is taken to mean, where families differ."""

from typing import Any

import pytest
import torch

from decoding.errors import WeightsError
from decoding.network.config import NetworkConfig
from decoding.network.rope import QueryScaling, YarnScaling


def config(model_type: str, **keys: Any) -> NetworkConfig:
    base = {
        "model_type": model_type,
        "vocab_size": 100,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    return NetworkConfig.from_hf(base | keys)


def test_absent_keys_mean_what_transformers_takes_them_for() -> None:
    llama = config("llama")
    assert (llama.num_kv_heads, llama.head_dim, llama.max_positions) == (4, 16, 2048)
    assert (llama.norm_eps, llama.rope.theta, llama.tied_head) == (1e-6, 10_000.0, False)
    assert config("llama", head_dim=None, num_key_value_heads=None).head_dim == 16
    assert config("qwen3").head_dim == 128
    ministral = config("ministral3")
    assert isinstance(ministral.rope.scaling, YarnScaling)
    assert ministral.rope.query_scaling == QueryScaling(0.1, 16384)


def test_absent_keys_of_nemotron_mean_what_all_its_sizes_have() -> None:
    base = {"model_type": "nemotron_labs_diffusion", "rope_theta": 1e9}
    sizes = {"hidden_size": 3072, "intermediate_size": 9216, "num_hidden_layers": 26}
    found = NetworkConfig.from_hf(base | sizes)
    assert (found.num_heads, found.num_kv_heads, found.head_dim) == (32, 8, 128)
    assert (found.vocab_size, found.max_positions) == (131072, 262144)
    assert (found.norm_eps, found.tied_head, found.mask_token_id) == (1e-5, False, None)
    assert found.windows == (None,) * 26


@pytest.mark.parametrize(
    ("scaling", "positions"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}, 32768),
        ({"rope_type": "yarn", "factor": 4.0}, 131072),
        ({"rope_type": "linear", "factor": 4.0}, 32768),
        (None, 32768),
    ],
)
def test_yarn_stretches_the_positions(scaling: dict[str, Any] | None, positions: int) -> None:
    """Qwen's checkpoints name those of before; else what is written counts."""
    found = config("qwen2", max_position_embeddings=32768, rope_scaling=scaling)
    assert found.max_positions == positions


def test_unknown_keys_are_ignored() -> None:
    assert config("llama", quantum=True, attn_implementation="x") == config("llama")


@pytest.mark.parametrize(
    ("model_type", "keys", "biases"),
    [
        ("llama", {}, (False, False, False)),
        ("llama", {"attention_bias": True}, (True, True, False)),
        ("llama", {"mlp_bias": True}, (False, False, True)),
        ("mistral", {"attention_bias": True, "mlp_bias": True}, (False, False, False)),
        ("qwen2", {}, (True, False, False)),
        ("qwen3", {}, (False, False, False)),
        ("qwen3", {"attention_bias": True}, (True, True, False)),
    ],
)
def test_biases(model_type: str, keys: dict[str, Any], biases: tuple[bool, bool, bool]) -> None:
    found = config(model_type, **keys)
    assert (found.qkv_bias, found.output_bias, found.mlp_bias) == biases
    assert found.qk_norm == (model_type == "qwen3")


@pytest.mark.parametrize(
    ("model_type", "keys", "windows"),
    [
        ("llama", {"sliding_window": 8}, (None,) * 4),
        ("mistral", {}, (4096,) * 4),
        ("mistral", {"sliding_window": None}, (None,) * 4),
        ("mistral", {"sliding_window": 8}, (8,) * 4),
        (
            "mistral",
            {"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"] * 2},
            (None, 8, None, 8),
        ),
        ("ministral3", {}, (None,) * 4),
        ("qwen2", {"sliding_window": 8}, (None,) * 4),
        ("qwen3", {"use_sliding_window": True}, (None,) * 4),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 3},
            (None, None, None, 8),
        ),
        (
            "qwen3",
            {
                "use_sliding_window": True,
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention"] * 2,
            },
            (8, None, 8, None),
        ),
    ],
)
def test_windows_per_layer(
    model_type: str, keys: dict[str, Any], windows: tuple[int | None, ...]
) -> None:
    assert config(model_type, **keys).windows == windows


def test_a_wrapped_text_model_is_read() -> None:
    inner = {"model_type": "mistral", "vocab_size": 50, "tie_word_embeddings": True}
    found = config("mistral3", text_config=inner, vocab_size=1)
    assert (found.model_type, found.vocab_size, found.tied_head) == ("mistral", 50, True)


@pytest.mark.parametrize(
    ("keys", "dtype"),
    [
        ({"dtype": "bfloat16"}, torch.bfloat16),
        ({"torch_dtype": "float16"}, torch.float16),
        ({"dtype": "float32", "torch_dtype": "float16"}, torch.float32),
        ({}, None),
        ({"dtype": "nn"}, None),
    ],
)
def test_the_checkpoints_own_dtype(keys: dict[str, str], dtype: torch.dtype | None) -> None:
    assert config("llama", **keys).dtype == dtype


def test_an_unsupported_family_is_told_what_is_supported() -> None:
    with pytest.raises(WeightsError, match=r"'gpt2' is not supported.*llama, mistral, ministral3"):
        config("gpt2")


@pytest.mark.parametrize("model_type", [None, 3, ["llama"], {}])
def test_an_unusable_family_is_refused(model_type: object) -> None:
    with pytest.raises(WeightsError, match="is not supported") as caught:
        NetworkConfig.from_hf({"model_type": model_type})
    assert caught.value.key == "model_type"


@pytest.mark.parametrize("inner", ["text", [1], {"model_type": "gpt2"}])
def test_an_unusable_text_config_is_refused(inner: object) -> None:
    with pytest.raises(WeightsError, match=r"config\.json"):
        NetworkConfig.from_hf({"model_type": "mistral3", "text_config": inner})
