"""`agentkit serve` as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from agentkit.cli import app, local
from agentkit.models import TestModel

CODE = """
from contextlib import contextmanager
from agentkit.cli import local, main
from agentkit.models import TestModel

@contextmanager
def opened(source, mode, errors):
    yield TestModel()

local.opened = opened
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_it_serves_until_it_is_interrupted() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "serve", "--port", "0"],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as told:
        line = told.readline()
        served = re.search(r"served at (http://127\.0\.0\.1:\d+/v1);", line)
        assert served is not None, line
        models = httpx.get(f"{served[1]}/models", timeout=20).json()["data"]
        assert [each["id"] for each in models] == ["test"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
        assert told.read() == ""


def test_an_address_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "opened", lambda source, mode, errors: nullcontext(TestModel()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert "in use" in result.stderr


def test_a_mode_that_there_is_not() -> None:
    result = CliRunner().invoke(app, ["serve", "--mode", "psychic"])
    assert result.exit_code == 2
    assert "there is no mode 'psychic'" in result.stderr
