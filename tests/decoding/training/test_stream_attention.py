"""Texts and blocks attended at once, as on a GPU, against part by part."""

from random import Random

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from decoding.network.attention import Attend
from decoding.training.blocks import BlockChoice, draw_blocks
from decoding.training.stream_attention import (
    attend_blocks,
    attend_texts,
    blocks_at_once,
    texts_at_once,
)
from decoding.training.streams import Ending, Example, Packed
from tests.decoding.training.support import CPU, random_answer

HEADS, SHARED, WIDTH = 6, 2, 8


def seen_and_gradients(attend: Attend, heads: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    leaves = [each.clone().requires_grad_() for each in heads]
    seen = attend(*leaves)
    weights = torch.arange(seen.numel()).view(seen.shape).sin()
    (seen * weights).sum().backward()
    gradients = [each.grad if each.grad is not None else torch.zeros(()) for each in leaves]
    return [seen.detach(), *gradients]


def random_heads(num_queries: int, num_keys: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (num_queries, HEADS, WIDTH), (num_keys, SHARED, WIDTH), (num_keys, SHARED, WIDTH)
    queries, keys, values = (torch.randn(shape, generator=generator) for shape in shapes)
    return queries, keys, values


@given(seed=st.integers(0, 1000), count=st.integers(1, 5), learns=st.booleans())
def test_all_at_once_is_as_part_by_part(seed: int, count: int, learns: bool) -> None:
    random = Random(seed)
    answers = [
        random_answer(random.random(), random.randint(1, 9), random.randint(2, 60))
        for _ in range(count)
    ]
    choice = BlockChoice((4, 8), denoised=0.5)
    examples = [
        Example(
            each.text,
            tuple(draw_blocks(each, choice, random)),
            endings=tuple(
                Ending(random_answer(random.random(), 1, random.randint(1, 30)).text)
                for _ in range(random.randint(0, 3))
            ),
        )
        for each in answers
    ]
    layout = Packed.of(examples, CPU, text_learns=learns).layout
    num_text, num_rows = layout.texts[-1].stop, len(layout.seen_N)
    for one, other, heads in (
        (
            attend_texts(layout, torch.float32),
            texts_at_once(layout, torch.float32),
            (num_text, num_text),
        ),
        (
            attend_blocks(layout, torch.float32),
            blocks_at_once(layout, torch.float32),
            (num_rows, num_text + num_rows),
        ),
    ):
        given_heads = random_heads(*heads, seed)
        for expected, found in zip(
            seen_and_gradients(one, given_heads),
            seen_and_gradients(other, given_heads),
            strict=True,
        ):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
