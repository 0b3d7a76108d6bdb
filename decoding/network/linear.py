"""Matrix products at half precision on processors that have no instructions for it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(rows [T, in], weight [out, in], bias [out] or None) -> [T, out]"""

_FEW_ROWS = 4


def linear_for(dtype: torch.dtype, device: torch.device) -> Linear:
    """The quickest product of rows and weights there.

    A CPU without bfloat16 instructions multiplies half-precision matrices row by row: good for
    one row, which only waits for memory, ten times slower than float32 for many.
    """
    half = dtype in (torch.bfloat16, torch.float16)
    is_slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() in (
        "DEFAULT",
        "AVX2",
    )
    return _widened if half and is_slow else F.linear


def _widened(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Widens the weights to float32 for this product, unless the rows are few."""
    if rows.shape[0] <= _FEW_ROWS:
        return F.linear(rows, weight, bias)
    wide = F.linear(rows.float(), weight.float(), None if bias is None else bias.float())
    return wide.to(rows.dtype)
