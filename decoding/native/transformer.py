"""The Llama family on the compiled forward: integer products on a CPU, one call per forward.

A row's bits do not depend on what is computed with it: integer sums are exact, and the few sums
of floats have one order each (see `kernels/`). So self-speculation equals autoregressive
decoding here as it does in float32, at the speed that the weights can be read from memory.
"""

from collections.abc import Sequence
from ctypes import CDLL, Array, addressof, byref, c_void_p
from enum import Enum
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.storage import Storage
from decoding.draft_head import DraftHead
from decoding.native import library
from decoding.native.library import Refusal
from decoding.native.packing import (
    GROUP,
    Arena,
    PackedLinear,
    pack,
    pack_roughly,
    padded,
)
from decoding.native.storage import PAGE, PagedStorage
from decoding.network.adapter import NO_ADAPTER, Adapter, LayerAdapter, LowRank
from decoding.network.config import NetworkConfig
from decoding.network.rope import RotaryEmbedding
from decoding.network.transformer import LayerParameters, Parameters
from decoding.ngrams import NgramTable
from decoding.span import Attention, ForwardBatch, Segment

_TURN = 16
_MOST_SHARING = 64  # query heads per key head
_LARGE_HEAD = 8192  # outputs from which a rough head saves more than it costs
Owner = TypeVar("Owner")


class Precision(Enum):
    """How finely rows are cut into whole numbers: planes of 8 + 7 + 7 bits."""

    COARSE = 1  # 8 bits, and half-precision keys and values
    FINE = 3  # 22 bits, about those of a float32, and float32 keys and values


