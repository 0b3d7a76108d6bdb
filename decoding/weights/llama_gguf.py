"""Llama models in GGUF files: their configuration and their weights, in one reading.

`transformers` reads such a file to the same end, but goes through its vocabulary, which takes
seconds, once for the configuration and once more for the weights.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig

from decoding.errors import WeightsError

_CONFIG = {
    "llama.vocab_size": "vocab_size",
    "llama.block_count": "num_hidden_layers",
    "llama.context_length": "max_position_embeddings",
    "llama.embedding_length": "hidden_size",
    "llama.feed_forward_length": "intermediate_size",
    "llama.attention.head_count": "num_attention_heads",
    "llama.attention.head_count_kv": "num_key_value_heads",
    "llama.attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "llama.rope.dimension_count": "head_dim",
    "llama.rope.freq_base": "rope_theta",
    "tokenizer.ggml.bos_token_id": "bos_token_id",
    "tokenizer.ggml.eos_token_id": "eos_token_id",
    "tokenizer.ggml.unknown_token_id": "unk_token_id",
    "tokenizer.ggml.padding_token_id": "pad_token_id",
}
_NEEDED = (
    "llama.vocab_size",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.layer_norm_rms_epsilon",
)
_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


def read_llama(file: Path) -> tuple[LlamaConfig, dict[str, Tensor]]:
    """The configuration and the dequantised weights, named as Hugging Face names them.

    Raises `WeightsError` for another kind of model, or a file that leaves out its sizes.
    """
    reader = gguf.GGUFReader(file)
    _check(reader, file)
    config = _read_config(reader)
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": config.num_key_value_heads or config.num_attention_heads,
    }
    tensors = {}
    for tensor in reader.tensors:
        name = _hugging_face_name(tensor.name, file)
        weights = gguf.dequantize(tensor.data, tensor.tensor_type)
        projection = name.split(".")[-2]
        if projection in heads:
            weights = _halves_apart(weights, heads[projection])
        # Unquantised tensors are read-only views of the file.
        owned = np.require(weights, np.float32, ["C", "W"])
        tensors[name] = torch.from_numpy(owned)
    return config, tensors


def _check(reader: Any, file: Path) -> None:
    fields = reader.fields
    named = fields.get("general.architecture")
    architecture = None if named is None else named.contents()
    if architecture != "llama":
        raise WeightsError(f"the file holds a {architecture!r} model, not a 'llama' one", file)
    for key in _NEEDED:
        if key not in fields:
            raise WeightsError(f"the file does not tell {key!r}", file)
    if any(key.startswith("llama.rope.scaling.") for key in fields):
        raise WeightsError("the file's model scales its rotations, which is not read here", file)


def _read_config(reader: Any) -> LlamaConfig:
    fields = reader.fields
    values = {name: fields[key].contents() for key, name in _CONFIG.items() if key in fields}
    tied = all(tensor.name != "output.weight" for tensor in reader.tensors)
    return LlamaConfig(**values, tie_word_embeddings=tied, dtype=torch.float32)


def _hugging_face_name(name: str, file: Path) -> str:
    if name in _OUTER:
        return _OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    if name.startswith("blk.") and rest in _LAYER:
        return f"model.layers.{block}.{_LAYER[rest]}"
    raise WeightsError(f"the file holds a tensor {name!r}, which llama models do not have", file)


def _halves_apart(weights: Any, heads: int) -> Any:
    """The rows of each head in the order of Hugging Face: all that the rotation takes as its
    first parts, then all second parts. GGUF has each first part beside its second."""
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)
