"""A forward's numbers padded to a bucket, at addresses that never change."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.storage import KVStorage
from decoding.network.buckets import Bucket
from decoding.network.replay import Staging
from decoding.span import Attention, ForwardBatch

NUM_SCRATCH = 2


@dataclass(frozen=True, slots=True)
class Scratch:
    """Two slots behind those of the pages.

    `sink` takes the keys and values of padding rows and is never read by any other row. `blank`
    is read in place of keys that a sequence does not have, and holds zeros: what a mask hides
    must still be a number.
    """

    sink: int
    blank: int

    @classmethod
    def of(cls, storage: KVStorage) -> "Scratch":
        if storage.num_scratch != NUM_SCRATCH:
            raise ValueError(
                f"the storage has {storage.num_scratch} scratch slots, not {NUM_SCRATCH}; "
                "let the network that runs the forward allocate it"
            )
        return cls(storage.num_slots, storage.num_slots + 1)


class PaddedInputs:
    """One bucket's inputs. `fill` writes a forward into them; the tensors stay where they are.

    Row n of sequence b is row b * N + n; a sequence's own rows come first. Padding rows stand
    at its last position and see what the last row sees; rows of padding sequences see the
    blank slot.
    """

    def __init__(self, bucket: Bucket, scratch: Scratch, device: torch.device) -> None:
        shape = bucket.num_sequences, bucket.num_rows
        num_rows = bucket.num_sequences * bucket.num_rows
        num_keys = bucket.num_sequences * bucket.num_keys
        self._scratch = scratch
        self._staging = Staging(6 * num_rows + num_keys, device)
        sizes = [num_rows] * 6 + [num_keys]
        host = [part.numpy() for part in torch.split(self._staging.host_X, sizes)]
        there = torch.split(self._staging.device_X, sizes)
        self._host = _Host(
            token_ids=host[0].reshape(shape),
            positions=host[1].reshape(shape),
            slots=host[2].reshape(shape),
            last=host[3].reshape(shape),
            gates=host[4].reshape(shape),
            rows=host[5],
            keys=host[6].reshape(bucket.num_sequences, bucket.num_keys),
        )
        self.token_ids_T, self.positions_T, self.slots_T = there[:3]
        self.last_T, self.gates_T, self._rows = there[3:6]
        self.slots_BL = there[6].view(bucket.num_sequences, bucket.num_keys)

    def fill(self, batch: ForwardBatch) -> Tensor:
        """Sends the forward to the device. Returns `rows_R`, counted in padded rows.

        The batch must fit the bucket. Mutates; `rows_R` holds until the next call.
        """
        self._staging.wait()
        padded_T = self._host.write(batch, self._scratch)
        num_read = batch.num_read
        self._host.rows[:num_read] = padded_T[batch.rows_R]
        self._staging.send()
        return self._rows[:num_read]


Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Host:
    """Views of the staging buffer: [B, N], but `rows` [B * N] and `keys` [B, L]."""

    token_ids: Numbers
    positions: Numbers
    slots: Numbers
    last: Numbers
    gates: Numbers
    rows: Numbers
    keys: Numbers

    def write(self, batch: ForwardBatch, scratch: Scratch) -> Numbers:
        """All but `rows`. Returns the padded row of each row."""
        for part in (self.token_ids, self.positions, self.last, self.gates):
            part.fill(0)
        self.slots.fill(scratch.sink)
        self.keys.fill(scratch.blank)
        token_ids, positions, slots = batch.token_ids_T, batch.positions_T, batch.slots_T
        padded_T = np.empty(len(token_ids), dtype=np.int32)
        num_rows = self.token_ids.shape[1]
        for at, segment in enumerate(batch.segments):
            count, end = segment.num_rows, segment.start + segment.num_rows
            own = slice(segment.first_row, segment.first_row + count)
            self.token_ids[at, :count] = token_ids[own]
            self.positions[at] = self.last[at] = end - 1
            self.positions[at, :count] = positions[own]
            if segment.attention is Attention.CAUSAL:
                self.last[at, :count] = positions[own]
            self.slots[at, :count] = slots[own]
            self.gates[at] = segment.adapter
            self.keys[at, :end] = _numbers(segment.slots_L)
            padded_T[own] = np.arange(at * num_rows, at * num_rows + count)
        return padded_T


def _numbers(slots_L: slice | Tensor) -> NDArray[np.int64]:
    if isinstance(slots_L, slice):
        return np.arange(slots_L.start, slots_L.stop)
    numbers: NDArray[np.int64] = slots_L.numpy()
    return numbers