class NativeTransformer:
    """A `decoding.network.base.Network` for CPUs over packed copies of the parameters.

    One forward at a time. Threads are those of torch (`torch.set_num_threads`); results do not
    depend on their number.
    """

    def __init__(
        self,
        config: NetworkConfig,
        parameters: Parameters,
        name: str,
        adapter: Adapter | None = None,
        precision: Precision = Precision.COARSE,
        build: CDLL | None = None,
    ) -> None:
        """`build` is one of `library.builds()`, the quickest by default.

        Raises `NativeUnavailable` where nothing was compiled, `ValueError` for a shape that
        `why_unsupported` names and for a weight that cannot be packed, saying which.
        """
        reason = why_unsupported(config)
        if reason:
            raise ValueError(reason)
        self.config = config
        self.ngrams: NgramTable | None = None
        self.draft_head: DraftHead | None = None
        self.keeps_hidden = False  # whether `hidden_RE` is wanted
        self.precision = precision
        self._name = name
        self._library = build or library.library()
        self._rotary = RotaryEmbedding(config.rope, config.head_dim, torch.device("cpu"))
        self._has_adapter = adapter is not None
        self._kept: list[object] = []  # what the structures point to
        self._arena = Arena()
        self._linears: list[PackedLinear] = []
        self.embedding_VE = parameters.embedding_VE.detach().to("cpu", torch.float32).contiguous()
        self._structure = self._network(parameters, adapter)
        self._num_angles = 0  # positions with angles in the tables
        # Memory for logits, and views of its first rows, by their number.
        self._logits_kept: tuple[Tensor, dict[int, Tensor]]
        self._logits_kept = torch.empty(0, self._structure.head.outputs), {}
        self.hidden_RE: NDArray[np.float32] | None = None
        self._workspace = c_void_p(self._library.trimode_workspace_new())

    def __del__(self) -> None:
        if hasattr(self, "_workspace"):
            self._library.trimode_workspace_delete(self._workspace)

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
        return self._has_adapter

    @property
    def is_exact(self) -> bool:
        """Whether every packed weight is the given one, bit for bit; adapters are not counted."""
        return all(linear.is_exact for linear in self._linears)

    @property
    def has_rough_head(self) -> bool:
        """Whether logits beyond a `ForwardBatch.reach_R` are computed more quickly."""
        return bool(self._structure.rough_head.outputs)

    @property
    def weight_bytes(self) -> int:
        """What one forward reads of the weights, the embedding's few rows aside, where all logits
        are to be the head's own."""
        return sum(linear.packed.numel() for linear in self._linears)

    def allocate_cache(self, num_slots: int) -> PagedStorage:
        fine = self.precision is Precision.FINE
        return PagedStorage.allocate(
            num_layers=self.config.num_layers,
            num_slots=num_slots,
            num_kv_heads=self.config.num_kv_heads,
            head_dim=self.config.head_dim,
            dtype=torch.float32 if fine else torch.float16,
        )

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        """See `Network.forward`. Raises `ValueError` for a segment that wants a draft adapter
        where there is none, for slots that are not in pages of 16 positions and for masks that do
        not fit, `IndexError` for tokens without an embedding and slots beyond the storage,
        `MemoryError`."""
        assert isinstance(storage, PagedStorage)
        segments, pages = _layout(batch.segments)
        adapted = self._adapted(batch)
        for segment in batch.segments:
            self._cover(segment.start + segment.num_rows)
        num_rows, num_read = batch.num_rows, batch.num_read
        logits_RV = self._logits(num_read)
        shape = (num_read, self.config.hidden_size)
        hidden_RE = np.empty(shape, dtype=np.float32) if self.keeps_hidden else None
        reach_R = batch.reach_R
        if reach_R is not None:
            reach_R = np.ascontiguousarray(reach_R, dtype=np.float32)
            if len(reach_R) != num_read:
                raise ValueError(f"{len(reach_R)} reaches for the {num_read} rows that are read")
        masks = None if batch.masks is None else batch.masks()  # kept until the forward is over
        addresses = None if masks is None else self._addresses(masks, num_read)
        numbers_N = np.ascontiguousarray(batch.numbers_N, dtype=np.int64)
        numbers, row_bytes = numbers_N.ctypes.data, numbers_N.itemsize * num_rows
        call = library.Forward(
            num_rows=num_rows,
            num_read=num_read,
            num_segments=len(segments),
            num_slots=storage.num_slots,
            threads=torch.get_num_threads(),
            tokens=numbers,
            positions=numbers + row_bytes,
            slots=numbers + 2 * row_bytes,
            read=numbers + 3 * row_bytes,
            reach=None if reach_R is None else reach_R.ctypes.data,
            masks=None if addresses is None else addressof(addresses),
            adapted=None if adapted is None else adapted.ctypes.data,
            segments=segments.ctypes.data,
            pages=pages.ctypes.data,
            keys=addressof(storage.key_addresses),
            values=addressof(storage.value_addresses),
            logits=logits_RV.data_ptr(),
            normed=None if hidden_RE is None else hidden_RE.ctypes.data,
        )
        refusal = self._library.trimode_forward(
            byref(self._structure), byref(call), self._workspace
        )
        if refusal:
            raise self._error(Refusal(refusal), call)
        self.hidden_RE = hidden_RE
        return logits_RV

    def _addresses(self, masks: Sequence[Tensor | None], num_read: int) -> "Array[c_void_p]":
        """Of the words of each row's mask."""
        if len(masks) != num_read:
            raise ValueError(f"{len(masks)} masks for the {num_read} rows that are read")
        addresses = (c_void_p * num_read)()
        for place, mask_W in enumerate(masks):
            if mask_W is None:
                continue
            if mask_W.numel() * 32 < self.vocab_size or not mask_W.is_contiguous():
                raise ValueError(
                    f"a mask of {mask_W.numel()} words for {self.vocab_size} tokens: it must hold "
                    "a bit for each, side by side"
                )
            addresses[place] = mask_W.data_ptr()
        return addresses

    def _logits(self, num_read: int) -> Tensor:
        """Memory for the logits of so many rows, the same at every call: to touch fresh memory, or
        only to call torch for a view of it, is slow behind a forward."""
        all_RV, views = self._logits_kept
        if num_read > len(all_RV):
            all_RV, views = torch.empty(2 * num_read, self._structure.head.outputs), {}
            self._logits_kept = all_RV, views
        if num_read not in views:
            views[num_read] = all_RV[:num_read, : self.config.vocab_size]
        return views[num_read]

    def _error(self, refusal: Refusal, call: library.Forward) -> Exception:
        match refusal:
            case Refusal.NO_TOKEN:
                last = self._structure.num_embeddings - 1
                return IndexError(f"{self.name} embeds the tokens 0 to {last} only")
            case Refusal.NO_SLOT:
                return IndexError(f"the storage has the slots 0 to {call.num_slots - 1} only")
            case Refusal.NO_PAGE:
                return ValueError(f"{self.name} needs a page_size that {PAGE} divides")
            case Refusal.NO_ROW:
                return IndexError(f"a forward of {call.num_rows} rows has no others to read")
            case _:
                return MemoryError(f"a forward of {call.num_rows} rows")

    def _adapted(self, batch: ForwardBatch) -> NDArray[np.uint8] | None:
        """Which rows get the adapter's terms; None for no row."""
        adapted = [segment for segment in batch.segments if segment.adapter]
        if not adapted:
            return None
        if not self._has_adapter:
            raise ValueError(f"{self.name} has no draft adapter")
        flags = np.zeros(batch.num_rows, dtype=np.uint8)
        for segment in adapted:
            flags[segment.first_row : segment.first_row + segment.num_rows] = 1
        return flags

    def _cover(self, num_positions: int) -> None:
        """Sees to it that there are angles for the positions [0, num_positions)."""
        if num_positions <= self._num_angles:
            return
        count = 1 << (num_positions - 1).bit_length()
        rotation = self._rotary.at(torch.arange(count), torch.float32)
        half = self.config.head_dim // 2
        tables = [rotation.cos_T1D[:, 0, :half], rotation.sin_T1D[:, 0, half:]]
        if rotation.query_scale_T11 is not None:
            tables.append(rotation.query_scale_T11.flatten())
        cosine, sine, *scale = self._tables = [table.contiguous() for table in tables]
        self._structure.cosine = cosine.data_ptr()
        self._structure.sine = sine.data_ptr()
        self._structure.query_scale = scale[0].data_ptr() if scale else None
        self._num_angles = count

    def _network(self, parameters: Parameters, adapter: Adapter | None) -> library.Network:
        config = self.config
        extras = [NO_ADAPTER] * config.num_layers if adapter is None else adapter.layers
        layers = [
            self._layer(f"layer {index}", *each)
            for index, each in enumerate(
                zip(parameters.layers, config.windows, extras, strict=True)
            )
        ]
        head = self._linear("the output head", parameters.head_VE, None)
        return library.Network(
            num_layers=config.num_layers,
            hidden=config.hidden_size,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            feed_forward=config.feed_forward_size,
            planes=self.precision.value,
            half_cache=self.precision is Precision.COARSE,
            norm_eps=config.norm_eps,
            num_embeddings=len(parameters.embedding_VE),
            layers=self._keep((library.Layer * len(layers))(*layers)),
            embedding=self.embedding_VE.data_ptr(),
            norm=self._floats(_widened(parameters.norm_E)),
            head=head,
            rough_head=self._rough_head(parameters.head_VE, head.bits),
        )

    def _rough_head(self, head_VE: Tensor, bits: int) -> library.Linear:
        """In half as many bits, or without outputs where that is not worth it."""
        outputs = len(head_VE)
        is_wanted = self.precision is Precision.COARSE and bits == 8 and outputs >= _LARGE_HEAD
        if not is_wanted or outputs % GROUP:  # what pads the last block could be its largest
            return library.Linear()
        least, most = (float(each) for each in head_VE.aminmax())
        if max(-least, most) > torch.finfo(torch.float16).max:  # the scale of 4 bits
            return library.Linear()
        return self._keep(pack_roughly(head_VE, self._arena)).structure()

    def _layer(
        self, place: str, layer: LayerParameters, window: int | None, extra: LayerAdapter
    ) -> library.Layer:
        qk_norm = layer.qk_norm_XD
        return library.Layer(
            attention_norm=self._floats(_widened(layer.attention_norm_E)),
            mlp_norm=self._floats(_widened(layer.mlp_norm_E)),
            qk_norm=None if qk_norm is None else self._floats(qk_norm),
            window=window or 0,
            qkv=self._linear(f"{place}, qkv", layer.qkv, layer.qkv_bias),
            output=self._linear(f"{place}, output", layer.output, layer.output_bias),
            gate_up=self._linear(
                f"{place}, gate_up",
                by_turns(layer.gate_up),
                None if layer.gate_up_bias is None else by_turns(layer.gate_up_bias),
            ),
            down=self._linear(f"{place}, down", layer.down, layer.down_bias),
            qkv_extra=self._low_rank(f"{place}, qkv of the adapter", extra.qkv),
            output_extra=self._low_rank(f"{place}, output of the adapter", extra.output),
            gate_up_extra=self._low_rank(
                f"{place}, gate_up of the adapter",
                None
                if extra.gate_up is None
                else LowRank(extra.gate_up.down, by_turns(extra.gate_up.up)),
            ),
            down_extra=self._low_rank(f"{place}, down of the adapter", extra.down),
        )

    def _linear(self, place: str, weight: Tensor, bias: Tensor | None) -> library.Linear:
        packed = self._pack(place, weight, bias)
        self._linears.append(packed)
        return packed.structure()

    def _low_rank(self, place: str, low_rank: LowRank | None) -> library.LowRank:
        if low_rank is None:
            return library.LowRank()
        parts = (self._pack(place, each, None, (8,)) for each in (low_rank.down, low_rank.up))
        return library.LowRank(*(part.structure() for part in parts))

    def _pack(
        self, place: str, weight: Tensor, bias: Tensor | None, widths: Sequence[int] = (4, 8)
    ) -> PackedLinear:
        try:
            return self._keep(pack(weight, bias, self._arena, widths=widths))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None

    def _floats(self, numbers: Tensor) -> int:
        return self._keep(numbers.detach().to("cpu", torch.float32).contiguous()).data_ptr()

    def _keep(self, owner: Owner) -> Owner:
        self._kept.append(owner)
        return owner


