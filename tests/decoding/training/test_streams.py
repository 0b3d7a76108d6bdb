"""What training sees is what decoding will compute."""

from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from decoding.network.transformer import Transformer
from decoding.span import Attention
from decoding.training.blocks import Block, BlockChoice, draft_block, draw_blocks, starts
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.streams import Example, Packed, read_blocks, read_text
from decoding.weights.checkpoint import read_network
from tests.decoding.batches import Part, forward_batch
from tests.decoding.training.support import (
    CPU,
    random_adapter,
    random_answer,
    tiny_network,
    with_adapter,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    tiny_network(directory)
    return directory


def decoded_block(network: Transformer, text: tuple[int, ...], block: Block) -> Tensor:
    """The block's logits as decoding computes them: a cached prefix, then one block span."""
    storage = network.allocate_cache(block.end)
    slots = list(range(block.end))
    if block.first:
        prefix = Part(text[: block.first], slots, read=[])
        network.forward(forward_batch([prefix]), storage)
    mask = network.mask_token_id
    assert mask is not None
    tokens = [
        mask if at in block.masked or at >= len(text) else text[at]
        for at in range(block.first, block.end)
    ]
    span = Part(tokens, slots, start=block.first, attention=Attention.BLOCK, adapter=True)
    return network.forward(forward_batch([span]), storage)


def test_blocks_are_computed_as_in_decoding(directory: Path, tmp_path: Path) -> None:
    plain = tiny_network(directory)
    adapter = random_adapter(plain)
    adapter.save(tmp_path, torch.float32)
    loaded = read_network(directory, dtype=torch.float32, device=CPU, name="tiny", adapter=tmp_path)
    answers = [random_answer(seed, forced=0.3) for seed in range(4)]
    random = Random(0)
    examples = [
        Example(each.text, tuple(draw_blocks(each, BlockChoice(denoised=0.5), random)))
        for each in answers
    ]
    packed = Packed.of(examples, CPU)
    network = with_adapter(plain, adapter)
    blocks_NE = read_blocks(network, packed, read_text(network, packed), adapter.mask_E)
    logits_NV = plain.read(blocks_NE, torch.arange(len(packed.tokens_N))).detach()
    first = 0
    for example in examples:
        for block in sorted(example.blocks, key=lambda block: block.first):
            rows = slice(first, first + block.num_rows)
            expected = decoded_block(loaded, example.text, block)
            torch.testing.assert_close(logits_NV[rows], expected, rtol=1e-4, atol=1e-4)
            first += block.num_rows
    assert first == len(logits_NV)


def test_the_text_is_computed_without_adapter_and_blocks(directory: Path) -> None:
    network = tiny_network(directory)
    adapter = random_adapter(network)
    answer = random_answer(3)
    example = Example(answer.text, (draft_block(answer, 10, 8),))
    packed = Packed.of([example], CPU)
    text = read_text(with_adapter(network, adapter), packed)
    rows = torch.arange(len(answer.text))
    storage = network.allocate_cache(len(answer.text))
    part = Part(answer.text, list(range(len(answer.text))))
    expected = network.forward(forward_batch([part]), storage)
    torch.testing.assert_close(network.read(text.text_CE, rows), expected, rtol=1e-4, atol=1e-4)


def test_targets_are_the_masked_tokens_that_somebody_chose(directory: Path) -> None:
    answer = random_answer(1, forced=0.4)
    forced = frozenset(
        len(answer.prompt) + at for at, mark in enumerate(answer.forced) if mark == "1"
    )
    blocks = tuple(draft_block(answer, start, 8) for start in starts(answer))
    packed = Packed.of([Example(answer.text, blocks, forced)], CPU)
    positions = packed.positions_N[packed.rows_R].tolist()
    assert packed.targets_R.tolist() == [answer.text[position] for position in positions]
    assert not forced.intersection(positions)
    assert max(positions) < len(answer.text)
    assert packed.is_mask_N[packed.rows_R].all()
    # The text's row one to the left predicts the same token.
    assert packed.text_rows_R.tolist() == [position - 1 for position in positions]


def test_only_the_adapter_and_the_mask_learn(directory: Path) -> None:
    network = tiny_network(directory)
    adapter = DraftAdapter(network.config, 4, 8.0, torch.zeros(network.config.hidden_size))
    answer = random_answer(5)
    example = Example(answer.text, (draft_block(answer, 9, 6), draft_block(answer, 15, 6)))
    packed = Packed.of([example], CPU)
    text = read_text(with_adapter(network, adapter), packed)
    assert not text.text_CE.requires_grad
    blocks_NE = read_blocks(with_adapter(network, adapter), packed, text, adapter.mask_E)
    blocks_NE.square().sum().backward()
    assert adapter.mask_E.grad is not None
    assert adapter.mask_E.grad.abs().sum() > 0
    assert all(up.grad is not None and up.grad.abs().sum() > 0 for up in adapter.up.values())


@given(seed=st.integers(0, 500), length=st.integers(2, 16), forced=st.floats(0.0, 0.9))
def test_a_draft_block_is_a_tail_and_masks(seed: int, length: int, forced: float) -> None:
    answer = random_answer(seed, forced=forced)
    for start in starts(answer):
        block = draft_block(answer, start, length)
        assert block.end - start == length
        assert block.masked == frozenset(range(start + 1, block.end))
        assert block.first >= len(answer.prompt)
        assert start - block.first < length
        between = answer.forced[
            block.first + 1 - len(answer.prompt) : start + 1 - len(answer.prompt)
        ]
        assert set(between) <= {"1"}


@given(seed=st.integers(0, 500), denoised=st.floats(0.0, 1.0), rows=st.floats(0.1, 4.0))
def test_drawn_blocks_have_something_to_guess(seed: int, denoised: float, rows: float) -> None:
    answer = random_answer(seed, forced=0.3)
    choice = BlockChoice((4, 8), rows, denoised)
    blocks = draw_blocks(answer, choice, Random(seed))
    assert bool(blocks) == bool(starts(answer))
    assert all(block.masked for block in blocks)
    assert sum(block.num_rows for block in blocks) < rows * len(answer.tokens) + 16
