"""The shapes of Nemotron-Labs-Diffusion, for measurements with random weights."""

from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

MASK = 100
NAMED = {0: "<unk>", 1: "<s>", 10: "<|im_start|>", 11: "<|im_end|>"}
NAMED |= {12: "<think>", 13: "</think>", MASK: "<|mask|>"}
NUM_SPECIAL = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """One model of the family. `rank` is that of its draft adapter, whose scale is 4."""

    hidden: int
    inner: int
    layers: int
    theta: float
    vocab: int = 131072
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    rank: int = 128


SIZES = {
    "3b": Size(3072, 9216, 26, 1e6),
    "8b": Size(4096, 14336, 34, 1e6),
    "14b": Size(5120, 16384, 40, 1e9),
}
TOY = Size(48, 80, 2, 1e6, vocab=1300, heads=4, kv_heads=2, head_dim=16, rank=4)


def projections(size: Size) -> dict[str, tuple[int, int]]:
    """(out, in) of each projection of a layer."""
    queries, keys = size.heads * size.head_dim, size.kv_heads * size.head_dim
    return {
        "self_attn.q_proj": (queries, size.hidden),
        "self_attn.k_proj": (keys, size.hidden),
        "self_attn.v_proj": (keys, size.hidden),
        "self_attn.o_proj": (size.hidden, queries),
        "mlp.gate_proj": (size.inner, size.hidden),
        "mlp.up_proj": (size.inner, size.hidden),
        "mlp.down_proj": (size.hidden, size.inner),
    }


def config(size: Size) -> dict[str, Any]:
    return {
        "model_type": "nemotron_labs_diffusion",
        "architectures": ["NemotronLabsDiffusionModel"],
        "vocab_size": size.vocab,
        "hidden_size": size.hidden,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "mask_token_id": MASK,
        "bos_token_id": 1,
        "eos_token_id": 11,
        "block_size": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "max_position_embeddings": 262144,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": size.theta,
            "factor": 16.0,
            "original_max_position_embeddings": 16384,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1,
        },
        "torch_dtype": "bfloat16",
    }


def tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Special tokens, the bytes, and as many made-up words as are missing."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [NAMED.get(index, f"<SPECIAL_{index}>") for index in range(NUM_SPECIAL)]
    words = [f"w{index:06x}" for index in range(vocab_size - NUM_SPECIAL - len(letters))]
    vocab = {token: index for index, token in enumerate([*special, *letters, *words])}
    backend = Backend(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    hf: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, eos_token="<|im_end|>"
    )
    return hf
