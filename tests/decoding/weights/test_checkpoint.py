"""Reading checkpoint directories: shards, layouts, and every way one can be broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from decoding import Engine
from decoding.errors import WeightsError
from decoding.weights import Loaded, load
from tests.decoding.batches import Part, forward_batch
from tests.decoding.checkpoints import FAMILIES, save_checkpoint

INDEX = "model.safetensors.index.json"
PROMPT = list(range(0, 250, 6))


def read(source: str | Path) -> Loaded:
    return load(source, device=torch.device("cpu"), dtype=torch.float32)


def logits(source: Path) -> torch.Tensor:
    network = read(source).network
    batch = forward_batch([Part(PROMPT, range(len(PROMPT)))])
    return network.forward(batch, network.allocate_cache(len(PROMPT)))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("llama")
    save_checkpoint("llama", directory)
    return directory


@pytest.fixture(scope="module")
def pristine_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    save_checkpoint("llama", directory, max_shard_size="60KB")
    return directory


@pytest.fixture
def single(pristine: Path, tmp_path: Path) -> Path:
    """A checkpoint of one file, to be broken."""
    return Path(shutil.copytree(pristine, tmp_path / "llama"))


@pytest.fixture
def shards(pristine_shards: Path, tmp_path: Path) -> Path:
    """A checkpoint of several files and an index, to be broken."""
    return Path(shutil.copytree(pristine_shards, tmp_path / "shards"))


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys of a JSON file; None removes the key."""
    content = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept))


def edit_tensors(directory: Path, **changes: torch.Tensor | None) -> None:
    """Sets tensors by name, with "__" for "."; None removes the tensor."""
    file = directory / "model.safetensors"
    tensors: dict[str, torch.Tensor | None] = dict(load_file(file))
    tensors |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def refusal(source: str | Path, match: str | None = None) -> WeightsError:
    with pytest.raises(WeightsError, match=match) as caught:
        read(source)
    return caught.value


# --- what can be read


