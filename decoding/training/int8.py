"""Products in int8, forward and back, with weights that stay as they are.

On a CPU with AVX-512 VNNI they take a quarter of the time that float32 takes, rounding aside; on
others much more.
Rows and their gradients are rounded row by row, weights by output where rows go in and by input
where gradients come back.
Source: SwitchBack, arXiv 2304.13013, section 2; the product that is left in high precision there
is that of the weights' gradient, which frozen weights do not have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.transformer import Transformer

_LARGEST = 127.0
_TINY = 1e-30


def are_int8_products_quick() -> bool:
    """Whether this CPU has instructions for them; False, too, where torch is too old to tell."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_vnni"))


def with_int8_products(network: Transformer) -> Transformer:
    """The same network, its layers' products rounded; the head's and an adapter's are not.

    Raises `ValueError` for a network that is not float32 on a CPU.
    """
    if network.device.type != "cpu" or network.dtype != torch.float32:
        raise ValueError(
            f"int8 products are for float32 on a CPU, not {network.dtype} on {network.device}"
        )
    weights = (
        weight
        for layer in network.parameters.layers
        for weight in (layer.qkv, layer.output, layer.gate_up, layer.down)
    )
    numerics = replace(network.numerics, linear=_RoundedLinear(weights))
    return Transformer(network.config, network.parameters, network.name, network.adapter, numerics)


@dataclass(frozen=True, slots=True)
class _Rounded:
    """A weight [out, in] twice: for rows that go in, and for gradients that come back."""

    forward_IO: Tensor
    scale_O: Tensor
    backward_OI: Tensor
    scale_I: Tensor

    @classmethod
    def of(cls, weight_OI: Tensor) -> "_Rounded":
        by_output_OI, scale_O1 = _rounded(weight_OI)
        by_input_IO, scale_I1 = _rounded(weight_OI.T)
        return cls(
            by_output_OI.T, scale_O1.flatten(), by_input_IO.T.contiguous(), scale_I1.flatten()
        )


class _RoundedLinear:
    """`decoding.network.linear.Linear`, rounded for the weights that it knows."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        # The weights are kept, so that no other comes to lie where one of them was.
        self._weights = {each.data_ptr(): (each, _Rounded.of(each)) for each in weights}

    def __call__(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if weight.data_ptr() not in self._weights:
            return F.linear(rows, weight, bias)
        _, rounded = self._weights[weight.data_ptr()]
        out: Tensor = _Product.apply(rows, rounded)  # type: ignore[no-untyped-call]
        return out if bias is None else out + bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_TI: Tensor, weight: _Rounded) -> Tensor:
        ctx.weight = weight
        return _product(rows_TI, weight.forward_IO, weight.scale_O)

    @staticmethod
    def backward(ctx: Any, grad_TO: Tensor) -> tuple[Tensor, None]:
        weight: _Rounded = ctx.weight
        return _product(grad_TO, weight.backward_OI, weight.scale_I), None


def _product(rows_TI: Tensor, weight_IO: Tensor, scale_O: Tensor) -> Tensor:
    rounded_TI, scale_T1 = _rounded(rows_TI)
    whole_TO = torch._int_mm(rounded_TI, weight_IO)
    return whole_TO.float().mul_(scale_T1).mul_(scale_O)


def _rounded(rows_TI: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and what one of them is worth in each row."""
    scale_T1 = rows_TI.abs().amax(1, keepdim=True).div_(_LARGEST).clamp_(min=_TINY)
    return (rows_TI / scale_T1).round_().to(torch.int8), scale_T1
