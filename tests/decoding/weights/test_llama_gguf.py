"""Llama models in GGUF files: read to the bit as `transformers` reads them."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from decoding.errors import WeightsError
from decoding.weights.llama_gguf import read_llama

VOCAB, HIDDEN, INNER, HEADS, KV_HEADS, LAYERS = 96, 64, 128, 4, 2, 2
HEAD = HIDDEN // HEADS
SHAPES = {
    "attn_norm": (HIDDEN,),
    "attn_q": (HEADS * HEAD, HIDDEN),
    "attn_k": (KV_HEADS * HEAD, HIDDEN),
    "attn_v": (KV_HEADS * HEAD, HIDDEN),
    "attn_output": (HIDDEN, HEADS * HEAD),
    "ffn_norm": (HIDDEN,),
    "ffn_gate": (INNER, HIDDEN),
    "ffn_up": (INNER, HIDDEN),
    "ffn_down": (HIDDEN, INNER),
}
QUANTS = [
    gguf.GGMLQuantizationType.Q4_1,
    gguf.GGMLQuantizationType.Q8_0,
    gguf.GGMLQuantizationType.F16,
]


def write(
    file: Path,
    *,
    tied: bool = True,
    architecture: str = "llama",
    extra: str | None = None,
    sized: bool = True,
    scaled: bool = False,
) -> Path:
    """A small model of random weights; each projection is stored in one of three ways."""
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    if sized:
        writer.add_vocab_size(VOCAB)
    if scaled:
        writer.add_rope_scaling_factor(4.0)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(3e-6)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(12345.0)
    writer.add_bos_token_id(5)
    writer.add_eos_token_id(6)
    writer.add_unk_token_id(7)
    writer.add_pad_token_id(8)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (VOCAB, HIDDEN), "output_norm": (HIDDEN,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in SHAPES.items()}
    if not tied:
        shapes["output"] = (VOCAB, HIDDEN)
    if extra:
        shapes[extra] = (HIDDEN,)
    generator = np.random.default_rng(0)
    for index, (name, shape) in enumerate(shapes.items()):
        weights = generator.standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", weights)
        else:
            kind = QUANTS[index % len(QUANTS)]
            packed = gguf.quants.quantize(weights, kind)
            raw = None if kind is gguf.GGMLQuantizationType.F16 else kind
            writer.add_tensor(f"{name}.weight", packed, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def reference(file: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32
    )


@pytest.mark.parametrize("tied", [True, False])
def test_weights_equal_transformers(tmp_path: Path, tied: bool) -> None:
    file = write(tmp_path / "tiny.gguf", tied=tied)
    _, found = read_llama(file)
    expected = reference(file).state_dict()
    if tied:
        del expected["lm_head.weight"]
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("tied", [True, False])
def test_the_configuration_equals_transformers(tmp_path: Path, tied: bool) -> None:
    file = write(tmp_path / "tiny.gguf", tied=tied)
    config, _ = read_llama(file)
    expected = reference(file).config.to_dict()
    found = config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        expected.pop(key, None)
        found.pop(key, None)
    assert found == expected
    # What the file says differs from all defaults.
    default = LlamaConfig().to_dict()
    for key in ("hidden_size", "num_key_value_heads", "rope_parameters", "pad_token_id"):
        assert found[key] != default[key]


def test_what_is_read_does_not_hang_on_the_file(tmp_path: Path) -> None:
    """Norms are stored as they are, and would be views of the file."""
    file = write(tmp_path / "tiny.gguf")
    _, tensors = read_llama(file)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[name]), name


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "tiny.gguf", architecture="qwen2")
    with pytest.raises(WeightsError, match="'qwen2' model, not a 'llama'"):
        read_llama(file)


@pytest.mark.parametrize("name", ["rope_freqs", "blk.0.attn_q_norm", "other.0.attn_q"])
def test_an_unknown_tensor_is_refused(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "tiny.gguf", extra=name)
    with pytest.raises(WeightsError, match=name):
        read_llama(file)


def test_what_would_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not tell 'llama\.vocab_size'"):
        read_llama(write(tmp_path / "unsized.gguf", sized=False))
    with pytest.raises(WeightsError, match="scales its rotations"):
        read_llama(write(tmp_path / "scaled.gguf", scaled=True))
