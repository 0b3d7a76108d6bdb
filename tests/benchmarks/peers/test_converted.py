"""Weights in other formats are made once for each model, and never taken for another's."""

import json
import os
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from benchmarks.peers import onnx_genai, quantised
from benchmarks.peers.base import Model
from tests.decoding.tiny import byte_tokenizer


def write_model(directory: Path, weights: str = "weights") -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (directory / "model.safetensors").write_text(weights, encoding="utf-8")
    return directory


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The files that the model builder was given each time, by name."""
    found: list[dict[str, str]] = []

    def build(command: list[str], **options: Any) -> CompletedProcess[str]:
        source, target = (Path(command[command.index(each) + 1]) for each in ("-i", "-o"))
        found.append({file.name: file.read_text(encoding="utf-8") for file in source.iterdir()})
        (target / "genai_config.json").touch()
        return CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", build)
    return found


def built(directory: Path, cache: Path) -> Path:
    return onnx_genai._built(Model("tiny", directory, None, byte_tokenizer(), cache))


def test_an_onnx_model_is_built_once_for_each_directory(
    tmp_path: Path, seen: list[dict[str, str]]
) -> None:
    one, other = write_model(tmp_path / "one"), write_model(tmp_path / "other", "other")
    cache = tmp_path / "cache"
    first = built(one, cache)
    assert built(one, cache) == first
    assert built(other, cache) != first
    assert [files["model.safetensors"] for files in seen] == ["weights", "other"]
    assert json.loads(seen[0]["config.json"])["architectures"] == ["LlamaForCausalLM"]
    (one / "model.safetensors").write_text("trained further", encoding="utf-8")
    assert built(one, cache) != first
    assert seen[-1]["model.safetensors"] == "trained further"


def test_the_builder_reads_a_directory_that_is_named_from_here(
    tmp_path: Path, seen: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "here")
    built(Path("here"), tmp_path / "cache")
    assert seen[0]["model.safetensors"] == "weights"


def test_nothing_is_left_of_a_view_that_was_made_before(
    tmp_path: Path, seen: list[dict[str, str]]
) -> None:
    directory, cache = write_model(tmp_path / "one"), tmp_path / "cache"
    (built(directory, cache) / "genai_config.json").unlink()
    [view] = cache.glob("onnx-source*")
    (view / "adapter.json").touch()
    built(directory, cache)
    assert seen[1] == seen[0]


def test_a_gguf_file_is_quantised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        quantised, "_write", lambda source, form, target: target.write_text(source.read_text())
    )
    files = [tmp_path / folder / "model.gguf" for folder in ("one", "other")]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    cache = tmp_path / "cache"
    one, other = (quantised.quantised(file, "Q8_0", cache) for file in files)
    assert (one.read_text(), other.read_text()) == ("one", "other")
    assert quantised.quantised(files[0], "Q8_0", cache) == one
    assert quantised.quantised(files[0], "Q4_0", cache) != one
    os.utime(files[0], ns=(0, 0))
    assert quantised.quantised(files[0], "Q8_0", cache) != one
    assert quantised.quantised(files[0], quantised.SHIPPED, cache) == files[0]
