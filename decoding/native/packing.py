"""Weights in the layout that the compiled forward reads (see `kernels/linear.hpp`)."""

import mmap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from decoding.native import library

GROUP = 32
_ALIGNMENT = 64
_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """A weight [outputs, inputs] in groups of 32 inputs, both widths padded to multiples of 32.

    `is_exact` says whether the packed numbers are the weight's, bit for bit. `bias` is padded,
    float32, None for none.
    """

    outputs: int
    inputs: int
    bits: int
    packed: Tensor
    bias: Tensor | None
    is_exact: bool

    def structure(self) -> library.Linear:
        """For the compiled forward; valid as long as this object lives."""
        bias = None if self.bias is None else self.bias.data_ptr()
        return library.Linear(self.outputs, self.inputs, self.bits, 0, self.packed.data_ptr(), bias)


class Arena:
    """Memory for packed weights, side by side in large pages where the system has them.

    A forward reads every weight once; in small pages a fifth of the time goes into finding them.
    """

    def __init__(self, chunk_bytes: int = 1 << 26) -> None:
        self._chunk_bytes = chunk_bytes
        self._free = torch.empty(0, dtype=torch.uint8)

    def allocate(self, size: int) -> Tensor:
        """Zeroed bytes that begin at a multiple of 64."""
        if size > self._free.numel():
            memory = mmap.mmap(-1, max(size, self._chunk_bytes), flags=_PRIVATE)
            if _HUGE_PAGES is not None:
                with suppress(OSError):  # of a kernel that has none
                    memory.madvise(_HUGE_PAGES)
            self._free = torch.frombuffer(memory, dtype=torch.uint8)
        taken, self._free = self._free[:size], self._free[-(-size // _ALIGNMENT) * _ALIGNMENT :]
        return taken


def pack(
    weight: Tensor, bias: Tensor | None, arena: Arena, *, widths: Sequence[int] = (4, 8)
) -> PackedLinear:
    """Packs [outputs, inputs] to 4 bits where that loses nothing, else to the nearest 8.

    Weights that were dequantised from GGUF's Q4_0, Q4_1 or Q8_0 lose nothing. Raises
    `ValueError` for infinities, NaN and numbers beyond those of half precision times 127.
    """
    packed, bits, is_exact = _packed(weight, widths)
    return _kept(packed, bits, is_exact, weight, bias, arena)


def pack_roughly(weight: Tensor, arena: Arena) -> PackedLinear:
    """Packs [outputs, inputs] to 4 bits, whatever that loses. Raises `ValueError` as `pack`."""
    packed, is_exact = _in_bits(weight, 4, rough=True)
    return _kept(packed, 4, is_exact, weight, None, arena)


def _kept(
    packed: Tensor, bits: int, is_exact: bool, weight: Tensor, bias: Tensor | None, arena: Arena
) -> PackedLinear:
    outputs, inputs = weight.shape
    padded_bias = None
    if bias is not None:
        padded_bias = torch.zeros(padded(outputs))
        padded_bias[:outputs] = bias.detach()
    kept = arena.allocate(packed.numel()).copy_(packed)
    return PackedLinear(padded(outputs), padded(inputs), bits, kept, padded_bias, is_exact)


def packs_exactly(weight: Tensor) -> bool:
    """Whether packing loses nothing of [outputs, inputs]. Raises `ValueError` as `pack` does."""
    return _packed(weight, (4, 8))[2]


def _packed(weight: Tensor, widths: Sequence[int]) -> tuple[Tensor, int, bool]:
    """The bytes, their bits per number, and whether they are exact; the first width that is."""
    for bits in widths:
        packed, is_exact = _in_bits(weight, bits, rough=False)
        if is_exact:
            break
    return packed, bits, is_exact


def _in_bits(weight: Tensor, bits: int, *, rough: bool) -> tuple[Tensor, bool]:
    rows = weight.detach().to("cpu", torch.float32).contiguous()
    outputs, inputs = rows.shape
    lib = library.library()
    packed = torch.empty(lib.trimode_packed_bytes(outputs, inputs, bits), dtype=torch.uint8)
    answer = lib.trimode_pack(rows.data_ptr(), outputs, inputs, bits, rough, packed.data_ptr())
    if answer < 0:
        raise ValueError("a weight is infinite, not a number, or too large to be packed")
    return packed, bool(answer)


def padded(width: int) -> int:
    """The next multiple of a group."""
    return -(-width // GROUP) * GROUP
