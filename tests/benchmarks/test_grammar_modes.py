"""What the benchmark of grammars in every mode counts where a mode gives no answer."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import grammar_modes
from decoding import BudgetTooSmall, Engine

OPTIONS = {"budget": 40, "block_length": 4, "seed": 0}


def run(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(json.dumps({"id": "a", "schema": {"enum": ["cat", "dog"]}}), encoding="utf-8")
    grammar_modes.run(Namespace(cases=cases, **OPTIONS))


def failing(error: Exception, *modes: str) -> Any:
    generate_many = Engine.generate_many

    def generate(engine: Engine, requests: Any) -> Any:
        if requests[0].mode.name in modes:
            raise error
        return generate_many(engine, requests)

    return generate


def test_answers_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    assert "equals autoregressive 1" in capsys.readouterr().out


def test_no_two_answers_are_not_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail = failing(BudgetTooSmall(40), "autoregressive", "self-speculation")
    monkeypatch.setattr(Engine, "generate_many", fail)
    run(tmp_path)
    told = capsys.readouterr().out
    assert told.count("no closing path 1") == 2
    assert "valid 1" in told
    assert "equals autoregressive" not in told
    assert "DIFFERS" not in told


def test_a_mistake_of_ours_is_no_missing_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = failing(ValueError("a mistake"), "diffusion")
    monkeypatch.setattr(Engine, "generate_many", fail)
    with pytest.raises(ValueError, match="a mistake"):
        run(tmp_path)
