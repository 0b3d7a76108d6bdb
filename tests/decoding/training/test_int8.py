"""Products in int8 against those in float32."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from decoding.network.adapter import ALL_ROWS
from decoding.network.transformer import Transformer
from decoding.training.config import ToolTraining
from decoding.training.int8 import with_int8_products
from decoding.training.streams import read_text
from decoding.training.tool_calling import ToolCalling, tool_trainer
from decoding.weights.checkpoint import read_network
from tests.decoding.training.support import (
    CPU,
    random_adapter,
    random_answer,
    tiny_network,
    with_adapter,
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return tiny_network(tmp_path_factory.mktemp("tiny"))


def product(network: Transformer, rows_TI: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's product, and the gradient of its sum of squares."""
    leaf = rows_TI.clone().requires_grad_()
    out = network.numerics.linear(leaf, network.parameters.layers[0].gate_up, None)
    out.square().sum().backward()
    assert leaf.grad is not None
    return out.detach(), leaf.grad


@given(seed=st.integers(0, 1000), count=st.integers(1, 40), spread=st.floats(0.0, 6.0))
def test_a_row_is_rounded_by_itself(
    network: Transformer, seed: int, count: int, spread: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows_TI = torch.randn(count, network.config.hidden_size, generator=generator)
    rows_TI *= torch.exp(spread * torch.randn(count, 1, generator=generator))
    rows_TI[0] = 0.0
    rounded = with_int8_products(network)
    for plain, found, alone in zip(
        product(network, rows_TI),
        product(rounded, rows_TI),
        zip(*(product(rounded, row[None]) for row in rows_TI), strict=True),
        strict=True,
    ):
        torch.testing.assert_close(found, torch.cat(alone))
        error_T = (found - plain).norm(dim=1)
        assert (error_T <= 0.04 * plain.norm(dim=1)).all()
        assert count == 1 or not torch.equal(found, plain)


def test_the_adapter_learns_from_nearly_the_same_gradient(network: Transformer) -> None:
    answers = [random_answer(seed, 9, 30) for seed in range(4)]
    lesson = ToolCalling(ToolTraining(rows_per_step=100), answers, answers)

    def gradient(taught: Transformer) -> Tensor:
        adapter = random_adapter(taught)
        loss, _ = lesson.loss(with_adapter(taught, adapter), lesson.draw(0))
        loss.backward()
        halves = (*adapter.down.values(), *adapter.up.values())
        return torch.cat([each.grad.flatten() for each in halves if each.grad is not None])

    plain, rounded = gradient(network), gradient(with_int8_products(network))
    assert torch.cosine_similarity(plain, rounded, 0) > 0.99
    assert not torch.equal(plain, rounded)


def test_a_trainer_computes_as_the_network_it_was_given(
    network: Transformer, tmp_path: Path
) -> None:
    answers = [random_answer(1)]
    trainer = tool_trainer(with_int8_products(network), ToolTraining(), answers, answers, tmp_path)
    packed = ToolCalling(ToolTraining(), answers, answers).draw(0)
    with torch.no_grad():
        plain = read_text(network, packed, ALL_ROWS).text_CE
        found = read_text(trainer.adapted(), packed, ALL_ROWS).text_CE
    assert not torch.equal(found, plain)
    assert (found - plain).norm() < 0.05 * plain.norm()


def test_other_than_float32_is_refused(network: Transformer, tmp_path: Path) -> None:
    tiny_network(tmp_path)
    half = read_network(tmp_path, dtype=torch.bfloat16, device=CPU, name="half")
    with pytest.raises(ValueError, match="bfloat16"):
        with_int8_products(half)
