"""Two streams through one network: the text as it is, and blocks of it with masks.

| row \\ sees        | blocks              | text                        |
|---|---|---|
| of a block        | its own, all of it  | positions before the block  |
| of the text       | nothing             | up to and including itself  |

The text's rows are those of autoregressive decoding, so a block sees exactly what it will see in
the cache. Sources: Set Block Decoding, arXiv 2509.04185; Nemotron-Labs-Diffusion, arXiv
2607.05722, section 3. Here the streams are two passes: where the weights are frozen, the text's
needs no gradient. Shapes: C rows of texts, N rows of blocks, R rows that are guessed, beside
those of `decoding.span`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.adapter import ALL_ROWS
from decoding.network.transformer import Inputs, Transformer
from decoding.training.blocks import Block

_GROUP_ROWS = 96


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the blocks of it that are looked at, and the positions nobody has to guess."""

    text: tuple[int, ...]
    blocks: tuple[Block, ...]
    forced: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Part:
    """Some neighbouring blocks of one text: the text's rows that any of them sees, the number of
    their own, and `hidden_NS` over both in this order, minus infinity where a row is not seen."""

    text: slice
    num_rows: int
    hidden_NS: Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """Several examples, one after the other, on a device.

    `rows_R` are the rows of blocks whose tokens are guessed, `targets_R` those tokens, and
    `block_R` numbers the blocks they belong to; the rows of a block are side by side, from the
    left. `text_rows_R` are the rows of the text that predict the same tokens. `hidden_texts` is
    for each text minus infinity where a row is not seen by another, else 0. With `text_learns` the
    text's pass is differentiated, too.
    """

    text_C: Tensor
    text_positions_C: Tensor
    texts: tuple[slice, ...]
    hidden_texts: tuple[Tensor, ...]
    tokens_N: Tensor
    is_mask_N: Tensor
    positions_N: Tensor
    parts: tuple[_Part, ...]
    rows_R: Tensor
    targets_R: Tensor
    block_R: Tensor
    text_rows_R: Tensor
    text_learns: bool

    @classmethod
    def of(
        cls,
        examples: Sequence[Example],
        dtype: torch.dtype,
        device: torch.device,
        *,
        text_learns: bool = False,
    ) -> "Packed":
        packing = _Packing()
        for example in examples:
            packing.add(example)
        return packing.packed(dtype, device, text_learns)


class _Packing:
    """Examples as they are put together."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self.text_positions: list[int] = []
        self.texts: list[slice] = []
        self.tokens: list[int] = []
        self.is_mask: list[bool] = []
        self.positions: list[int] = []
        self.parts: list[_Part] = []
        self.guessed: list[tuple[int, int, int, int]] = []  # row, target, block, text's row
        self.num_blocks = 0

    def add(self, example: Example) -> None:
        first = len(self.text)
        self.text += example.text
        self.text_positions += range(len(example.text))
        self.texts.append(slice(first, len(self.text)))
        for blocks in _neighbours(example.blocks):
            for block in blocks:
                self._add_block(example, block, first)
            seen = slice(first, first + blocks[-1].first)
            hidden_NS = _hidden_blocks_NS(blocks)
            self.parts.append(_Part(seen, len(hidden_NS), hidden_NS))

    def _add_block(self, example: Example, block: Block, first: int) -> None:
        for position in range(block.first, block.end):
            is_text = position < len(example.text)
            is_mask = position in block.masked or not is_text
            if is_mask and is_text and position not in example.forced:
                row, target = len(self.tokens), example.text[position]
                self.guessed.append((row, target, self.num_blocks, first + position - 1))
            token = 0 if is_mask else block.written.get(position, example.text[position])
            self.tokens.append(token)
            self.is_mask.append(is_mask)
            self.positions.append(position)
        self.num_blocks += 1

    def packed(self, masks: torch.dtype, device: torch.device, text_learns: bool) -> Packed:
        def tensor(values: Sequence[int], dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        columns = zip(*self.guessed, strict=True) if self.guessed else [()] * 4
        rows_R, targets_R, block_R, text_rows_R = map(tensor, columns)
        return Packed(
            tensor(self.text),
            tensor(self.text_positions),
            tuple(self.texts),
            tuple(_hidden_text_CC(text.stop - text.start).to(device, masks) for text in self.texts),
            tensor(self.tokens),
            tensor(self.is_mask, torch.bool),
            tensor(self.positions),
            tuple(
                _Part(part.text, part.num_rows, part.hidden_NS.to(device, masks))
                for part in self.parts
            ),
            rows_R,
            targets_R,
            block_R,
            text_rows_R,
            text_learns,
        )


def _neighbours(blocks: Sequence[Block]) -> list[list[Block]]:
    """The blocks from the left, in groups that attend together: larger ones compute more that
    is then hidden, smaller ones launch more."""
    groups: list[list[Block]] = []
    rows = _GROUP_ROWS
    for block in sorted(blocks, key=lambda block: block.first):
        if rows >= _GROUP_ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(block)
        rows += block.num_rows
    return groups


def _hidden_blocks_NS(blocks: Sequence[Block]) -> Tensor:  # noqa: N802 - a tensor's name
    """For blocks from the left, over the text before the last of them, then over their rows."""
    before, num_rows = blocks[-1].first, sum(block.num_rows for block in blocks)
    hidden_NS = torch.full((num_rows, before + num_rows), -torch.inf)
    row = 0
    for block in blocks:
        end = row + block.num_rows
        hidden_NS[row:end, : block.first] = 0.0
        hidden_NS[row:end, before + row : before + end] = 0.0
        row = end
    return hidden_NS


def _hidden_text_CC(length: int) -> Tensor:  # noqa: N802 - a tensor's name
    return torch.full((length, length), -torch.inf).triu_(1)


class _Layer:
    """A layer's keys and values in one pass, kept for the backward pass."""

    def __init__(self) -> None:
        self._written: tuple[Tensor, Tensor] | None = None

    def write(self, slots_T: Tensor, keys_TGD: Tensor, values_TGD: Tensor) -> None:
        self._written = (keys_TGD, values_TGD)

    @property
    def keys_SGD(self) -> Tensor:  # noqa: N802 - a tensor's name
        return self._read(0)

    @property
    def values_SGD(self) -> Tensor:  # noqa: N802 - a tensor's name
        return self._read(1)

    def _read(self, which: int) -> Tensor:
        assert self._written is not None, "a layer is read before it is written"
        return self._written[which]


