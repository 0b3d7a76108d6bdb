"""Keys and values as the compiled forward reads them: in pages of 16 positions."""

from ctypes import Array, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

PAGE = 16
"""Positions of a page. Pages of the engine must be multiples of it."""


@dataclass(frozen=True, slots=True)
class PagedStorage:
    """A page P holds keys as [G, D, 16] and values as [G, 16, D] (legend in `decoding.span`)."""

    keys_PGDN: tuple[Tensor, ...]
    values_PGND: tuple[Tensor, ...]
    key_addresses: "Array[c_void_p]"  # of the layers' tensors, for the compiled forward
    value_addresses: "Array[c_void_p]"

    @classmethod
    def allocate(
        cls,
        *,
        num_layers: int,
        num_slots: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
    ) -> "PagedStorage":
        """Reserves whole pages; memory is touched as they are used."""
        num_pages = -(-num_slots // PAGE)

        def layers(*shape: int) -> tuple[Tensor, ...]:
            return tuple(
                torch.empty(num_pages, num_kv_heads, *shape, dtype=dtype) for _ in range(num_layers)
            )

        keys_PGDN, values_PGND = layers(head_dim, PAGE), layers(PAGE, head_dim)
        return cls(keys_PGDN, values_PGND, _addresses(keys_PGDN), _addresses(values_PGND))

    @property
    def num_slots(self) -> int:
        return self.keys_PGDN[0].shape[0] * PAGE

    @property
    def device(self) -> torch.device:
        return self.keys_PGDN[0].device

    @property
    def page_multiple(self) -> int:
        return PAGE

    def copy(self, source: int, target: int, count: int) -> None:
        """Copies `count` slots in every layer, from and to the beginnings of pages. Mutates.

        Whole pages travel; what lies behind the slots asked for means nothing yet.
        """
        assert source % PAGE == target % PAGE == 0, "only the head of a page can be copied"
        pages = -(-count // PAGE)
        for store in (*self.keys_PGDN, *self.values_PGND):
            store[target // PAGE : target // PAGE + pages] = store[
                source // PAGE : source // PAGE + pages
            ]


def _addresses(tensors: tuple[Tensor, ...]) -> "Array[c_void_p]":
    return (c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
