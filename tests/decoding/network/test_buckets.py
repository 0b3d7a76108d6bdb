"""Which forwards are padded to which shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding.network.buckets import Bucket, Buckets
from decoding.span import Attention
from tests.decoding.batches import Part, forward_batch

SMALL = Buckets((1, 2, 4), (1, 4, 8), (16, 32), most_rows=16, most_keys=64)


def parts(count: int, rows: int, start: int = 0, read: int | None = None) -> list[Part]:
    wanted = None if read is None else [0] * read
    return [Part([1] * rows, range(100), start, read=wanted) for _ in range(count)]


@pytest.mark.parametrize(
    ("given_parts", "expected"),
    [
        (parts(1, 1), (1, 1, 16)),
        (parts(1, 1, start=15), (1, 1, 16)),
        (parts(1, 1, start=16), (1, 1, 32)),
        (parts(1, 1, start=32), None),
        (parts(3, 2), (4, 4, 16)),
        (parts(5, 1), None),
        (parts(1, 9), None),
        (parts(2, 5), (2, 8, 16)),
        (parts(3, 5), None),  # 4 x 8 rows
        (parts(3, 1, start=20), None),  # 4 x 32 keys
        (parts(1, 2, read=4), (1, 4, 16)),
        (parts(1, 2, read=5), None),
        (parts(1, 1) + parts(1, 7, start=9), (2, 8, 16)),
    ],
)
def test_the_smallest_bucket_that_holds_a_forward(
    given_parts: list[Part], expected: tuple[int, int, int] | None
) -> None:
    bucket = SMALL.choose(forward_batch(given_parts))
    assert bucket == (None if expected is None else Bucket(*expected, adapter=False))


def test_one_adapted_span_makes_the_forward_compute_the_adapter() -> None:
    draft = Part([1] * 4, range(9), attention=Attention.BLOCK, adapter=True)
    bucket = SMALL.choose(forward_batch([draft, *parts(1, 1)]))
    assert bucket == Bucket(2, 4, 16, adapter=True)


@given(st.lists(st.tuples(st.integers(1, 70), st.integers(0, 8200)), min_size=1, max_size=130))
def test_a_chosen_bucket_holds_everything(sizes: list[tuple[int, int]]) -> None:
    buckets = Buckets()
    every = range(9000)
    batch = forward_batch([Part([1] * rows, every, start) for rows, start in sizes])
    bucket = buckets.choose(batch)
    if bucket is None:
        return
    assert len(sizes) <= bucket.num_sequences < 2 * len(sizes)
    assert max(rows for rows, _ in sizes) <= bucket.num_rows
    assert max(rows + start for rows, start in sizes) <= bucket.num_keys
    assert bucket.num_sequences * bucket.num_rows <= buckets.most_rows
    assert bucket.num_sequences * bucket.num_keys <= buckets.most_keys


@pytest.mark.parametrize("sizes", [(), (0, 1), (2, 2), (4, 2)])
def test_sizes_ascend(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="num_rows must be ascending"):
        Buckets(num_rows=sizes)
