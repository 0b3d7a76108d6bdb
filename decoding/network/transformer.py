"""One lean decoder-only transformer for the whole Llama family.

Vaswani et al. 2017 with RMSNorm (arXiv 1910.07467), SwiGLU (arXiv 2002.05202), rotary positions
and grouped-query attention (arXiv 2305.13245). What differs between the families is in
`NetworkConfig`; a part a family lacks is None in the parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.storage import KVStorage, Storage
from decoding.draft_head import DraftHead
from decoding.network.adapter import NO_ADAPTER, Adapter, LayerAdapter, LowRank, Rows
from decoding.network.attention import Attend, HeadShape
from decoding.network.config import NetworkConfig
from decoding.network.numerics import Numerics, plain_numerics
from decoding.network.rope import RotaryEmbedding, Rotation
from decoding.ngrams import NgramTable
from decoding.span import ForwardBatch, Segment


@dataclass(frozen=True, slots=True)
class LayerParameters:
    """One layer. X = H + 2G heads: the queries', then the keys', then the values'.

    Projections are [out, in] as in `torch.nn.functional.linear`; the widths that hold several
    heads or both halves of the gated unit are fused. `qk_norm_XD` has one row per query and
    key head.
    """

    attention_norm_E: Tensor
    qkv: Tensor  # [X * D, E]
    output: Tensor  # [E, H * D]
    mlp_norm_E: Tensor
    gate_up: Tensor  # [2F, E]
    down: Tensor  # [E, F]
    qkv_bias: Tensor | None = None
    output_bias: Tensor | None = None
    gate_up_bias: Tensor | None = None
    down_bias: Tensor | None = None
    qk_norm_XD: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """All tensors of a network.

    `embedding_VE` may have rows beyond the vocabulary, for tokens that are read and never
    written. `head_VE` holds its first V rows where the two are tied.
    """

    embedding_VE: Tensor
    layers: tuple[LayerParameters, ...]
    norm_E: Tensor
    head_VE: Tensor


class LayerKeys(Protocol):
    """Where a layer's keys and values are written and read."""

    @property
    def keys_SGD(self) -> Tensor: ...  # noqa: N802 - a tensor's name

    @property
    def values_SGD(self) -> Tensor: ...  # noqa: N802 - a tensor's name

    def write(self, slots_T: Tensor, keys_TGD: Tensor, values_TGD: Tensor) -> None:
        """Stores the rows' keys and values at their slots."""
        ...


class Keys(Protocol):
    """Keys and values of all layers."""

    def layer(self, index: int) -> LayerKeys: ...


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the layers compute on, on the network's device.

    `attends` says for each window of the network how its layers attend, `adapted` which rows
    get the draft adapter.
    """

    token_ids_T: Tensor
    positions_T: Tensor
    slots_T: Tensor
    attends: Mapping[int | None, Attend]
    adapted: Rows | None


@dataclass(frozen=True, slots=True)
class LayerInputs:
    """One layer's share of a pass: its weights and cache, and what all layers have in common."""

    weights: LayerParameters
    extra: LayerAdapter
    cache: LayerKeys
    rotation: Rotation
    slots_T: Tensor
    attend: Attend
    adapted: Rows | None


RunLayer = Callable[[Tensor, LayerInputs], Tensor]
"""`hidden_TE` in and out; writes the layer's keys and values."""


