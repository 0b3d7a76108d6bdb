"""The benchmark beside transformers, on models that it knows and on one that it does not."""

import json
from pathlib import Path

import pytest

from benchmarks import decode
from tests.decoding.checkpoints import save_checkpoint
from tests.decoding.nemotron import write_nemotron
from tests.decoding.tiny import CHATML

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
