"""The command line, from prompts to an adapter and a sampler that load."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from decoding import BlockDiffusion, Engine
from decoding.modes.trained_sampler import TrainedSampler
from decoding.training import __main__ as command
from decoding.training.answers import read_answers
from decoding.training.blocks import BlockChoice
from decoding.training.config import AdapterTraining
from decoding.training.tasks import Kind, read_instructions
from tests.decoding.training.support import tiny_network


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
    command.main()


def test_from_prompts_to_a_tri_mode_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = tmp_path / "model", tmp_path / "run"
    tiny_network(model)
    prompts = tmp_path / "prompts.jsonl"
    lines = [json.dumps({"instruction": f"say {word}"}) for word in ("one", "two", "three")]
    prompts.write_text("\n".join(lines) + "\n")
    out = tmp_path / "answers.jsonl"
    asked = ["answers", "--model", model, "--out", out, "--max-new-tokens", 20, "--at-once", 4]
    asked += ["--instructions", f"prose:{prompts}", "--own-prompts", 2, "--temperatures", 0]
    run(monkeypatch, *asked)
    answers = read_answers(out)
    assert {each.source for each in answers} == {"prompts", "own"}
    run(monkeypatch, *asked)
    assert read_answers(out) == answers  # nothing is asked twice

    config = tmp_path / "config.json"
    AdapterTraining(
        rank=2, steps=3, rows_per_step=40, blocks=BlockChoice((4,)), evaluate_every=2
    ).write(config)
    trained = ["--answers", out, "--held-out", out, "--folder", folder, "--config", config]
    run(monkeypatch, "adapter", "--model", model, "--dtype", "float32", *trained)
    assert "step 3 of 3" in capsys.readouterr().err

    rounded = ["--model", model, "--dtype", "int8", *trained[:4], "--folder", tmp_path / "rounded"]
    for is_quick in (False, True):
        monkeypatch.setattr(command, "are_int8_products_quick", lambda is_quick=is_quick: is_quick)
        with nullcontext() if is_quick else pytest.raises(SystemExit, match="VNNI"):
            run(monkeypatch, "adapter", *rounded, "--config", config)
    assert (tmp_path / "rounded" / "adapter" / "adapter_model.safetensors").exists()

    calls = tmp_path / "calls"
    shown = ["--demonstrations", out, "--held-out", out, "--folder", calls, "--average", 2]
    limits = ["--rank", 2, "--steps", 2, "--rows-per-step", 40]
    run(monkeypatch, "tools", "--model", model, "--dtype", "float32", *shown, *limits)
    merged = ["--adapter", calls / "adapter", "--out", tmp_path / "merged"]
    run(monkeypatch, "merge", "--model", model, *merged)
    with Engine.load(tmp_path / "merged") as engine:
        assert engine.generate("say five", max_new_tokens=3).stats.new_tokens == 3

    learned = ["--answers", out, "--adapter", folder / "adapter", "--folder", folder]
    run(monkeypatch, "sampler", "--model", model, "--profile", "exact", *learned)

    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("")
    with pytest.raises(SystemExit, match="only 0 states"):
        run(monkeypatch, "sampler", "--model", model, "--answers", nothing, *learned[2:])

    sampler = TrainedSampler.load(folder / "sampler")
    with Engine.load(model, adapter=folder / "adapter") as engine:
        done = engine.generate(
            "say four", mode=BlockDiffusion(4, sampler=sampler), max_new_tokens=12
        )
    assert done.stats.modes["diffusion"] > 0


@pytest.mark.parametrize(
    "line",
    [
        '{"instruction": null, "input": ""}',
        '{"instruction": 3}',
        '{"instruction": "a", "input": 3}',
        '{"input": "a"}',
        '["a"]',
        "{",
    ],
)
def test_a_line_that_is_no_task_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(f'{{"instruction": "a", "input": null}}\n{line}\n')
    read = read_instructions(file, "x", Kind.PROSE)
    assert next(read).messages == (("user", "a"),)
    with pytest.raises(ValueError, match=r"tasks\.jsonl, line 2: a task is an object such as"):
        next(read)
