"""Prompts that the model writes itself: what it expects users to say.

A chat model was trained on users' turns, too. Behind the beginning of one it samples the rest, as
various as what it was trained on. Source: Magpie, arXiv 2406.08464.
"""

from collections.abc import Iterator

import torch

from decoding.engine import Engine
from decoding.network.transformer import Transformer
from decoding.request import Finished, Request
from decoding.sampling import Sampling
from decoding.tokenizer import Tokenizer
from decoding.training.bulk import Asked, Bulk
from decoding.training.tasks import Kind, Task, seed_of

SOURCE = "own"
_MARK = "\u2402"  # stands for the user's words while a chat is rendered
_SHORTEST = 12  # characters
_TEMPERATURE = 0.9  # a little below the distribution, whose tail is noise
_CODE_WORDS = ("code", "python", "function", "sql", "javascript", "algorithm", "script", "html")


def own_prompts(
    engine: Engine, count: int, *, seed: int = 0, max_tokens: int = 96, at_once: int = 48
) -> Iterator[Task]:
    """`count` different questions, sampled. Those that do not end within `max_tokens` are left
    out."""
    head = opening(engine.tokenizer)
    kept = _Kept(count)
    asked: set[int] = set()
    number = 0
    try:
        while not kept.is_full:
            while len(asked) < at_once:
                sampling = Sampling(temperature=_TEMPERATURE, seed=seed_of(seed, number))
                asked.add(engine.add(Request(head, sampling=sampling, max_new_tokens=max_tokens)))
                number += 1
            for event in engine.step():
                if not isinstance(event, Finished) or event.request_id not in asked:
                    continue
                asked.remove(event.request_id)
                if event.completion.finish_reason == "stop":
                    yield from kept.task(event.completion.text)
    finally:
        for request_id in asked:
            engine.abort(request_id)


def own_prompts_in_bulk(
    network: Transformer,
    tokenizer: Tokenizer,
    count: int,
    *,
    seed: int = 0,
    max_tokens: int = 96,
    at_once: int = 1024,
) -> Iterator[Task]:
    """As `own_prompts`, on a GPU."""
    torch.manual_seed(seed)
    ends = tokenizer.eos_token_ids
    kept = _Kept(count)
    bulk = Bulk(network, ends, max_new_tokens=max_tokens, at_once=at_once)
    head = Asked(tuple(opening(tokenizer)), _TEMPERATURE)
    while not kept.is_full:
        for _, tokens in bulk.decode([head] * at_once):
            if tokens[-1] in ends:
                yield from kept.task(tokenizer.decode(tokens, skip_special_tokens=True))


class _Kept:
    """The questions there are so far, none of them twice."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._known: set[str] = set()

    @property
    def is_full(self) -> bool:
        return len(self._known) >= self._count

    def task(self, text: str) -> Iterator[Task]:
        """The question, or nothing where it is none or not new."""
        text = text.strip()
        if len(text) >= _SHORTEST and text not in self._known and not self.is_full:
            self._known.add(text)
            yield Task((("user", text),), SOURCE, _kind(text))


def opening(tokenizer: Tokenizer) -> list[int]:
    """A chat up to where the user's words begin."""
    rendered = tokenizer.render_chat([{"role": "user", "content": _MARK}])
    return tokenizer.encode(rendered[: rendered.index(_MARK)])


def _kind(text: str) -> Kind:
    words = text.lower()
    return Kind.CODE if any(word in words for word in _CODE_WORDS) else Kind.PROSE
