"""Fixtures for every test: async tests run under asyncio and under trio."""

import gc
import os
from collections.abc import Iterator

# Before torch is imported, here and in the processes that tests start: threads that wait for
# each other at every layer stall wherever another process is busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Servers of the tests are on the loopback, whatever proxy the others go through.
os.environ["NO_PROXY"] = "127.0.0.1"

import pytest
from hypothesis import HealthCheck, settings

# Under the name by which pytest finds it where the package is installed.
pytest_plugins = ["agentkit.pytest_plugin"]

# The suite tries the same examples each time, so that a change is judged by what it changes.
# The scripts in `benchmarks` try new ones. A busy machine is no fault of a test's.
settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="session")
def brief_calibrations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each engine with `Auto` would measure forwards for two seconds, to the same end. What was
    measured so is not kept for others."""
    kept = tmp_path_factory.mktemp("costs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("decoding.pace.calibration._ROUNDS", 1)
        patch.setattr("decoding.pace.kept.user_cache_path", lambda _: kept)
        yield


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_collection_finish() -> None:
    """What is imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run the embedded weights come first: they take longest, and a worker that
    began one of them last would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("embedded")}
    items.sort(key=lambda item: item.path not in slow)
