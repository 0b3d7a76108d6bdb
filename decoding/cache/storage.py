"""The tensors that hold keys and values. Who owns which slot is decided in `pages`."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Storage(Protocol):
    """What the cache needs of a network's storage: slots, one token each, numbered from 0."""

    @property
    def num_slots(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def copy(self, source: int, target: int, count: int) -> None:
        """Copies `count` slots in every layer; both begin pages and do not overlap. Mutates."""
        ...


@dataclass(frozen=True, slots=True)
class LayerCache:
    """Keys and values of one layer."""

    keys_SGD: Tensor
    values_SGD: Tensor

    def write(self, slots_T: Tensor, keys_TGD: Tensor, values_TGD: Tensor) -> None:
        """Stores the rows' keys and values at their slots. Mutates."""
        self.keys_SGD.index_copy_(0, slots_T, keys_TGD)
        self.values_SGD.index_copy_(0, slots_T, values_TGD)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class KVStorage:
    """Keys and values of every layer, one row per slot (shape legend in `decoding.span`).

    Each of `keys_SGD` and `values_SGD` holds one [S, G, D] tensor per layer. Memory is
    reserved at construction and touched by the operating system only as slots are used.
    The last `num_scratch` slots belong to the network that allocated them, and to no page.
    """

    keys_SGD: tuple[Tensor, ...]
    values_SGD: tuple[Tensor, ...]
    num_scratch: int = 0

    @classmethod
    def allocate(
        cls,
        *,
        num_layers: int,
        num_slots: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        num_scratch: int = 0,
    ) -> "KVStorage":
        """Reserves uninitialised storage; a slot is meaningful only once it was written."""

        def layers() -> tuple[Tensor, ...]:
            shape = (num_slots + num_scratch, num_kv_heads, head_dim)
            return tuple(torch.empty(shape, dtype=dtype, device=device) for _ in range(num_layers))

        return cls(layers(), layers(), num_scratch)

    @property
    def num_slots(self) -> int:
        """Slots for tokens; the scratch slots lie behind them."""
        return self.keys_SGD[0].shape[0] - self.num_scratch

    def layer(self, index: int) -> LayerCache:
        return LayerCache(self.keys_SGD[index], self.values_SGD[index])

    @property
    def device(self) -> torch.device:
        return self.keys_SGD[0].device

    def write(self, layer: int, slots_T: Tensor, keys_TGD: Tensor, values_TGD: Tensor) -> None:
        """Stores the rows' keys and values at their slots. Mutates."""
        self.layer(layer).write(slots_T, keys_TGD, values_TGD)

    def copy(self, source: int, target: int, count: int) -> None:
        """Copies `count` slots in every layer. The two ranges must not overlap. Mutates."""
        for store_SGD in (*self.keys_SGD, *self.values_SGD):
            store_SGD[target : target + count] = store_SGD[source : source + count]
