"""The fixtures and settings do in a project of somebody else's what they promise."""

import pytest

from agentkit.models import ScriptedModel
from agentkit.testing import check_remote_allowed
from tests.documents import blocks_of

pytest_plugins = ["pytester"]

SCRIPT = """
import pytest
from agentkit import Agent
from agentkit.testing import RemoteModelForbidden, check_remote_allowed

def test_used_up(scripted_model):
    assert Agent(scripted_model(["one"])).run_sync("go").output == "one"

def test_left_over(scripted_model):
    assert Agent(scripted_model(["one", "two"])).run_sync("go").output == "one"

def test_fails_anyhow(scripted_model):
    scripted_model(["one"])
    assert False

def test_forbidden(no_remote_models):
    with pytest.raises(RemoteModelForbidden):
        check_remote_allowed("m")

def test_plain():
    check_remote_allowed("m")

@pytest.mark.remote_models
def test_marked():
    check_remote_allowed("m")
"""


@pytest.mark.parametrize("forbid", [False, True])
def test_in_another_project(pytester: pytest.Pytester, forbid: bool) -> None:
    pytester.makepyfile(SCRIPT)
    pytester.makeini(f"[pytest]\nagentkit_forbid_remote_models = {str(forbid).lower()}\n")
    result = pytester.runpytest_inprocess(
        "-p", "agentkit.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers", "-rA"
    )
    result.assert_outcomes(passed=4 if forbid else 5, failed=2 if forbid else 1, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "ERROR test_in_another_project.py::test_left_over - AssertionError: 1 of 2*",
            "FAILED test_in_another_project.py::test_fails_anyhow*",
        ]
    )
    plain = "FAILED" if forbid else "PASSED"
    result.stdout.fnmatch_lines_random([f"{plain} test_in_another_project.py::test_plain*"])
    check_remote_allowed("nothing stays forbidden behind a run")


def test_the_guide_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_guide="\n".join(blocks_of("docs/testing.md")))
    result = pytester.runpytest_inprocess("-p", "agentkit.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)


def test_a_script_is_checked_without_the_plugin_too() -> None:
    with pytest.raises(AssertionError, match="1 of 1 scripted turns"), ScriptedModel(["one"]):
        pass
