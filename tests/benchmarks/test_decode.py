"""The benchmark beside transformers, on models that it knows and on one that it does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import decode
from decoding import Autoregressive, Completion, Engine
from decoding.testing import ScriptedNetwork
from decoding.weights import EMBEDDED_TOOLS
from tests.decoding.checkpoints import save_checkpoint
from tests.decoding.nemotron import write_nemotron
from tests.decoding.tiny import CHATML, byte_tokenizer

ARGUMENTS = ["--tokens", "3", "--repeats", "1", "--threads", "1"]


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(decode, "PROSE", "a{}")
    monkeypatch.setattr(decode, "CALL", "b{}")
    monkeypatch.setattr("sys.argv", ["decode", *ARGUMENTS, *arguments])
    decode.main()


def test_transformers_is_left_out_where_it_has_no_such_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nemotron(tmp_path, chat_template=CHATML)
    run_main(monkeypatch, "--model", str(tmp_path))
    told = capsys.readouterr().out
    assert "transformers.generate is left out: " in told
    assert "of type 'nemotron_labs_diffusion'" in told
    run_main(monkeypatch, "--model", str(tmp_path), "--json")
    report = json.loads(capsys.readouterr().out)
    assert set(report["results"]) == {"autoregressive", "autoregressive + grammar"}
    assert "nemotron_labs_diffusion" in report["left_out"]["transformers.generate"]


def test_transformers_is_measured_where_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint("llama", tmp_path)
    run_main(monkeypatch, "--model", str(tmp_path), "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["left_out"] == {}
    assert report["results"]["transformers.generate"]["ratio_to_transformers"] == 1.0


def test_every_answer_reads_its_whole_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Completion] = []
    generate = Engine.generate

    def noting(*arguments: Any, **options: Any) -> Completion:
        done.append(generate(*arguments, **options))
        return done[-1]

    monkeypatch.setattr(Engine, "generate", noting)
    engine = Engine(ScriptedNetwork(288), byte_tokenizer(), cache_tokens=16)
    for _ in range(2):
        decode.measure_ours(engine, Autoregressive(), None, 3, 1)
    assert [each.stats.cached_prompt_tokens for each in done] == [0, 0]


def test_the_model_for_tools_is_measured_beside_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint("llama", tmp_path)
    for module in ("benchmarks.options", "decoding.weights"):
        monkeypatch.setattr(f"{module}.tools_directory", lambda *_: tmp_path)
    monkeypatch.setattr("decoding.weights.ASSETS", tmp_path)
    run_main(monkeypatch, "--model", EMBEDDED_TOOLS, "--json")
    assert json.loads(capsys.readouterr().out)["left_out"] == {}
