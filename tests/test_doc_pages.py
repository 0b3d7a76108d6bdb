"""The Python blocks of the pages in `docs` run, each by itself, as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = ("embedding", "models", "telemetry")
BLOCKS = [
    pytest.param(block, id=f"{page}-{index}")
    for page in PAGES
    for index, block in enumerate(
        BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    )
]


@pytest.mark.timeout(180)  # some pages import torch, in a process of their own
@pytest.mark.parametrize("block", BLOCKS)
def test_block(block: str, tmp_path: Path) -> None:
    # As a file, because tools are described from their source; in a process of its own, because
    # some of what a page shows is set up once per process.
    script = tmp_path / "block.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{block}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
