"""Training from end to end on a tiny network, and what it foretells against real decoding."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from decoding import BlockDiffusion, Completion, Engine, Request, SelfSpeculation
from decoding.modes.drafters import DiffusionDrafter
from decoding.modes.reveal import ConfidenceThreshold
from decoding.network.transformer import Transformer
from decoding.span import Purpose
from decoding.training.answers import Answer, Generation, begun_answers, generate, read_answers
from decoding.training.blocks import BlockChoice
from decoding.training.config import CONFIG, AdapterTraining
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.drafting import Drafting, draft_trainer
from decoding.training.judge import judge
from decoding.training.rollout import canvases, roll
from decoding.training.streams import Packed
from decoding.training.tasks import Kind, Task
from decoding.training.trainer import Progress, Trainer
from tests.decoding.training.support import random_adapter, random_answer, tiny_network

_LENGTH = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    tiny_network(directory)
    return directory


@pytest.fixture(scope="module")
def answers(model: Path) -> list[Answer]:
    random = Random(0)
    tasks = [
        Task((("user", "".join(random.choices("abcdefgh ", k=6))),), "letters", Kind.PROSE)
        for _ in range(24)
    ]
    how = Generation(max_new_tokens=_LENGTH, temperatures=(0.0,), at_once=8)
    with Engine.load(model, profile="exact") as engine:
        return list(generate(engine, tasks, how))


def config(steps: int = 40) -> AdapterTraining:
    return AdapterTraining(
        rank=8,
        alpha=16.0,
        learning_rate=1e-2,
        warmup_steps=4,
        steps=steps,
        rows_per_step=256,
        blocks=BlockChoice((4, 8)),
        evaluate_every=20,
    )


@pytest.fixture(scope="module")
def run(
    model: Path, answers: list[Answer], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trainer, list[Progress]]:
    folder = tmp_path_factory.mktemp("run")
    trainer = draft_trainer(tiny_network(model), config(), answers, answers[:8], folder)
    told: list[Progress] = []
    trainer.run(told.append)
    return trainer, told


def test_drafts_get_further_with_training(run: tuple[Trainer, list[Progress]]) -> None:
    trainer, told = run
    assert [each.step for each in told] == list(range(1, 41))
    assert told[-1].loss < 0.9 * told[0].loss
    assert told[-1].right > told[0].right + 0.5
    judged = [each for each in told if each.judged]
    assert [each.step for each in judged] == [20, 40]
    curve = [json.loads(line) for line in (trainer.folder / "curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [20, 40]
    assert curve[-1]["prose"] == pytest.approx(judged[-1].judged["prose"], abs=1e-3)
    assert AdapterTraining.read(trainer.folder / CONFIG) == config()


def test_the_judge_foretells_decoding(
    run: tuple[Trainer, list[Progress]], model: Path, answers: list[Answer]
) -> None:
    trainer, _ = run
    held = answers[:8]
    [reach] = judge(trainer.adapted(), _mask_E(trainer), held, 8)
    trainer.adapter.save(trainer.folder / "float32", torch.float32)
    requests = [
        Request(each.prompt, mode=SelfSpeculation(8, DiffusionDrafter()), max_new_tokens=_LENGTH)
        for each in held
    ]
    with Engine.load(model, profile="exact", adapter=trainer.folder / "float32") as engine:
        done = engine.generate_many(requests)
    assert [each.token_ids for each in done] == [each.tokens for each in held]
    assert reach.cycles == sum(map(cycles, done))
    assert reach.tokens_per_cycle > 1.3


def _mask_E(trainer: Trainer) -> Tensor:  # noqa: N802 - a tensor's name
    assert isinstance(trainer.adapter, DraftAdapter)
    return trainer.adapter.mask_E.detach()


def cycles(done: Completion) -> int:
    return sum(each.purpose in (Purpose.VERIFY, Purpose.NEXT) for each in done.forwards)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_rollouts_denoise_as_decoding_does(
    run: tuple[Trainer, list[Progress]], model: Path, answers: list[Answer], threshold: float
) -> None:
    trainer, _ = run
    trainer.adapter.save(trainer.folder / "float32", torch.float32)
    policy = ConfidenceThreshold(threshold)
    with Engine.load(model, profile="exact", adapter=trainer.folder / "float32") as engine:
        begun = [(canvases(answer, 8)[0], policy) for answer in answers[:6]]
        rolled = {each.canvas: each for each in roll(engine, begun, at_once=4)}
        assert rolled.keys() == {canvas for canvas, _ in begun}
        for canvas, _ in begun:
            done = engine.generate(
                canvas.answer.prompt, mode=BlockDiffusion(8, threshold), max_new_tokens=8
            )
            assert rolled[canvas].tokens == done.token_ids[1:]
            denoised = [each for each in done.forwards if each.purpose is Purpose.DENOISE]
            assert rolled[canvas].forwards == len(denoised)
            right = zip(done.token_ids[1:], canvas.answer.tokens[1:8], strict=False)
            assert rolled[canvas].num_right == sum(one == other for one, other in right)


def test_blocks_of_another_model_s_answers_are_left_out(
    run: tuple[Trainer, list[Progress]], model: Path, answers: list[Answer]
) -> None:
    trainer, _ = run
    trainer.adapter.save(trainer.folder / "float32", torch.float32)
    other = replace(answers[0], tokens=(answers[0].tokens[0] ^ 1, *answers[0].tokens[1:]))
    with Engine.load(model, profile="exact", adapter=trainer.folder / "float32") as engine:
        begun = [(canvases(each, 8)[0], ConfidenceThreshold(0.5)) for each in (other, answers[0])]
        assert [each.canvas.answer for each in roll(engine, begun)] == [answers[0]]


def test_training_goes_on_where_it_was_stopped(
    model: Path, answers: list[Answer], tmp_path: Path
) -> None:
    def trained(folder: Path, stops: tuple[int, ...]) -> Trainer:
        for stop in stops:
            trainer = draft_trainer(tiny_network(model), config(6), answers, answers[:2], folder)
            assert trainer.resume() == (stop != stops[0])
            with pytest.raises(_Stopped):
                trainer.run(partial(_stop_at, trainer, stop))
        return trainer

    whole = trained(tmp_path / "whole", (6,))
    parts = trained(tmp_path / "parts", (3, 6))
    assert parts.step == whole.step == 6
    for one, other in zip(whole.adapter.parameters(), parts.adapter.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_workers_draw_the_same(model: Path, answers: list[Answer], tmp_path: Path) -> None:
    trained = []
    for workers in (0, 1):
        trainer = draft_trainer(
            tiny_network(model),
            config(3),
            answers,
            answers[:2],
            tmp_path / str(workers),
            workers=workers,
        )
        trainer.run(lambda progress: None)
        trained.append(trainer.adapter)
    for one, other in zip(*(each.parameters() for each in trained), strict=True):
        torch.testing.assert_close(one, other)


def test_training_ends_in_time_and_goes_on_from_an_adapter(
    model: Path, answers: list[Answer], tmp_path: Path
) -> None:
    network, folder = tiny_network(model), tmp_path / "run"
    trainer = draft_trainer(network, config(10_000), answers, answers[:2], folder, seconds=0.5)
    told: list[Progress] = []
    trainer.run(told.append)
    assert 1 <= trainer.step < 10_000
    assert told[-1].judged
    assert told[-1].seconds_left <= 0.0
    after = draft_trainer(network, config(), answers, answers[:2], tmp_path / "after")
    after.start_from(folder / "adapter")
    for one, other in zip(trainer.adapter.parameters(), after.adapter.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def test_what_is_kept_is_a_mean(model: Path, answers: list[Answer], tmp_path: Path) -> None:
    given = replace(config(3), average=2, evaluate_every=1)
    trainer = draft_trainer(tiny_network(model), given, answers, answers[:2], tmp_path)
    learned, kept = [], []

    def note(progress: Progress) -> None:
        learned.append([each.detach().clone() for each in trainer.adapter.tensors().values()])
        saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
        kept.append([saved[name].float() for name in trainer.adapter.tensors()])

    trainer.run(note)
    for first, second, third, mean in zip(*learned, kept[-1], strict=True):
        expected = (first + second) / 2 * (1 - 1 / 2) + third / 2
        torch.testing.assert_close(mean, expected, rtol=2e-3, atol=1e-4)
    assert any(not torch.equal(one, two) for one, two in zip(learned[-1], kept[-1], strict=True))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda loss: loss * torch.nan,
        lambda loss: loss * torch.inf,
        lambda loss: loss + (loss * 0.0).sqrt(),  # whose slope is infinite
    ],
    ids=["not a number", "infinite", "gradient"],
)
def test_a_step_that_is_not_finite_ends_training_and_spoils_nothing(
    model: Path,
    answers: list[Answer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Tensor], Tensor],
) -> None:
    given = replace(config(4), evaluate_every=1)
    trainer = draft_trainer(tiny_network(model), given, answers, answers[:2], tmp_path)
    whole, kept = Drafting.loss, {}

    def spoiled(lesson: Drafting, network: Transformer, packed: Packed) -> tuple[Tensor, Tensor]:
        loss, right = whole(lesson, network, packed)
        return spoil(loss), right

    def report(progress: Progress) -> None:
        kept.update(contents(tmp_path))
        monkeypatch.setattr(Drafting, "loss", spoiled)

    with pytest.raises(ValueError, match=r"step 1: the loss or its gradient is not finite"):
        trainer.run(report)
    assert contents(tmp_path) == kept
    assert {"state.pt", "adapter_model.safetensors"} <= {file.name for file in kept}
    again = draft_trainer(tiny_network(model), given, answers, answers[:2], tmp_path)
    assert again.resume()
    assert again.step == 1
    assert all(each.isfinite().all() for each in again.adapter.parameters())


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_far_too_great_a_learning_rate_is_told(
    model: Path, answers: list[Answer], tmp_path: Path
) -> None:
    given = replace(config(20), learning_rate=1e30, warmup_steps=0)
    trainer = draft_trainer(tiny_network(model), given, answers, answers[:2], tmp_path)
    with pytest.raises(ValueError, match="with a lower learning rate"):
        trainer.run(lambda progress: None)
    assert contents(tmp_path) == {}


def test_answers_that_leave_nothing_to_guess_are_refused(model: Path, tmp_path: Path) -> None:
    """Else steps would be drawn from them for ever."""
    network, open_one = tiny_network(model), random_answer(1, length=4)
    nothing = [replace(open_one, forced="0111"), replace(open_one, tokens=(5,), forced="0")]
    with pytest.raises(ValueError, match=r"no answers to learn from.*that no grammar forces"):
        draft_trainer(network, config(), nothing, [], tmp_path)
    nothing[0] = replace(nothing[0], kind=Kind.TOOL)
    adapter = random_adapter(network)
    packed = Drafting(adapter, config(), [*nothing, open_one], []).draw(0)
    assert packed.num_rows >= config().rows_per_step


def test_a_larger_adapter_goes_on_from_a_smaller_one(model: Path, tmp_path: Path) -> None:
    network = tiny_network(model)
    small = random_adapter(network)
    small.save(tmp_path, torch.float32)
    large = DraftAdapter(network.config, small.rank + 3, 40.0, torch.zeros_like(small.mask_E))
    for up in large.up.values():
        torch.nn.init.ones_(up)
    large.load(tmp_path)
    assert torch.equal(large.mask_E, small.mask_E)
    for place, down in small.down.items():
        expected = small.alpha / small.rank * small.up[place] @ down
        found = large.alpha / large.rank * large.up[place] @ large.down[place]
        torch.testing.assert_close(found, expected)
    large.save(tmp_path)
    with pytest.raises(ValueError, match="does not fit into rank"):
        small.load(tmp_path)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = AdapterTraining(learning_rate=1.0, warmup_steps=10, steps=100, decay=0.5)
    rates = [settings.learning_rate_at(step, step / 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert set(rates[9:51]) == {1.0}
    assert rates[75] == pytest.approx(0.5)
    assert settings.learning_rate_at(100, 1.0) == 0.0
    assert settings.learning_rate_at(50, 1.2) == 0.0


class _Stopped(Exception):
    """Ends a run from its report."""


def _stop_at(trainer: Trainer, last: int, progress: Progress) -> None:
    if progress.step == last:
        trainer.save()
        raise _Stopped


def test_answers_are_kept_and_read_back(answers: list[Answer], tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(each.to_json() + "\n" for each in answers) + '{"source": "cut')
    assert read_answers(file) == answers
    assert begun_answers(file) == answers
    with file.open("a") as opened:  # as the command goes on behind what was cut off
        opened.write(answers[0].to_json() + "\n")
    assert read_answers(file) == [*answers, answers[0]]
    file.write_text('{"source": 1}\n')
    with pytest.raises(ValueError, match=r"answers.jsonl, line 1"):
        read_answers(file)
