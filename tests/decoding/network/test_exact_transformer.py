"""The exact profile on whole networks: logits, keys and values equal to the bit, however grouped.

Every forward is held against the same sequences computed one row at a time.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoding.cache.storage import KVStorage
from decoding.network.config import NetworkConfig
from decoding.network.exact import ExactLinear, pack, silu
from decoding.network.exact_attention import ExactAttention
from decoding.network.numerics import Numerics, exact_numerics, plain_numerics
from decoding.network.rope import QueryScaling, Rope, YarnScaling
from decoding.network.transformer import LayerParameters, Parameters, Transformer
from decoding.span import Attention
from tests.decoding.batches import Part, forward_batch

CPU = torch.device("cpu")
LENGTH = 40
NUM_SEQUENCES = 3
SMALL_CHUNK = 16

ODD = NetworkConfig(
    model_type="llama",
    vocab_size=71,
    hidden_size=37,
    feed_forward_size=53,
    num_layers=2,
    num_heads=6,
    num_kv_heads=2,
    head_dim=10,
    norm_eps=1e-5,
    max_positions=512,
    rope=Rope(),
    windows=(None, None),
)
CONFIGS = {
    "odd": ODD,
    "windows": replace(ODD, windows=(7, 21), num_heads=4),
    "biased": replace(ODD, qkv_bias=True, output_bias=True, mlp_bias=True, windows=(None, 5)),
    "norms": replace(ODD, qk_norm=True, num_heads=3, num_kv_heads=3, head_dim=6),
    "scaled": replace(
        ODD,
        num_heads=5,
        num_kv_heads=1,
        rope=Rope(
            scaling=YarnScaling(16.0, 16, 32.0, 1.0, truncate=True, amplitude=1.3),
            query_scaling=QueryScaling(0.1, 16),
        ),
    ),
    "even": replace(
        ODD, hidden_size=192, feed_forward_size=512, num_heads=9, num_kv_heads=3, head_dim=64
    ),
}


def random_network(config: NetworkConfig, numerics: Numerics) -> Transformer:
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    def weight(out: int, width: int) -> Tensor:
        return numerics.prepare(tensor(out, width, scale=2.0 / width**0.5))

    def bias(present: bool, width: int) -> Tensor | None:
        return tensor(width) if present else None

    def layer() -> LayerParameters:
        hidden, inner, head_dim = config.hidden_size, config.feed_forward_size, config.head_dim
        num_turned = config.num_heads + config.num_kv_heads
        qkv_width = (num_turned + config.num_kv_heads) * head_dim
        return LayerParameters(
            attention_norm_E=tensor(hidden),
            qkv=weight(qkv_width, hidden),
            output=weight(hidden, config.num_heads * head_dim),
            mlp_norm_E=tensor(hidden),
            gate_up=weight(2 * inner, hidden),
            down=weight(hidden, inner),
            qkv_bias=bias(config.qkv_bias, qkv_width),
            output_bias=bias(config.output_bias, hidden),
            gate_up_bias=bias(config.mlp_bias, 2 * inner),
            down_bias=bias(config.mlp_bias, hidden),
            qk_norm_XD=tensor(num_turned, head_dim) if config.qk_norm else None,
        )

    parameters = Parameters(
        embedding_VE=tensor(config.vocab_size, config.hidden_size),
        layers=tuple(layer() for _ in range(config.num_layers)),
        norm_E=tensor(config.hidden_size),
        head_VE=weight(config.vocab_size, config.hidden_size),
    )
    return Transformer(config, parameters, "random", numerics=numerics)


def nan_cache(network: Transformer, num_slots: int) -> KVStorage:
    """A slot read before it is written shows."""
    storage = network.allocate_cache(num_slots)
    for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
        store_SGD.fill_(torch.nan)
    return storage


@dataclass(frozen=True)
class Sequence1:
    """A sequence computed one row at a time; `stored` are all layers' keys, then values."""

    tokens: list[int]
    logits_RV: Tensor
    stored: list[Tensor]


