"""The main example, as `make demo` runs it, on the embedded weights."""

import json
import re
import sqlite3
from contextlib import closing

import anyio
import pytest
from jsonschema import Draft202012Validator

from examples.bike_shop.__main__ import QUESTIONS, main
from examples.bike_shop.shop import DATABASE, TOOLS, customers_in, orders_of, price
from tests.decoding.embedded import share_weights

CALL = re.compile(r"^→ (\w+) (\{.*\})$", re.MULTILINE)


@pytest.mark.embedded
@pytest.mark.timeout(240)
def test_questions_are_answered_by_valid_calls(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    share_weights(monkeypatch)
    questions = QUESTIONS[::3]
    anyio.run(main, questions)
    shown = capsys.readouterr().out
    schemas = {tool.name: tool.parameters for tool in TOOLS}
    calls = CALL.findall(shown)
    assert len(calls) > len(questions)
    for name, arguments in calls:
        Draft202012Validator(schemas[name]).validate(json.loads(arguments))
    for question in questions:
        assert question in shown
    for kind in ("plan", "act", "answer"):
        assert f"{kind} · self-speculation · " in shown
    assert shown.count(" per forward · ") >= 2 * len(questions)


def test_the_tools_answer_from_the_database() -> None:
    assert price("helmet") == "49.9 euros"
    assert customers_in("Oslo") == "2 customers: Emil Hansen, Nora Berg"
    assert orders_of("Maria Rossi") == "1 helmet, 2 front light"


def test_the_database_is_what_its_script_makes() -> None:
    script = DATABASE.with_suffix(".sql").read_text(encoding="utf-8")
    with (
        closing(sqlite3.connect(":memory:")) as made,
        closing(sqlite3.connect(f"{DATABASE.as_uri()}?mode=ro", uri=True)) as shipped,
    ):
        made.executescript(script)
        assert list(made.iterdump()) == list(shipped.iterdump())
