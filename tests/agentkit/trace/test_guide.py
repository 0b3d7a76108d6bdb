"""The guide to traces: its table says what the page says."""

import re
from pathlib import Path

from agentkit.trace.words import ORIGINS

GUIDE = (Path(__file__).parents[3] / "docs" / "trace.md").read_text(encoding="utf-8")


def test_its_table_says_of_every_mark_what_the_page_says() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| (.*) \|$", GUIDE, re.MULTILINE)
    assert rows[1:] == list(ORIGINS.values())
