"""The whole comparison on a tiny model, with contenders that cost nothing."""

import io
import json
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import __main__ as main_module
from benchmarks.peers import hf, llama_cpp, llama_cpp_python, onnx_genai
from benchmarks.peers import measure as measure_module
from benchmarks.peers.base import Ask, Conversation, not_installed
from benchmarks.peers.report import table
from benchmarks.peers.tasks import Amount, Workload
from benchmarks.plots.bars import panels, svg
from decoding import Tokenizer
from tests.benchmarks.peers.fakes import Clock, FakePeer
from tests.decoding.checkpoints import save_checkpoint

SCHEMA = {"enum": ["cat", "dog"]}
PEERS = (
    FakePeer("quick", Clock(), text='"cat"'),
    FakePeer("absent", Clock(), reason="absent not installed; pip install absent"),
    FakePeer("without grammars", Clock(), family="transformers", has_grammar=False),
)


def tiny_workloads(tokenizer: Tokenizer, amount: Amount, wheel: Path | None) -> dict[str, Workload]:
    def conversation(first: str) -> Conversation:
        prompt = tokenizer.encode(first)
        longer = [*prompt, *tokenizer.encode("cat, and then")]
        return Ask(tuple(prompt), 12, SCHEMA), Ask(tuple(longer), 5)

    def free(number: int) -> list[Any]:
        return [((Ask(tuple(tokenizer.encode(f"the {number}")), 6),),)]

    def talk(number: int) -> list[Any]:
        return [tuple(conversation(f"a {number} {agent}") for agent in range(amount.agents))]

    return {
        "prose": Workload("prose", "tokens", "here", free, has_schemas=False),
        "concurrent_agents": Workload("concurrent_agents", "tasks", "here", talk, has_schemas=True),
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return _report(tmp_path_factory.mktemp("tiny"), monkeypatch)


def _report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    save_checkpoint("llama", tmp_path)
    monkeypatch.setattr(main_module, "workloads", tiny_workloads)
    monkeypatch.setattr(main_module, "all_peers", lambda: list(PEERS))
    monkeypatch.setattr(main_module, "_ROOM", 64)
    monkeypatch.setattr(measure_module, "_PAUSE_SECONDS", 0.0)
    arguments = ["--model", str(tmp_path), "--json", "--repeats", "2", "--threads", "1"]
    arguments += ["--workloads", "prose", "concurrent_agents", "--peers", "fake", "transformers"]
    arguments += ["--plot", str(tmp_path / "chart.svg")]
    monkeypatch.setattr(sys, "argv", ["peers", *arguments])
    out = io.StringIO()
    with redirect_stdout(out):
        main_module.main()
    found: dict[str, Any] = json.loads(out.getvalue())
    found["chart"] = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    return found


def test_the_report_has_the_promised_shape(report: dict[str, Any]) -> None:
    assert {"machine", "versions", "workloads", "profile", "repeats"} <= report.keys()
    assert report["machine"]["threads"] == 1
    assert "torch" in report["versions"]
    modes = {"autoregressive", "speculation, lookup, 4", "speculation, lookup, 8", "auto"}
    for found in report["workloads"].values():
        assert found["ours"].keys() == modes
        assert found["details"].keys() == found["ours"].keys() | found["peers"].keys()
        assert "pip install absent" in found["left_out"]["absent"]
        assert found["best_ours"] in modes
    prose, agents = report["workloads"]["prose"], report["workloads"]["concurrent_agents"]
    assert prose["peers"].keys() == {"quick", "without grammars"}
    assert agents["peers"].keys() == {"quick"}
    assert "grammars" in agents["left_out"]["without grammars"]
    assert agents["ratio_to_transformers"] is None


def test_our_modes_do_the_same_work_to_its_end(report: dict[str, Any]) -> None:
    prose, agents = report["workloads"]["prose"], report["workloads"]["concurrent_agents"]
    for mode in prose["ours"]:
        assert prose["details"][mode]["tokens_per_task"] == 6
        found = agents["details"][mode]
        assert found["finished"] == found["tasks"] == 16


def test_the_ratio_is_that_of_the_figures(report: dict[str, Any]) -> None:
    prose = report["workloads"]["prose"]
    best = max(prose["ours"].values()), max(prose["peers"].values())
    assert prose["ratio_to_best_peer"] == pytest.approx(best[0] / best[1])
    agents = report["workloads"]["concurrent_agents"]
    ours = max(agents["details"][mode]["tasks_per_second"] for mode in agents["ours"])
    theirs = agents["details"]["quick"]["tasks_per_second"]
    assert agents["ratio_to_best_peer"] == pytest.approx(ours / theirs)


def test_everything_is_closed_again(report: dict[str, Any]) -> None:
    assert not any(peer.is_open for peer in PEERS)


def test_the_chart_shows_every_contender(report: dict[str, Any]) -> None:
    drawn = svg(panels(report))
    for name in ("quick", "speculation, lookup, 8", "prose, tokens per second"):
        assert name in drawn
        assert name in report["chart"]  # matplotlib names in a comment what it draws as paths
    assert drawn.count("<rect") == 1 + sum(
        len(found["details"]) for found in report["workloads"].values()
    )


def test_the_table_tells_what_is_left_out(report: dict[str, Any]) -> None:
    told = table(report)
    assert "left out: absent: absent not installed; pip install absent" in told
    assert len(re.findall(r"^\* ", told, re.MULTILINE)) == 4


@pytest.mark.parametrize("module", [llama_cpp, llama_cpp_python, onnx_genai, hf])
def test_peers_are_named_once_and_say_how_to_get_them(module: Any) -> None:
    peers = module.contenders()
    assert len({peer.name for peer in peers}) == len(peers)
    for peer in peers:
        assert peer.family == module.FAMILY
        assert peer.missing() == "" or "pip install" in peer.missing()


def test_what_is_not_installed_is_named() -> None:
    said = not_installed({"json": "json", "no_such_module": "no-such"}, "pip install no-such")
    assert said == "no-such not installed; pip install no-such"


def test_the_process_starts_anew_unless_told_how_threads_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenMP reads the policy once, when it is loaded. Idle threads stop waiting in a loop soon."""
    started: list[tuple[str, list[str], str | None, str | None]] = []

    def execv(path: str, arguments: list[str]) -> None:
        told = (os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
        started.append((path, arguments, *told))

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")  # so that it is put back
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    main_module.restart_with_patient_threads()
    assert not started
    monkeypatch.delenv("OMP_WAIT_POLICY")
    main_module.restart_with_patient_threads()
    main_module.restart_with_patient_threads()
    assert started == [(sys.executable, sys.orig_argv, "active", "300000")]
