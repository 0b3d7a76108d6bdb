"""The benchmark of large checkpoints at toy size: what it times, and that it leaves nothing."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import large_checkpoint
from benchmarks.nemotron_shapes import TOY
from decoding import Auto, Completion, Engine


def test_forwards_are_timed_without_calibrating_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[bool] = []
    generate = Engine.generate

    def noting(engine: Engine, *arguments: Any, **options: Any) -> Completion:
        if isinstance(options["mode"], Auto):
            calibrated.append(engine._pace.is_measured)
        return generate(engine, *arguments, **options)

    monkeypatch.setattr(Engine, "generate", noting)
    monkeypatch.setattr("decoding.pace.kept.user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report = large_checkpoint.run(TOY, 4, 4)
    assert calibrated == [True]
    assert list(report["modes"])[-1] == "auto"
    assert all(row["tokens"] > 0 for row in report["modes"].values())
    assert list(tmp_path.iterdir()) == []
