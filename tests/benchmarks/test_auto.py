"""The benchmark of `Auto` at a size that takes a moment."""

import json
import statistics
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from benchmarks import auto
from decoding import Auto, Engine
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import COST, TOKENIZER, VOCAB


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes about a millisecond, whatever else this machine does."""
    random, now = Random(5), [0.0]

    def tell() -> float:
        now[0] += random.uniform(0.5e-3, 1.5e-3)
        return now[0]

    monkeypatch.setattr(auto, "time", SimpleNamespace(perf_counter=tell))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("mask_token_id", [None, TOKENIZER.mask_token_id])
def test_every_mode_that_the_network_can_do_has_its_points(mask_token_id: int | None) -> None:
    network = ScriptedNetwork(VOCAB, mask_token_id=mask_token_id)
    engine = Engine(network, TOKENIZER, cache_tokens=16)
    points = auto.measure(
        *(engine, COST, auto.cases([4]), "alternating", [1, 2]),
        tokens=8,
        rounds=2,
        seconds=0.015,  # answers end in it
        temperature=0.7,
    )
    modes = ["autoregressive", "lookup 4", "self-speculation 4", "diffusion 4", "auto"]
    if mask_token_id is None:
        modes.remove("diffusion 4")
    assert [point.mode for point in points] == modes * 2
    assert [point.live for point in points] == [1] * len(modes) + [2] * len(modes)
    for point in points:
        assert point.tokens_per_second > 0
        assert point.to_best > 0
        assert bool(point.decisions) == (point.mode == "auto")
    for live in (1, 2):
        fixed = [each for each in points if each.live == live and each.mode != "auto"]
        best = max(fixed, key=lambda each: each.tokens_per_second)
        assert best.to_best == 1.0
        for each in points:
            assert (each.to_best_error == 0.0) == (each is best) or each.live != live
    table = auto.as_table(points)
    assert all(mode in table for mode in modes)
    args = auto.options().parse_args([])
    assert len(json.loads(auto.as_json(args, COST, points))["results"]) == len(points)


def test_what_was_decided_to_warm_up_does_not_count() -> None:
    engine = Engine(ScriptedNetwork(VOCAB), TOKENIZER, cache_tokens=16)
    load = auto.Load(engine, COST, Auto(), "prose", 2, tokens=8, temperature=0.7)
    for _ in range(500):  # some answers end in the meantime
        load.run(1e-9)
    decided = load.point("auto", load).decisions
    load.forget()
    load.run(1e-9)
    assert len(load.turns) == 1
    assert sum(load.point("auto", load).decisions.values()) < sum(decided.values()) / 10


def test_without_a_fixed_mode_that_the_network_can_do_nothing_is_measured() -> None:
    engine = Engine(ScriptedNetwork(VOCAB), TOKENIZER, cache_tokens=16)
    modes = auto.chosen(auto.cases([4]), ["diffusion 4", "auto"])
    with pytest.raises(ValueError, match=r"scripted can do auto: name a fixed mode"):
        auto.measure(
            *(engine, COST, modes, "prose", [1]),
            tokens=4,
            rounds=1,
            seconds=0.01,
            temperature=0.0,
        )


def test_the_error_is_how_much_such_medians_scatter() -> None:
    random = Random(3)
    samples = [[random.gauss(1.0, 0.1) for _ in range(25)] for _ in range(2000)]
    assert auto._error_of_median([1.0]) is None
    scatter = statistics.stdev(map(statistics.median, samples))
    errors = [auto._error_of_median(each) or 0.0 for each in samples]
    assert statistics.mean(errors) == pytest.approx(scatter, rel=0.1)


def test_a_plot_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(auto, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["auto", "--plot", "--model", "no such model"])
    with pytest.raises(SystemExit):
        auto.main()
    assert "trimode[bench]" in capsys.readouterr().err


def test_a_plot_is_drawn_or_says_what_it_needs(tmp_path: Path) -> None:
    points = [
        auto.Point("tool", mode, 1, 2.0, 1.0, 1.0, 0.0, {}) for mode in ("autoregressive", "auto")
    ]
    file = tmp_path / "plots" / "auto.svg"
    if find_spec("matplotlib") is None:
        with pytest.raises(ValueError, match=r"trimode\[bench\]"):
            auto.draw(points, file)
        return
    auto.draw(points, file)
    assert "<svg" in file.read_text(encoding="utf-8")
