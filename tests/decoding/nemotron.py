"""Tiny random checkpoints in the layout of Nemotron-Labs-Diffusion, and their oracle.

The widths are those of the real family in small: the queries are wider than the hidden
state, and queries grow from position 16 on, so that a short test sees both.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from torch import Tensor
from transformers import Ministral3Config, Ministral3ForCausalLM, PreTrainedTokenizerFast

from decoding.detokenizer import BYTE_OF_LETTER

VOCAB, HIDDEN, INNER, LAYERS = 512, 96, 160, 3
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 32
ORIGINAL_POSITIONS = 16
BOS, TURN_START, EOS, THINK, THINK_END, MASK = 1, 10, 11, 12, 13, 100
FIRST_BYTE = 128  # the bytes 0..255 are the ids from here on
RANK, ALPHA = 8, 32
ADAPTER = "linear_spec_lora"

PROJECTIONS = {  # name -> (out, in)
    "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
ALL_TARGETS = tuple(name.split(".")[1] for name in PROJECTIONS)
ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 16.0,
    "original_max_position_embeddings": ORIGINAL_POSITIONS,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
_NAMED = {0: "<unk>", BOS: "<s>", 2: "</s>", TURN_START: "<|im_start|>", EOS: "<|im_end|>"}
_NAMED |= {THINK: "<think>", THINK_END: "</think>", MASK: "<|mask|>"}


def write_nemotron(
    path: Path,
    *,
    seed: int = 0,
    adapter: bool = True,
    sharded: bool = False,
    old_names: bool = False,
    quiet_head_rows: int | None = 3,
    targets: Sequence[str] = ("o_proj",),
    mask_embedding: bool = False,
    tied: bool = False,
    chat_template: str | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Writes a checkpoint directory and returns it. The same arguments give the same files.

    `quiet_head_rows` zeroes all but that many rows of the output head (those of the letters
    "a", "b", ...), so that drafts of random weights are sometimes right; None keeps all rows.
    `old_names` writes the older spellings of config.json and of the tensors. `config` sets
    further keys of config.json; None as a value removes the key.
    """
    path.mkdir(parents=True, exist_ok=True)
    tensors = _tensors(seed, quiet_head_rows, tied)
    removed = {key for key, value in (config or {}).items() if value is None}
    settings = _settings(old_names, tied) | (config or {})
    _write_json(path / "config.json", {k: v for k, v in settings.items() if k not in removed})
    _write_json(path / "generation_config.json", {"bos_token_id": BOS, "eos_token_id": EOS})
    _save(path, {_old(key) if old_names else key: each for key, each in tensors.items()}, sharded)
    tokenizer_hf(chat_template).save_pretrained(path)
    if adapter:
        write_adapter(path / ADAPTER, seed=seed, targets=targets, mask_embedding=mask_embedding)
    return path


def write_adapter(
    path: Path,
    *,
    seed: int = 0,
    targets: Sequence[str] = ("o_proj",),
    layers: Sequence[int] = range(LAYERS),
    mask_embedding: bool = False,
    config: dict[str, Any] | None = None,
    edits: dict[str, Tensor | None] | None = None,
) -> Path:
    """Writes an adapter folder and returns it; `edits` sets or (None) removes tensors."""
    path.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed + 1)
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        for name, (rows, columns) in PROJECTIONS.items():
            if name.split(".")[1] in targets:
                key = lora_key(layer, name)
                tensors[f"{key}.lora_A.weight"] = _random(generator, RANK, columns)
                tensors[f"{key}.lora_B.weight"] = _random(generator, rows, RANK, scale=0.3)
    if mask_embedding:
        tensors["mask_embedding"] = torch.randn(HIDDEN, generator=generator)
    changed: dict[str, Tensor | None] = {**tensors, **(edits or {})}
    kept = {key: tensor for key, tensor in changed.items() if tensor is not None}
    save_file(kept, path / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "target_modules": list(targets),
    }
    _write_json(path / "adapter_config.json", settings | (config or {}))
    return path


def lora_key(layer: int, projection: str) -> str:
    return f"base_model.model.encoder.layers.{layer}.{projection}"


def reference(path: Path, *, adapter: Path | None = None) -> Ministral3ForCausalLM:
    """The checkpoint in the native `transformers` network, in float32.

    Tensors are renamed; a given adapter folder of plain rank and alpha is added to the
    weights: W + alpha / r * B @ A.
    """
    tensors: dict[str, Tensor] = {}
    for file in sorted(path.glob("*.safetensors")):
        tensors |= load_file(file)
    renamed = {_old(key): tensor.float() for key, tensor in tensors.items()}
    settings = json.loads((path / "config.json").read_text())
    rope = settings.get("rope_parameters") or {
        **settings["rope_scaling"],
        "rope_theta": settings["rope_theta"],
    }
    model = Ministral3ForCausalLM(
        Ministral3Config(**_sizes(), rope_parameters=rope, tie_word_embeddings=False)
    )
    renamed.setdefault("lm_head.weight", renamed["model.embed_tokens.weight"])
    if adapter is not None:
        _merge(renamed, adapter)
    model.load_state_dict(renamed, strict=True)
    return model.eval()