def row_by_row(network: Transformer, tokens: list[int]) -> Sequence1:
    storage = nan_cache(network, len(tokens))
    logits = [
        network.forward(forward_batch([Part([token], range(len(tokens)), at)]), storage)
        for at, token in enumerate(tokens)
    ]
    return Sequence1(tokens, torch.cat(logits), [*storage.keys_SGD, *storage.values_SGD])


class Subject:
    """A network, and a few sequences computed by it one row at a time."""

    def __init__(self, config: NetworkConfig) -> None:
        numerics = Numerics(pack, ExactLinear(), ExactAttention(SMALL_CHUNK), silu)
        self.network = random_network(config, numerics)
        self.sequences = [
            row_by_row(
                self.network, random.Random(seed).choices(range(config.vocab_size), k=LENGTH)
            )
            for seed in range(NUM_SEQUENCES)
        ]


@pytest.fixture(scope="module", params=list(CONFIGS))
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(CONFIGS[request.param])


def assert_stored(storage: KVStorage, slots: Sequence[int], done: int, alone: Sequence1) -> None:
    for store_SGD, alone_SGD in zip(
        (*storage.keys_SGD, *storage.values_SGD), alone.stored, strict=True
    ):
        assert torch.equal(store_SGD[list(slots[:done])], alone_SGD[:done])


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_grouping_gives_what_single_rows_give(subject: Subject, data: st.DataObject) -> None:
    """Sequences cut anywhere, in any order, in shared forwards, over slots in any order."""
    chosen = data.draw(st.lists(st.integers(0, NUM_SEQUENCES - 1), min_size=1, max_size=4))
    slots = list(range(LENGTH * len(chosen)))
    if data.draw(st.booleans(), label="scattered"):
        data.draw(st.randoms(use_true_random=False)).shuffle(slots)
    owned = [slots[i * LENGTH : (i + 1) * LENGTH] for i in range(len(chosen))]
    storage = nan_cache(subject.network, len(slots))
    done = [0] * len(chosen)
    while waiting := [i for i, count in enumerate(done) if count < LENGTH]:
        order = data.draw(st.permutations(waiting), label="order")
        order = order[: data.draw(st.integers(1, len(order)), label="sequences")]
        steps = [data.draw(st.integers(1, LENGTH - done[i]), label="rows") for i in order]
        parts = [
            Part(subject.sequences[chosen[i]].tokens[done[i] : done[i] + step], owned[i], done[i])
            for i, step in zip(order, steps, strict=True)
        ]
        gather = data.draw(st.booleans(), label="gather")
        logits_RV = subject.network.forward(forward_batch(parts, gather=gather), storage)
        for i, step, found_RV in zip(order, steps, logits_RV.split(steps), strict=True):
            alone = subject.sequences[chosen[i]]
            assert torch.equal(found_RV, alone.logits_RV[done[i] : done[i] + step])
            done[i] += step
    for i, which in enumerate(chosen):
        assert_stored(storage, owned[i], LENGTH, subject.sequences[which])


@settings(max_examples=10, deadline=None)
@given(
    start=st.integers(0, LENGTH - 9),
    accepted=st.integers(0, 8),
    read=st.lists(st.integers(0, 8), max_size=5),
)
def test_a_draft_and_its_verification_leave_what_single_rows_leave(
    subject: Subject, start: int, accepted: int, read: list[int]
) -> None:
    """A block of drafts, their verification with wrong ones at its end, and going on from there."""
    alone, network = subject.sequences[0], subject.network
    storage, slots = nan_cache(network, LENGTH), range(LENGTH)
    if start:
        network.forward(forward_batch([Part(alone.tokens[:start], slots, read=[])]), storage)
    block = Part([70] * 9, slots, start, Attention.BLOCK)
    network.forward(forward_batch([block]), storage)
    right = alone.tokens[start : start + accepted + 1]
    verify = Part([*right, *[70] * (8 - accepted)], slots, start, read=read)
    found_RV = network.forward(forward_batch([verify]), storage)
    for row, logits_V in zip(read, found_RV, strict=True):
        if row <= accepted:
            assert torch.equal(logits_V, alone.logits_RV[start + row])
    kept = start + accepted + 1
    if kept < LENGTH:
        rest = Part(alone.tokens[kept:], slots, kept)
        rest_RV = network.forward(forward_batch([rest]), storage)
        assert torch.equal(rest_RV, alone.logits_RV[kept:])
    assert_stored(storage, slots, LENGTH, alone)