@pytest.mark.parametrize("family", FAMILIES)
def test_shards_give_the_same_network(family: str, tmp_path: Path) -> None:
    save_checkpoint(family, tmp_path / "single")
    save_checkpoint(family, tmp_path / "shards", max_shard_size="60KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert torch.equal(logits(tmp_path / "single"), logits(tmp_path / "shards"))


def test_network_and_tokenizer_arrive_together(single: Path) -> None:
    loaded = read(single)
    assert loaded.network.name == str(single)
    assert loaded.tokenizer.encode("the") != []
    assert loaded.tokenizer.eos_token_ids[0] == 268
    assert loaded.tokenizer.vocab_size <= loaded.network.vocab_size


def test_a_home_relative_path_is_found(single: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(single.parent))
    assert read(f"~/{single.name}").network.vocab_size == 270


def test_a_vision_wrapper_is_read_for_its_language_model(tmp_path: Path) -> None:
    """As Mistral 3 is published: text_config inside, tensors under language_model."""
    save_checkpoint("mistral", tmp_path)
    expected_TV = logits(tmp_path)
    inner = json.loads((tmp_path / "config.json").read_text())
    outer = {"model_type": "mistral3", "text_config": inner, "vision_config": {"hidden_size": 8}}
    (tmp_path / "config.json").write_text(json.dumps(outer))
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(
        {f"language_model.{key}": tensor for key, tensor in tensors.items()}
        | {"vision_tower.patch_conv.weight": torch.ones(3)},
        tmp_path / "model.safetensors",
    )
    assert torch.equal(logits(tmp_path), expected_TV)


def test_a_bare_model_without_a_head_prefix_is_read(tmp_path: Path) -> None:
    """As `LlamaModel.save_pretrained` writes it; the head is the embedding."""
    model = save_checkpoint("llama-tied", tmp_path)
    expected_TV = logits(tmp_path)
    model.model.save_pretrained(tmp_path)
    assert "embed_tokens.weight" in load_file(tmp_path / "model.safetensors")
    assert torch.equal(logits(tmp_path), expected_TV)


def test_adapters_in_sub_folders_are_left_alone(single: Path, shards: Path) -> None:
    for directory in (single, shards):
        expected_TV = logits(directory)
        adapter = directory / "adapter"
        adapter.mkdir()
        tensors = load_file(sorted(directory.glob("*.safetensors"))[0])
        wrong = {name: tensor * 0 for name, tensor in tensors.items()}
        save_file(wrong, adapter / "model.safetensors")
        save_file(wrong, adapter / "adapter_model.safetensors")
        assert torch.equal(logits(directory), expected_TV)


def test_the_older_spelling_of_rotary_scaling_is_read(tmp_path: Path) -> None:
    """Before version 5, `transformers` wrote rope_theta and rope_scaling side by side."""
    save_checkpoint("llama-rope-llama3", tmp_path)
    expected_TV = logits(tmp_path)
    scaling = json.loads((tmp_path / "config.json").read_text())["rope_parameters"]
    theta = scaling.pop("rope_theta")
    config = tmp_path / "config.json"
    edit_json(config, rope_parameters=None, rope_scaling=scaling, rope_theta=theta)
    assert torch.equal(logits(tmp_path), expected_TV)
    edit_json(config, rope_scaling={"type": "linear", "factor": 4.0}, rope_theta=theta)
    assert not torch.equal(logits(tmp_path), expected_TV)


# --- what is refused: weights


@pytest.mark.parametrize(
    "key",
    [
        "model.embed_tokens.weight",
        "model.norm.weight",
        "lm_head.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.o_proj.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.layers.2.mlp.down_proj.weight",
    ],
)
def test_a_missing_tensor_is_named(single: Path, key: str) -> None:
    edit_tensors(single, **{key: None})
    error = refusal(single, "lacks a tensor")
    assert error.key == key
    assert key in str(error)
    assert str(single) in str(error)


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("llama-biased", "model.layers.0.self_attn.k_proj.bias"),
        ("llama-biased", "model.layers.2.mlp.down_proj.bias"),
        ("qwen2", "model.layers.1.self_attn.v_proj.bias"),
        ("qwen3", "model.layers.1.self_attn.q_norm.weight"),
    ],
)
def test_a_missing_tensor_of_one_family_is_named(family: str, key: str, tmp_path: Path) -> None:
    save_checkpoint(family, tmp_path)
    edit_tensors(tmp_path, **{key: None})
    assert refusal(tmp_path, "lacks a tensor").key == key


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("model.embed_tokens.weight", (269, 48)),
        ("model.layers.0.self_attn.k_proj.weight", (48, 24)),
        ("model.layers.2.mlp.gate_proj.weight", (40, 96)),
        ("model.norm.weight", (48, 1)),
    ],
)
def test_a_wrong_shape_is_named(single: Path, key: str, shape: tuple[int, ...]) -> None:
    edit_tensors(single, **{key: torch.zeros(shape)})
    error = refusal(single, "has shape")
    assert error.key == key
    assert error.file == single / "model.safetensors"
    assert str(list(shape)) in str(error)


@pytest.mark.parametrize("kept", [0, 4, 100, 5000, -1])
def test_a_truncated_file_is_named(single: Path, kept: int) -> None:
    file = single / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert refusal(single, "damaged or cut short").file == file


def test_a_truncated_shard_is_named(shards: Path) -> None:
    file = sorted(shards.glob("*.safetensors"))[1]
    file.write_bytes(file.read_bytes()[:-10])
    assert refusal(shards, "damaged or cut short").file == file


def test_a_file_that_is_no_safetensors_is_named(single: Path) -> None:
    file = single / "model.safetensors"
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert refusal(single, "damaged or cut short").file == file


def test_a_missing_shard_is_named(shards: Path) -> None:
    file = sorted(shards.glob("*.safetensors"))[1]
    file.unlink()
    assert refusal(shards, "is missing").file == file


def test_an_index_that_names_the_wrong_file_is_refused_by_key(shards: Path) -> None:
    placed = json.loads((shards / INDEX).read_text())["weight_map"]
    wrong = next(file for file in placed.values() if file != placed["model.norm.weight"])
    edit_json(shards / INDEX, weight_map=placed | {"model.norm.weight": wrong})
    error = refusal(shards, "cannot be read")
    assert (error.key, error.file) == ("model.norm.weight", shards / wrong)


@pytest.mark.parametrize("placed", [None, [], {"model.norm.weight": None}])
def test_an_unusable_index_is_named(shards: Path, placed: object) -> None:
    edit_json(shards / INDEX, weight_map=placed)
    assert refusal(shards, "the index").file == shards / INDEX


@pytest.mark.parametrize("elsewhere", ["../single/model.safetensors", "/etc/passwd"])
def test_an_index_cannot_lead_out_of_the_directory(shards: Path, elsewhere: str) -> None:
    placed = json.loads((shards / INDEX).read_text())["weight_map"]
    edit_json(shards / INDEX, weight_map=placed | {"model.norm.weight": elsewhere})
    error = refusal(shards, "outside the directory")
    assert (error.file, error.key) == (shards / INDEX, "model.norm.weight")


