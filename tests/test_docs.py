"""The Python blocks of the README and of the pages in `docs` run, as a reader would run them."""

import re
from pathlib import Path

import pytest

from tests import test_doc_pages

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = (
    "README.md",
    "docs/agents.md",
    "docs/durability.md",
    "docs/index.md",
    "docs/local.md",
    "docs/output.md",
    "docs/steps.md",
    "docs/stopping.md",
    "docs/streaming.md",
)
ELSEWHERE = {
    "docs/testing.md": "tests/agentkit/test_pytest_plugin.py",
    "docs/tools.md": "tests/tools/test_packaging.py",
    "docs/trace.md": "tests/agentkit/trace/test_guide.py",
}
BLOCKS = [
    pytest.param(block, id=f"{page}-{index}")
    for page in PAGES
    for index, block in enumerate(BLOCK.findall((ROOT / page).read_text(encoding="utf-8")))
]


@pytest.mark.embedded
@pytest.mark.timeout(180)
@pytest.mark.parametrize("block", BLOCKS)
def test_documented_block(block: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    # As a file, because tools are described from their source.
    code = compile(block, str(script), "exec")
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_no_block_is_left_out() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    with_blocks = {
        str(page.relative_to(ROOT))
        for page in pages
        if BLOCK.search(page.read_text(encoding="utf-8"))
    }
    alone = [f"docs/{page}.md" for page in test_doc_pages.PAGES]
    assert with_blocks == {*PAGES, *alone, *ELSEWHERE}
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")
