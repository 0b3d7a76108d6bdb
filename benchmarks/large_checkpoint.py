"""Memory and time of a Nemotron-Labs-Diffusion checkpoint of true size, with random weights.

    python -m benchmarks.large_checkpoint [--size 3b] [--layers N] [--tokens 8] [--json]

Writes the checkpoint to a temporary folder (8 GB for 3B, removed at the end), loads it in
bfloat16 and decodes a few tokens in every mode. Random weights guess nothing right, so tokens
per forward are those of the worst case; memory and seconds per forward are real.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from benchmarks.options import positive, told_as_errors
from decoding import Auto, Autoregressive, BlockDiffusion, DecodeMode, Engine, SelfSpeculation

VOCAB, HEADS, KV_HEADS, HEAD_DIM = 131072, 32, 8, 128
RANK, ALPHA = 128, 512
NAMED = {0: "<unk>", 1: "<s>", 10: "<|im_start|>", 11: "<|im_end|>"}
NAMED |= {12: "<think>", 13: "</think>", 100: "<|mask|>"}
NUM_SPECIAL = 1000
MIB = 2**20
PROMPT_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Size:
    hidden: int
    inner: int
    layers: int
    theta: float


SIZES = {
    "3b": Size(3072, 9216, 26, 1e6),
    "8b": Size(4096, 14336, 34, 1e6),
    "14b": Size(5120, 16384, 40, 1e9),
}


def projections(size: Size) -> dict[str, tuple[int, int]]:
    """(out, in) of each projection of a layer."""
    queries, keys = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    return {
        "self_attn.q_proj": (queries, size.hidden),
        "self_attn.k_proj": (keys, size.hidden),
        "self_attn.v_proj": (keys, size.hidden),
        "self_attn.o_proj": (size.hidden, queries),
        "mlp.gate_proj": (size.inner, size.hidden),
        "mlp.up_proj": (size.inner, size.hidden),
        "mlp.down_proj": (size.hidden, size.inner),
    }


# --- writing


def write_checkpoint(path: Path, size: Size) -> int:
    """One shard at a time, so that writing needs little memory. Returns the weights' bytes."""
    placed: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(shards(size)):
        name = f"model-{number:05d}.safetensors"
        save_file(tensors, path / name, metadata={"format": "pt"})
        placed |= dict.fromkeys(tensors, name)
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        progress(f"written {total / MIB:.0f} MiB")
    write_json(path / "model.safetensors.index.json", {"weight_map": placed})
    write_json(path / "config.json", config(size))
    write_json(path / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 11})
    write_adapter(path / "linear_spec_lora", size)
    tokenizer().save_pretrained(path)
    return total


def shards(size: Size) -> Iterator[dict[str, Tensor]]:
    yield {"encoder.embed_tokens.weight": random_weight(VOCAB, size.hidden)}
    for layer in range(size.layers):
        prefix = f"encoder.layers.{layer}."
        tensors = {
            f"{prefix}{name}.weight": random_weight(*shape)
            for name, shape in projections(size).items()
        }
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(size.hidden, dtype=torch.bfloat16)
        yield tensors
    last_norm = torch.ones(size.hidden, dtype=torch.bfloat16)
    yield {
        "encoder.norm.weight": last_norm,
        "diffusion_head.weight": random_weight(VOCAB, size.hidden),
    }


def random_weight(rows: int, columns: int) -> Tensor:
    weight = torch.empty(rows, columns, dtype=torch.bfloat16)
    for part in torch.split(weight, 8192):
        part.copy_(torch.randn(part.shape) * 0.02)
    return weight


