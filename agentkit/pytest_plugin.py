"""A plugin of pytest's: a script that must be used up, and no model over the network.

Loaded by pytest wherever this package is installed. The fixtures:

- `scripted_model(turns)` makes a `ScriptedModel`; a test that passes without having used the
  whole script fails after all.
- `no_remote_models` forbids models that use the network, for one test.

`agentkit_forbid_remote_models = true` among pytest's settings forbids them in all tests, except
those with the mark `remote_models`.
"""

from collections.abc import Callable, Generator, Iterator, Sequence

import pytest

from agentkit.models.guard import allow_remote_models, forbid_remote_models
from agentkit.models.scripted import ScriptedModel, ScriptedTurn

FORBID = "agentkit_forbid_remote_models"
MARK = "remote_models"

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(FORBID, "Tests must not use models over the network.", "bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: may use models over the network, {FORBID} or not")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if item.get_closest_marker(MARK) is not None:
        with allow_remote_models():
            return (yield)
    if item.config.getini(FORBID):
        with forbid_remote_models():
            return (yield)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = not report.passed
    return report


@pytest.fixture
def scripted_model(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[Sequence[ScriptedTurn]], ScriptedModel]]:
    """Makes models from scripts, each of which must be used up by the end of the test."""
    models: list[ScriptedModel] = []

    def make(turns: Sequence[ScriptedTurn]) -> ScriptedModel:
        models.append(ScriptedModel(turns))
        return models[-1]

    yield make
    if not request.node.stash.get(_failed, True):  # a test that failed has said why
        for model in models:
            model.assert_consumed()


@pytest.fixture
def no_remote_models() -> Iterator[None]:
    """Models that use the network raise `RemoteModelForbidden` in this test."""
    with forbid_remote_models():
        yield
