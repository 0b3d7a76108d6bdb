"""Demonstrations of tool calls, and learning from them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from decoding.network.adapter import ALL_ROWS
from decoding.network.transformer import Transformer
from decoding.tokenizer import Tokenizer
from decoding.training.answers import Answer
from decoding.training.config import ToolTraining
from decoding.training.streams import Example, Packed, read_text
from decoding.training.tool_calling import ToolCalling, tool_trainer, written
from decoding.training.tool_tasks import HELD_OUT_DOMAINS, Shape, demonstrations
from decoding.training.trainer import Progress, Trainer
from tests.decoding.tiny import byte_tokenizer
from tests.decoding.training.support import (
    CPU,
    random_adapter,
    random_answer,
    tiny_network,
    with_adapter,
)


def test_demonstrations_are_the_same_for_the_same_seed() -> None:
    def texts(seed: int) -> list[tuple[object, str]]:
        return [(each.task.messages, each.answer) for each in demonstrations(seed, 40)]

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


def test_four_neighbours_ask_the_same_tools_different_things() -> None:
    shown = list(demonstrations(3, 40))
    for first in range(0, 40, 4):
        chats = [each.task.messages for each in shown[first : first + 4]]
        assert len({chat[0] for chat in chats}) == 1
        assert len(set(chats)) > 1
    assert len({each.task.messages[0] for each in shown}) == 10


def test_answers_of_every_shape_fit_their_grammars() -> None:
    tokenizer = byte_tokenizer()
    shapes: Counter[Shape] = Counter()
    for each in (*demonstrations(5, 200), *demonstrations(6, 60, HELD_OUT_DOMAINS)):
        shapes[each.shape] += 1
        if each.task.grammar is not None:
            assert each.task.grammar.accepts(each.answer, tokenizer), each.answer
        shown = [text for _, text in each.task.messages]
        assert each.shape is not Shape.ANSWER or not each.answer.startswith(("<", "{", "["))
        if each.shape is Shape.CALLS and each.answer.startswith("<"):
            assert each.answer.count("<tool_call>") > 1
        assert each.answer not in shown
    assert min(shapes[shape] for shape in Shape) > 15


def test_spaced_answers_are_the_same_json() -> None:
    spaced = [
        each for each in demonstrations(7, 80) if each.task.grammar is None and "{" in each.answer
    ]
    assert spaced
    for each in spaced:
        for called in each.answer.replace("</tool_call>", "").split("<tool_call>")[-1:]:
            assert json.dumps(json.loads(called), ensure_ascii=False) == called


def test_domains_that_have_no_tools_are_refused() -> None:
    with pytest.raises(ValueError, match="domain"):
        list(demonstrations(0, 1, ["extraction"]))
    with pytest.raises(ValueError, match="nowhere"):
        list(demonstrations(0, 1, ["nowhere"]))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    directory = tmp_path_factory.mktemp("tiny")
    tiny_network(directory)
    return list(written(Tokenizer.from_directory(directory), demonstrations(1, 6)))


def alone(network: Transformer, answer: Answer) -> tuple[Tensor, Tensor]:
    """The loss of each of the answer's tokens, and whether it is right."""
    packed = Packed.of([Example(answer.text, ())], CPU)
    rows = torch.arange(len(answer.prompt) - 1, len(answer.text) - 1)
    with torch.no_grad():
        logits = network.read(read_text(network, packed, ALL_ROWS).text_CE, rows)
    tokens = torch.tensor(answer.tokens)
    losses = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
    return losses, logits.argmax(-1) == tokens


@pytest.mark.parametrize("num_shared", [0, 30])
def test_the_loss_is_that_of_the_answers_alone(tmp_path: Path, num_shared: int) -> None:
    network = tiny_network(tmp_path)
    adapted = with_adapter(network, random_adapter(network))
    shared = random_answer(9, num_shared).prompt
    answers = [
        replace(each, prompt=(*shared, *each.prompt))
        for each in (random_answer(seed, 5 + seed, 9 + 3 * seed) for seed in range(4))
    ]
    lesson = ToolCalling(ToolTraining(rows_per_step=1), answers, answers)
    expected = {len(each.tokens): alone(adapted, each) for each in answers}
    learned: set[int] = set()
    for step in range(20):
        packed = lesson.draw(step)
        found = [length for length in expected if length == len(packed.targets_R)]
        if num_shared:
            found = list(expected)
            assert len(packed.text_C) == sum(len(each.text) for each in answers) - 3 * num_shared
        loss, right = lesson.loss(adapted, packed)
        losses, rights = zip(*(expected[length] for length in found), strict=True)
        torch.testing.assert_close(loss, torch.cat(losses).mean(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(right, torch.cat(rights).float().mean())
        learned.update(found)
    assert learned == set(expected)


def trained(shown: Sequence[Answer], directory: Path, folder: Path, steps: int) -> Trainer:
    config = ToolTraining(
        rank=4, learning_rate=2e-2, steps=steps, rows_per_step=400, evaluate_every=40
    )
    network = tiny_network(directory)
    return tool_trainer(network, config, shown, shown[:3], folder)


def test_it_learns_and_judges_whole_answers(shown: list[Answer], tmp_path: Path) -> None:
    short = [
        Answer(each.prompt[-30:], each.tokens[:12], "0" * 12, each.source, each.kind)
        for each in shown
    ]
    trainer = trained(short, tmp_path / "model", tmp_path / "run", 40)
    told: list[Progress] = []
    trainer.run(told.append)
    assert told[-1].loss < 0.5 * told[0].loss
    assert set(told[-1].judged) <= {shape.value for shape in Shape}
    right: dict[str, list[bool]] = {}
    for each in short[:3]:
        _, is_right = alone(trainer.adapted(), each)
        right.setdefault(each.source, []).append(bool(is_right.all()))
    assert told[-1].judged == {shape: sum(each) / len(each) for shape, each in right.items()}
    assert any(told[-1].judged.values())
