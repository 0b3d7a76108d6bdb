"""The few shapes that forwards are padded to, so that each can be recorded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from decoding.span import ForwardBatch


@dataclass(frozen=True, slots=True)
class Bucket:
    """One shape: so many sequences, rows of each, and cached tokens that each can see.

    `adapter` says whether the forward computes the draft adapter at all; which rows get it is
    data. Causal rows and rows of a block are the same shape.
    """

    num_sequences: int
    num_rows: int
    num_keys: int
    adapter: bool


@dataclass(frozen=True, slots=True)
class Buckets:
    """The sizes to choose from, each ascending; beyond the last there is no bucket.

    `most_rows` and `most_keys` bound all sequences of a forward together, padding included:
    rows because a forward of many rows computes long enough to hide what recording saves, keys
    because they are gathered for all sequences at once.
    """

    num_sequences: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    num_rows: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    num_keys: tuple[int, ...] = (256, 512, 1024, 2048, 4096, 8192)
    most_rows: int = 4096
    most_keys: int = 2**18

    def __post_init__(self) -> None:
        for name in ("num_sequences", "num_rows", "num_keys"):
            sizes = getattr(self, name)
            if not sizes or sizes[0] < 1 or any(b <= a for a, b in pairwise(sizes)):
                raise ValueError(f"{name} must be ascending whole numbers from 1, not {sizes}")

    def choose(self, batch: ForwardBatch) -> Bucket | None:
        """The smallest bucket that holds the forward; None where there is none."""
        segments = batch.segments
        num_sequences = _least(self.num_sequences, len(segments))
        num_rows = _least(self.num_rows, max(segment.num_rows for segment in segments))
        num_keys = _least(self.num_keys, max(each.start + each.num_rows for each in segments))
        if num_sequences is None or num_rows is None or num_keys is None:
            return None
        is_large = num_sequences * num_rows > self.most_rows
        is_long = num_sequences * num_keys > self.most_keys
        if is_large or is_long or batch.num_read > num_sequences * num_rows:
            return None
        adapter = any(segment.adapter for segment in segments)
        return Bucket(num_sequences, num_rows, num_keys, adapter)


def _least(sizes: Sequence[int], wanted: int) -> int | None:
    return next((size for size in sizes if size >= wanted), None)
