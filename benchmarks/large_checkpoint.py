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
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.nemotron_shapes import NUM_SPECIAL, SIZES, Size, config, projections, tokenizer
from benchmarks.options import positive, told_as_errors
from decoding import Auto, Autoregressive, BlockDiffusion, DecodeMode, Engine, SelfSpeculation

MIB = 2**20
PROMPT_TOKENS = 32


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
    tokenizer(size.vocab).save_pretrained(path)
    return total


def shards(size: Size) -> Iterator[dict[str, Tensor]]:
    yield {"encoder.embed_tokens.weight": random_weight(size.vocab, size.hidden)}
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
        "diffusion_head.weight": random_weight(size.vocab, size.hidden),
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
        tensors[f"{key}.lora_A.weight"] = torch.randn(size.rank, size.heads * size.head_dim) * 0.02
        tensors[f"{key}.lora_B.weight"] = torch.randn(size.hidden, size.rank) * 0.02
    save_file(tensors, path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": size.rank, "lora_alpha": 4 * size.rank, "bias": "none"}
    write_json(path / "adapter_config.json", settings | {"target_modules": ["o_proj"]})


def write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


# --- measuring


def peak_mib() -> float:
    """Most memory this process ever held, pages of files it reads included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path, modes: list[DecodeMode], count: int) -> dict[str, Any]:
    started = time.perf_counter()
    # Costs of forwards are kept for the next load; of this folder there is none.
    engine = Engine.load(path, profile="fast", cache_tokens=1024, cache_dir=path / "cache")
    report: dict[str, Any] = {"load_seconds": time.perf_counter() - started}
    report |= {"peak_mib_after_load": peak_mib(), "modes": {}}
    progress(f"loaded in {report['load_seconds']:.1f} s, peak {peak_mib():.0f} MiB")
    for number, mode in enumerate(modes):
        # Another prompt each time, so that no mode finds the work of another in the cache.
        first = NUM_SPECIAL + number * PROMPT_TOKENS
        prompt = list(range(first, first + PROMPT_TOKENS))
        if isinstance(mode, Auto):
            engine.calibrate()  # else its first request would, and take the time for its own
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
    size = replace(full, layers=args.layers or full.layers)
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