class Transformer:
    """A `decoding.network.base.Network` over given parameters. Holds no other state.

    `parameters` and `adapter` are laid out as `numerics` wants them.
    """

    def __init__(
        self,
        config: NetworkConfig,
        parameters: Parameters,
        name: str,
        adapter: Adapter | None = None,
        numerics: Numerics | None = None,
    ) -> None:
        self.config = config
        self.ngrams: NgramTable | None = None
        self.draft_head: DraftHead | None = None
        self.hidden_RE: NDArray[np.float32] | None = None
        self.parameters = parameters
        self._name = name
        self.adapter = adapter
        self._rotary = RotaryEmbedding(config.rope, config.head_dim, self.device)
        self.numerics = numerics or plain_numerics(self.dtype, self.device)
        self._linear = self.numerics.linear
        self.heads = HeadShape(config.num_heads, config.num_kv_heads, config.head_dim)
        self.windows = frozenset(config.windows)

    @property
    def name(self) -> str:
        return self._name

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def max_positions(self) -> int:
        return self.config.max_positions

    @property
    def mask_token_id(self) -> int | None:
        return self.config.mask_token_id

    @property
    def has_adapter(self) -> bool:
        return self.adapter is not None

    @property
    def device(self) -> torch.device:
        return self.parameters.embedding_VE.device

    @property
    def dtype(self) -> torch.dtype:
        return self.parameters.embedding_VE.dtype

    def allocate_cache(self, num_slots: int, num_scratch: int = 0) -> KVStorage:
        return KVStorage.allocate(
            num_layers=self.config.num_layers,
            num_slots=num_slots,
            num_kv_heads=self.config.num_kv_heads,
            head_dim=self.config.head_dim,
            dtype=self.dtype,
            device=self.device,
            num_scratch=num_scratch,
        )

    @torch.inference_mode()
    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        """See `Network.forward`. Raises `ValueError` for a segment that wants a draft adapter."""
        assert isinstance(storage, KVStorage)
        placed = batch.on(self.device)
        attends = {
            window: self.numerics.plan_attention(
                placed.segments, window, self.heads, self.dtype, self.device
            )
            for window in self.windows
        }
        adapted = self._adapted_rows(placed.segments)
        inputs = Inputs(placed.token_ids_T, placed.positions_T, placed.slots_T, attends, adapted)
        return self.read(self.encode(inputs, storage), placed.rows_R)

    def encode(self, inputs: Inputs, storage: Keys, run_layer: RunLayer | None = None) -> Tensor:
        """All layers: writes the rows' keys and values and returns `hidden_TE`, not yet normed.

        Everything it launches depends on the shapes of its inputs alone, and nothing is read
        back from the device, provided the same holds for the attention. `run_layer` stands in
        for `layer`, compiled perhaps.
        """
        hidden_TE = F.embedding(inputs.token_ids_T, self.parameters.embedding_VE)
        return self.encode_vectors(hidden_TE, inputs, storage, run_layer)

    def encode_vectors(
        self, hidden_TE: Tensor, inputs: Inputs, storage: Keys, run_layer: RunLayer | None = None
    ) -> Tensor:
        """As `encode`, for rows that stand for other vectors than their tokens'."""
        run_layer = run_layer or self.layer
        adapted = inputs.adapted
        rotation = self._rotary.at(inputs.positions_T, self.dtype)
        for index, weights in enumerate(self.parameters.layers):
            one = LayerInputs(
                weights,
                self._extra(index, adapted),
                storage.layer(index),
                rotation,
                inputs.slots_T,
                inputs.attends[self.config.windows[index]],
                adapted,
            )
            hidden_TE = run_layer(hidden_TE, one)
        return hidden_TE

    def layer(self, hidden_TE: Tensor, inputs: LayerInputs) -> Tensor:
        """One layer, from `hidden_TE` to `hidden_TE`; writes the rows' keys and values."""
        weights, extra, adapted = inputs.weights, inputs.extra, inputs.adapted
        normed_TE = self._norm(hidden_TE, weights.attention_norm_E)
        queries_THD, keys_TGD, values_TGD = self._heads(
            weights, extra, normed_TE, inputs.rotation, adapted
        )
        cache = inputs.cache
        cache.write(inputs.slots_T, keys_TGD, values_TGD)
        seen_THD = inputs.attend(queries_THD, cache.keys_SGD, cache.values_SGD)
        output_TE = self._project(
            seen_THD.flatten(1), weights.output, weights.output_bias, extra.output, adapted
        )
        hidden_TE = hidden_TE + output_TE
        normed_TE = self._norm(hidden_TE, weights.mlp_norm_E)
        return hidden_TE + self._gated_unit(weights, extra, normed_TE, adapted)

    def read(self, hidden_TE: Tensor, rows_R: Tensor) -> Tensor:
        """Float32 `logits_RV` of those rows."""
        hidden_RE = self._norm(hidden_TE[rows_R], self.parameters.norm_E)
        return self._linear(hidden_RE, self.parameters.head_VE, None).float()

    def _norm(self, hidden_TE: Tensor, scale_E: Tensor) -> Tensor:
        return F.rms_norm(hidden_TE, scale_E.shape, scale_E, self.config.norm_eps)

    def _adapted_rows(self, segments: Sequence[Segment]) -> Rows | None:
        if self.adapter is not None:
            return self.adapter.rows_of(segments, self.device)
        if any(segment.adapter for segment in segments):
            raise ValueError(f"{self.name} has no draft adapter")
        return None

    def _extra(self, layer: int, adapted: Rows | None) -> LayerAdapter:
        if self.adapter is None or adapted is None:
            return NO_ADAPTER
        return self.adapter.layers[layer]

    def _project(
        self,
        in_TI: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        low_rank: LowRank | None,
        adapted: Rows | None,
    ) -> Tensor:
        """The weight's product with all rows, and the adapter's with the adapted ones."""
        out_TO = self._linear(in_TI, weight, bias)
        if low_rank is not None and adapted is not None:
            low_rank.add(out_TO, in_TI, adapted, self._linear)
        return out_TO

    def _heads(
        self,
        layer: LayerParameters,
        extra: LayerAdapter,
        normed_TE: Tensor,
        rotation: Rotation,
        adapted: Rows | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the rows, turned to their positions."""
        head_dim, num_heads = self.config.head_dim, self.config.num_heads
        num_turned = num_heads + self.config.num_kv_heads
        qkv = self._project(normed_TE, layer.qkv, layer.qkv_bias, extra.qkv, adapted)
        heads_TXD = qkv.view(len(normed_TE), -1, head_dim)
        turned_TXD = heads_TXD[:, :num_turned]
        if layer.qk_norm_XD is not None:
            eps = self.config.norm_eps
            turned_TXD = F.rms_norm(turned_TXD, (head_dim,), eps=eps) * layer.qk_norm_XD
        turned_TXD = rotation.turn(turned_TXD)
        queries_THD = turned_TXD[:, :num_heads]
        if rotation.query_scale_T11 is not None:
            queries_THD = queries_THD * rotation.query_scale_T11
        return queries_THD, turned_TXD[:, num_heads:], heads_TXD[:, num_turned:]

    def _gated_unit(
        self,
        layer: LayerParameters,
        extra: LayerAdapter,
        normed_TE: Tensor,
        adapted: Rows | None,
    ) -> Tensor:
        both = self._project(normed_TE, layer.gate_up, layer.gate_up_bias, extra.gate_up, adapted)
        gate_TF, up_TF = both.chunk(2, dim=-1)
        inner_TF = self.numerics.silu(gate_TF) * up_TF
        return self._project(inner_TF, layer.down, layer.down_bias, extra.down, adapted)
