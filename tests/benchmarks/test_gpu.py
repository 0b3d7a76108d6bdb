"""The GPU benchmark at toy size on the CPU: that it runs, counts right, and notices mistakes."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from benchmarks import gpu
from benchmarks.gpu_network import random_transformer, weight_bytes
from benchmarks.gpu_times import Settings, crossover, throughput
from benchmarks.nemotron_shapes import SIZES, TOY
from decoding.network import captured

CPU = torch.device("cpu")
PARTS = {"one", "compiled", "concurrency", "attention", "correctness"}


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", "--toy", "--repeats", "1", *arguments])
    gpu.main()


def test_every_part_at_toy_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(monkeypatch, "--json", "--concurrency", "1", "2")
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert "toy: 2 sequences" in told.err
    assert report["left_out"] == []
    parts = report["results"]["toy"]
    assert set(parts) == PARTS
    checked = parts["correctness"]
    assert checked["is_right"]
    assert checked["float32"]["others_changed"] == 0
    assert checked["texts"]["equal_tokens"] > 0
    assert parts["one"]["share_of_floor"] == pytest.approx(
        parts["one"]["floor_ms"] / parts["one"]["captured_ms"]["ar"]
    )
    assert parts["concurrency"]["sequences"] == [1, 2]
    assert set(parts["compiled"]["ms"]) == {"ar", "draft", "verify"}
    assert max(parts["compiled"]["errors"].values()) < 0.05
    assert set(parts["concurrency"]["crossover"]) == {"3", "6", "9"}
    assert set(parts["attention"]["1"]) == {"folded", "grouped", "multiplied"}
    table = gpu.as_table(report)
    assert "captured equals plain: yes" in table
    assert "draft + verify over one step" in table
    assert "autoregressive overtakes 6 tokens per cycle" in table


def test_a_wrong_forward_is_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def all_visible(positions_BN: Tensor, _: Tensor, num_keys: int, window: int | None) -> Tensor:
        return torch.ones(*positions_BN.shape, num_keys, dtype=torch.bool)

    monkeypatch.setattr(captured, "visible_keys", all_visible)
    with pytest.raises(SystemExit, match="toy: captured forwards are wrong"):
        run_main(monkeypatch, "--parts", "correctness")
    assert "captured equals plain: NO" in capsys.readouterr().out


def test_a_part_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compile_nothing(_: object, backend: str) -> None:
        raise RuntimeError(f"no {backend} here\nlong story")

    monkeypatch.setattr(torch, "compile", compile_nothing)
    with pytest.raises(SystemExit, match="toy: compiled failed"):
        run_main(monkeypatch, "--parts", "compiled", "one")
    told = capsys.readouterr().out
    assert "compiled: failed, RuntimeError: no eager here\n" in told
    assert "draft + verify over one step" in told


def test_what_time_does_not_allow_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.Clock, "allows", lambda clock, what: clock.left_out.append(what))
    run_main(monkeypatch)
    assert "left out: toy: weights" in capsys.readouterr().out


def test_too_little_memory_ends_the_climb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step_times = gpu.step_times

    def short(*arguments: Any) -> dict[str, float]:
        if arguments[3] > 1:
            raise torch.OutOfMemoryError
        return step_times(*arguments)

    monkeypatch.setattr(gpu, "step_times", short)
    run_main(monkeypatch, "--parts", "concurrency", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["left_out"] == ["toy: 2 sequences (OutOfMemoryError)"]
    assert report["results"]["toy"]["concurrency"]["sequences"] == [1]


def test_only_too_little_memory_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any) -> dict[str, float]:
        raise RuntimeError("an illegal instruction")

    monkeypatch.setattr(gpu, "step_times", broken)
    with pytest.raises(SystemExit, match="toy: concurrency failed"):
        run_main(monkeypatch, "--parts", "concurrency")
    assert "an illegal instruction" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "torch sees no GPU here" in capsys.readouterr().err


def test_settings_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_main(monkeypatch, "--block", "9", "--context", "8")
    assert "--block must not be longer" in capsys.readouterr().err
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run_main(monkeypatch, "--plot", "a.png")
    assert "--plot needs matplotlib" in capsys.readouterr().err


def test_a_plot_has_a_line_per_way_to_decode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    axis, figure = MagicMock(), MagicMock()
    pyplot = ModuleType("matplotlib.pyplot")
    pyplot.subplots = lambda *_, **__: (figure, [[axis]])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "matplotlib", ModuleType("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    monkeypatch.setattr(gpu, "find_spec", lambda name: SimpleNamespace())
    file = str(tmp_path / "plot.png")
    run_main(monkeypatch, "--parts", "concurrency", "--plot", file)
    labels = [call.kwargs["label"] for call in axis.plot.call_args_list]
    assert labels == ["ar", "3 per cycle", "6 per cycle", "9 per cycle"]
    figure.savefig.assert_called_once_with(file)


# --- the arithmetic


def test_weights_are_those_of_the_models() -> None:
    parameters = {"3b": 3_831_659_520, "8b": 8_489_553_920, "14b": 13_506_073_600}
    for label, count in parameters.items():
        size = SIZES[label]
        read = weight_bytes(size, torch.bfloat16)
        assert read == 2 * (count - size.vocab * size.hidden), label


def test_weights_are_all_read_but_the_embedding_and_the_adapter() -> None:
    held = random_transformer(TOY, torch.float32, CPU).parameters
    layers = [
        tensor
        for layer in held.layers
        for tensor in (
            layer.attention_norm_E,
            layer.qkv,
            layer.output,
            layer.mlp_norm_E,
            layer.gate_up,
            layer.down,
        )
    ]
    read = sum(each.nbytes for each in (*layers, held.norm_E, held.head_VE))
    assert weight_bytes(TOY, torch.float32) == read


def times(*steps: tuple[float, float]) -> dict[int, dict[str, float]]:
    """(step, cycle) at 1, 2, 4, ... sequences."""
    return {
        2**at: {"ar": step, "draft": cycle / 4, "verify": cycle * 3 / 4}
        for at, (step, cycle) in enumerate(steps)
    }


def test_where_autoregressive_decoding_overtakes() -> None:
    rising = times((1.0, 2.0), (1.0, 2.0), (1.0, 4.5), (1.0, 9.0))
    assert crossover(rising, 1) == 0.0
    assert crossover(rising, 3) == pytest.approx(2 * 2**0.5)  # from 3/2 to its inverse
    assert crossover(rising, 10) is None
    assert crossover(times((1.0, 3.0), (1.0, 6.0)), 3) == pytest.approx(1.0)


def test_throughput_counts_all_sequences() -> None:
    rates = throughput(times((2.0, 4.0), (4.0, 10.0)), Settings().acceptance)
    assert rates["ar"] == [500.0, 500.0]
    assert rates["6 per cycle"] == [1500.0, 1200.0]
