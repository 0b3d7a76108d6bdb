"""Tiny random networks whose weights pack without loss, and forwards of them row by row."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decoding.native.storage import PAGE, PagedStorage
from decoding.native.transformer import NativeTransformer
from decoding.network.adapter import Adapter, LayerAdapter, LowRank
from decoding.network.config import NetworkConfig
from decoding.network.rope import LinearScaling, Llama3Scaling, QueryScaling, Rope, YarnScaling
from decoding.network.transformer import LayerParameters, Parameters, Transformer
from tests.decoding.batches import Part, forward_batch

LLAMA = NetworkConfig(
    model_type="llama",
    vocab_size=71,
    hidden_size=37,
    feed_forward_size=53,
    num_layers=2,
    num_heads=6,
    num_kv_heads=2,
    head_dim=16,
    norm_eps=1e-5,
    max_positions=512,
    rope=Rope(),
    windows=(None, None),
)
_YARN = YarnScaling(16.0, 16, 32.0, 1.0, truncate=True, amplitude=1.3)
CONFIGS = {
    "llama-odd": LLAMA,
    "llama-even": replace(
        LLAMA, hidden_size=192, feed_forward_size=512, num_heads=9, num_kv_heads=3, head_dim=64
    ),
    "llama-biased": replace(LLAMA, qkv_bias=True, output_bias=True, mlp_bias=True),
    "llama-linear": replace(LLAMA, rope=Rope(scaling=LinearScaling(4.0)), head_dim=48),
    "llama-llama3": replace(LLAMA, rope=Rope(scaling=Llama3Scaling(8.0, 1.0, 4.0, 32))),
    "llama-one-head": replace(LLAMA, hidden_size=64, num_heads=1, num_kv_heads=1, head_dim=128),
    "llama-sharing": replace(LLAMA, num_heads=64, num_kv_heads=1, num_layers=1, windows=(None,)),
    "mistral": replace(LLAMA, windows=(7, 7), num_heads=4, head_dim=32),
    "ministral3": replace(
        LLAMA,
        num_heads=5,
        num_kv_heads=1,
        rope=Rope(scaling=_YARN, query_scaling=QueryScaling(0.1, 16)),
    ),
    "qwen2": replace(LLAMA, qkv_bias=True, windows=(None, 21), feed_forward_size=96),
    "qwen3": replace(LLAMA, qk_norm=True, num_heads=3, num_kv_heads=3, head_dim=48),
}


def tensor(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=generator) * scale


def affine(generator: torch.Generator, out: int, width: int) -> Tensor:
    """[out, width] as from GGUF's Q4_1: d q + m in groups of 32, with q from 0 to 15."""
    q = torch.randint(0, 16, (out, width // 32, 32), generator=generator)
    q[..., 3], q[..., 17] = 0, 15
    d = (torch.rand(out, width // 32, 1, generator=generator) * 0.4 / width**0.5).half().float()
    m = (-8 * d * (0.9 + 0.2 * torch.rand(d.shape, generator=generator))).half().float()
    return (q * d + m).reshape(out, width)


def centred(generator: torch.Generator, out: int, width: int) -> Tensor:
    """[out, width] as from GGUF's Q4_0: d (q - 8), where -8 d is the furthest from 0."""
    q = torch.randint(0, 16, (out, width // 32, 32), generator=generator)
    q[..., 5] = 0
    d = (torch.randn(out, width // 32, 1, generator=generator) * 0.3 / width**0.5).half().float()
    return ((q - 8) * d).reshape(out, width)


def symmetric(weight: Tensor) -> Tensor:
    """The weight as it comes back from GGUF's Q8_0: d q, with q from -127 to 127."""
    out, width = weight.shape
    groups = torch.nn.functional.pad(weight, (0, -width % 32)).reshape(out, -1, 32)
    step = groups.abs().amax(-1, keepdim=True) / 127
    q = torch.where(step > 0, groups / step, 0.0).round()
    return (q * step.half().float()).reshape(out, -1)[:, :width].contiguous()


def random_network(config: NetworkConfig, *, rank: int | None = None, seed: int = 0) -> Transformer:
    """A float32 network on torch. Its adapter has a rank of `rank`; None for none."""
    generator = torch.Generator().manual_seed(seed)

    def weight(out: int, width: int) -> Tensor:
        if width % 32:
            return symmetric(tensor(generator, out, width, scale=2.0 / width**0.5))
        return (affine if out % 2 else centred)(generator, out, width)

    def bias(present: bool, width: int) -> Tensor | None:
        return tensor(generator, width) if present else None

    def low_rank(out: int, width: int) -> LowRank:
        assert rank is not None
        down = tensor(generator, rank, width, scale=width**-0.5)
        return LowRank(symmetric(down), symmetric(tensor(generator, out, rank, scale=rank**-0.5)))

    hidden, inner = config.hidden_size, config.feed_forward_size
    queries = config.num_heads * config.head_dim
    turned = config.num_heads + config.num_kv_heads
    qkv_width = (turned + config.num_kv_heads) * config.head_dim

    def layer() -> LayerParameters:
        return LayerParameters(
            attention_norm_E=tensor(generator, hidden),
            qkv=weight(qkv_width, hidden),
            output=weight(hidden, queries),
            mlp_norm_E=tensor(generator, hidden),
            gate_up=weight(2 * inner, hidden),
            down=weight(hidden, inner),
            qkv_bias=bias(config.qkv_bias, qkv_width),
            output_bias=bias(config.output_bias, hidden),
            gate_up_bias=bias(config.mlp_bias, 2 * inner),
            down_bias=bias(config.mlp_bias, hidden),
            qk_norm_XD=tensor(generator, turned, config.head_dim) if config.qk_norm else None,
        )

    parameters = Parameters(
        embedding_VE=tensor(generator, config.vocab_size, hidden),
        layers=tuple(layer() for _ in range(config.num_layers)),
        norm_E=tensor(generator, hidden),
        head_VE=weight(config.vocab_size, hidden),
    )
    if rank is None:
        return Transformer(config, parameters, "random")
    layers = (
        LayerAdapter(
            qkv=low_rank(qkv_width, hidden),
            output=low_rank(hidden, queries),
            gate_up=low_rank(2 * inner, hidden),
            down=low_rank(hidden, inner) if index else None,
        )
        for index in range(config.num_layers)
    )
    return Transformer(config, parameters, "random", Adapter(tuple(layers)))


def nan_cache(network: NativeTransformer, num_slots: int) -> PagedStorage:
    """A slot read before it is written shows."""
    storage = network.allocate_cache(num_slots)
    for store in (*storage.keys_PGDN, *storage.values_PGND):
        store.fill_(torch.nan)
    return storage


def by_slot(storage: PagedStorage) -> list[Tensor]:
    """All layers' keys, then values, each as [slot, head, D]."""
    keys = [store.permute(0, 3, 1, 2).flatten(0, 1) for store in storage.keys_PGDN]
    return keys + [store.permute(0, 2, 1, 3).flatten(0, 1) for store in storage.values_PGND]


def slots_of(pages: Sequence[int]) -> list[int]:
    return [page * PAGE + place for page in pages for place in range(PAGE)]


@dataclass(frozen=True)
class Alone:
    """A sequence computed one row at a time by one thread, and what that stored."""

    tokens: list[int]
    adapter: bool
    logits_RV: Tensor
    stored: list[Tensor]


def row_by_row(network: NativeTransformer, length: int, seed: int, adapter: bool) -> Alone:
    tokens = random.Random(seed).choices(range(network.vocab_size), k=length)
    storage = nan_cache(network, length)
    logits = [
        network.forward(
            forward_batch([Part([token], range(length), at, adapter=adapter)]), storage
        ).clone()
        for at, token in enumerate(tokens)
    ]
    stored = [each[:length].clone() for each in by_slot(storage)]
    return Alone(tokens, adapter, torch.cat(logits), stored)


def packable(plain: Transformer) -> Transformer:
    """The network with its weights, and its adapter's, rounded to what packs without loss."""

    def layer(given: LayerParameters) -> LayerParameters:
        return replace(
            given,
            qkv=symmetric(given.qkv),
            output=symmetric(given.output),
            gate_up=symmetric(given.gate_up),
            down=symmetric(given.down),
        )

    parameters = replace(
        plain.parameters,
        layers=tuple(layer(each) for each in plain.parameters.layers),
        head_VE=symmetric(plain.parameters.head_VE),
    )
    adapter = None if plain.adapter is None else plain.adapter.prepared(symmetric)
    return Transformer(plain.config, parameters, plain.name, adapter)
