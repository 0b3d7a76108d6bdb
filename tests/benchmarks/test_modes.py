"""The benchmark of the modes: its figures, its rows, and what it says of models that cannot."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import modes
from benchmarks.modes import Row, cases, figures, measure
from benchmarks.workloads import WORKLOADS, Task
from decoding import Engine, Grammar, Origin, Purpose, Sampling
from decoding.testing import ScriptedNetwork
from tests.decoding.checkpoints import save_checkpoint
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
SCHEMA = {"type": "array", "items": {"enum": ["cat", "dog"]}, "minItems": 2, "maxItems": 2}
TASKS = (Task("ab", "s", Grammar.json_schema(SCHEMA)), Task("abcabc", "s"))


def scripted_rows(mask_token_id: int | None, blocks: Sequence[int] = (4,)) -> list[Row]:
    def open_engine() -> Engine:
        network = ScriptedNetwork(288, mask_token_id=mask_token_id)
        return Engine(network, TOKENIZER, cache_tokens=512)

    return list(
        measure(
            open_engine,
            cases(blocks),
            "mixed",
            TASKS,
            sampling=Sampling(temperature=0.7, seed=0),
            tokens=24,
            repeats=1,
        )
    )


def test_every_mode_has_a_row_and_only_diffusion_changes_the_text() -> None:
    rows = scripted_rows(TOKENIZER.mask_token_id, (4, 8))
    assert [row.block for row in rows] == [0, 4, 4, 4, 4, 8, 8, 8, 8, 0]
    for row in rows:
        assert row.figures is not None
        if row.label != "block diffusion":
            assert row.figures.same == row.figures.tasks == 2
            assert row.figures.tokens == rows[0].figures.tokens  # type: ignore[union-attr]
        assert row.figures.tokens_per_second > 0
        assert row.figures.ratio > 0
    assert any(row.figures is not None and row.figures.same < 2 for row in rows)


def test_what_a_model_cannot_do_is_listed_with_the_reason() -> None:
    refused = {row.label: row.unsupported for row in scripted_rows(None) if row.figures is None}
    assert refused.keys() == {
        "speculation, diffusion",
        "speculation, combined",
        "block diffusion",
    }
    assert len(set(refused.values())) == 1
    assert all("mask token" in reason for reason in refused.values())


def test_a_block_beyond_the_context_is_listed_too() -> None:
    rows = scripted_rows(TOKENIZER.mask_token_id, (5000,))
    assert [row.figures is None for row in rows] == [False, True, True, True, True, False]


def test_figures_are_those_of_the_completions() -> None:
    engine = Engine(ScriptedNetwork(288, mask_token_id=269), TOKENIZER, cache_tokens=512)
    mode = cases([4])[1].mode
    samples = [
        modes.Sample.of(
            engine.generate([1, 2, each], mode=mode, grammar=task.grammar, max_new_tokens=20)
        )
        for each, task in enumerate(TASKS)
    ]
    found = figures([samples], [samples])
    records = [record for sample in samples for record in sample.completion.records]
    spent = [forward for sample in samples for forward in sample.completion.forwards]
    assert found.tokens == len(records)
    assert found.forced == sum(record.origin is Origin.FORCED for record in records) > 0
    assert found.accepted == sum(record.origin is Origin.ACCEPTED for record in records) > 0
    assert found.forwards == len(spent)
    verifies = sum(forward.purpose is Purpose.VERIFY for forward in spent)
    assert found.accepted_per_verify == found.accepted / verifies
    assert found.tokens_per_forward == found.tokens / found.forwards
    assert found.ratio == 1.0
    behind_the_prompt = sum(sample.tokens for sample in samples)
    assert 0 < behind_the_prompt < found.tokens


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(modes, "WORKLOADS", {"mixed": TASKS})
    common = ["--tasks", "2", "--tokens", "24", "--repeats", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["modes", *common, *arguments])
    modes.main()


def test_it_runs_on_a_checkpoint_with_an_untrained_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint("llama", tmp_path)
    run_main(monkeypatch, "--model", str(tmp_path), "--json", "--untrained-mask", "--blocks", "4")
    report = json.loads(capsys.readouterr().out)
    assert report["untrained_mask"] is True
    found = {row["label"]: row["figures"] for row in report["results"]}
    assert len(found) == 6
    for label, row in found.items():
        assert row["same"] == 2 or label == "block diffusion"
        assert row["drafted"] > 0 or label in ("autoregressive", "block diffusion")


def test_the_table_names_what_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint("llama", tmp_path)
    run_main(monkeypatch, "--model", str(tmp_path))
    out = capsys.readouterr()
    labels = "speculation, diffusion; speculation, combined; block diffusion"
    assert f"unsupported ({labels}): " in out.out
    assert out.out.count("no mask token") == 1
    assert "speculation, lookup" in out.out
    assert "mixed: round 1 of 1 done" in out.err


@pytest.mark.parametrize("as_json", [True, False])
def test_a_task_beyond_the_context_is_left_out_and_named(
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_checkpoint("llama", tmp_path)
    long = Task("a" * 200, "s")
    monkeypatch.setattr(modes, "WORKLOADS", {"mixed": (TASKS[0], long), "long": (long,)})
    arguments = ["--model", str(tmp_path), "--tokens", "24", "--repeats", "1", "--threads", "1"]
    workloads = ["--workloads", "mixed", "long"]
    monkeypatch.setattr(sys, "argv", ["modes", *arguments, *workloads, *["--json"] * as_json])
    modes.main()
    out = capsys.readouterr().out
    if not as_json:
        mixed, rest = out.split("\n\n", 1)
        assert "task 2 is too long for this model and left out: the prompt has" in mixed
        assert "all tasks are too long" in rest
        assert "all tasks are too long" not in mixed
        return
    for row in json.loads(out)["results"]:
        if row["workload"] == "long" or row["unsupported"]:
            assert row["figures"] is None
        else:
            assert row["figures"]["tasks"] == 1
        [[number, reason]] = row["too_long"]
        assert number == (2 if row["workload"] == "mixed" else 1)
        assert "context holds 128" in reason


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_has_tasks_and_only_tools_a_grammar(name: str) -> None:
    assert len(WORKLOADS[name]) >= 3
    assert all((task.grammar is not None) == (name == "tool") for task in WORKLOADS[name])


def test_a_call_with_nested_arguments_fits_the_grammar() -> None:
    grammar = WORKLOADS["tool"][0].grammar
    assert grammar is not None
    place = {"city": "Lisbon", "code": "LIS"}
    arguments = {
        "origin": place,
        "destination": place | {"code": "CPH"},
        "passengers": {"adults": 2, "children": 1},
        "cabin": "economy",
    }
    call = json.dumps({"name": "search_flights", "arguments": arguments}, separators=(",", ":"))
    assert grammar.accepts(call, TOKENIZER)
    assert not grammar.accepts(call.replace("LIS", "Lis"), TOKENIZER)
