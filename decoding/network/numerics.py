"""How a network computes: quick as the library does it, or with rows independent of company."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.attention import PlanAttention, plan_attention
from decoding.network.exact import ExactLinear, pack, silu
from decoding.network.exact_attention import ExactAttention
from decoding.network.linear import Linear, linear_for


@dataclass(frozen=True, slots=True)
class Numerics:
    """The operations whose rounding could depend on the rest of a forward.

    `prepare` is for weights [out, in] that only `linear` will read. Norms and rotations are not
    here: the library's compute each row the same in any company.
    """

    prepare: Callable[[Tensor], Tensor]
    linear: Linear
    plan_attention: PlanAttention
    silu: Callable[[Tensor], Tensor]


ChooseNumerics = Callable[[torch.dtype, torch.device], Numerics]


def plain_numerics(dtype: torch.dtype, device: torch.device) -> Numerics:
    """The library's operations. A row's last bits depend on the rows beside it."""
    return Numerics(_unchanged, linear_for(dtype, device), plan_attention, F.silu)


def exact_numerics(dtype: torch.dtype, device: torch.device) -> Numerics:
    """A row's logits, keys and values are the same bits in whatever forward it is computed.

    It holds for a process that keeps its number of threads. See `decoding.network.exact`.
    """
    return Numerics(pack, ExactLinear(), ExactAttention(), silu)


def _unchanged(weight: Tensor) -> Tensor:
    return weight
