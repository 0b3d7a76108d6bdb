"""Every layout in which Nemotron-Labs-Diffusion checkpoints come gives the same network."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from decoding import weights
from decoding.errors import WeightsError
from decoding.network.rope import QueryScaling, YarnScaling
from decoding.weights import Loaded, embedded, load
from tests.decoding.batches import Part, forward_batch
from tests.decoding.nemotron import (
    ADAPTER,
    EOS,
    HEAD_DIM,
    HIDDEN,
    LAYERS,
    MASK,
    ORIGINAL_POSITIONS,
    PROJECTIONS,
    VOCAB,
    write_adapter,
    write_nemotron,
)

TOKENS = list(range(0, VOCAB, 9))
WEIGHTS = "model.safetensors"


def read(directory: str | Path, **options: Any) -> Loaded:
    return load(directory, device=torch.device("cpu"), dtype=torch.float32, **options)


def logits(loaded: Loaded, *, adapter: bool = False) -> Tensor:
    batch = forward_batch([Part(TOKENS, range(len(TOKENS)), adapter=adapter)])
    return loaded.network.forward(batch, loaded.network.allocate_cache(len(TOKENS)))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemotron(tmp_path_factory.mktemp("usual"), quiet_head_rows=None)


def rename(directory: Path, old: str, new: str) -> None:
    tensors = load_file(directory / WEIGHTS)
    renamed = {key.replace(old, new, 1): each for key, each in tensors.items()}
    assert renamed.keys() != tensors.keys()
    save_file(renamed, directory / WEIGHTS)


def set_config(directory: Path, **values: Any) -> None:
    config = json.loads((directory / "config.json").read_text()) | values
    (directory / "config.json").write_text(json.dumps(config))


# --- layouts


def test_the_tensors_are_those_of_the_family(usual: Path) -> None:
    layer = [f"{name}.weight" for name in PROJECTIONS]
    layer += ["input_layernorm.weight", "post_attention_layernorm.weight"]
    expected = {f"encoder.layers.{i}.{name}" for i in range(LAYERS) for name in layer}
    expected |= {"encoder.embed_tokens.weight", "encoder.norm.weight", "diffusion_head.weight"}
    tensors = load_file(usual / WEIGHTS)
    assert tensors.keys() == expected
    assert len(tensors) == 9 * LAYERS + 3
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert tensors["encoder.layers.0.self_attn.q_proj.weight"].shape == (4 * HEAD_DIM, HIDDEN)
    assert 4 * HEAD_DIM != HIDDEN, "the head width must not follow from the hidden width"


@pytest.mark.parametrize(
    "layout", [{"sharded": True}, {"old_names": True}, {"sharded": True, "old_names": True}]
)
def test_layouts_are_equal(usual: Path, tmp_path: Path, layout: dict[str, bool]) -> None:
    write_nemotron(tmp_path, quiet_head_rows=None, **layout)
    found, expected = read(tmp_path), read(usual)
    assert found.network.mask_token_id == expected.network.mask_token_id == MASK
    for adapter in (False, True):
        assert torch.equal(logits(found, adapter=adapter), logits(expected, adapter=adapter))


@pytest.mark.parametrize("model_type", ["nemotron_labs_diffusion", "llama", "anything", None])
@pytest.mark.parametrize("name", ["NemotronLabsDiffusionModel", "MinistralDiffEncoderModel"])
def test_the_class_name_decides(
    usual: Path, tmp_path: Path, name: str, model_type: str | None
) -> None:
    config = {"architectures": [name], "model_type": model_type}
    write_nemotron(tmp_path, quiet_head_rows=None, config=config)
    assert torch.equal(logits(read(tmp_path)), logits(read(usual)))


@pytest.mark.parametrize("inside", [True, False])
def test_the_text_core_of_the_vision_model_is_read(
    usual: Path, tmp_path: Path, inside: bool
) -> None:
    write_nemotron(tmp_path, quiet_head_rows=None, adapter=False)
    outer = {"model_type": "nemotron_labs_diffusion_vlm", "architectures": ["SomeVLM"]}
    if inside:
        text = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(outer | {"text_config": text}))
    else:
        set_config(tmp_path, **outer)
    rename(tmp_path, "encoder.", "language_model.model.")
    rename(tmp_path, "diffusion_head.", "language_model.lm_head.")
    found = read(tmp_path)
    assert torch.equal(logits(found), logits(read(usual)))
    assert found.network.mask_token_id == found.tokenizer.mask_token_id == MASK


def test_computed_and_cache_tensors_are_dropped(usual: Path, tmp_path: Path) -> None:
    write_nemotron(tmp_path, quiet_head_rows=None)
    prefix = "encoder.layers.1.self_attn."
    extra = {
        f"{prefix}k_scale": torch.ones(1),
        f"{prefix}v_scale": torch.ones(1),
        f"{prefix}rotary_emb.inv_freq": torch.ones(HEAD_DIM // 2),
        "encoder.rotary_emb.inv_freq": torch.ones(HEAD_DIM // 2),
    }
    save_file(load_file(tmp_path / WEIGHTS) | extra, tmp_path / WEIGHTS)
    assert torch.equal(logits(read(tmp_path)), logits(read(usual)))


def test_a_tensor_without_a_place_is_refused(tmp_path: Path) -> None:
    write_nemotron(tmp_path)
    key = "encoder.layers.1.self_attn.q_proj.bias"
    extra = {key: torch.ones(4 * HEAD_DIM)}
    save_file(load_file(tmp_path / WEIGHTS) | extra, tmp_path / WEIGHTS)
    with pytest.raises(WeightsError, match="no place for the tensor") as caught:
        read(tmp_path)
    assert caught.value.key == key


# --- config.json


def test_the_config_is_read(usual: Path) -> None:
    config = read(usual).network.config
    assert config.head_dim == HEAD_DIM
    assert not config.tied_head
    assert config.dtype is torch.bfloat16
    assert config.windows == (None,) * LAYERS
    assert config.rope.query_scaling == QueryScaling(0.1, ORIGINAL_POSITIONS)
    assert isinstance(config.rope.scaling, YarnScaling)
    assert config.rope.scaling.amplitude == 1.0


def test_dtype_is_another_word_for_torch_dtype(tmp_path: Path) -> None:
    write_nemotron(tmp_path, config={"torch_dtype": None, "dtype": "float16"})
    assert read(tmp_path).network.config.dtype is torch.float16


def test_special_ids_come_from_the_files(usual: Path) -> None:
    tokenizer = read(usual).tokenizer
    assert tokenizer.eos_token_ids == (EOS,)
    assert tokenizer.mask_token_id == MASK


def test_a_network_without_a_mask_token_knows_none(tmp_path: Path) -> None:
    write_nemotron(tmp_path, config={"mask_token_id": None})
    assert read(tmp_path).network.mask_token_id is None


@pytest.mark.parametrize("token_id", [VOCAB, -1, True, "100", 100.0, [100]])
def test_an_unusable_mask_token_is_refused(tmp_path: Path, token_id: object) -> None:
    write_nemotron(tmp_path, config={"mask_token_id": token_id})
    with pytest.raises(WeightsError, match=f"from 0 to {VOCAB - 1}") as caught:
        read(tmp_path)
    assert caught.value.key == "mask_token_id"
    assert caught.value.file == tmp_path / "config.json"


@pytest.mark.parametrize("end", [MASK, [EOS, MASK]])
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_mask_token_that_ends_a_text_is_refused(tmp_path: Path, file: str, end: object) -> None:
    write_nemotron(tmp_path)
    settings = json.loads((tmp_path / file).read_text()) | {"eos_token_id": end}
    (tmp_path / file).write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match=f"mask_token_id {MASK} is also") as caught:
        read(tmp_path)
    assert caught.value.key == "mask_token_id"
    assert caught.value.file == tmp_path / "config.json"


@pytest.mark.parametrize(
    ("old_names", "key"), [(False, "diffusion_head.weight"), (True, "lm_head.weight")]
)
def test_a_missing_head_is_named_as_in_its_layout(
    tmp_path: Path, old_names: bool, key: str
) -> None:
    write_nemotron(tmp_path, tied=True, old_names=old_names, config={"tie_word_embeddings": False})
    with pytest.raises(WeightsError, match="lacks a tensor") as caught:
        read(tmp_path)
    assert caught.value.key == key


@pytest.mark.parametrize("old_names", [False, True])
def test_a_missing_theta_is_not_guessed(tmp_path: Path, old_names: bool) -> None:
    """It is 1e6 or 1e9 by size; a wrong one would only make the answers worse."""
    write_nemotron(tmp_path, old_names=old_names)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("rope_theta", None)
    config.get("rope_parameters", {}).pop("rope_theta", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="lacks rope_theta") as caught:
        read(tmp_path)
    assert caught.value.key == "rope_theta"


def test_absent_keys_mean_what_they_are_in_every_size(tmp_path: Path) -> None:
    write_nemotron(tmp_path, config={"rms_norm_eps": None, "max_position_embeddings": None})
    config = read(tmp_path).network.config
    assert (config.norm_eps, config.max_positions) == (1e-5, 262144)


# --- where the adapter is found


def test_the_default_adapter_may_be_absent(usual: Path, tmp_path: Path) -> None:
    write_nemotron(tmp_path, adapter=False)
    assert read(usual).network.has_adapter
    assert not read(tmp_path).network.has_adapter


def test_no_adapter_can_be_asked_for(usual: Path) -> None:
    loaded = read(usual, adapter=None)
    assert not loaded.network.has_adapter
    assert torch.equal(logits(loaded), logits(read(usual)))


def test_a_default_adapter_is_never_looked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_adapter(tmp_path / ADAPTER)
    monkeypatch.chdir(tmp_path)
    assert not read(write_nemotron(tmp_path / "model", adapter=False)).network.has_adapter


def test_an_adapter_is_found_by_name_or_path(usual: Path, tmp_path: Path) -> None:
    directory = write_nemotron(tmp_path / "model", quiet_head_rows=None, adapter=False)
    write_adapter(directory / "drafts", seed=1)
    elsewhere = write_adapter(tmp_path / "elsewhere", seed=1)
    named, placed = read(directory, adapter="drafts"), read(directory, adapter=elsewhere)
    spelled = read(directory, adapter=str(elsewhere))
    assert torch.equal(logits(named, adapter=True), logits(placed, adapter=True))
    assert torch.equal(logits(named, adapter=True), logits(spelled, adapter=True))
    assert not torch.equal(logits(named, adapter=True), logits(read(usual), adapter=True))


@pytest.mark.parametrize("adapter", ["drafts", "/no/such/folder", Path(ADAPTER), "config.json"])
def test_an_adapter_asked_for_must_be_there(tmp_path: Path, adapter: str | Path) -> None:
    directory = write_nemotron(tmp_path, adapter=False)
    with pytest.raises(WeightsError, match="there is no adapter") as caught:
        read(directory, adapter=adapter)
    assert str(adapter) in str(caught.value)
    assert caught.value.file == directory


@pytest.mark.parametrize("adapter", ["", ".", Path(), f"{ADAPTER}/.."])
def test_the_checkpoint_is_no_adapter(usual: Path, adapter: str | Path) -> None:
    with pytest.raises(WeightsError, match="only the checkpoint itself: give the name of a sub-"):
        read(usual, adapter=adapter)
    with pytest.raises(WeightsError, match="only the checkpoint itself"):
        read(usual, adapter=usual)


@pytest.mark.parametrize("adapter", [3, True, b"drafts", ["drafts"]])
def test_an_adapter_is_a_name_or_a_path(usual: Path, adapter: object) -> None:
    with pytest.raises(TypeError, match="adapter must be the name or path"):
        read(usual, adapter=adapter)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_file_in_the_default_adapters_place_is_refused(tmp_path: Path, dangling: bool) -> None:
    directory = write_nemotron(tmp_path, adapter=False)
    if dangling:
        (directory / ADAPTER).symlink_to(tmp_path / "nowhere")
    else:
        (directory / ADAPTER).write_text("")
    with pytest.raises(WeightsError, match="only a file of that name: give the name") as caught:
        read(directory)
    assert ADAPTER in caught.value.reason


def test_the_embedded_models_adapter_is_among_the_packages_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converted copy lies in a cache directory and holds the weights only."""
    directory = write_nemotron(tmp_path / "copy")
    monkeypatch.setattr(weights, "embedded_directory", lambda *_: directory)
    monkeypatch.setattr(weights, "ASSETS", tmp_path / "assets")
    assert not read(weights.EMBEDDED).network.has_adapter
    write_adapter(tmp_path / "assets" / ADAPTER)
    assert read(weights.EMBEDDED).network.has_adapter
    assert embedded.ASSETS.parts[-3:] == ("decoding", "assets", "smollm2-135m")
