"""From a checkpoint to the compiled forward, where it can take it."""

from pathlib import Path

import torch
from torch import Tensor

from decoding.native.library import NativeUnavailable, library
from decoding.native.packing import packs_exactly
from decoding.native.transformer import NativeTransformer, Precision, why_unsupported
from decoding.network.numerics import Numerics, plain_numerics
from decoding.weights.checkpoint import read_network

_SAMPLE_ROWS = 8


class _Inexact(Exception):
    """A weight would be rounded."""


def read_native(
    directory: Path, *, name: str, adapter: Path | None, precision: Precision
) -> NativeTransformer | None:
    """The network on the compiled forward; None where that was not built or lacks something.

    With `Precision.FINE` also None where a weight is not equal, bit for bit, to what is packed
    of it: then the network would not be the one that was published. Raises `WeightsError`.
    """
    try:
        library()
    except NativeUnavailable:
        return None
    fine = precision is Precision.FINE
    try:
        plain = read_network(
            directory,
            dtype=torch.float32 if fine else None,
            device=torch.device("cpu"),
            name=name,
            adapter=adapter,
            numerics=_refusing if fine else plain_numerics,
        )
    except _Inexact:
        return None
    if why_unsupported(plain.config):
        return None
    network = NativeTransformer(plain.config, plain.parameters, name, plain.adapter, precision)
    return network if network.is_exact or not fine else None


def _refusing(dtype: torch.dtype, device: torch.device) -> Numerics:
    """Gives up at the first weight that would be rounded, rather than reading all of them."""
    plain = plain_numerics(dtype, device)
    return Numerics(_exact_or_refused, plain.linear, plain.plan_attention, plain.silu)


def _exact_or_refused(weight: Tensor) -> Tensor:
    if not packs_exactly(weight[:_SAMPLE_ROWS]):
        raise _Inexact
    return weight
