"""The network of Nemotron-Labs-Diffusion: its logits, its adapter, and what its cache holds."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from decoding.cache.storage import KVStorage
from decoding.network.transformer import Transformer
from decoding.span import Attention
from decoding.weights.checkpoint import read_network
from tests.decoding.batches import Part, forward_batch
from tests.decoding.checkpoints import reference_logits
from tests.decoding.nemotron import (
    ADAPTER,
    ALL_TARGETS,
    LAYERS,
    MASK,
    ORIGINAL_POSITIONS,
    PROJECTIONS,
    VOCAB,
    lora_key,
    reference,
    write_adapter,
    write_nemotron,
)

CPU = torch.device("cpu")
COUNT = 70  # several times the original positions, so that queries grow


def tokens_of(seed: int, count: int = COUNT) -> list[int]:
    return random.Random(seed).choices(range(VOCAB), k=count)


def read(directory: Path, adapter: Path | None = None) -> Transformer:
    return read_network(directory, dtype=torch.float32, device=CPU, name="tiny", adapter=adapter)


def logits(network: Transformer, tokens: list[int], *, adapter: bool = False) -> Tensor:
    batch = forward_batch([Part(tokens, range(len(tokens)), adapter=adapter)])
    return network.forward(batch, network.allocate_cache(len(tokens)))


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemotron(tmp_path_factory.mktemp("nemotron"), quiet_head_rows=None)


@pytest.fixture(scope="module")
def network(directory: Path) -> Transformer:
    return read(directory, directory / ADAPTER)


@pytest.fixture(scope="module")
def full(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    """With an adapter on every projection."""
    return read(directory, write_adapter(tmp_path_factory.mktemp("full"), targets=ALL_TARGETS))


# --- logits


def test_logits_equal_the_native_network(directory: Path, network: Transformer) -> None:
    tokens = tokens_of(1)
    theirs = reference_logits(reference(directory), tokens)
    assert theirs.std() > 1.0, "a flat reference would hide mistakes"
    assert relative_error(logits(network, tokens), theirs) < 2e-5


@pytest.mark.parametrize("key", ["llama_4_scaling_beta", "mscale"])
def test_query_scaling_and_amplitude_matter(directory: Path, tmp_path: Path, key: str) -> None:
    """Without them rows behind the original positions would differ: the test above sees both."""
    rope = {"llama_4_scaling_beta": {"llama_4_scaling_beta": 0.0}, "mscale": {"mscale": 0.5}}[key]
    given_rope = read_rope_parameters(directory) | rope
    write_nemotron(tmp_path, quiet_head_rows=None, config={"rope_parameters": given_rope})
    changed, right = (logits(read(each), tokens_of(1)) for each in (tmp_path, directory))
    assert relative_error(changed[ORIGINAL_POSITIONS:], right[ORIGINAL_POSITIONS:]) > 1e-3
    if key == "llama_4_scaling_beta":
        assert torch.equal(changed[:ORIGINAL_POSITIONS], right[:ORIGINAL_POSITIONS])


def read_rope_parameters(directory: Path) -> dict[str, float]:
    config = json.loads((directory / "config.json").read_text())
    return dict(config["rope_parameters"])


@pytest.mark.parametrize("targets", [("o_proj",), ALL_TARGETS, ("k_proj", "up_proj")])
def test_the_adapter_equals_merged_weights(
    directory: Path, tmp_path: Path, targets: tuple[str, ...]
) -> None:
    adapter = write_adapter(tmp_path, targets=targets)
    tokens = tokens_of(2)
    ours = read(directory, adapter)
    theirs = reference_logits(reference(directory, adapter=adapter), tokens)
    assert relative_error(logits(ours, tokens, adapter=True), theirs) < 2e-5
    assert relative_error(logits(ours, tokens), theirs) > 0.1, "off, it must not be there"


def test_only_the_layers_with_tensors_are_adapted(directory: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path, layers=[1], targets=("q_proj", "down_proj"))
    theirs = reference_logits(reference(directory, adapter=adapter), tokens_of(3))
    ours = logits(read(directory, adapter), tokens_of(3), adapter=True)
    assert relative_error(ours, theirs) < 2e-5


@pytest.mark.parametrize("attention", Attention)
def test_drafts_with_and_without_the_adapter_differ(
    network: Transformer, attention: Attention
) -> None:
    parts = [
        Part([5, *[MASK] * 7], range(8), attention=attention, adapter=adapter)
        for adapter in (True, False)
    ]
    on, off = (network.forward(forward_batch([p]), network.allocate_cache(8)) for p in parts)
    assert relative_error(on, off) > 0.1


def test_an_adapter_of_zeros_is_no_adapter(directory: Path, tmp_path: Path) -> None:
    zeros = {
        f"{lora_key(layer, name)}.lora_B.weight": torch.zeros(shape[0], 8)
        for layer in range(LAYERS)
        for name, shape in PROJECTIONS.items()
    }
    network = read(directory, write_adapter(tmp_path, targets=ALL_TARGETS, edits=dict(zeros)))
    assert network.has_adapter
    on, off = (logits(network, tokens_of(4), adapter=adapter) for adapter in (True, False))
    assert torch.equal(on, off)


# --- rows of several sequences in one forward


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rows_without_the_adapter_do_not_notice_those_with_it(
    full: Transformer, data: st.DataObject
) -> None:
    """Any segments in any order: the others are equal to the bit, the adapted ones right."""
    asked = data.draw(st.lists(st.booleans(), min_size=1, max_size=5), label="adapter")
    sizes = [data.draw(st.integers(1, 9), label="rows") for _ in asked]
    first, parts = 0, []
    for seed, (adapter, size) in enumerate(zip(asked, sizes, strict=True)):
        parts.append(Part(tokens_of(seed, size), range(first, first + size), adapter=adapter))
        first += size
    plain = [replace(part, adapter=False) for part in parts]
    mixed, without = (
        full.forward(forward_batch(each), full.allocate_cache(first)).split(sizes)
        for each in (parts, plain)
    )
    for adapter, part, ours, theirs in zip(asked, parts, mixed, without, strict=True):
        if adapter:
            assert relative_error(ours, logits(full, list(part.tokens), adapter=True)) < 1e-5
            assert relative_error(ours, theirs) > 1e-2
        else:
            assert torch.equal(ours, theirs)


def test_half_precision_keeps_the_adapter(directory: Path) -> None:
    network = read_network(
        directory, dtype=torch.bfloat16, device=CPU, name="half", adapter=directory / ADAPTER
    )
    exact = read(directory, directory / ADAPTER)
    on, off = (logits(network, tokens_of(5), adapter=adapter) for adapter in (True, False))
    assert relative_error(on, logits(exact, tokens_of(5), adapter=True)) < 0.1
    assert relative_error(on, off) > 0.3


# --- the cache


def cached(storage: KVStorage, layer: int) -> Tensor:
    return torch.stack((storage.keys_SGD[layer], storage.values_SGD[layer]))


def prefilled(network: Transformer, tokens: list[int], sizes: list[int]) -> KVStorage:
    storage = network.allocate_cache(len(tokens))
    start = 0
    for size in sizes:
        part = Part(tokens[start : start + size], range(len(tokens)), start, read=[])
        network.forward(forward_batch([part]), storage)
        start += size
    return storage


@pytest.mark.parametrize("sizes", [[1] * COUNT, [30, 1, 39], [69, 1]])
def test_a_prefill_in_pieces_leaves_the_same_cache(network: Transformer, sizes: list[int]) -> None:
    tokens = tokens_of(6)
    whole, pieces = (prefilled(network, tokens, each) for each in ([COUNT], sizes))
    for layer in range(LAYERS):
        assert relative_error(cached(pieces, layer), cached(whole, layer)) < 1e-5, layer


def test_kept_block_rows_spoil_every_layer_but_the_first(network: Transformer) -> None:
    """Why a block needs a causal forward before its rows are kept."""
    tokens = tokens_of(7, 30)
    causal = prefilled(network, tokens, [30])
    kept = prefilled(network, tokens, [20])
    block = Part(tokens[20:], range(30), 20, attention=Attention.BLOCK)
    network.forward(forward_batch([block]), kept)
    errors = [relative_error(cached(kept, i), cached(causal, i)) for i in range(LAYERS)]
    assert errors[0] < 1e-5
    assert all(error > 1e-2 for error in errors[1:])
    committed = Part(tokens[20:], range(30), 20)
    network.forward(forward_batch([committed]), kept)
    for layer in range(LAYERS):
        assert relative_error(cached(kept, layer), cached(causal, layer)) < 1e-5


def test_adapted_rows_spoil_the_cache_too(network: Transformer) -> None:
    tokens = tokens_of(8, 12)
    storage = network.allocate_cache(12)
    network.forward(forward_batch([Part(tokens, range(12), adapter=True)]), storage)
    plain = prefilled(network, tokens, [12])
    assert torch.equal(cached(storage, 0), cached(plain, 0)), "the adapter sits behind them"
    assert relative_error(cached(storage, 1), cached(plain, 1)) > 1e-2


# --- a mask token of the adapter's own


@pytest.mark.parametrize("tied", [False, True])
def test_a_mask_token_beyond_the_vocabulary(directory: Path, tmp_path: Path, tied: bool) -> None:
    write_nemotron(tmp_path, quiet_head_rows=None, tied=tied, mask_embedding=True)
    plain, network = read(tmp_path), read(tmp_path, tmp_path / ADAPTER)
    assert (plain.mask_token_id, network.mask_token_id) == (MASK, VOCAB)
    assert network.vocab_size == VOCAB
    assert logits(network, [1, VOCAB, 2]).shape == (3, VOCAB)
    assert torch.equal(logits(network, tokens_of(9)), logits(plain, tokens_of(9)))
    tensors = load_file(tmp_path / ADAPTER / "adapter_model.safetensors")
    network.parameters.embedding_VE[7] = tensors["mask_embedding"]
    torch.testing.assert_close(logits(network, [1, VOCAB, 2])[:2], logits(network, [1, 7, 2])[:2])


def test_the_tied_head_is_no_second_copy(tmp_path: Path) -> None:
    write_nemotron(tmp_path, tied=True, mask_embedding=True)
    parameters = read(tmp_path, tmp_path / ADAPTER).parameters
    assert parameters.embedding_VE.shape[0] == VOCAB + 1
    assert parameters.head_VE.shape[0] == VOCAB
    assert parameters.head_VE.data_ptr() == parameters.embedding_VE.data_ptr()
