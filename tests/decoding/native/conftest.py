"""The builds of the compiled forward that run here; without any, these tests are skipped."""

import ctypes
from pathlib import Path

import pytest

from decoding.native import library

_BUILDS = {Path(build._name).name.split(".")[0]: build for build in library.builds()}


@pytest.fixture(scope="package", autouse=True)
def compiled() -> None:
    if not _BUILDS:
        pytest.skip("the compiled forward was not built")


@pytest.fixture(scope="package", params=list(_BUILDS))
def build(request: pytest.FixtureRequest) -> ctypes.CDLL:
    return _BUILDS[request.param]
