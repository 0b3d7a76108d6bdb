"""Denoises blocks of known answers, to see what a reveal policy makes of them.

The engine does it, so the blocks are those that block diffusion would decode.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from decoding.engine import Engine
from decoding.modes import BlockDiffusion
from decoding.modes.reveal import RevealPolicy
from decoding.request import Request
from decoding.span import Purpose
from decoding.training.answers import Answer


@dataclass(frozen=True, slots=True)
class Canvas:
    """One block to denoise: the token at `start` is given, `length` - 1 positions are masked.

    None of them may lie behind the answer.
    """

    answer: Answer
    start: int
    length: int

    @property
    def seed(self) -> int:
        return self.answer.text[self.start]

    @property
    def truth(self) -> tuple[int, ...]:
        return self.answer.text[self.start + 1 : self.start + self.length]


@dataclass(frozen=True, slots=True)
class Rolled:
    """A block that was denoised by a policy: what it became, and in how many forwards.

    `tokens` end early behind a token that ends an answer.
    """

    canvas: Canvas
    policy: RevealPolicy
    tokens: tuple[int, ...]
    forwards: int

    @property
    def num_right(self) -> int:
        """Positions that are as they were decoded."""
        return sum(map(int.__eq__, self.tokens, self.canvas.truth))


def canvases(answer: Answer, length: int) -> list[Canvas]:
    """Side by side through the answer, as block diffusion would place them."""
    first, last = len(answer.prompt), len(answer.text) - length
    return [Canvas(answer, start, length) for start in range(first, last + 1, length)]


def roll(
    engine: Engine, jobs: Iterable[tuple[Canvas, RevealPolicy]], at_once: int = 256
) -> Iterator[Rolled]:
    """Denoises each canvas with its policy to the end, `at_once` before the first is told of.

    Answers must be greedy ones of the engine's model: canvases whose seed the engine decodes
    otherwise are left out, which happens where it computes otherwise than what decoded them.
    Raises what a request failed with.
    """
    waiting = iter(jobs)
    while some := list(islice(waiting, at_once)):
        completions = engine.generate_many([_request(*job) for job in some])
        for (canvas, policy), done in zip(some, completions, strict=True):
            if done.token_ids[0] == canvas.seed:
                forwards = sum(each.purpose is Purpose.DENOISE for each in done.forwards)
                yield Rolled(canvas, policy, done.token_ids[1:], forwards)


def _request(canvas: Canvas, policy: RevealPolicy) -> Request:
    return Request(
        canvas.answer.text[: canvas.start],
        mode=BlockDiffusion(canvas.length, sampler=policy),
        max_new_tokens=canvas.length,
    )
