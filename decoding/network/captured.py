"""Forwards recorded once per shape and replayed, so that a GPU never waits for Python.

A forward of one row launches some twenty kernels per layer, each of which takes longer to
launch than to run. See `docs/adr/0007-captured-forwards.md`.
"""

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.storage import KVStorage, Storage
from decoding.draft_head import DraftHead
from decoding.network.adapter import Gate
from decoding.network.attention import Attend
from decoding.network.base import Network
from decoding.network.buckets import Bucket, Buckets
from decoding.network.config import NetworkConfig
from decoding.network.padded_attention import PlanPadded, folded, visible_keys
from decoding.network.padding import NUM_SCRATCH, PaddedInputs, Scratch
from decoding.network.replay import Record, Run, recorder_for
from decoding.network.transformer import Inputs, RunLayer, Transformer
from decoding.ngrams import NgramTable
from decoding.span import ForwardBatch


class CapturedNetwork:
    """A `Network` that computes what its `Transformer` does, up to rounding.

    A forward that fits a bucket is padded to it, recorded the first time, and replayed. Any
    other, among them every long prefill, is the transformer's own. The head runs behind a
    replay and over the rows asked for: its launches hide behind the layers' work.

    What is recorded holds for one storage, which this network must have allocated, and goes
    when that goes. `num_replayed` and `num_plain` count the forwards of each kind.

    `run_layer` stands in for the transformer's own layer; `torch.compile` of it fuses what lies
    between the products.
    """

    def __init__(
        self,
        transformer: Transformer,
        *,
        buckets: Buckets = Buckets(),
        attention: PlanPadded = folded,
        record: Record | None = None,
        run_layer: RunLayer | None = None,
    ) -> None:
        self._transformer = transformer
        self._buckets = buckets
        self._attention = attention
        self._record = record or recorder_for(transformer.device)
        self._run_layer = run_layer
        self._captured: WeakKeyDictionary[KVStorage, dict[Bucket, _Captured]] = WeakKeyDictionary()
        self.num_replayed = 0
        self.num_plain = 0

    @property
    def config(self) -> NetworkConfig:
        return self._transformer.config

    @property
    def name(self) -> str:
        return self._transformer.name

    @property
    def vocab_size(self) -> int:
        return self._transformer.vocab_size

    @property
    def max_positions(self) -> int:
        return self._transformer.max_positions

    @property
    def mask_token_id(self) -> int | None:
        return self._transformer.mask_token_id

    @property
    def has_adapter(self) -> bool:
        return self._transformer.has_adapter

    @property
    def ngrams(self) -> NgramTable | None:
        return self._transformer.ngrams

    @property
    def draft_head(self) -> DraftHead | None:
        """None: guesses would have to come from the device."""
        return None

    @property
    def hidden_RE(self) -> NDArray[np.float32] | None:  # noqa: N802 - an array's name
        return None

    def recorded(self, storage: KVStorage) -> tuple[Bucket, ...]:
        """The buckets whose forwards are recorded for a storage."""
        return tuple(self._captured.get(storage, ()))

    def allocate_cache(self, num_slots: int) -> KVStorage:
        """As `Network.allocate_cache`, with scratch slots behind."""
        storage = self._transformer.allocate_cache(num_slots, NUM_SCRATCH)
        for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
            store_SGD[num_slots:] = 0
        return storage

    @torch.inference_mode()
    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        """See `Network.forward`."""
        assert isinstance(storage, KVStorage)
        bucket = self._buckets.choose(batch)
        if bucket is None or (bucket.adapter and not self.has_adapter):
            self.num_plain += 1
            return self._transformer.forward(batch, storage)
        self.num_replayed += 1
        captured = self._captured_for(bucket, storage)
        rows_R = captured.inputs.fill(batch)
        return self._transformer.read(captured.run(self._record), rows_R)

    def _captured_for(self, bucket: Bucket, storage: KVStorage) -> "_Captured":
        buckets = self._captured.setdefault(storage, {})
        if bucket not in buckets:
            inputs = PaddedInputs(bucket, Scratch.of(storage), self._transformer.device)
            # A copy, or what is recorded would keep alive the storage it should go with.
            layers = self._layers(bucket, inputs, replace(storage))
            buckets[bucket] = _Captured(inputs, layers)
        return buckets[bucket]

    def _layers(self, bucket: Bucket, padded: PaddedInputs, storage: KVStorage) -> Run:
        """What is recorded: from the inputs' numbers to `hidden_TE`."""
        transformer = self._transformer
        shape = bucket.num_sequences, bucket.num_rows

        def run() -> Tensor:
            positions_T, slots_BL = padded.positions_T.long(), padded.slots_BL.long()
            attends: dict[int | None, Attend] = {}
            for window in transformer.windows:
                visible_BNL = visible_keys(
                    positions_T.view(shape), padded.last_T.view(shape), bucket.num_keys, window
                )
                attends[window] = self._attention(
                    slots_BL, visible_BNL, transformer.heads, transformer.dtype
                )
            gate = Gate(padded.gates_T[:, None].to(transformer.dtype)) if bucket.adapter else None
            inputs = Inputs(
                padded.token_ids_T.long(), positions_T, padded.slots_T.long(), attends, gate
            )
            return transformer.encode(inputs, storage, self._run_layer)

        return run


class _Captured:
    """A bucket's inputs and its layers, recorded when they first run."""

    def __init__(self, inputs: PaddedInputs, layers: Run) -> None:
        self.inputs = inputs
        self._layers = layers
        self._replay: Run | None = None

    def run(self, record: Record) -> Tensor:
        """`hidden_TE` of what the inputs hold; valid until any bucket's next run."""
        if self._replay is None:
            # Only now, because recording runs the layers: the inputs must name real slots.
            self._replay = record(self._layers)
        return self._replay()


def captured_on_gpu(network: Network) -> Network:
    """The network itself, or around it what replays its forwards where the device can."""
    if isinstance(network, Transformer) and network.device.type == "cuda":
        return CapturedNetwork(network)
    return network
