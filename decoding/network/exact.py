"""Products whose rows do not depend on their company: the arithmetic of the exact profile.

A matrix product of k rows may add up each row in another order than a product of one row, and
the last bits differ: enough to flip a near-tie between a draft's verification and plain
decoding. Here a row comes out the same, bit for bit, whatever shares its product.

On a CPU the weights are packed once for oneDNN, whose kernels add up each row on its own in the
order of the packed weight. Elsewhere the rows are padded to at least a fixed count, below which
libraries switch to other kernels.

Neither is taken on trust. What is assumed is only that the order of the sums in a product
follows from its shapes, the layout of the weight and the number of threads, never from values
or time. Then one trial decides for all data: the first time a count of rows meets a shape of
weight, distinct random rows at every place of such a product are compared with the same rows
on their own. A count that fails is cut into counts that pass, in the end into single rows at
the first place of a padded product, where nothing is left to differ.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""rows [..., T, in] -> [..., T, out]"""

ALONE = 0
"""Instead of a count of rows: none passes, each row needs a product of its own."""

_LEAST = 16  # rows of a product with a weight that is not packed
_MOST = 512
_FALLBACKS = (64, 16, 4, 1)
_PACKED_FOR = 16  # a hint to oneDNN; for one row it would not block the weight
_NUM_PATTERNS = 4
_REORDER = "mkldnn::_reorder_linear_weight"


def pack(weight: Tensor) -> Tensor:
    """The weight [out, in] in the layout `ExactLinear` is quickest with; a copy, or itself."""
    packs = weight.device.type == "cpu" and weight.dtype is torch.float32
    if not packs or not _onednn():
        return weight
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_FOR)
    return packed


def _onednn() -> bool:
    return torch._C._has_mkldnn and torch._C._dispatch_has_kernel_for_dispatch_key(_REORDER, "CPU")


class ExactLinear:
    """A `decoding.network.linear.Linear` for packed and plain weights.

    Holds what its trials found, by shape of weight. The weights of one shape must share the
    layout: contiguous, or from `pack`.
    """

    def __init__(self) -> None:
        self._sizes: dict[tuple[object, ...], int] = {}

    def __call__(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product = partial(_multiply, weight, bias)
        num_rows = rows.shape[0]
        size = self._size(num_rows, weight, bias)
        if size == num_rows:
            return product(rows)
        if size == ALONE:
            return torch.cat([_first(product, row, _least(weight)) for row in torch.split(rows, 1)])
        if num_rows < size:
            return product(padded(rows, size))[:num_rows]
        return torch.cat([self(piece, weight, bias) for piece in torch.split(rows, size)])

    def _size(self, num_rows: int, weight: Tensor, bias: Tensor | None) -> int:
        """Rows per product: at least so many, however few are wanted, or `ALONE`."""
        key = (num_rows, weight.shape, weight.is_mkldnn, bias is None, torch.get_num_threads())
        size = self._sizes.get(key)
        if size is None:
            size = self._sizes[key] = self._find_size(num_rows, weight, bias)
        return size

    def _find_size(self, num_rows: int, weight: Tensor, bias: Tensor | None) -> int:
        least = _least(weight)
        wanted = min(max(num_rows, least), _MOST)
        if num_rows == 0 or wanted == 1:
            return num_rows
        product = partial(_multiply, weight, bias)
        patterns = random_patterns((1, weight.shape[1]), weight)
        for count in (wanted, *(size for size in _FALLBACKS if least <= size < wanted)):
            if agrees(product, patterns, count, least):
                return count
        return ALONE


def _least(weight: Tensor) -> int:
    return 1 if weight.is_mkldnn else _LEAST


def _multiply(weight: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
    if not weight.is_mkldnn:
        return F.linear(rows, weight, bias)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return out


def agrees(product: Product, patterns: Sequence[Tensor], count: int, least: int) -> bool:
    """Whether in a product of `count` row groups each comes out as on its own.

    A group is a pattern [..., rows, in]; patterns take turns. On its own means first in a
    product of `least` groups that are otherwise zero.
    """
    turns = [index % len(patterns) for index in range(count)]
    alone = [_first(product, pattern, least) for pattern in patterns]
    together = product(torch.cat([patterns[turn] for turn in turns], dim=-2))
    return torch.equal(together, torch.cat([alone[turn] for turn in turns], dim=-2))


def random_patterns(shape: Sequence[int], like: Tensor) -> list[Tensor]:
    """The same for the same shape. Of the other tensor's dtype, on its device."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(*shape, generator=generator).to(like.device, like.dtype)
        for _ in range(_NUM_PATTERNS)
    ]


def _first(product: Product, group: Tensor, least: int) -> Tensor:
    num_rows = group.shape[-2]
    return product(padded(group, least * num_rows))[..., :num_rows, :]


def padded(rows: Tensor, num_rows: int) -> Tensor:
    """The rows [..., T, in] with zeros behind them, `num_rows` in all."""
    return F.pad(rows, (0, 0, 0, num_rows - rows.shape[-2]))


def silu(gate: Tensor) -> Tensor:
    """x * sigmoid(x). The library's own rounds the ends of a tensor differently on a CPU."""
    return gate / (1.0 + torch.exp(-gate))
