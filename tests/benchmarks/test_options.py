"""Bad settings of the benchmarks are told in a sentence, and every option is explained."""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import (
    acceptance,
    auto,
    decode,
    denoising,
    forward,
    gpu,
    grammar_coverage,
    grammar_fuzz,
    grammar_modes,
    grammar_random,
    large_checkpoint,
    modes,
    numerics,
)
from benchmarks.options import seconds
from benchmarks.peers import __main__ as peers
from benchmarks.tool_use import __main__ as tool_use
from decoding.training.answers import Answer
from decoding.training.tasks import Kind
from tests.decoding.checkpoints import save_checkpoint
from tests.decoding.nemotron import write_nemotron

MAINS: dict[str, Callable[[], None]] = {
    "acceptance": acceptance.main,
    "auto": auto.main,
    "decode": decode.main,
    "denoising": denoising.main,
    "forward": forward.main,
    "gpu": gpu.main,
    "grammar_coverage": grammar_coverage.main,
    "grammar_fuzz": grammar_fuzz.main,
    "grammar_modes": grammar_modes.main,
    "grammar_random": grammar_random.main,
    "large_checkpoint": large_checkpoint.main,
    "modes": modes.main,
    "numerics": numerics.main,
    "peers": peers.main,
    "tool_use": tool_use.main,
}
WHOLE = {
    "acceptance": ["--draws"],
    "auto": ["--threads", "--live", "--blocks", "--tokens", "--rounds"],
    "decode": ["--threads", "--repeats", "--tokens"],
    "denoising": ["--limit", "--block-lengths", "--threads"],
    "forward": ["--threads", "--context", "--repeats"],
    "gpu": ["--concurrency", "--block", "--context", "--repeats", "--seconds"],
    "grammar_coverage": ["--limit"],
    "grammar_fuzz": ["--cases"],
    "grammar_modes": ["--budget", "--block-length"],
    "grammar_random": ["--cases", "--budget"],
    "large_checkpoint": ["--layers", "--tokens", "--block-length", "--threads"],
    "modes": ["--threads", "--blocks", "--tasks", "--tokens", "--repeats", "--cache-tokens"],
    "numerics": ["--threads", "--positions"],
    "peers": ["--threads", "--repeats", "--tokens"],
    "tool_use": ["--limit", "--threads"],
}


@pytest.fixture
def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a benchmark that must refuse, and gives what it says."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            MAINS[name]()
        assert exit_.value.code == 2
        [said] = re.findall(r"^\S+: error: (.*)$", capsys.readouterr().err, re.MULTILINE)
        return said

    return run


class Stopped(Exception):
    """Carries the parser of a benchmark that would have run."""


@pytest.mark.parametrize("name", MAINS)
def test_every_option_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(parser: argparse.ArgumentParser) -> None:
        raise Stopped(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Stopped) as stopped:
        MAINS[name]()
    actions = stopped.value.args[0]._actions
    assert len(actions) >= 3
    assert [action.dest for action in actions if not action.help] == []


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon"])
def test_a_turn_takes_a_time_that_ends(given: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"number|above 0"):
        seconds(given)
    assert seconds("0.5") == 0.5


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, options in WHOLE.items() for option in options]
)
def test_counts_are_positive_whole_numbers(
    name: str, option: str, refusal: Callable[..., str]
) -> None:
    assert refusal(name, option, 0) == f"argument {option}: must be at least 1, not 0"
    assert refusal(name, option, "1.5") == f"argument {option}: '1.5' is not a whole number"


