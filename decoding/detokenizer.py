"""Token ids to text, a few at a time, without ever showing half a character."""

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence, Set

import tokenizers

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer(ABC):
    """Turns the token ids of one sequence into text as they arrive.

    The texts returned by all `push` calls and the last `flush`, joined, are the text of all
    ids decoded at once. Work is proportional to the new tokens.
    """

    @abstractmethod
    def push(self, token_ids: Sequence[int]) -> str:
        """Takes the next ids and returns the text no later id can change. Mutates."""

    @abstractmethod
    def flush(self) -> str:
        """Returns what was held back; bytes that form no character become U+FFFD. Mutates."""


class Spellings(dict[int, bytes]):
    """What the tokens of a byte-level tokenizer spell, each looked up once. Shared by all texts;
    only ever grows, to the size of the vocabulary."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        super().__init__()
        self._backend = backend

    def __missing__(self, token_id: int) -> bytes:
        token = self._backend.id_to_token(token_id)
        spelled = b"" if token is None else _spelled(token)
        if token is not None:
            self[token_id] = spelled
        return spelled


class ByteDetokenizer(Detokenizer):
    """For byte-level tokenizers, where a token is a fixed string of bytes whatever surrounds it."""

    def __init__(self, spellings: Spellings, skipped_ids: Set[int]) -> None:
        self._spellings = spellings
        self._skipped_ids = skipped_ids
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_ids: Sequence[int]) -> str:
        shown = (each for each in token_ids if each not in self._skipped_ids)
        return self._decoder.decode(b"".join(map(self._spellings.__getitem__, shown)))

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)


class PieceDetokenizer(Detokenizer):
    """For tokenizers whose text depends on neighbours: leading spaces, bytes spelled as tokens.

    Decodes the new tokens behind the last shown one and keeps what that adds. A run of byte
    tokens is held until it ends, since one bad byte changes the reading of the whole run.
    """

    def __init__(self, backend: tokenizers.Tokenizer, skipped_ids: Set[int]) -> None:
        self._backend = backend
        self._skipped_ids = skipped_ids
        self._context: list[int] = []  # the last shown token, if any
        self._held: list[int] = []

    def push(self, token_ids: Sequence[int]) -> str:
        self._held += [each for each in token_ids if self._is_text(each)]
        last = self._backend.id_to_token(self._held[-1]) if self._held else None
        if last is None or _BYTE_TOKEN.fullmatch(last):
            return ""
        text = self._added_text()
        return "" if text.endswith(_REPLACEMENT) else self._show(text)

    def flush(self) -> str:
        return self._show(self._added_text()) if self._held else ""

    def _is_text(self, token_id: int) -> bool:
        known = self._backend.id_to_token(token_id) is not None
        return known and token_id not in self._skipped_ids

    def _added_text(self) -> str:
        before = self._decode(self._context)
        return self._decode(self._context + self._held)[len(before) :]

    def _show(self, text: str) -> str:
        self._context, self._held = self._held[-1:], []
        return text

    def _decode(self, ids: list[int]) -> str:
        text: str = self._backend.decode(ids, skip_special_tokens=False)
        return text


def _spelled(token: str) -> bytes:
    try:
        return bytes(BYTE_OF_LETTER[letter] for letter in token)
    except KeyError:  # an added token, spelled as itself
        return token.encode()


def _byte_of_letter() -> dict[str, int]:
    """Byte-level tokenizers write each byte as one visible letter.

    Printable Latin-1 bytes stand for themselves, the others for the letters from U+0100 on, in
    order (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", 2.2).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted(set(range(256)) - set(printable))
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + index): byte for index, byte in enumerate(hidden)}


BYTE_OF_LETTER = _byte_of_letter()
