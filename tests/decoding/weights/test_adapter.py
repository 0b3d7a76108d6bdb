"""Adapter folders: what their configuration means, and every way one can be broken."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from decoding.errors import WeightsError
from decoding.network.adapter import LayerAdapter
from decoding.network.config import NetworkConfig
from decoding.weights.adapter import read_adapter
from tests.decoding.nemotron import (
    ALPHA,
    HIDDEN,
    LAYERS,
    RANK,
    lora_key,
    write_adapter,
    write_nemotron,
)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Q, O, DOWN = "self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"  # noqa: E741 - as named


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NetworkConfig:
    directory = write_nemotron(tmp_path_factory.mktemp("network"), adapter=False)
    return NetworkConfig.from_hf(json.loads((directory / "config.json").read_text()))


def read(directory: Path, config: NetworkConfig) -> tuple[LayerAdapter, ...]:
    draft = read_adapter(directory, config, dtype=torch.float32, device=torch.device("cpu"))
    assert draft.adapter is not None
    return draft.adapter.layers


def products(layers: tuple[LayerAdapter, ...]) -> list[Tensor]:
    """What is added to each layer's o_proj."""
    return [each.output.up @ each.output.down for each in layers if each.output is not None]


def refusal(directory: Path, config: NetworkConfig, match: str) -> WeightsError:
    with pytest.raises(WeightsError, match=match) as caught:
        read(directory, config)
    return caught.value


def key(half: str, layer: int = 1, projection: str = O) -> str:
    return f"{lora_key(layer, projection)}.lora_{half}.weight"


# --- what is read


def test_the_scale_is_alpha_over_rank(config: NetworkConfig, tmp_path: Path) -> None:
    layers = read(write_adapter(tmp_path), config)
    tensors = load_file(tmp_path / WEIGHTS)
    assert len(layers) == LAYERS
    for index, product in enumerate(products(layers)):
        half_a, half_b = (tensors[key(half, index)] for half in "AB")
        torch.testing.assert_close(product, ALPHA / RANK * half_b @ half_a)
    assert all(each.qkv is each.gate_up is each.down is None for each in layers)


def test_the_root_of_the_rank_may_divide(config: NetworkConfig, tmp_path: Path) -> None:
    plain = read(write_adapter(tmp_path / "plain"), config)
    rooted = read(write_adapter(tmp_path / "rooted", config={"use_rslora": True}), config)
    for one, other in zip(products(plain), products(rooted), strict=True):
        torch.testing.assert_close(one * math.sqrt(RANK), other)


@pytest.mark.parametrize("pattern", ["layers.1.self_attn.o_proj", r"layers\.[12]\..*", "o_proj"])
def test_patterns_make_exceptions(config: NetworkConfig, tmp_path: Path, pattern: str) -> None:
    plain = products(read(write_adapter(tmp_path / "plain"), config))
    settings = {"alpha_pattern": {"x_proj": 1, pattern: 2 * ALPHA}}
    found = products(read(write_adapter(tmp_path / "pattern", config=settings), config))
    changed = {"o_proj": [0, 1, 2], r"layers\.[12]\..*": [1, 2]}.get(pattern, [1])
    for layer, (one, other) in enumerate(zip(plain, found, strict=True)):
        torch.testing.assert_close(one * 2 if layer in changed else one, other)


def test_ranks_may_differ(config: NetworkConfig, tmp_path: Path) -> None:
    edits = {key("A"): torch.ones(2, 128), key("B"): torch.ones(HIDDEN, 2)}
    settings = {"rank_pattern": {"layers.1.self_attn.o_proj": 2}}
    layers = read(write_adapter(tmp_path, config=settings, edits=dict(edits)), config)
    assert torch.equal(products(layers)[1], torch.full((HIDDEN, 128), 2 * ALPHA / 2))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model.encoder.", "model.model."),
        ("model.encoder.", "model."),
        ("model.encoder.", "model.language_model.model."),
        (".weight", ".default.weight"),
    ],
)
def test_other_spellings_of_the_keys(
    config: NetworkConfig, tmp_path: Path, old: str, new: str
) -> None:
    expected = products(read(write_adapter(tmp_path), config))
    tensors = load_file(tmp_path / WEIGHTS)
    save_file({name.replace(old, new, 1): t for name, t in tensors.items()}, tmp_path / WEIGHTS)
    for one, other in zip(products(read(tmp_path, config)), expected, strict=True):
        assert torch.equal(one, other)


def test_parts_of_a_fused_projection_keep_apart(config: NetworkConfig, tmp_path: Path) -> None:
    layers = read(write_adapter(tmp_path, targets=("q_proj", "v_proj")), config)
    tensors = load_file(tmp_path / WEIGHTS)
    fused = layers[0].qkv
    assert fused is not None
    queries, keys, values = (fused.up @ fused.down).split([128, 64, 64])
    for found, name in ((queries, Q), (values, "self_attn.v_proj")):
        half_a, half_b = (tensors[key(half, 0, name)] for half in "AB")
        torch.testing.assert_close(found, 4.0 * half_b @ half_a)
    assert not keys.any()


def test_tensors_are_stored_in_the_networks_dtype(config: NetworkConfig, tmp_path: Path) -> None:
    write_adapter(tmp_path, mask_embedding=True)
    draft = read_adapter(tmp_path, config, dtype=torch.bfloat16, device=torch.device("cpu"))
    assert draft.adapter is not None
    assert draft.mask_embedding_E is not None
    output = draft.adapter.layers[0].output
    assert output is not None
    assert {output.up.dtype, output.down.dtype, draft.mask_embedding_E.dtype} == {torch.bfloat16}


