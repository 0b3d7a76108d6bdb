"""The joint objective of the model family: both losses from two streams, all weights trained."""

from pathlib import Path
from random import Random

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from decoding.network.transformer import Transformer
from decoding.training import joint
from decoding.training.joint import JointTrainer, JointTraining, noised
from decoding.training.streams import Example
from decoding.weights.checkpoint import read_network
from tests.decoding.batches import Part, forward_batch
from tests.decoding.nemotron import write_nemotron
from tests.decoding.training.support import CPU, random_answer, tiny_network


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemotron(tmp_path_factory.mktemp("nemotron"), adapter=False)


def read(directory: Path) -> Transformer:
    return read_network(directory, dtype=torch.float32, device=CPU, name="tiny")


def test_the_next_token_loss_is_that_of_plain_forwards(directory: Path) -> None:
    network = read(directory)
    answers = [random_answer(seed) for seed in range(3)]
    loss = JointTrainer(network, JointTraining()).loss(answers, Random(0))
    losses = []
    for answer in answers:
        part = Part(answer.text, list(range(len(answer.text))))
        logits_TV = network.forward(forward_batch([part]), network.allocate_cache(len(answer.text)))
        first = len(answer.prompt) - 1
        losses.append(
            F.cross_entropy(logits_TV[first:-1], torch.tensor(answer.tokens), reduction="none")
        )
    torch.testing.assert_close(loss.next_token, torch.cat(losses).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.total, loss.next_token + 0.3 * loss.denoising)


def test_a_masked_position_counts_by_one_over_its_probability() -> None:
    shares = []
    for seed in range(400):
        example, share = noised(random_answer(seed, length=32), 8, Random(seed))
        num_masked = sum(len(block.masked) for block in example.blocks)
        shares.append(num_masked / 32 / share)
        assert all(block.num_rows <= 8 for block in example.blocks)
    assert sum(shares) / len(shares) == pytest.approx(1.0, abs=0.15)


def test_a_step_in_which_nothing_is_masked_learns_the_next_token(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, answer = JointTrainer(read(directory), JointTraining()), random_answer(1)
    monkeypatch.setattr(joint, "noised", lambda *_: (Example(answer.text, ()), 0.5))
    loss = trainer.learn([answer])
    assert loss.denoising.item() == 0.0
    assert loss.next_token.item() > 0.0


def test_both_losses_fall_and_both_move_the_weights(directory: Path) -> None:
    answers = [random_answer(seed) for seed in range(2)]
    trainer = JointTrainer(read(directory), JointTraining(learning_rate=3e-3, weight_decay=0.0))
    losses = [trainer.learn(answers) for _ in range(25)]
    assert losses[-1].next_token.item() < 0.7 * losses[0].next_token.item()
    early = sum(loss.denoising.item() for loss in losses[:6])
    assert sum(loss.denoising.item() for loss in losses[-6:]) < 0.8 * early


def test_what_is_saved_is_the_network_that_was_trained(directory: Path, tmp_path: Path) -> None:
    trainer = JointTrainer(read(directory), JointTraining(learning_rate=1e-2))
    trainer.learn([random_answer(1)])
    trainer.save(tmp_path, torch.float32)
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    tokens = list(range(20))
    part = Part(tokens, tokens)
    batch = forward_batch([part])
    expected = trainer.network.forward(batch, trainer.network.allocate_cache(20))
    saved = read(tmp_path)
    torch.testing.assert_close(saved.forward(batch, saved.allocate_cache(20)), expected)
    before = read(directory)
    assert not torch.allclose(before.forward(batch, before.allocate_cache(20)), expected)


def test_training_goes_on_from_its_state(directory: Path) -> None:
    answers = [random_answer(seed) for seed in range(2)]
    whole = JointTrainer(read(directory), JointTraining(learning_rate=1e-3))
    for _ in range(2):
        whole.learn(answers)
    first = JointTrainer(read(directory), JointTraining(learning_rate=1e-3))
    first.learn(answers)
    second = JointTrainer(read(directory), JointTraining(learning_rate=1e-3))
    second.restore(first.state())
    second.learn(answers)
    torch.testing.assert_close(second.network.parameters.head_VE, whole.network.parameters.head_VE)


def test_a_network_without_a_mask_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mask_token_id"):
        JointTrainer(tiny_network(tmp_path), JointTraining())
