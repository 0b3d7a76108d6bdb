"""Text made visible: nothing is lost, nothing hides."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.trace.pieces import PieceKind, pieces, spelt

ANYTHING = st.text(st.characters(exclude_categories=[]), max_size=40)


@given(ANYTHING)
def test_nothing_is_lost(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text


@given(ANYTHING)
def test_only_visible_characters_stand_as_they_are(text: str) -> None:
    for piece in pieces(text):
        if piece.kind is PieceKind.TEXT:
            assert not {unicodedata.category(letter)[0] for letter in piece.text} & {"C", "Z"}
        elif piece.kind is PieceKind.CODE:
            assert len(piece.text) == 1
            assert piece.label.isascii()
            assert piece.label.isprintable()
            assert chr(int(piece.code, 16)) == piece.text
        else:
            assert len(set(piece.text)) == 1


@pytest.mark.parametrize(
    ("letter", "label"),
    [
        ("\x00", "\\x00"),
        ("\r", "\\x0d"),
        ("\x9b", "\\x9b"),
        ("\xa0", "\\xa0"),
        ("\u202e", "\\u202e"),
        ("\u2066", "\\u2066"),
        ("\ufeff", "\\ufeff"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_told_by_its_number(letter: str, label: str) -> None:
    [first, code, last] = pieces(f"a{letter}b")
    assert (first.text, code.kind, code.label, last.text) == ("a", PieceKind.CODE, label, "b")


def test_a_mark_combines_within_its_text_only() -> None:
    assert [piece.kind for piece in pieces("e\u0301")] == [PieceKind.TEXT]
    assert [piece.kind for piece in pieces("\u0301e")] == [PieceKind.CODE, PieceKind.TEXT]


def test_whitespace_is_told_apart() -> None:
    kinds = [piece.kind for piece in pieces("a  \t\n\nb")]
    assert kinds == [
        PieceKind.TEXT,
        PieceKind.SPACE,
        PieceKind.TAB,
        PieceKind.NEWLINE,
        PieceKind.TEXT,
    ]


@given(ANYTHING)
def test_spelt_text_is_visible_and_on_one_line(text: str) -> None:
    assert not {unicodedata.category(letter) for letter in spelt(text)} & {"Cc", "Cf", "Cs", "Zl"}
    assert spelt("a b\n\tc\x1b") == "a b\\x0a\\x09c\\x1b"
