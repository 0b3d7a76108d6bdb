"""Networks of a given size with random weights, made where they are used, and their forwards."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.nemotron_shapes import MASK, Size, config
from decoding.cache.storage import KVStorage
from decoding.network.adapter import Adapter, LayerAdapter, LowRank
from decoding.network.base import Network
from decoding.network.config import NetworkConfig
from decoding.network.transformer import LayerParameters, Parameters, Transformer
from decoding.sampling import Choice, Sampling, pick_tokens
from decoding.span import Attention, ForwardBatch, Segment

RANKS = 16  # candidates per place that a draft asks for
GREEDY = Sampling()


def random_transformer(size: Size, dtype: torch.dtype, device: torch.device) -> Transformer:
    """No tensor of it is ever in host memory, unless the device is the host."""
    settings = NetworkConfig.from_hf(config(size))
    make = torch.Generator(device).manual_seed(0)

    def weight(*shape: int) -> Tensor:
        tensor = torch.empty(shape, dtype=dtype, device=device)
        return tensor.normal_(0.0, shape[-1] ** -0.5, generator=make)

    def scale() -> Tensor:
        return torch.ones(size.hidden, dtype=dtype, device=device)

    queries, keys = size.heads * size.head_dim, size.kv_heads * size.head_dim
    layers = tuple(
        LayerParameters(
            attention_norm_E=scale(),
            qkv=weight(queries + 2 * keys, size.hidden),
            output=weight(size.hidden, queries),
            mlp_norm_E=scale(),
            gate_up=weight(2 * size.inner, size.hidden),
            down=weight(size.hidden, size.inner),
        )
        for _ in range(size.layers)
    )
    adapter = Adapter(
        tuple(
            LayerAdapter(output=LowRank(weight(size.rank, queries), weight(size.hidden, size.rank)))
            for _ in range(size.layers)
        )
    )
    parameters = Parameters(
        embedding_VE=weight(size.vocab, size.hidden),
        layers=layers,
        norm_E=scale(),
        head_VE=weight(size.vocab, size.hidden),
    )
    return Transformer(settings, parameters, "random", adapter)


def weight_bytes(size: Size, dtype: torch.dtype) -> int:
    """What a forward of few rows reads of the weights: all but the embedding and the adapter."""
    queries, keys = size.heads * size.head_dim, size.kv_heads * size.head_dim
    layer = size.hidden * (2 * queries + 2 * keys + 3 * size.inner + 2)
    return (size.layers * layer + size.vocab * size.hidden + size.hidden) * dtype.itemsize


@dataclass(frozen=True, slots=True)
class Share:
    """One sequence's part of a forward: `rows` behind `start` cached tokens."""

    rows: int
    start: int
    block: bool = False
    adapter: bool = False


AR = "ar"
DRAFT = "draft"
VERIFY = "verify"
KINDS = (AR, DRAFT, VERIFY)


def share(kind: str, block: int, context: int) -> Share:
    """A forward that ends at `context` tokens: one row, a draft or a verification."""
    if kind == AR:
        return Share(1, context - 1)
    is_draft = kind == DRAFT
    return Share(block, context - block, block=is_draft, adapter=is_draft)


def forward_of(shares: list[Share], stride: int, vocab_size: int, seed: int = 0) -> ForwardBatch:
    """Random tokens; masks behind the first row of a block. Sequence b owns the slots from
    b * stride; all rows are read, of a block those behind the first."""
    make = torch.Generator().manual_seed(seed)
    tokens: list[int] = []
    segments: list[Segment] = []
    slots: list[int] = []
    positions: list[int] = []
    rows: list[int] = []
    for at, each in enumerate(shares):
        first, end = len(positions), each.start + each.rows
        drawn = torch.randint(vocab_size, (each.rows,), generator=make)
        if each.block:
            drawn[1:] = MASK
        tokens += drawn.tolist()
        positions += range(each.start, end)
        slots += range(at * stride + each.start, at * stride + end)
        rows += range(first + (each.block and each.rows > 1), first + each.rows)
        attention = Attention.BLOCK if each.block else Attention.CAUSAL
        owned = slice(at * stride, at * stride + end)
        segments.append(Segment(first, each.rows, each.start, owned, attention, each.adapter))
    return ForwardBatch.of(tokens, positions, slots, rows, segments)


def filled_cache(network: Network, num_slots: int) -> KVStorage:
    """As if every slot had been encoded."""
    storage = network.allocate_cache(num_slots)
    assert isinstance(storage, KVStorage)
    for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
        store_SGD[:num_slots].normal_()
    return storage


def run_step(network: Network, batch: ForwardBatch, storage: KVStorage) -> tuple[int, ...]:
    """A forward and its picks, as an engine makes them: one copy back to the host."""
    logits_RV = network.forward(batch, storage)
    choices = [
        Choice(GREEDY, 0, 0, None, RANKS if segment.attention is Attention.BLOCK else 0)
        for segment in batch.segments
        for _ in range(_num_read(segment))
    ]
    return pick_tokens(logits_RV, choices, never=network.mask_token_id).tokens


def _num_read(segment: Segment) -> int:
    is_block = segment.attention is Attention.BLOCK and segment.num_rows > 1
    return segment.num_rows - is_block