def test_harmless_settings_are_ignored(config: NetworkConfig, tmp_path: Path) -> None:
    settings = {
        "modules_to_save": [],
        "init_lora_weights": "gaussian",
        "target_modules": "all-linear",
        "lora_dropout": 0.5,
        "bias": None,
        "use_dora": False,
        "layers_to_transform": None,
        "something_new": 3,
    }
    assert len(products(read(write_adapter(tmp_path, config=settings), config))) == LAYERS


# --- what is refused: the configuration


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bias", "all"),
        ("bias", "lora_only"),
        ("modules_to_save", ["diffusion_head"]),
        ("use_dora", True),
        ("fan_in_fan_out", True),
        ("lora_bias", True),
        ("use_qalora", True),
        ("trainable_token_indices", [100]),
        ("target_parameters", ["x"]),
        ("layer_replication", [[0, 2]]),
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "loftq"),
        ("peft_type", "IA3"),
        ("peft_type", None),
        ("r", None),
        ("r", 0),
        ("r", "8"),
        ("r", True),
        ("r", 2.5),
        ("lora_alpha", None),
        ("lora_alpha", -1),
        ("lora_alpha", float("nan")),
        ("rank_pattern", [1]),
        ("rank_pattern", {"o_proj": "many"}),
        ("alpha_pattern", {"o_(proj": 3}),
        ("target_modules", ["o_proj", "q_proj"]),
    ],
)
def test_an_unusable_setting_is_refused_by_name(
    config: NetworkConfig, tmp_path: Path, name: str, value: object
) -> None:
    write_adapter(tmp_path, config={name: value})
    error = refusal(tmp_path, config, "adapter")
    assert (error.file, error.key) == (tmp_path / CONFIG, name)


@pytest.mark.parametrize("content", ["", "[]", "{", "\0"])
def test_a_damaged_configuration_is_named(
    config: NetworkConfig, tmp_path: Path, content: str
) -> None:
    write_adapter(tmp_path)
    (tmp_path / CONFIG).write_text(content)
    assert refusal(tmp_path, config, CONFIG).file == tmp_path / CONFIG


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(config: NetworkConfig, tmp_path: Path, name: str) -> None:
    write_adapter(tmp_path)
    (tmp_path / name).unlink()
    error = refusal(tmp_path, config, f"{name} is missing; give an adapter folder as PEFT writes")
    assert error.file == tmp_path / name
    assert "or load with adapter=None" in str(error)
    assert "checkpoint" not in error.reason


# --- what is refused: the tensors


@pytest.mark.parametrize(
    ("edits", "named", "match"),
    [
        ({key("A"): torch.ones(4, 128)}, key("A"), r"shape \[4, 128\].*calls for \[8, 128\]"),
        ({key("A"): torch.ones(8, 96)}, key("A"), r"calls for \[8, 128\]"),
        ({key("A"): torch.ones(8)}, key("A"), r"calls for \[8, 128\]"),
        ({key("B"): torch.ones(96, 4)}, key("B"), r"calls for \[96, 8\]"),
        ({key("B"): torch.ones(8, 96)}, key("B"), r"calls for \[96, 8\]"),
        ({key("A"): None}, key("B"), "other half, lora_A, is missing"),
        ({key("B"): None}, key("A"), "other half, lora_B, is missing"),
        ({key("A"): torch.full((8, 128), torch.nan)}, key("A"), "not finite"),
        ({key("B"): torch.full((96, 8), torch.inf)}, key("B"), "not finite"),
        ({key("B"): torch.ones(96, 8, dtype=torch.int8)}, key("B"), "int8"),
        ({key("A", LAYERS): torch.ones(8, 128)}, key("A", LAYERS), "has 3 layers"),
        ({key("A", 99): torch.ones(8, 128)}, key("A", 99), "another network"),
        ({key("A", 1, DOWN): torch.ones(8, 160)}, key("A", 1, DOWN), "lora_B, is missing"),
        ({"mask_embedding": torch.ones(HIDDEN + 1)}, "mask_embedding", r"calls for \[96\]"),
        ({"mask_embedding": torch.full((HIDDEN,), torch.nan)}, "mask_embedding", "not finite"),
        ({"diffusion_head.weight": torch.ones(1)}, "diffusion_head.weight", "something other"),
        (
            {key("A", 1, "mlp.router"): torch.ones(8, 96)},
            key("A", 1, "mlp.router"),
            "something other",
        ),
        (
            {key("A").replace("weight", "default.weight"): torch.ones(8, 128)},
            None,
            "two tensors for one place",
        ),
    ],
)
def test_an_unusable_tensor_is_refused_by_key(
    config: NetworkConfig,
    tmp_path: Path,
    edits: dict[str, Tensor | None],
    named: str | None,
    match: str,
) -> None:
    error = refusal(write_adapter(tmp_path, edits=edits), config, match)
    assert error.file == tmp_path / WEIGHTS
    assert error.key == named or named is None


@pytest.mark.parametrize("kept", [0, 7, 300, -1])
def test_a_truncated_file_is_named(config: NetworkConfig, tmp_path: Path, kept: int) -> None:
    file = write_adapter(tmp_path) / WEIGHTS
    file.write_bytes(file.read_bytes()[:kept])
    assert refusal(tmp_path, config, "damaged or cut short").file == file


def test_an_adapter_without_tensors_is_refused(config: NetworkConfig, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"target_modules": []}
    write_adapter(tmp_path, layers=[], mask_embedding=True, config=settings)
    assert refusal(tmp_path, config, "no adapter tensors").file == tmp_path / WEIGHTS
