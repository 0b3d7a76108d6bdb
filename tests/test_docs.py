"""Every Python block of a page that has any runs, as a reader would run it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.decoding.embedded import share_weights
from tests.documents import ROOT, blocks_of

HERE = (
    "README.md",
    "docs/agents.md",
    "docs/durability.md",
    "docs/embedding.md",
    "docs/index.md",
    "docs/local.md",
    "docs/output.md",
    "docs/steps.md",
    "docs/stopping.md",
    "docs/streaming.md",
    "docs/trace.md",
)
# These set up what a process has once, or use frameworks that leave event loops behind.
APART = ("docs/models.md", "docs/telemetry.md")
# Their blocks are one program, or tests: tests/tools/test_packaging.py and
# tests/agentkit/test_pytest_plugin.py run them.
ELSEWHERE = ("docs/tools.md", "docs/testing.md")


def blocks(*pages: str) -> list[object]:
    return [
        pytest.param(block, id=f"{Path(page).stem}-{index}")
        for page in pages
        for index, block in enumerate(blocks_of(page))
    ]


@pytest.mark.embedded
@pytest.mark.timeout(180)
@pytest.mark.parametrize("block", blocks(*HERE))
def test_documented_block(
    block: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share_weights(monkeypatch)
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    # As a file, because tools are described from their source.
    code = compile(block, str(script), "exec")
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("block", blocks(*APART))
def test_documented_block_in_its_own_process(block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{block}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_no_page_is_left_out() -> None:
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if blocks_of(page)} == {*HERE, *APART, *ELSEWHERE} - {
        "README.md"
    }
