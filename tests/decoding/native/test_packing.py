"""Packed weights, read back by a second reading of their layout."""

import errno
import mmap
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from decoding.native.packing import Arena, PackedLinear, pack, packs_exactly, padded
from tests.decoding.native.networks import affine, centred, symmetric, tensor

Source = Callable[[torch.Generator, int, int], Tensor]
outputs, seeds = st.integers(1, 70), st.integers(0, 1000)


def unpacked(packed: PackedLinear) -> NDArray[np.float32]:
    """The numbers [outputs, inputs] of a packed weight, padding included."""
    blocks, groups = packed.outputs // 32, packed.inputs // 32
    stored = packed.packed.numpy().reshape(blocks, groups, -1)
    halves = stored[..., :128].copy().view(np.float16).astype(np.float32)
    d = halves[..., :32]
    if packed.bits == 4:
        lines = stored[..., 128:].reshape(blocks, groups, 4, 32, 4)
        q = np.concatenate([lines & 15, lines >> 4], axis=2)
        m = halves[..., 32:64]
    else:
        q = stored[..., 64:].reshape(blocks, groups, 8, 32, 4)
        m = -128.0 * d
    # [block, group, line, output, input of the line] -> [block, output, group, line, input]
    numbers = q.transpose(0, 3, 1, 2, 4).reshape(blocks, 32, groups, 32).astype(np.float32)
    scale, base = (each.transpose(0, 2, 1)[..., None] for each in (d, m))
    return (numbers * scale + base).reshape(packed.outputs, packed.inputs)


def check(weight: Tensor, bits: int) -> None:
    packed = pack(weight, None, Arena())
    assert (packed.bits, packed.is_exact) == (bits, True)
    assert packs_exactly(weight)
    found = unpacked(packed)[: len(weight), : weight.shape[1]]
    assert np.array_equal(found, weight.numpy())


@settings(max_examples=25, deadline=None)
@given(out=outputs, groups=st.integers(1, 4), seed=seeds, source=st.sampled_from([affine, centred]))
def test_four_bits_lose_nothing(out: int, groups: int, seed: int, source: Source) -> None:
    check(source(torch.Generator().manual_seed(seed), out, 32 * groups), 4)


@settings(max_examples=25, deadline=None)
@given(out=outputs, width=st.integers(1, 100), seed=seeds, power=st.integers(-10, 6))
def test_eight_bits_lose_nothing(out: int, width: int, seed: int, power: int) -> None:
    weight = symmetric(tensor(torch.Generator().manual_seed(seed), out, width) * 10.0**power)
    packed = pack(weight, None, Arena(), widths=(8,))
    assert packed.is_exact
    found = unpacked(packed)
    assert np.array_equal(found[:out, :width], weight.numpy())
    assert not found[:, width:].any()
    assert not found[out:].any()


@settings(max_examples=40, deadline=None)
@given(out=outputs, width=st.integers(1, 100), seed=seeds, power=st.integers(-45, 6))
def test_other_weights_go_to_the_nearest_of_8_bits(
    out: int, width: int, seed: int, power: int
) -> None:
    """Also those of denormal size: a group's step is at least the smallest half number."""
    weight = tensor(torch.Generator().manual_seed(seed), out, width) * 10.0**power
    weight = weight.clamp(-127 * 65504, 127 * 65504)
    packed = pack(weight, None, Arena(), widths=(8,))
    found = unpacked(packed)[:out, :width]
    groups = torch.nn.functional.pad(weight, (0, -width % 32)).reshape(out, -1, 32)
    largest = groups.abs().amax(-1, keepdim=True).double()
    # A step is the largest weight / 127, and as a half number at most 1/1024 or 2**-24 more.
    step = torch.maximum(largest / 127 * (1 + 2.0**-10), largest / 127 + 2.0**-24)
    error = torch.from_numpy(found).double() - weight.double()
    bound = (step / 2).expand(groups.shape).flatten(1)[:, :width] * (1 + 1e-6)
    assert (error.abs() <= bound).all()
    assert packed.is_exact == np.array_equal(found, weight.numpy())


@pytest.mark.parametrize("number", [0.0, 1.0, -0.375, 65504.0])
def test_constants_lose_nothing(number: float) -> None:
    check(torch.full((33, 64), number), 4)


def test_rounded_weights_say_so() -> None:
    weight = tensor(torch.Generator().manual_seed(0), 5, 64)
    assert not pack(weight, None, Arena()).is_exact
    assert not packs_exactly(weight)


@pytest.mark.parametrize("number", [torch.inf, -torch.inf, torch.nan, 1e7, -1e7])
@pytest.mark.parametrize("place", [(0, 0), (36, 36)])
def test_numbers_that_cannot_be_packed_are_refused(number: float, place: tuple[int, int]) -> None:
    weight = torch.zeros(37, 37)
    weight[place] = number
    with pytest.raises(ValueError, match="infinite, not a number, or too large"):
        pack(weight, None, Arena())


def test_a_bias_is_padded_with_zeros() -> None:
    packed = pack(torch.zeros(35, 3), torch.ones(35), Arena())
    assert packed.bias is not None
    assert packed.bias.tolist() == [1.0] * 35 + [0.0] * 29
    assert (packed.outputs, packed.inputs) == (padded(35), padded(3)) == (64, 32)


def test_half_precision_weights_are_read_as_they_are() -> None:
    weight = symmetric(tensor(torch.Generator().manual_seed(0), 40, 64)).bfloat16()
    found = unpacked(pack(weight, None, Arena(), widths=(8,)))[:40]
    assert np.array_equal(found, unpacked(pack(weight.float(), None, Arena(), widths=(8,)))[:40])


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_an_arena_hands_out_zeroed_bytes_of_their_own(sizes: list[int]) -> None:
    arena = Arena(chunk_bytes=8192)
    taken = [arena.allocate(size) for size in sizes]
    for index, (each, size) in enumerate(zip(taken, sizes, strict=True)):
        assert each.numel() == size
        assert each.data_ptr() % 64 == 0
        assert not each.any()
        each.fill_(index + 1)
    for index, each in enumerate(taken):
        assert (each == index + 1).all()


class _NoAdvice(mmap.mmap):
    """Memory of a kernel that is built without large pages."""

    def madvise(self, *given: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def test_an_arena_does_without_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decoding.native.packing._HUGE_PAGES", 14)
    monkeypatch.setattr("decoding.native.packing.mmap.mmap", _NoAdvice)
    taken = Arena(chunk_bytes=8192).allocate(5000)
    assert taken.numel() == 5000
    assert not taken.any()
