"""The guide to traces: its code runs, its table says what the page says."""

import re
from pathlib import Path

import pytest

from agentkit.trace.words import ORIGINS

GUIDE = (Path(__file__).parents[3] / "docs" / "trace.md").read_text(encoding="utf-8")


@pytest.mark.embedded
@pytest.mark.timeout(180)
def test_its_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(block, "trace.md", "exec"), {"__name__": "__main__"})
    assert re.fullmatch(r"\d+ tokens, \d+ forwards, \d+ letters\n", capsys.readouterr().out)


def test_its_table_has_every_mark() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| (.*) \|$", GUIDE, re.MULTILINE)
    assert [name for name, _ in rows[1:]] == [name for name, _ in ORIGINS.values()]
