"""Text as it can be shown: nothing in it steers the page, and nothing in it is invisible."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
_COMBINING = frozenset(("Mn", "Me", "Mc"))


class PieceKind(Enum):
    """How a piece is shown."""

    TEXT = "text"
    SPACE = "space"  # as a faint dot for each
    TAB = "tab"
    NEWLINE = "newline"
    CODE = "code"  # as its number, since it cannot be seen or moves what is around it


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters shown alike; of kind CODE, a single character."""

    text: str
    kind: PieceKind

    @property
    def label(self) -> str:
        """What is shown for kind CODE: the character as Python would write it."""
        code = ord(self.text)
        if code < 0x100:
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    @property
    def code(self) -> str:
        """The character's number in hexadecimal digits."""
        return f"{ord(self.text):x}"


def pieces(text: str) -> tuple[Piece, ...]:
    """Cuts `text` up; the pieces' texts, joined, are `text`.

    Control and format characters, among them those that turn the writing direction, become
    codes; so do surrogates, unassigned and private characters, spaces that are not the plain
    one, and marks that would combine with what stands before the text.
    """
    return tuple(_cut(text))


def spelt(text: str) -> str:
    """`text` on one line, for where only plain text can stand: what `pieces` would show as a
    code is written out, and so are tabs and line ends."""
    plain = (PieceKind.TEXT, PieceKind.SPACE)
    return "".join(
        piece.text
        if piece.kind in plain
        else "".join(Piece(letter, PieceKind.CODE).label for letter in piece.text)
        for piece in pieces(text)
    )


def _cut(text: str) -> Iterator[Piece]:
    for kind, run in groupby(enumerate(text), key=lambda item: _kind(*item)):
        letters = "".join(letter for _, letter in run)
        if kind is PieceKind.CODE:
            yield from (Piece(letter, kind) for letter in letters)
        else:
            yield Piece(letters, kind)


def _kind(index: int, letter: str) -> PieceKind:
    match letter:
        case " ":
            return PieceKind.SPACE
        case "\t":
            return PieceKind.TAB
        case "\n":
            return PieceKind.NEWLINE
    category = unicodedata.category(letter)
    hidden = category in _HIDDEN or (index == 0 and category in _COMBINING)
    return PieceKind.CODE if hidden else PieceKind.TEXT
