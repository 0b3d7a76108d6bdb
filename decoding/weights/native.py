"""From a checkpoint to the compiled forward, where it can take it."""

import logging
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from decoding.errors import WeightsError
from decoding.native.library import NativeUnavailable, library
from decoding.native.packing import packs_exactly
from decoding.native.transformer import NativeTransformer, Precision, why_unsupported
from decoding.network.numerics import Numerics, plain_numerics
from decoding.weights.checkpoint import read_network

_LOG = logging.getLogger(__name__)
_SAMPLE_ROWS = 8
_ROUNDED = "its weights would be rounded to 8 bits, which only profile='fast' does"
_CPU = torch.device("cpu")


def read_native(
    directory: Path, *, name: str, adapter: Path | None, precision: Precision
) -> NativeTransformer | None:
    """The network on the compiled forward; None where that was not built or lacks something.

    With `Precision.FINE` also None where a weight is not equal, bit for bit, to what is packed
    of it: then the network would not be the one that was published. An adapter is packed to
    8 bits in any case. Raises `WeightsError`, also for weights that are not finite.
    """
    network, reason = _read(directory, name, adapter, precision)
    if network is None:
        _LOG.warning("%s is decoded on torch alone, several times slower: %s", name, reason)
    return network


def _read(
    directory: Path, name: str, adapter: Path | None, precision: Precision
) -> tuple[NativeTransformer | None, str]:
    """The network, or why there is none."""
    try:
        library()
    except NativeUnavailable as unavailable:
        return None, str(unavailable)
    fine = precision is Precision.FINE
    try:
        if fine and not packs_exactly(_sample(directory, name)):
            return None, _ROUNDED
        dtype = torch.float32 if fine else None
        plain = read_network(directory, dtype=dtype, device=_CPU, name=name, adapter=adapter)
        reason = why_unsupported(plain.config)
        if reason:
            return None, reason
        network = NativeTransformer(plain.config, plain.parameters, name, plain.adapter, precision)
    except ValueError as error:
        raise WeightsError(str(error), directory) from None
    return (network, "") if network.is_exact or not fine else (None, _ROUNDED)


class _Sampled(Exception):
    def __init__(self, weight: Tensor) -> None:
        self.weight = weight


def _sample(directory: Path, name: str) -> Tensor:
    """A few rows of the first weight, which tell most checkpoints whose weights would be rounded.

    Nothing behind it is read.
    """

    def stop(weight: Tensor) -> NoReturn:
        raise _Sampled(weight[:_SAMPLE_ROWS])

    def stopping(dtype: torch.dtype, device: torch.device) -> Numerics:
        plain = plain_numerics(dtype, device)
        return Numerics(stop, plain.linear, plain.plan_attention, plain.silu)

    try:
        read_network(directory, dtype=torch.float32, device=_CPU, name=name, numerics=stopping)
    except _Sampled as sampled:
        return sampled.weight
    raise AssertionError("a network without weights")
