"""Tiny random checkpoints of every supported family, and what `transformers` makes of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Ministral3Config,
    Ministral3ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.decoding.tiny import byte_tokenizer_hf

_SIZES = {
    "vocab_size": 270,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "eos_token_id": 268,
    "bos_token_id": None,
    "pad_token_id": None,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 16.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def _llama(**options: object) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**(_SIZES | options)))


def _ministral3(mscale: float = 1.0) -> PreTrainedModel:
    scales = {"mscale": mscale, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
    return Ministral3ForCausalLM(
        Ministral3Config(**_SIZES, head_dim=32, rope_parameters=_YARN | scales)
    )


def _mistral(**options: object) -> PreTrainedModel:
    return MistralForCausalLM(MistralConfig(**(_SIZES | {"sliding_window": 7} | options)))


def _qwen2(use_sliding_window: bool = False) -> PreTrainedModel:
    windows = {"use_sliding_window": use_sliding_window, "sliding_window": 9}
    return Qwen2ForCausalLM(Qwen2Config(**_SIZES, **windows, max_window_layers=1))


def _qwen3(**options: object) -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**(_SIZES | {"head_dim": 32} | options)))


FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: _llama(),
    "llama-tied": lambda: _llama(tie_word_embeddings=True, num_key_value_heads=1),
    "llama-unshared": lambda: _llama(num_key_value_heads=4, rms_norm_eps=1e-2),
    "llama-biased": lambda: _llama(attention_bias=True, mlp_bias=True),
    "llama-rope-llama3": lambda: _llama(rope_parameters=_LLAMA3),
    "llama-rope-linear": lambda: _llama(
        rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
    ),
    "llama-rope-yarn": lambda: _llama(rope_parameters=_YARN),
    "llama-rope-yarn-untruncated": lambda: _llama(
        rope_parameters=_YARN | {"truncate": False, "attention_factor": 0.7}
    ),
    "mistral": lambda: _mistral(),
    "mistral-no-window": lambda: _mistral(sliding_window=None, head_dim=16),
    "ministral3": lambda: _ministral3(),
    "ministral3-mscale": lambda: _ministral3(mscale=0.5),
    "qwen2": lambda: _qwen2(),
    "qwen2-windows": lambda: _qwen2(use_sliding_window=True),
    "qwen3": lambda: _qwen3(),
    "qwen3-biased-tied": lambda: _qwen3(attention_bias=True, tie_word_embeddings=True),
}


def save_checkpoint(
    name: str, directory: Path, *, seed: int = 0, max_shard_size: str = "1GB"
) -> PreTrainedModel:
    """Saves a random model of the family with the byte tokenizer, and returns the model.

    Norms and biases are random too: at their initial ones and zeros they would hide mistakes.
    """
    torch.manual_seed(seed)
    model = FAMILIES[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.mul_(4.0)
    model.save_pretrained(directory, max_shard_size=max_shard_size)
    byte_tokenizer_hf().save_pretrained(directory)
    return model


def reference_logits(model: PreTrainedModel, tokens: Sequence[int]) -> Tensor:
    """Float32 logits [T, V] of every row in one causal forward of `transformers`."""
    with torch.inference_mode():
        logits: Tensor = model(torch.tensor([list(tokens)])).logits[0].float()
    return logits