@pytest.mark.parametrize("name", ["auto", "decode", "forward", "modes", "numerics", "peers"])
def test_a_model_that_is_not_there(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert str(tmp_path) in refusal(name, "--model", tmp_path)


def test_modes_that_there_are_not_are_refused(refusal: Callable[..., str]) -> None:
    told = refusal("auto", "--blocks", "4", "--modes", "auto", "lookup 8")
    assert "'lookup 8'" in told
    assert "'lookup 4'" in told
    assert "a fixed mode" in refusal("auto", "--modes", "auto")


def test_settings_of_modes_that_cannot_be(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "'gpu9' is no device" in refusal("modes", "--device", "gpu9")
    assert "temperature" in refusal("modes", "--temperature", "-1")
    save_checkpoint("llama", tmp_path)
    write_nemotron(tmp_path / "diffusion")
    has_mask = refusal("modes", "--model", tmp_path / "diffusion", "--untrained-mask")
    assert "leave --untrained-mask off" in has_mask


def test_a_prompt_beyond_the_context_of_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    save_checkpoint("llama", tmp_path)
    monkeypatch.setattr(decode, "PROSE", "b" * 200)
    monkeypatch.setattr(decode, "why_no_peer", lambda source: "not now")
    said = refusal("decode", "--model", tmp_path, "--tokens", 2, "--repeats", 1)
    assert "context holds 128" in said


def test_peers_and_data_that_are_not_there(tmp_path: Path, refusal: Callable[..., str]) -> None:
    save_checkpoint("llama", tmp_path)
    assert "no peer is called 'lama'" in refusal("peers", "--model", tmp_path, "--peers", "lama")
    wheel = tmp_path / "absent.whl"
    said = refusal("peers", "--model", tmp_path, "--peers", "--bfcl", wheel, "--profile", "exact")
    assert str(wheel) in said


@pytest.mark.parametrize("name", ["grammar_coverage", "grammar_modes", "grammar_random"])
def test_cases_that_are_none(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    file = tmp_path / "cases.jsonl"
    assert str(file) in refusal(name, file)
    file.write_text("", encoding="utf-8")
    assert refusal(name, file) == f"{file} holds no cases"
    file.write_text('{"id": "a", "schema": {}, "tests": []}\nnonsense\n', encoding="utf-8")
    assert f"{file}, line 2 is not JSON" in refusal(name, file)
    file.write_text("[]\n", encoding="utf-8")
    assert f"{file}, line 1 is no object" in refusal(name, file)


def test_blocks_of_grammar_modes_that_cannot_be(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    said = refusal("grammar_modes", tmp_path / "cases.jsonl", "--block-length", 10**6)
    assert "beyond the context" in said


@pytest.mark.parametrize("more", ["", ', "tests": [{"data": 1}]', ', "tests": {}'])
def test_cases_without_tests_do_not_show_what_is_covered(
    more: str, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"id": "a", "schema": {}' + more + "}\n", encoding="utf-8")
    assert f"{file}, line 1 has no tests" in refusal("grammar_coverage", file)


def test_schemas_that_are_all_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"id": "a", "schema": {"type": "no type"}}\n', encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["grammar_random", str(file), "--cases", "3"])
    grammar_random.main()
    assert capsys.readouterr().out.split() == ["refused", "3"]


def test_blocks_that_cannot_be_denoised(tmp_path: Path, refusal: Callable[..., str]) -> None:
    file = tmp_path / "answers.jsonl"
    answer = Answer((1, 2), (3, 4, 5), "000", "here", Kind.PROSE)
    file.write_text(answer.to_json() + "\n", encoding="utf-8")
    blocks = ("denoising", "--answers", file, "--block-lengths")
    assert "take 2 or more" in refusal(*blocks, 1)
    assert "none of the 1 greedy answers" in refusal(*blocks, 2, 4)
    file.write_text("", encoding="utf-8")
    assert "none of the 0 greedy answers" in refusal(*blocks, 2)


def test_a_large_checkpoint_without_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    def full(path: Path, size: large_checkpoint.Size) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(large_checkpoint, "write_checkpoint", full)
    assert "No space left on device" in refusal("large_checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_numerics_go_no_further_than_the_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint("llama", tmp_path)
    monkeypatch.setattr(numerics, "SPANS", (64,))
    arguments = ["--model", str(tmp_path), "--positions", "9999", "--threads", "1", "--json"]
    monkeypatch.setattr("sys.argv", ["numerics", *arguments])
    numerics.main()
    found = json.loads(capsys.readouterr().out)
    assert found["positions"] == 128
    assert [each["profile"] for each in found["results"]] == list(numerics.PROFILES)
    reference, *others = found["distances"]
    assert (reference["profile"], reference["largest"]) == (numerics.REFERENCE, 0.0)
    assert len(others) == 3


def test_forwards_of_every_profile_and_number_of_threads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refusal: Callable[..., str],
) -> None:
    write_nemotron(tmp_path)
    monkeypatch.setattr(forward, "ROWS", (1, 3))
    arguments = ["--model", str(tmp_path), "--context", "20", "--repeats", "2", "--json"]
    threads = torch.get_num_threads()
    try:
        monkeypatch.setattr("sys.argv", ["forward", *arguments])
        forward.main()
    finally:
        torch.set_num_threads(threads)
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(each["profile"], each["threads"], each["rows"]) for each in results] == [
        (profile, count, rows)
        for profile in ("exact", "fast")
        for count in (1, 2)
        for rows in (1, 3)
    ]
    assert all(0 < each["least"] <= each["median"] for each in results)
    assert "takes at most 253" in refusal("forward", "--model", tmp_path, "--context", 254)
