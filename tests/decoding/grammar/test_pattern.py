"""Patterns and numbers as languages, against Python's own reading of them."""

import math
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.grammar.compiled import CompiledGrammar
from decoding.grammar.language import Except, Language, example, render
from decoding.grammar.pattern import (
    PatternError,
    example_match,
    fullmatch_language,
    search_language,
)
from decoding.grammar.schema.clauses import Bound, NumberClause
from decoding.grammar.schema.formats import FORMATS, format_language, format_pattern
from decoding.grammar.schema.instance import spell_number
from decoding.grammar.schema.numbers import fraction_language, integer_language, number_language
from decoding.grammar.schema.strings import is_void, json_string, string_terminal
from decoding.grammar.vocabulary import vocabulary_of
from tests.decoding.grammar.conftest import SmallTokenizer

_vocabulary = vocabulary_of(SmallTokenizer())
_PATTERNS = [
    "", "b", "^a+$", "^(a|b$)c?", r"^(\/?((\.{2})|([a-z0-9\-]*))($|\/))*$", r"^(?!foo)[a-z]+$",
    r"^(?=.*\d)(?=.*[a-z]).{3,5}$", "(^|,)x(,|$)", r"^\S+@\S+$", r"^[^\d]*$", "(?i)^ab$",
    r"\.js$", '^["\\\\]+$', "^(?!(False|None)$)[A-Za-z]+$", "a$|^b", "^.*$", r"[\n\t]",
    "^(a?b)*$", "^(?:a|b)??c{2,}?$", "^(a$|b)+", r"^[\w.-]+$", "(?s)^a.b$", "^a(?=b)b", "x*",
]  # fmt: skip
_texts = st.text('aabbcx/,.0f1AB@ \n"\\oF-jsNoneé', max_size=7)


def accepts(body: str, text: str) -> bool:
    return CompiledGrammar.build(f"start: T\nT: {body}", _vocabulary).accepts(text)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(_PATTERNS), st.lists(_texts, min_size=8, max_size=8), st.booleans())
def test_patterns_are_searched_as_python_does(
    pattern: str, texts: list[str], negated: bool
) -> None:
    language = search_language(pattern, widened=negated)
    language = Except(language) if negated else language
    grammar = CompiledGrammar.build(f"start: T\nT: {string_terminal(language)}", _vocabulary)
    for text in texts:
        if text.endswith("\n") and "$" in pattern:
            continue  # '$' before a last newline is Python's own
        if not text.isascii() and r"\w" in pattern:
            continue  # Python counts it as a word character, ECMA-262 does not
        expected = (re.search(pattern, text) is not None) != negated
        assert grammar.accepts(json_string(text)) == expected, (pattern, text)


@pytest.mark.parametrize("pattern", _PATTERNS)
def test_examples_match(pattern: str) -> None:
    text = example_match(pattern)
    assert text is None or re.search(pattern, text)
    assert not is_void(search_language(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "a{2,1}",
        r"\ba",
        r"(a)\1",
        "(?<=a)b",
        "(?m)^a",
        "(?>a)b",
        r"\p{L}",
        "(^a){3}",
        r"^(?:a(?:b|$)){1,3}$",
        "^(a|b$){0,3}$",
    ],
)
def test_what_is_not_supported_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match=re.escape(repr(pattern))):
        search_language(pattern)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [(r"^\d$", "7", "٣"), (r"^\w$", "z", "é"), (r"^\S$", "a", "\u00a0"), ("^a$", "a", "a\n")],
)
def test_at_the_edges_of_the_standards_a_language_stays_within_both(
    pattern: str, inside: str, outside: str
) -> None:
    body = render(search_language(pattern), quoted=False)
    assert accepts(body, inside)
    assert not accepts(body, outside)
    complement = render(Except(search_language(pattern, widened=True)), quoted=False)
    assert not accepts(complement, inside)
    if not outside.isspace():
        assert not accepts(complement, outside) or pattern == r"^\S$"


_bound = st.one_of(
    st.none(),
    st.builds(
        Bound,
        st.one_of(
            st.integers(-130, 130).map(Fraction),
            st.integers(-(10**20), 10**20).map(Fraction),
            st.floats(-300, 300).map(Fraction),
            st.sampled_from([0.1, -0.1, 1e-7, 99.99, 0.30000000000000004]).map(Fraction),
        ),
        st.booleans(),
    ),
)
_clauses = st.builds(NumberClause, _bound, _bound)
_doubles = st.one_of(st.floats(-400, 400), st.sampled_from([0.1, 0.5, -0.0, 1e-7, 1.5, 99.99]))


def near(clause: NumberClause) -> list[float]:
    bounds = [float(bound.value) for bound in (clause.low, clause.high) if bound is not None]
    return [math.nextafter(b, to) for b in bounds for to in (-math.inf, b, math.inf)]


@settings(deadline=None, max_examples=60)
@given(_clauses, st.lists(st.one_of(_doubles, st.integers(-150, 150)), min_size=4, max_size=8))
def test_number_ranges_are_exact(clause: NumberClause, values: list[float]) -> None:
    whole = CompiledGrammar.build(terminal(integer_language(clause)), _vocabulary)
    number = CompiledGrammar.build(terminal(number_language(clause)), _vocabulary)
    for value in [*values, *near(clause)]:
        value = int(value) if float(value).is_integer() else value
        fits = clause.fits(Fraction(value))
        assert number.accepts(spell_number(value)) == fits, value
        if isinstance(value, int):
            assert whole.accepts(str(value)) == fits, value


@settings(deadline=None, max_examples=40)
@given(_clauses, st.lists(st.from_regex(r"\A-?(0|[1-9][0-9]{0,2})\.[0-9]{1,17}\Z"), min_size=5))
def test_no_decimal_in_a_range_is_read_as_a_double_outside(
    clause: NumberClause, spelled: list[str]
) -> None:
    number = CompiledGrammar.build(terminal(number_language(clause)), _vocabulary)
    fraction = CompiledGrammar.build(terminal(fraction_language(clause)), _vocabulary)
    for text in spelled:
        if number.accepts(text):
            assert clause.fits(Fraction(float(text))), text
        if fraction.accepts(text):
            assert not float(text).is_integer()


def terminal(language: Language) -> str:
    return f'start: T | "-"\nT: {render(language, quoted=False)}'


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_format_languages_are_their_patterns(name: str) -> None:
    texts = [
        "2024-02-29", "2023-02-29", "12:00:00Z", "2024-12-31T23:59:59.1+01:00", "P1Y2M3DT4H", "P",
        "PT", "P1W", "a@b.c", "é@b.c", "a.b-c.d", "-a", "127.0.0.1", "01.2.3.4", "::", "1::2:3",
        "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::8", "http://a", "http://é", "/a?b#c", "a:b", "",
        "12345678-1234-1234-1234-123456789abc", "/a~0/b~1", "0/a", "1#", "~",
    ]  # fmt: skip
    body = render(format_language(name), quoted=False)
    matched = [text for text in texts if re.fullmatch(format_pattern(name), text)]
    assert matched
    for text in texts:
        assert accepts(body, text) == (text in matched), text


def test_an_example_is_in_its_language() -> None:
    text = example(fullmatch_language("[b-d]{2}(x|yy)z*"))
    assert text is not None
    assert re.fullmatch("[b-d]{2}(x|yy)z*", text)
