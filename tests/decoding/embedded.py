"""The embedded model, read once for all tests of a process."""

from functools import cache

import pytest

from decoding import Engine
from decoding.engine import Profile
from decoding.weights import EMBEDDED, Loaded, load


def embedded_engine(
    profile: Profile = "exact", *, cache_tokens: int = 4096, max_live: int = 64
) -> Engine:
    """An engine of its own, with a cache of its own, on weights that all share."""
    with pytest.MonkeyPatch.context() as patch:
        share_weights(patch)
        return Engine.load(EMBEDDED, profile=profile, cache_tokens=cache_tokens, max_live=max_live)


def share_weights(patch: pytest.MonkeyPatch) -> None:
    """From here on engines of the embedded model are made without reading its weights again."""
    patch.setattr("decoding.engine.load", _shared)


def _shared(source: str, **options: object) -> Loaded:
    if source != EMBEDDED:
        return load(source, **options)  # type: ignore[arg-type]
    return _loaded(tuple((name, each) for name, each in options.items() if name != "progress"))


@cache
def _loaded(options: tuple[tuple[str, object], ...]) -> Loaded:
    return load(EMBEDDED, **dict(options))  # type: ignore[arg-type]
