"""The toolsets stand on agentkit's public names, and agentkit stands without them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agentkit
from tests.documents import ROOT, blocks_of
from tools import calculator, http, python


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every (module, name) that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("package", ["agentkit", "decoding"])
def test_nothing_below_imports_the_toolsets(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert "tools" not in {module.split(".")[0] for module, _ in imports(path)}, path


def test_the_toolsets_use_public_names_only() -> None:
    for path in (ROOT / "tools").rglob("*.py"):
        for module, name in imports(path):
            assert not module.startswith("agentkit."), path
            assert module != "agentkit" or name in agentkit.__all__, path


def test_a_users_own_tools_module_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("raise RuntimeError('the wrong tools')")
    (tmp_path / "script.py").write_text(
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "import agentkit, agentkit.models\n"
        "@agentkit.tool\n"
        "def f(a: int) -> int:\n"
        "    '''Do.\n\n    Args:\n        a: one\n    '''\n"
        "    return a\n"
        "print(f.definition.parameters['properties']['a']['description'])\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("one\n", "")


def test_what_may_be_repeated_after_a_crash() -> None:
    assert calculator.idempotent
    assert all(tool.idempotent for tool in http(["example.com"]))
    programs = python(confined=False, allow_network=True)
    assert not any(tool.idempotent for tool in programs)


def test_the_guide_runs() -> None:
    blocks = blocks_of("docs/tools.md")
    assert len(blocks) == 5
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    if "ConfinementUnavailable" in done.stderr:
        pytest.skip("the kernel cannot confine programs, which the guide asks for")
    assert (done.stdout.splitlines()[1:], done.stderr) == (["7", "Both are 1.1."], "")