def why_unsupported(config: NetworkConfig) -> str:
    """What the compiled forward lacks for a network of this shape; empty where nothing."""
    if config.head_dim % PAGE:
        return f"the compiled forward needs heads whose width {PAGE} divides, not {config.head_dim}"
    if config.num_heads // config.num_kv_heads > _MOST_SHARING:
        return f"the compiled forward lets at most {_MOST_SHARING} query heads share a key head"
    return ""


def by_turns(gate_up: Tensor) -> Tensor:
    """The rows of [2F, ...] as 16 of the gate and 16 of its input by turns, zeros at the end."""
    gate, up = (torch.split(part, _TURN) for part in gate_up.chunk(2))
    pairs = [each for pair in zip(gate, up, strict=True) for each in pair]
    short = _TURN - len(pairs[-1])
    widths = [0, 0] * (gate_up.ndim - 1)
    pairs[-2:] = [F.pad(each, [*widths, 0, short]) for each in pairs[-2:]]
    return torch.cat(pairs)


def _widened(numbers_E: Tensor) -> Tensor:
    """With zeros up to a multiple of a group."""
    return F.pad(numbers_E, (0, padded(len(numbers_E)) - len(numbers_E)))


def _layout(segments: Sequence[Segment]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The segments' fields, and the pages of all, one after the other."""
    rows: list[tuple[int, int, int, bool, int, int]] = []
    pages: list[int] = []
    for segment in segments:
        is_block = segment.attention is Attention.BLOCK
        first, shared, start, slots_L = len(pages), -1, segment.start, segment.slots_L
        if isinstance(slots_L, slice):
            pages += range(slots_L.start // PAGE, -(-slots_L.stop // PAGE))
        else:
            pages += (slots_L.numpy()[::PAGE] // PAGE).tolist()
            if segment.is_branch and start % PAGE:
                shared = pages[first + start // PAGE]
                pages[first + start // PAGE] = int(slots_L[start]) // PAGE
        rows.append((segment.first_row, segment.num_rows, start, is_block, first, shared))
    return np.array(rows, dtype=np.int64), np.array(pages, dtype=np.int32)
