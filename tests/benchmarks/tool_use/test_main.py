"""The benchmark of tool use on a network that costs nothing."""

from argparse import Namespace
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import bfcl
from benchmarks.tool_use import __main__ as main_module
from decoding import Engine
from decoding.testing import ScriptedNetwork
from tests.benchmarks.tool_use.test_formats import ENTRY
from tests.decoding.tiny import byte_tokenizer


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_form_finds_in_the_cache_what_another_has_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(source: str, **options: Any) -> Engine:
        return Engine(ScriptedNetwork(288, max_positions=6000), byte_tokenizer(), cache_tokens=16)

    asked = {str(number): replace(ENTRY, question=f"{number}: Wash a cup.") for number in range(4)}
    monkeypatch.setattr(bfcl, "entries", lambda category, wheel: asked)
    monkeypatch.setattr(main_module, "SIZES", {"simple_python": 2})
    monkeypatch.setattr(Engine, "load", load)
    one, same = await main_module.run(
        Namespace(
            categories=["simple_python"],
            format=["json", "json"],
            model="scripted",
            profile="exact",
            wheel=None,
            limit=None,
            development=False,
        )
    )
    assert one.questions == 2
    assert 0 < one.cached_tokens < one.prompt_tokens  # what all questions begin with
    assert replace(same, seconds=one.seconds) == one
