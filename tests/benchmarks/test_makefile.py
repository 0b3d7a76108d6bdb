"""What `make` would do; nothing is run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_llama_cpp_is_built_where_the_other_peers_are_there_already(tmp_path: Path) -> None:
    def planned(*arguments: str) -> str:
        command = ["make", "-n", "bench-peers", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    bench = tmp_path / ".venv-bench"
    bench.mkdir()
    (bench / ".ready").touch()
    assert "pip install" not in planned()
    assert (
        planned("NATIVE=1").count("pip install")
        == planned("NATIVE=1").count("llama-cpp-python")
        == 1
    )
    (bench / ".native").touch()
    assert "pip install" not in planned("NATIVE=1")