class _BlockLayer(_Layer):
    """The text's keys and values, then the blocks'."""

    def __init__(self, text: _Layer) -> None:
        super().__init__()
        self._text = text

    def _read(self, which: int) -> Tensor:
        return torch.cat((self._text._read(which), super()._read(which)))


class _Stream:
    def __init__(self, layers: Sequence[_Layer]) -> None:
        self._layers = layers

    def layer(self, index: int) -> _Layer:
        return self._layers[index]


@dataclass(frozen=True, slots=True)
class TextStream:
    """What the text's pass gave: `text_CE`, not yet normed, and the keys and values of it."""

    text_CE: Tensor
    layers: tuple[_Layer, ...]


def read_text(network: Transformer, packed: Packed) -> TextStream:
    """The pass of the text, differentiable only where `packed.text_learns`."""
    layers = tuple(_Layer() for _ in range(network.config.num_layers))
    inputs = Inputs(
        packed.text_C,
        packed.text_positions_C,
        packed.text_C,
        {None: partial(_attend_text, packed)},
        None,
    )
    with torch.set_grad_enabled(packed.text_learns and torch.is_grad_enabled()):
        text_CE = network.encode(inputs, _Stream(layers))
    return TextStream(text_CE, layers)


def read_blocks(network: Transformer, packed: Packed, text: TextStream, mask_E: Tensor) -> Tensor:
    """`hidden_NE` of the blocks' rows, not yet normed, differentiable where parameters learn.

    They get the network's adapter, and masks are read as `mask_E`. `text` may come from other
    blocks of the same texts.
    """
    embedding_VE = network.parameters.embedding_VE
    vectors_NE = torch.where(
        packed.is_mask_N[:, None],
        mask_E.to(embedding_VE.dtype),
        F.embedding(packed.tokens_N, embedding_VE),
    )
    inputs = Inputs(
        packed.tokens_N,
        packed.positions_N,
        packed.tokens_N,
        {None: partial(_attend_blocks, packed)},
        ALL_ROWS,
    )
    layers = [_BlockLayer(layer) for layer in text.layers]
    return network.encode_vectors(vectors_NE, inputs, _Stream(layers))


def _attend_text(
    packed: Packed, queries_CHD: Tensor, keys_CGD: Tensor, values_CGD: Tensor
) -> Tensor:
    lengths = [text.stop - text.start for text in packed.texts]
    streams = (each.split(lengths) for each in (queries_CHD, keys_CGD, values_CGD))
    return torch.cat(
        [
            _attend(queries_CHD, keys_CGD, values_CGD, hidden_CC)
            for queries_CHD, keys_CGD, values_CGD, hidden_CC in zip(
                *streams, packed.hidden_texts, strict=True
            )
        ]
    )


def _attend_blocks(
    packed: Packed, queries_NHD: Tensor, keys_SGD: Tensor, values_SGD: Tensor
) -> Tensor:
    # Splitting, because the gradient of every slice would be as large as what it was cut from.
    lengths = [part.num_rows for part in packed.parts]
    queries = queries_NHD.split(lengths)
    text_keys_CGD, *keys = keys_SGD.split([len(packed.text_C), *lengths])
    text_values_CGD, *values = values_SGD.split([len(packed.text_C), *lengths])
    if not packed.text_learns:
        text_keys_CGD, text_values_CGD = text_keys_CGD.detach(), text_values_CGD.detach()
    return torch.cat(
        [
            _attend(
                queries_NHD,
                torch.cat((text_keys_CGD[part.text], keys_NGD)),
                torch.cat((text_values_CGD[part.text], values_NGD)),
                part.hidden_NS,
            )
            for part, queries_NHD, keys_NGD, values_NGD in zip(
                packed.parts, queries, keys, values, strict=True
            )
        ]
    )


def _attend(queries_NHD: Tensor, keys_SGD: Tensor, values_SGD: Tensor, hidden_NS: Tensor) -> Tensor:
    # Written out: the library's attention with a mask takes three times as long on a CPU.
    num_rows, num_heads, head_dim = queries_NHD.shape
    num_kv_heads = keys_SGD.shape[1]
    sharing = num_heads // num_kv_heads
    scaled = queries_NHD * head_dim**-0.5
    grouped = scaled.view(num_rows, num_kv_heads, sharing, head_dim).permute(1, 2, 0, 3)
    scores = grouped.reshape(num_kv_heads, sharing * num_rows, head_dim) @ keys_SGD.permute(1, 2, 0)
    weights = scores.view(num_kv_heads, sharing, num_rows, -1).add_(hidden_NS).softmax(-1)
    seen = weights.view(num_kv_heads, sharing * num_rows, -1) @ values_SGD.transpose(0, 1)
    seen = seen.view(num_kv_heads, sharing, num_rows, head_dim).permute(2, 0, 1, 3)
    flat_NHD: Tensor = seen.reshape(num_rows, num_heads, head_dim)
    return flat_NHD
