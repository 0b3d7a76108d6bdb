"""The pages that explain the project, as tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def blocks_of(page: str) -> list[str]:
    """The Python blocks of a page, named from the project's root."""
    return _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