def test_integer_tensors_are_refused_by_key(single: Path) -> None:
    key = "model.layers.0.mlp.up_proj.weight"
    edit_tensors(single, **{key: torch.zeros(80, 48, dtype=torch.int8)})
    assert refusal(single, "int8").key == key


def test_pickled_weights_are_not_read(single: Path) -> None:
    (single / "model.safetensors").rename(single / "pytorch_model.bin")
    assert refusal(single, r"\.bin").file == single


def test_a_directory_without_weights_is_named(single: Path) -> None:
    (single / "model.safetensors").unlink()
    assert refusal(single, r"no model\.safetensors").file == single


@pytest.mark.parametrize(
    "key", ["model.foo", "model.pooler.dense.weight", "model.layer_norm.weight", "model.norm.bias"]
)
def test_a_tensor_that_nothing_uses_is_refused_by_key(single: Path, key: str) -> None:
    edit_tensors(single, **{key: torch.zeros(48)})
    error = refusal(single, "no place for the tensor")
    assert (error.file, error.key) == (single / "model.safetensors", key)


def test_a_spare_tensor_of_a_bare_model_is_refused(tmp_path: Path) -> None:
    save_checkpoint("llama-tied", tmp_path).model.save_pretrained(tmp_path)
    edit_tensors(tmp_path, foo=torch.zeros(3))
    assert refusal(tmp_path, "no place for the tensor").key == "foo"


@pytest.mark.parametrize(
    "key", ["model.rotary_emb.inv_freq", "model.layers.0.self_attn.k_scale", "mtp.norm.weight"]
)
def test_harmless_tensors_are_left_alone(single: Path, key: str) -> None:
    edit_tensors(single, **{key: torch.zeros(1)})
    read(single)


@pytest.mark.parametrize("bare", [False, True])
def test_a_copy_of_a_tied_head_may_be_there(tmp_path: Path, bare: bool) -> None:
    model = save_checkpoint("llama-tied", tmp_path)
    expected_TV = logits(tmp_path)
    if bare:
        model.model.save_pretrained(tmp_path)
    embedding_VE = model.get_input_embeddings().weight.detach().clone()
    edit_tensors(tmp_path, lm_head__weight=embedding_VE)
    assert torch.equal(logits(tmp_path), expected_TV)
    edit_tensors(tmp_path, lm_head__weight=embedding_VE + 1)
    assert refusal(tmp_path, "tie_word_embeddings").key == "lm_head.weight"


def test_weights_that_are_not_packed_exactly_are_told_to_be_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint("llama", tmp_path)
    with Engine.load(tmp_path, profile="exact", cache_tokens=64):
        assert "several times slower" in caplog.text
    caplog.clear()
    Engine.load(tmp_path, profile="fast", cache_tokens=64).close()
    assert "rounded" not in caplog.text


def test_an_index_of_what_was_replaced_is_passed_over(tmp_path: Path) -> None:
    save_checkpoint("llama", tmp_path, max_shard_size="60KB")
    index = (tmp_path / INDEX).read_text()
    shutil.rmtree(tmp_path)
    save_checkpoint("llama", tmp_path)
    expected_TV = logits(tmp_path)
    (tmp_path / INDEX).write_text(index)
    assert torch.equal(logits(tmp_path), expected_TV)


@pytest.mark.parametrize(
    ("key", "twin"),
    [
        ("model.embed_tokens.weight", "encoder.embed_tokens.weight"),
        ("model.norm.weight", "norm.weight"),
        ("model.layers.1.mlp.down_proj.weight", "encoder.layers.1.mlp.down_proj.weight"),
        ("lm_head.weight", "diffusion_head.weight"),
        ("lm_head.weight", "language_model.lm_head.weight"),
    ],
)
def test_two_tensors_for_one_place_are_refused_by_name(single: Path, key: str, twin: str) -> None:
    edit_tensors(single, **{twin: load_file(single / "model.safetensors")[key]})
    error = refusal(single, "two tensors for one place")
    assert error.key == twin
    assert key in error.reason


# --- what is refused: the files beside them


def test_a_missing_config_is_named(single: Path) -> None:
    (single / "config.json").unlink()
    assert refusal(single, r"config\.json is missing").file == single / "config.json"


