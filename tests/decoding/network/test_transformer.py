"""The network against `transformers`, and against itself over every way to split a sequence."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from decoding.network.rope import YarnScaling
from decoding.network.transformer import Transformer
from decoding.span import Attention
from decoding.weights.checkpoint import read_network
from tests.decoding.batches import Part, forward_batch
from tests.decoding.checkpoints import FAMILIES, reference_logits, save_checkpoint

CPU = torch.device("cpu")
NUM_TOKENS = 60


def tokens_of(seed: int, count: int = NUM_TOKENS) -> list[int]:
    return random.Random(seed).choices(range(270), k=count)


def cold_logits(network: Transformer, tokens: list[int]) -> Tensor:
    """One forward over an empty cache."""
    storage = network.allocate_cache(len(tokens))
    return network.forward(forward_batch([Part(tokens, range(len(tokens)))]), storage)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


class Checkpoint:
    def __init__(self, name: str, directory: Path) -> None:
        self.model: PreTrainedModel = save_checkpoint(name, directory)
        self.network = read_network(directory, dtype=torch.float32, device=CPU, name=name)
        self.directory = directory


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    return Checkpoint(request.param, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module", params=["llama", "mistral", "ministral3"])
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Transformer:
    return Checkpoint(request.param, tmp_path_factory.mktemp("checkpoint")).network


def test_logits_match_transformers(checkpoint: Checkpoint) -> None:
    tokens = tokens_of(1)
    ours = cold_logits(checkpoint.network, tokens)
    theirs = reference_logits(checkpoint.model, tokens)
    assert ours.dtype is torch.float32
    assert theirs.std() > 0.3, "a flat reference would hide mistakes"
    assert relative_error(ours, theirs) < 1e-4


def test_bfloat16_stays_close_to_float32(checkpoint: Checkpoint) -> None:
    network = read_network(checkpoint.directory, dtype=torch.bfloat16, device=CPU, name="half")
    tokens = tokens_of(2)
    ours, exact = cold_logits(network, tokens), cold_logits(checkpoint.network, tokens)
    assert ours.dtype is torch.float32
    assert network.allocate_cache(1).keys_SGD[0].dtype is torch.bfloat16
    error = (ours - exact).norm() / exact.norm()
    assert 0.0 < error < 0.1


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_splitting_a_sequence_changes_nothing(network: Transformer, data: st.DataObject) -> None:
    """Several sequences, each cut anywhere, in shared forwards over scattered slots."""
    sequences = [
        tokens_of(seed, data.draw(st.integers(1, NUM_TOKENS), label="length"))
        for seed in range(data.draw(st.integers(1, 3), label="sequences"))
    ]
    slots = list(range(sum(map(len, sequences))))
    scattered = data.draw(st.booleans(), label="scattered")
    if scattered:
        data.draw(st.randoms(use_true_random=False)).shuffle(slots)
    owned = [[slots.pop(0) for _ in tokens] for tokens in sequences]
    storage = network.allocate_cache(sum(map(len, sequences)))
    for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
        store_SGD.fill_(torch.nan)  # a slot read before it is written shows
    done = [0] * len(sequences)
    collected: list[list[Tensor]] = [[] for _ in sequences]
    while any(count < len(tokens) for count, tokens in zip(done, sequences, strict=True)):
        waiting = [i for i, tokens in enumerate(sequences) if done[i] < len(tokens)]
        chosen = data.draw(st.permutations(waiting), label="order")
        steps = [
            data.draw(st.integers(1, len(sequences[i]) - done[i]), label="rows") for i in chosen
        ]
        parts = [
            Part(sequences[i][done[i] : done[i] + step], owned[i], done[i])
            for i, step in zip(chosen, steps, strict=True)
        ]
        gather = data.draw(st.booleans(), label="gather")
        logits = network.forward(forward_batch(parts, gather=gather), storage).split(steps)
        for i, step, part_logits in zip(chosen, steps, logits, strict=True):
            collected[i].append(part_logits)
            done[i] += step
    for tokens, parts_of in zip(sequences, collected, strict=True):
        assert relative_error(torch.cat(parts_of), cold_logits(network, tokens)) < 1e-5


def test_only_the_rows_asked_for_are_read(network: Transformer) -> None:
    tokens = tokens_of(3)
    part = Part(tokens, range(NUM_TOKENS), read=[7, 0, 59, 7])
    logits = network.forward(forward_batch([part]), network.allocate_cache(NUM_TOKENS))
    torch.testing.assert_close(logits, cold_logits(network, tokens)[[7, 0, 59, 7]])


def test_a_pure_prefill_reads_nothing(network: Transformer) -> None:
    part = Part([1, 2, 3], range(3), read=[])
    logits = network.forward(forward_batch([part]), network.allocate_cache(3))
    assert logits.shape == (0, network.vocab_size)


@pytest.mark.parametrize(("name", "window"), [("llama", 28), ("ministral3", 28), ("mistral", 7)])
def test_block_rows_see_the_whole_block_and_the_prefix(
    name: str, window: int, tmp_path: Path
) -> None:
    """A reference with a dense mask: `transformers` under an explicit 4-D mask."""
    checkpoint = Checkpoint(name, tmp_path)
    prefix, block = tokens_of(4, 20), tokens_of(5, 8)
    storage = checkpoint.network.allocate_cache(28)
    checkpoint.network.forward(forward_batch([Part(prefix, range(28), read=[])]), storage)
    part = Part(block, range(28), start=20, attention=Attention.BLOCK)
    ours = checkpoint.network.forward(forward_batch([part]), storage)
    seen = torch.ones(28, 28, dtype=torch.bool).tril()
    seen[20:, :] = True
    seen &= torch.ones(28, 28, dtype=torch.bool).triu(1 - window)
    mask = torch.zeros(1, 1, 28, 28).masked_fill(~seen, -torch.inf)
    with torch.inference_mode():
        ids = torch.tensor([prefix + block])
        theirs = checkpoint.model(ids, attention_mask=mask).logits[0, 20:]
    causal = cold_logits(checkpoint.network, prefix + block)[20:]
    assert relative_error(ours, theirs) < 1e-4
    assert relative_error(causal, theirs) > 1e-2, "the block must matter"


def test_a_block_and_causal_rows_share_a_forward(network: Transformer) -> None:
    block = Part(tokens_of(6, 5), range(5), attention=Attention.BLOCK)
    causal = Part(tokens_of(7, 9), range(5, 14))
    alone = [
        network.forward(forward_batch([part]), network.allocate_cache(14))
        for part in (block, causal)
    ]
    together = network.forward(forward_batch([causal, block]), network.allocate_cache(14))
    assert relative_error(together, torch.cat(alone[::-1])) < 1e-5


def test_a_draft_overwritten_by_its_verification_leaves_no_trace(network: Transformer) -> None:
    tokens = tokens_of(8, 30)
    storage = network.allocate_cache(40)
    network.forward(forward_batch([Part(tokens[:20], range(40), read=[])]), storage)
    draft = Part([269] * 15, range(40), start=20, attention=Attention.BLOCK)
    network.forward(forward_batch([draft]), storage)
    verified = network.forward(forward_batch([Part(tokens[20:], range(40), start=20)]), storage)
    assert relative_error(verified, cold_logits(network, tokens)[20:]) < 1e-5


def test_an_adapter_is_refused_rather_than_ignored(network: Transformer) -> None:
    part = Part([1], range(1), adapter=True)
    with pytest.raises(ValueError, match="has no draft adapter"):
        network.forward(forward_batch([part]), network.allocate_cache(1))


def test_what_a_network_says_of_itself(checkpoint: Checkpoint) -> None:
    network = checkpoint.network
    assert network.name in FAMILIES
    stretched = isinstance(network.config.rope.scaling, YarnScaling)  # 16 times 16 positions
    assert (network.vocab_size, network.max_positions) == (270, 256 if stretched else 128)
    assert network.mask_token_id is None
    assert network.allocate_cache(5).num_slots == 5
