"""Every Python block of the README and of two pages runs, as a reader would run it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = ("README.md", "docs/agents.md", "docs/durability.md")
BLOCKS = [
    block for page in PAGES for block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
]


@pytest.mark.embedded
@pytest.mark.timeout(180)
@pytest.mark.parametrize("index", range(len(BLOCKS)))
def test_documented_block(index: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[index], encoding="utf-8")
    # As a file, because tools are described from their source.
    code = compile(BLOCKS[index], str(script), "exec")
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_the_project_speaks_of_files_that_exist() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    )
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    names = re.findall(r"`((?:docs|decoding|agentkit|tools|examples|benchmarks)/[\w/.]+)`", text)
    assert links
    missing = [name for name in (*links, *names) if not (ROOT / name).exists()]
    assert missing == []
