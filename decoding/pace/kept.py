"""Keeps measured costs between processes: one small file per machine, model and way to compute."""

import contextlib
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path

from decoding.native.library import build_id
from decoding.network.base import Network
from decoding.pace.calibration import calibrate
from decoding.pace.cost import Curve, ForwardCost

_WAY = "3"  # of measuring; to be raised when it changes

MeasureCost = Callable[[Network], ForwardCost]
"""Finds out what a network's forwards cost here."""


@dataclass(frozen=True, slots=True)
class KeptCost:
    """A `MeasureCost` that reads what was measured under the same conditions, else measures and
    writes it down.

    `conditions` are what the time of a forward depends on besides the machine, the network and its
    shape, the number of threads, this package's version and the build of the compiled forward.
    `cache_dir` None means the user's cache directory. A file that is damaged is measured anew, one
    that cannot be written is done without; any number of processes may ask at once.
    """

    conditions: tuple[str, ...] = ()
    cache_dir: Path | None = None
    measure: MeasureCost = calibrate

    def __call__(self, network: Network) -> ForwardCost:
        try:
            path = self.path(network)
        except OSError:  # the build's file is gone from the disk: nothing tells it from others
            return self.measure(network)
        kept = _read(path)
        if kept is not None:
            return kept
        cost = self.measure(network)
        with contextlib.suppress(OSError):
            _write(path, cost)
        return cost

    def path(self, network: Network) -> Path:
        """Where the cost of this network is kept."""
        about = (_WAY, *_machine(), *_network(network), *self.conditions)
        digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=12).hexdigest()
        root = user_cache_path("trimode") if self.cache_dir is None else Path(self.cache_dir)
        return root / "costs" / f"{digest}.json"


def _machine() -> tuple[str, ...]:
    try:
        package = version("trimode")
    except PackageNotFoundError:
        package = "source"
    return (
        *(platform.node(), platform.machine(), platform.processor(), str(os.cpu_count())),
        *(str(torch.get_num_threads()), torch.__version__, package, build_id()),
    )


def _network(network: Network) -> tuple[str, ...]:
    # Two models may have one name, so their shapes count, where they tell them.
    shape = (repr(getattr(network, name, None)) for name in ("config", "weight_bytes"))
    return (
        *(network.name, type(network).__name__, str(network.vocab_size)),
        *(str(network.mask_token_id), str(network.has_adapter), *shape),
    )


def _read(path: Path) -> ForwardCost | None:
    """The cost in the file; None where there is none, or none that makes sense."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        draft = found["draft"]
        return ForwardCost(_curve(found["causal"]), None if draft is None else _curve(draft))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _curve(points: Sequence[Sequence[Any]]) -> Curve:
    return Curve(tuple(int(rows) for rows, _ in points), tuple(float(s) for _, s in points))


def _write(path: Path, cost: ForwardCost) -> None:
    """Moves the whole file into place at once, so that nobody reads half of it."""
    curves = {"causal": cost.causal, "draft": cost.draft}
    content = {
        name: None if curve is None else list(zip(curve.rows, curve.seconds, strict=True))
        for name, curve in curves.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
