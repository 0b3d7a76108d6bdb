"""What the matcher backend needs to know of a tokenizer, built once per tokenizer."""

from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from llguidance import LLTokenizer
from llguidance.hf import from_tokenizer


class TokenizerLike(Protocol):
    """The part of a tokenizer that grammars use. Instances must be weakly referable."""

    @property
    def hf(self) -> Any:
        """The fast `transformers` tokenizer."""
        ...

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end a text; at least one."""
        ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as the backend sees it. Immutable, shared by all its grammars.

    `size` counts its tokens; `single_bytes` maps a byte to the token that spells it alone.
    """

    backend: LLTokenizer
    size: int
    eos_token_ids: tuple[int, ...]
    single_bytes: dict[int, int]

    def encode(self, text: str) -> list[int]:
        """Some token ids that spell the text, none of them special. Not the canonical ones."""
        return list(self.backend.greedy_tokenize(text))

    def decode(self, tokens: list[int]) -> str:
        return bytes(self.backend.decode_bytes(tokens)).decode("utf-8", "replace")


_vocabularies: WeakKeyDictionary[TokenizerLike, Vocabulary] = WeakKeyDictionary()


def vocabulary_of(tokenizer: TokenizerLike) -> Vocabulary:
    """The tokenizer's vocabulary; the first call takes 0.3 to 1.5 s, later ones nothing.

    Raises `ValueError` for a tokenizer that names no end token.
    """
    known = _vocabularies.get(tokenizer)
    if known is None:
        known = _vocabularies[tokenizer] = _build(tokenizer)
    return known


def _build(tokenizer: TokenizerLike) -> Vocabulary:
    eos = tuple(tokenizer.eos_token_ids)
    if not eos:
        raise ValueError("the tokenizer names no end token, so a grammar could never end a text")
    backend = from_tokenizer(tokenizer.hf, eos_token=list(eos))
    single_bytes: dict[int, int] = {}
    for token in range(backend.vocab_size):
        if backend.is_special_token(token):
            continue
        spelled = bytes(backend.decode_bytes([token]))
        if len(spelled) == 1:
            single_bytes.setdefault(spelled[0], token)
    return Vocabulary(backend, int(backend.vocab_size), eos, single_bytes)