def write_adapter(path: Path, size: Size) -> None:
    path.mkdir()
    tensors = {}
    for layer in range(size.layers):
        key = f"base_model.model.encoder.layers.{layer}.self_attn.o_proj"
        tensors[f"{key}.lora_A.weight"] = torch.randn(RANK, HEADS * HEAD_DIM) * 0.02
        tensors[f"{key}.lora_B.weight"] = torch.randn(size.hidden, RANK) * 0.02
    save_file(tensors, path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    write_json(path / "adapter_config.json", settings | {"target_modules": ["o_proj"]})


def config(size: Size) -> dict[str, Any]:
    return {
        "model_type": "nemotron_labs_diffusion",
        "architectures": ["NemotronLabsDiffusionModel"],
        "vocab_size": VOCAB,
        "hidden_size": size.hidden,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "mask_token_id": 100,
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


def tokenizer() -> PreTrainedTokenizerFast:
    """As many tokens as the real one: special ones, the bytes, and made-up words."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [NAMED.get(index, f"<SPECIAL_{index}>") for index in range(NUM_SPECIAL)]
    words = [f"w{index:06x}" for index in range(VOCAB - NUM_SPECIAL - len(letters))]
    vocab = {token: index for index, token in enumerate([*special, *letters, *words])}
    backend = Backend(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    hf: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, eos_token="<|im_end|>"
    )
    return hf


def write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


# --- measuring


def peak_mib() -> float:
    """Most memory this process ever held, pages of files it reads included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path, modes: list[DecodeMode], count: int) -> dict[str, Any]:
    started = time.perf_counter()
    engine = Engine.load(path, profile="fast", cache_tokens=1024)
    report: dict[str, Any] = {"load_seconds": time.perf_counter() - started}
    report |= {"peak_mib_after_load": peak_mib(), "modes": {}}
    progress(f"loaded in {report['load_seconds']:.1f} s, peak {peak_mib():.0f} MiB")
    for number, mode in enumerate(modes):
        # Another prompt each time, so that no mode finds the work of another in the cache.
        first = NUM_SPECIAL + number * PROMPT_TOKENS
        prompt = list(range(first, first + PROMPT_TOKENS))
        started = time.perf_counter()
        out = engine.generate(prompt, mode=mode, max_new_tokens=count)
        seconds = time.perf_counter() - started
        report["modes"][mode.name] = {
            "forwards": out.stats.forwards,
            "tokens": out.stats.new_tokens,
            "seconds_per_forward": seconds / max(1, out.stats.forwards),
            "peak_mib": peak_mib(),
        }
        progress(f"{mode.name}: {out.stats.new_tokens} tokens in {seconds:.1f} s")
    return report


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIZES), default="3b", help="of the true models")
    parser.add_argument(
        "--layers", type=positive, help="fewer layers than the real ones, to try it out"
    )
    parser.add_argument("--tokens", type=positive, default=8, help="new tokens per mode")
    parser.add_argument("--block-length", type=positive, default=8, help="of drafts")
    parser.add_argument("--threads", type=positive, default=2, help="of torch")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    full = SIZES[args.size]
    size = Size(full.hidden, full.inner, args.layers or full.layers, full.theta)
    with told_as_errors(parser):
        report = run(size, args.block_length, args.tokens)
    show(args, size, report)


def run(size: Size, block_length: int, count: int) -> dict[str, Any]:
    """Writes, loads and decodes; leaves nothing behind."""
    modes: list[DecodeMode] = [
        Autoregressive(),
        BlockDiffusion(block_length=block_length),
        SelfSpeculation(block_length=block_length),
        Auto(),
    ]
    folder = Path(tempfile.mkdtemp(prefix="large-checkpoint-"))
    try:
        weights = write_checkpoint(folder, size)
        report = measure(folder, modes, count)
    finally:
        shutil.rmtree(folder)
    return {"weights_mib": weights / MIB} | report


def show(args: argparse.Namespace, size: Size, report: dict[str, Any]) -> None:
    if args.json:
        about = {"size": args.size, "layers": size.layers, "threads": args.threads}
        print(json.dumps(about | report, indent=2))
        return
    print(f"{args.size}, {size.layers} layers, bfloat16, {args.threads} threads")
    print(f"weights {report['weights_mib']:.0f} MiB, loaded in {report['load_seconds']:.1f} s")
    print(f"peak resident {report['peak_mib_after_load']:.0f} MiB after loading")
    print(f"{'':18} forwards  tokens  s/forward  peak MiB")
    for name, row in report["modes"].items():
        print(
            f"{name:18} {row['forwards']:8}  {row['tokens']:6}  "
            f"{row['seconds_per_forward']:9.2f}  {row['peak_mib']:8.0f}"
        )


if __name__ == "__main__":
    main()