@pytest.mark.parametrize("name", ["config.json", INDEX, "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe{}", b"null"])
def test_unusable_json_is_named(shards: Path, name: str, content: bytes) -> None:
    (shards / name).write_bytes(content)
    assert refusal(shards, name).file == shards / name


def test_a_missing_tokenizer_is_named(single: Path) -> None:
    for file in single.glob("tokenizer*"):
        file.unlink()
    assert refusal(single, "is missing").file == single / "tokenizer.json"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "BPE"}}'])
def test_a_damaged_tokenizer_is_named(single: Path, content: str) -> None:
    (single / "tokenizer.json").write_text(content)
    assert refusal(single, "tokenizer").file == single / "tokenizer.json"


def test_a_tokenizer_of_another_model_is_refused(single: Path) -> None:
    edit_json(single / "config.json", vocab_size=200)
    edit_tensors(
        single,
        model__embed_tokens__weight=torch.zeros(200, 48),
        lm_head__weight=torch.zeros(200, 48),
    )
    assert "270 tokens and the network 200" in str(refusal(single, "do not belong together"))


@pytest.mark.parametrize(
    ("changes", "match", "key"),
    [
        ({"model_type": "gpt2"}, "'gpt2' is not supported", "model_type"),
        ({"model_type": None}, "model_type '' is not supported", "model_type"),
        ({"hidden_act": "gelu"}, "'gelu' is not supported", "hidden_act"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
            "'dynamic' is not supported",
            "rope_parameters",
        ),
        (
            {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
            "'longrope' is not supported",
            "rope_parameters",
        ),
        ({"rope_parameters": {"rope_type": "linear"}}, "and is missing", "factor"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 0}}, "above 0, not 0", "factor"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 2.0}}, "miss", "low_freq_factor"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": "16"}}, "above 0", "factor"),
        ({"rope_theta": 0, "rope_parameters": None}, "above 0", "rope_theta"),
        ({"rope_parameters": [1]}, "rope_parameters", "rope_parameters"),
        ({"partial_rotary_factor": 0.5}, "partial rotary", "partial_rotary_factor"),
        ({"quantization_config": {"bits": 4}}, "quantised", "quantization_config"),
        ({"hidden_size": None}, "lacks a value", "hidden_size"),
        ({"num_hidden_layers": None}, "lacks a value", "num_hidden_layers"),
        ({"vocab_size": "many"}, "positive whole number", "vocab_size"),
        ({"num_hidden_layers": 0}, "positive whole number", "num_hidden_layers"),
        ({"num_attention_heads": 0}, "positive whole number", "num_attention_heads"),
        ({"num_attention_heads": "four"}, "positive whole number", "num_attention_heads"),
        ({"hidden_size": "wide"}, "positive whole number", "hidden_size"),
        ({"max_position_embeddings": True}, "positive whole number", "max_position_embeddings"),
        ({"num_key_value_heads": 3}, "cannot share", "num_key_value_heads"),
        ({"head_dim": 7}, "must be even", "head_dim"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps", "rms_norm_eps"),
    ],
)
def test_an_unsupported_config_is_refused_by_key(
    single: Path, changes: dict[str, Any], match: str, key: str
) -> None:
    edit_json(single / "config.json", **changes)
    error = refusal(single, match)
    assert (error.file, error.key) == (single / "config.json", key)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"sliding_window": 0}, "sliding_window"),
        ({"sliding_window": "some"}, "sliding_window"),
        ({"use_sliding_window": True, "layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention", "chunked", "full_attention"]}, "layer_types"),
    ],
)
def test_unusable_windows_are_refused_by_key(
    changes: dict[str, Any], key: str, tmp_path: Path
) -> None:
    save_checkpoint("qwen2-windows", tmp_path)
    edit_json(tmp_path / "config.json", **changes)
    assert refusal(tmp_path, key).key == key


# --- what is refused: names


def test_a_file_is_no_model(single: Path) -> None:
    file = single / "model.safetensors"
    assert refusal(file, "not a file").file == file


@pytest.mark.parametrize("name", ["no-such-model", "no/such-model", "a/b/c", "smollm2-1b", "a b"])
def test_an_unknown_name_is_refused_with_what_to_give(name: str) -> None:
    error = refusal(name, "there is no model")
    assert name in str(error)
    assert "'smollm2-135m'" in str(error)


def test_an_empty_name_is_refused() -> None:
    refusal("", "there is no model")


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, r"config\.json is missing").file == tmp_path / "config.json"
