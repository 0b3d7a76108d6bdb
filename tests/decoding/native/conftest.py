"""The builds of the compiled forward that run here."""

import ctypes

import pytest

from decoding.native import library

_BUILDS = {
    path.split("/")[-1].split(".")[0]: each for each in library.builds() if (path := each._name)
}


@pytest.fixture(scope="package", params=list(_BUILDS) or [pytest.param("", marks=pytest.mark.skip)])
def build(request: pytest.FixtureRequest) -> ctypes.CDLL:
    return _BUILDS[request.param]
