"""A small tokenizer: all bytes, some pairs and words, two end tokens."""

import random
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from decoding.grammar import Matcher

_MERGES = [
    ("a", "b"), ("e", "r"), ("i", "n"), ('"', ":"), ('"', ","), ("{", '"'), ('"', "}"),
    ("ab", '"'), ("t", "r"), ("u", "e"), ("tr", "ue"), ("1", "2"), ("n", "a"), ("m", "e"),
    ("na", "me"), ('{"', "name"), ("]", "}"), ("}", "}"), ("Ã", "©"),
]  # fmt: skip


class SmallTokenizer:
    """What grammars ask of a tokenizer."""

    def __init__(self) -> None:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {letter: index for index, letter in enumerate(letters)}
        for first, second in _MERGES:
            vocabulary[first + second] = len(vocabulary)
        backend = Tokenizer(models.BPE(vocab=vocabulary, merges=_MERGES))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens(
            [AddedToken("<end>", special=True), AddedToken("<turn>", special=True)]
        )
        wrapper: Any = PreTrainedTokenizerFast
        self.hf = wrapper(tokenizer_object=backend, eos_token="<end>")
        self.vocab_size = len(self.hf)
        self.eos_token_ids: tuple[int, ...] = (self.vocab_size - 2, self.vocab_size - 1)

    def encode(self, text: str) -> list[int]:
        return list(self.hf.backend_tokenizer.encode(text).ids)

    def decode(self, tokens: list[int] | tuple[int, ...]) -> str:
        return str(self.hf.backend_tokenizer.decode(list(tokens), skip_special_tokens=True))


@pytest.fixture(scope="session")
def tokenizer() -> SmallTokenizer:
    return SmallTokenizer()


def allowed(matcher: Matcher) -> list[int]:
    """The tokens of the mask."""
    words = matcher.fill_mask().tolist()
    return [32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1]


def random_text(matcher: Matcher, budget: int, seed: int) -> list[int] | None:
    """Random tokens of the masks, forced ones honoured, closed within the budget. None where
    no way to close was found at the start. As in decoding, forced tokens ask for no new way."""
    choice = random.Random(seed)
    path = matcher.closing_tokens(budget)
    tokens: list[int] = []
    if path is None:
        return None
    while not matcher.is_terminated:
        forced = matcher.forced_tokens()
        assert path[: len(forced)] == forced
        for token in forced:
            matcher.accept(token)
        tokens += forced
        path = path[len(forced) :]
        if matcher.is_terminated:
            break
        token = choice.choice(allowed(matcher))
        if path[0] != token:
            matcher.accept(token)
            behind = matcher.closing_tokens(budget - len(tokens) - 1)
            matcher.rollback(1)
            if behind is None:
                token = path[0]
            else:
                path = (token, *behind)
        matcher.accept(token)
        tokens.append(token)
        path = path[1:]
    return tokens
