"""The seam between the engine and whatever computes logits."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from decoding.cache.storage import Storage
from decoding.draft_head import DraftHead
from decoding.ngrams import NgramTable
from decoding.span import ForwardBatch


class Network(Protocol):
    """Evaluates batches of spans. Holds weights and nothing that belongs to a sequence."""

    @property
    def name(self) -> str:
        """For messages and statistics, for example a directory name."""
        ...

    @property
    def vocab_size(self) -> int:
        """Width of the logits, padding included; at least the tokenizer's size."""
        ...

    @property
    def max_positions(self) -> int:
        """Positions the network was made for: the context length."""
        ...

    @property
    def mask_token_id(self) -> int | None:
        """The token that stands for an undecided position; None where the network knows none.

        It may lie beyond the vocabulary. It is never picked.
        """
        ...

    @property
    def has_adapter(self) -> bool:
        """Whether there is a draft adapter for the rows of spans that ask for one."""
        ...

    @property
    def ngrams(self) -> NgramTable | None:
        """What the network mostly says after the same tokens; None where nobody counted."""
        ...

    @property
    def draft_head(self) -> DraftHead | None:
        """What guesses next tokens from the vectors in `hidden_RE`; None for none."""
        ...

    @property
    def hidden_RE(self) -> NDArray[np.float32] | None:  # noqa: N802 - an array's name
        """What the output head saw of the rows that the last forward read, new memory in each;
        None where there is no draft head."""
        ...

    def allocate_cache(self, num_slots: int) -> Storage:
        """Storage that fits this network's layers, heads, dtype and device."""
        ...

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        """Writes the rows' keys and values to the cache and returns float32 `logits_RV`.

        One call is one *forward*, the unit of cost. Rows of a segment see the cached prefix
        and, by the segment's attention, rows of the same segment; never another segment.
        `storage` comes from this network's `allocate_cache`. The logits are valid until the
        next forward, which may overwrite them.
        """
        ...