@settings(max_examples=10, deadline=None)
@given(start=st.integers(0, LENGTH - 14), before=st.integers(1, 8), count=st.integers(1, 5))
def test_a_branch_gives_what_its_path_gives_alone(
    subject: Subject, start: int, before: int, count: int
) -> None:
    alone, network = subject.sequences[0], subject.network
    storage, slots = nan_cache(network, 2 * LENGTH), list(range(LENGTH))
    if start:
        network.forward(forward_batch([Part(alone.tokens[:start], slots, read=[])]), storage)
    at = start + before
    trunk = Part([*alone.tokens[start:at], 70, 70], slots, start, read=[])
    own = [*slots[:at], *(slot + LENGTH for slot in slots[at:])]
    branch = Part(alone.tokens[at : at + count], own, at, is_branch=True)
    found_RV = network.forward(forward_batch([trunk, branch]), storage)
    assert torch.equal(found_RV, alone.logits_RV[at : at + count])
    assert_stored(storage, slots, at, alone)


@settings(max_examples=10, deadline=None)
@given(start=st.integers(0, LENGTH - 20), num_rows=st.integers(1, 20), before=st.integers(1, 30))
def test_a_block_is_the_same_in_any_company(
    subject: Subject, start: int, num_rows: int, before: int
) -> None:
    tokens, other = (sequence.tokens for sequence in subject.sequences[:2])
    network = subject.network
    end = start + num_rows

    def block_beside(company: list[Part], slots: Sequence[int]) -> Tensor:
        storage = nan_cache(network, 200)
        if start:
            network.forward(forward_batch([Part(tokens[:start], slots, read=[])]), storage)
        block = Part(tokens[start:end], slots, start, Attention.BLOCK)
        return network.forward(forward_batch([*company, block]), storage)[-num_rows:]

    alone_RV = block_beside([], range(100, 200))
    company = [Part(other[:before], range(LENGTH))]
    assert torch.equal(block_beside(company, range(199, 99, -1)), alone_RV)


@pytest.mark.parametrize("num_rows", [1, 5, 130])
def test_chunks_of_the_usual_size(num_rows: int) -> None:
    """As the engine computes, over a context of several chunks."""
    config = CONFIGS["even"]
    network = random_network(config, exact_numerics(torch.float32, CPU))
    tokens = random.Random(1).choices(range(config.vocab_size), k=400)
    storage = nan_cache(network, 400)
    whole_RV = network.forward(forward_batch([Part(tokens, range(400))]), storage)
    again = nan_cache(network, 400)
    rest = 400 - num_rows
    network.forward(forward_batch([Part(tokens[:rest], range(400), read=[])]), again)
    last_RV = network.forward(forward_batch([Part(tokens[rest:], range(400), rest)]), again)
    assert torch.equal(last_RV, whole_RV[rest:])
    for one_SGD, other_SGD in zip(
        (*storage.keys_SGD, *storage.values_SGD), (*again.keys_SGD, *again.values_SGD), strict=True
    ):
        assert torch.equal(one_SGD, other_SGD)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_exact_network_is_the_plain_one_up_to_rounding(name: str) -> None:
    config = CONFIGS[name]
    plain = random_network(config, plain_numerics(torch.float32, CPU))
    exact = random_network(config, exact_numerics(torch.float32, CPU))
    batch = forward_batch([Part([token % 71 for token in range(150)], range(150))])
    plain_RV = plain.forward(batch, plain.allocate_cache(150))
    exact_RV = exact.forward(batch, exact.allocate_cache(150))
    assert (plain_RV - exact_RV).abs().max() < 1e-4 * plain_RV.abs().max()
