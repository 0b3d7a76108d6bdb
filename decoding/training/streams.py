"""Two streams through one network: the text as it is, and blocks of it with masks.

| row \\ sees        | blocks              | text                        |
|---|---|---|
| of a block        | its own, all of it  | positions before the block  |
| of the text       | nothing             | up to and including itself  |

Where a text ends in several ways, the rows of an ending see none of another.

The text's rows are those of autoregressive decoding, so a block sees exactly what it will see in
the cache. Sources: Set Block Decoding, arXiv 2509.04185; Nemotron-Labs-Diffusion, arXiv
2607.05722, section 3. Here the streams are two passes: where the weights are frozen, the text's
needs no gradient. Shapes: C rows of texts, N rows of blocks, R rows that are guessed, beside
those of `decoding.span`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.adapter import ALL_ROWS, Rows
from decoding.network.transformer import Inputs, Transformer
from decoding.training.blocks import Block
from decoding.training.stream_attention import Layout, Part, attend_blocks, attend_texts

_GROUP_ROWS = 96


@dataclass(frozen=True, slots=True)
class Ending:
    """A way in which a text goes on: tokens of which the first `num_given` are not guessed."""

    tokens: tuple[int, ...]
    num_given: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the blocks of it that are looked at, and the positions nobody has to guess.

    Behind the text stand its `endings`. Each is guessed from the text and from its own tokens, as
    if it were the only one.
    """

    text: tuple[int, ...]
    blocks: tuple[Block, ...]
    forced: frozenset[int] = frozenset()
    endings: tuple[Ending, ...] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """Several examples, one after the other, on a device.

    `rows_R` are the rows of blocks whose tokens are guessed, `targets_R` those tokens, and
    `block_R` numbers the blocks they belong to; the rows of a block are side by side, from the
    left. `text_rows_R` are the rows of the text that predict the same tokens. `layout` says which
    rows see which; with its `text_learns` the text's pass is differentiated, too.
    """

    text_C: Tensor
    text_positions_C: Tensor
    tokens_N: Tensor
    is_mask_N: Tensor
    positions_N: Tensor
    rows_R: Tensor
    targets_R: Tensor
    block_R: Tensor
    text_rows_R: Tensor
    layout: Layout

    @property
    def num_rows(self) -> int:
        """Those of the blocks; of the texts where there are none."""
        return len(self.tokens_N) or len(self.text_C)

    @classmethod
    def of(
        cls, examples: Sequence[Example], device: torch.device, *, text_learns: bool = False
    ) -> "Packed":
        packing = _Packing()
        for example in examples:
            packing.add(example)
        return packing.packed(text_learns).on(device)

    def on(self, device: torch.device) -> "Packed":
        return Packed(
            self.text_C.to(device),
            self.text_positions_C.to(device),
            self.tokens_N.to(device),
            self.is_mask_N.to(device),
            self.positions_N.to(device),
            self.rows_R.to(device),
            self.targets_R.to(device),
            self.block_R.to(device),
            self.text_rows_R.to(device),
            self.layout.on(device),
        )


class _Packing:
    """Examples as they are put together."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self.text_positions: list[int] = []
        self.ending: list[int] = []
        self.texts: list[slice] = []
        self.tokens: list[int] = []
        self.is_mask: list[bool] = []
        self.positions: list[int] = []
        self.seen: list[int] = []
        self.block: list[int] = []
        self.blocks: list[slice] = []
        self.parts: list[Part] = []
        self.guessed: list[tuple[int, int, int, int]] = []  # row, target, block, text's row
        self.num_blocks = 0

    def add(self, example: Example) -> None:
        first, first_row = len(self.text), len(self.tokens)
        self.text += example.text
        self.text_positions += range(len(example.text))
        self.ending += [0] * len(example.text)
        for number, ending in enumerate(example.endings, 1):
            self._add_ending(example, ending, number, first)
        self.texts.append(slice(first, len(self.text)))
        for blocks in _neighbours(example.blocks):
            row = len(self.tokens)
            for block in blocks:
                self._add_block(example, block, first)
            seen = slice(first, first + blocks[-1].first)
            self.parts.append(Part(seen, slice(row, len(self.tokens))))
        self.blocks.append(slice(first_row, len(self.tokens)))

    def _add_ending(self, example: Example, ending: Ending, number: int, first: int) -> None:
        start, num_shared = len(self.text), len(example.text)
        for at in range(ending.num_given, len(ending.tokens)):
            row = start + at - 1 if at else first + num_shared - 1
            self.guessed.append((row, ending.tokens[at], 0, row))
        self.text += ending.tokens
        self.text_positions += range(num_shared, num_shared + len(ending.tokens))
        self.ending += [number] * len(ending.tokens)

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
        self.seen += [block.first] * block.num_rows
        self.block += [self.num_blocks] * block.num_rows
        self.num_blocks += 1

    def packed(self, text_learns: bool) -> Packed:
        columns = zip(*self.guessed, strict=True) if self.guessed else [()] * 4
        rows_R, targets_R, block_R, text_rows_R = map(_whole, columns)
        layout = Layout(
            tuple(self.texts),
            tuple(self.blocks),
            tuple(self.parts),
            _whole(self.seen),
            _whole(self.block),
            _whole(self.ending),
            text_learns,
        )
        return Packed(
            _whole(self.text),
            _whole(self.text_positions),
            _whole(self.tokens),
            torch.tensor(self.is_mask, dtype=torch.bool),
            _whole(self.positions),
            rows_R,
            targets_R,
            block_R,
            text_rows_R,
            layout,
        )


def _whole(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


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


def read_text(network: Transformer, packed: Packed, adapted: Rows | None = None) -> TextStream:
    """The pass of the text, differentiable only where `packed.layout.text_learns`. The rows that
    are `adapted` get the network's adapter."""
    layers = tuple(_Layer() for _ in range(network.config.num_layers))
    inputs = Inputs(
        packed.text_C,
        packed.text_positions_C,
        packed.text_C,
        {None: attend_texts(packed.layout, network.dtype)},
        adapted,
    )
    with torch.set_grad_enabled(packed.layout.text_learns and torch.is_grad_enabled()):
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
        {None: attend_blocks(packed.layout, network.dtype)},
        ALL_ROWS,
    )
    layers = [_BlockLayer(layer) for layer in text.layers]
    return network.encode_vectors(vectors_NE, inputs, _Stream(layers))