def tokenizer_hf(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """512 tokens: 128 special ones, the bytes, and merges of two letters."""
    special = {i: _NAMED.get(i, f"<SPECIAL_{i}>") for i in range(FIRST_BYTE)}
    vocab = {token: i for i, token in special.items()}
    vocab |= {letter: FIRST_BYTE + byte for letter, byte in BYTE_OF_LETTER.items()}
    pairs = ['{"', '":', '",', ',"', '"}', "Ġt", "Ġa", "Ġs"]
    pairs += [a + b for a in "bcdfghklmnprstw" for b in "aeiourlt"]
    merges = pairs[: VOCAB - FIRST_BYTE - 256]
    vocab |= {pair: FIRST_BYTE + 256 + i for i, pair in enumerate(merges)}
    backend = Backend(models.BPE(vocab=vocab, merges=[(pair[0], pair[1]) for pair in merges]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(each, special=True) for each in special.values()])
    hf = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="<|im_end|>", unk_token="<unk>"
    )
    hf.chat_template = chat_template
    return hf


def _tensors(seed: int, quiet_head_rows: int | None, tied: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {"encoder.embed_tokens.weight": torch.randn(VOCAB, HIDDEN, generator=generator)}
    for layer in range(LAYERS):
        prefix = f"encoder.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = _norm(generator)
        for name, (rows, columns) in PROJECTIONS.items():
            tensors[f"{prefix}{name}.weight"] = _random(generator, rows, columns, scale=1.5)
    tensors["encoder.norm.weight"] = _norm(generator)
    head = _random(generator, VOCAB, HIDDEN, scale=2.0)
    if quiet_head_rows is not None:
        first = FIRST_BYTE + ord("a")
        loud = head[first : first + quiet_head_rows].clone()
        head.zero_()[first : first + quiet_head_rows] = loud
    if not tied:
        tensors["diffusion_head.weight"] = head
    return {key: tensor.to(torch.bfloat16) for key, tensor in tensors.items()}


def _random(generator: torch.Generator, rows: int, columns: int, scale: float = 1.0) -> Tensor:
    return torch.randn(rows, columns, generator=generator) * scale * columns**-0.5


def _norm(generator: torch.Generator) -> Tensor:
    return 1.0 + 0.2 * torch.randn(HIDDEN, generator=generator)


def _sizes() -> dict[str, Any]:
    return {
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
    }


def _settings(old_names: bool, tied: bool) -> dict[str, Any]:
    settings = _sizes() | {
        "model_type": "nemotron_labs_diffusion",
        "architectures": ["NemotronLabsDiffusionModel"],
        "auto_map": {"AutoModel": "modeling_nemotron_labs_diffusion.NemotronLabsDiffusionModel"},
        "mask_token_id": MASK,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "block_size": 8,
        "dlm_paradigm": "bidirectional",
        "ar_loss_weight": 1.0,
        "dlm_loss_weight": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attn_implementation": "sdpa",
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "rope_parameters": dict(ROPE),
        "use_cache": False,
        "torch_dtype": "bfloat16",
    }
    if old_names:
        scaling = dict(settings.pop("rope_parameters"))
        settings["rope_theta"] = scaling.pop("rope_theta")
        settings["rope_scaling"] = scaling
        settings["model_type"] = "ministral"
        settings["architectures"] = ["MinistralDiffEncoderModel"]
    return settings


def _old(key: str) -> str:
    if key.startswith("diffusion_head."):
        return key.replace("diffusion_head.", "lm_head.", 1)
    return key.replace("encoder.", "model.", 1) if key.startswith("encoder.") else key


def _save(path: Path, tensors: dict[str, Tensor], sharded: bool) -> None:
    if not sharded:
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        return
    keys = sorted(tensors)
    half = len(keys) // 2
    files = {"model-00001-of-00002.safetensors": keys[:half]}
    files["model-00002-of-00002.safetensors"] = keys[half:]
    for file, own in files.items():
        save_file({key: tensors[key] for key in own}, path / file, metadata={"format": "pt"})
    index = {key: file for file, own in files.items() for key in own}
    _write_json(path / "model.safetensors.index.json", {"weight_map": index})


def _merge(tensors: dict[str, Tensor], adapter: Path) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    scale = settings["lora_alpha"] / settings["r"]
    lora = load_file(adapter / "adapter_model.safetensors")
    for key, half_a in lora.items():
        if key.endswith(".lora_A.weight"):
            half_b = lora[key.replace("lora_A", "lora_B")]
            name = key.removeprefix("base_model.model.").replace(".lora_A", "")
            tensors[_old(name)] += scale * half_b @ half_a


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")
