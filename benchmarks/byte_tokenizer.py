"""A tokenizer of single bytes and a few common pairs, for measurements without a model."""

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_MERGES = [
    ("e", "r"),
    ("i", "n"),
    ('"', ":"),
    ('"', ","),
    ("{", '"'),
    ('"', "}"),
    ("t", "r"),
    ("1", "2"),
]


class ByteTokenizer:
    """256 bytes, some pairs, one end token."""

    def __init__(self) -> None:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {letter: index for index, letter in enumerate(letters)}
        for first, second in _MERGES:
            vocabulary[first + second] = len(vocabulary)
        backend = Tokenizer(models.BPE(vocab=vocabulary, merges=_MERGES))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([AddedToken("<end>", special=True)])
        wrapper: Any = PreTrainedTokenizerFast
        self.hf = wrapper(tokenizer_object=backend, eos_token="<end>")
        self.vocab_size = len(self.hf)
        self.eos_token_ids: tuple[int, ...] = (self.vocab_size - 1,)
