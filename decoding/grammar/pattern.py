"""Python regular expressions as languages of whole texts.

JSON Schema names ECMA-262 expressions and asks for no more than their common core. Patterns
are read by Python's own parser, so a pattern means here what it means to `jsonschema`. The
two standards differ at the edges of Unicode: `\\d`, `\\w` and `\\s` stand here for their ASCII
members, which both contain, and their complements leave out what either contains; `$` is the
end of the text and not a place before a last newline. Look-ahead is supported. Look-behind,
back-references, word boundaries and inline multi-line flags are refused.
"""

import re
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from decoding.grammar.charset import ANY_CHAR, DIGITS, NOT_NEWLINE, SPACE, WORD, CharSet
from decoding.grammar.language import (
    ANY_TEXT,
    EMPTY,
    NOTHING,
    Chars,
    Except,
    Language,
    Repeat,
    alt,
    both,
    cat,
    example,
    has_empty_text,
    literal,
)

_Item = tuple[Any, Any]
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)


class PatternError(ValueError):
    """Raised for a pattern that Python cannot parse or that is not supported, and says why."""


@lru_cache(maxsize=1024)
def search_language(pattern: str, *, widened: bool = False) -> Language:
    """The texts in which `re.search` finds the pattern.

    Where the two standards differ, the language is within both; `widened` gives one around
    both instead, which is what a complement needs.
    """
    reader = _Reader(pattern, widened)
    return alt(
        [reader.at_start, cat([Repeat(Chars(ANY_CHAR), 1, None), reader.later])]
        if reader.is_anchored
        else [cat([ANY_TEXT, reader.later])]
    )


def fullmatch_language(pattern: str) -> Language:
    """The texts that the pattern matches from start to end."""
    return _Reader(pattern, widened=False).alone


def example_match(pattern: str) -> str | None:
    """A short text that the pattern matches, where one is easily found."""
    return example(_Reader(pattern, widened=False).alone)


class _Reader:
    def __init__(self, pattern: str, widened: bool) -> None:
        try:
            parsed = _parser.parse(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise PatternError(
                f"the pattern {pattern!r} is no regular expression: {error}"
            ) from error
        self._pattern = pattern
        self._widened = widened
        self._flags = parsed.state.flags
        if self._flags & re.MULTILINE:
            raise self._refused("multi-line mode")
        items = list(parsed)
        self.is_anchored = _contains(items, _is_start)
        self.later = self._to_end(items, ANY_TEXT, at_start=False)
        self.at_start = self._to_end(items, ANY_TEXT, at_start=True)
        self.alone = self._to_end(items, EMPTY, at_start=True)

    def _to_end(self, items: list[_Item], then: Language, *, at_start: bool) -> Language:
        """The texts from here to the very end: the items, followed by `then`."""
        if not items:
            return then
        (code, argument), rest = items[0], items[1:]
        if not _contains(items, _is_special):
            return cat([self._simple(items), then])
        if not _contains([items[0]], _is_special):
            first = self._simple([items[0]])
            if at_start and has_empty_text(first) and _contains(rest, _is_start):
                raise self._refused("'^' after something that may be empty")
            stays = at_start and first == EMPTY
            return cat([first, self._to_end(rest, then, at_start=stays)])
        if code is op.AT:
            return self._anchor(argument, rest, then, at_start)
        if code in (op.ASSERT, op.ASSERT_NOT):
            return self._look(code, argument, self._to_end(rest, then, at_start=at_start), at_start)
        if code is op.BRANCH:
            options = [list(option) + rest for option in argument[1]]
            return alt(self._to_end(option, then, at_start=at_start) for option in options)
        if code is op.SUBPATTERN:
            return self._to_end(self._body(argument) + rest, then, at_start=at_start)
        if code in _REPEATS:
            return self._repeat(argument, rest, then, at_start)
        raise self._refused(str(code).lower())

    def _anchor(self, where: Any, rest: list[_Item], then: Language, at_start: bool) -> Language:
        if where in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return self._to_end(rest, then, at_start=True) if at_start else NOTHING
        if where in (op.AT_END, op.AT_END_STRING):
            if not has_empty_text(self._to_end(rest, then, at_start=at_start)):
                return NOTHING
            last_newline = self._widened and where is op.AT_END
            return Repeat(literal("\n"), 0, 1) if last_newline else EMPTY
        raise self._refused("a word boundary")

    def _look(self, code: Any, argument: Any, rest: Language, at_start: bool) -> Language:
        direction, body = argument
        if direction < 0:
            raise self._refused("look-behind")
        self._widened ^= code is op.ASSERT_NOT
        seen = self._to_end(list(body), ANY_TEXT, at_start=at_start)
        self._widened ^= code is op.ASSERT_NOT
        return both([Except(seen) if code is op.ASSERT_NOT else seen, rest])

    def _repeat(self, argument: Any, rest: list[_Item], then: Language, at_start: bool) -> Language:
        low, high, body = argument
        after = self._to_end(rest, then, at_start=at_start)
        once = [self._to_end(list(body) + rest, then, at_start=at_start)]
        if high == 1:
            return alt(once if low else [*once, after])
        if high == 0:
            return after
        if high is not op.MAXREPEAT:
            raise self._refused("an anchor or look-around inside of a bounded repetition")
        options = _options(list(body))
        ends = [option for option in options if _contains(option, _is_special)]
        if low > 1 or any(not _only_ends(option) for option in ends):
            raise self._refused("an anchor or look-around inside of a repetition")
        loop = alt(self._simple(option) for option in options if option not in ends)
        lasts = [self._to_end(option, after, at_start=False) for option in ends]
        empty = [] if low and not has_empty_text(loop) else [after]
        body_low = low if not lasts else 0
        if lasts:
            return cat([Repeat(loop, 0, None), alt([*lasts, *(empty or [cat([loop, after])])])])
        return cat([Repeat(loop, body_low, None), after])

    def _simple(self, items: list[_Item]) -> Language:
        return cat(self._single(code, argument) for code, argument in items)

    def _single(self, code: Any, argument: Any) -> Language:
        if code in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY):
            return Chars(self._chars(code, argument))
        if code is op.BRANCH:
            return alt(self._simple(list(option)) for option in argument[1])
        if code is op.SUBPATTERN:
            return self._simple(self._body(argument))
        if code in _REPEATS:
            low, high, body = argument
            part = self._simple(list(body))
            return Repeat(part, low, None if high is op.MAXREPEAT else high)
        raise self._refused(str(code).lower().replace("_", " "))

    def _body(self, argument: Any) -> list[_Item]:
        _, add_flags, del_flags, body = argument
        if add_flags or del_flags:
            raise self._refused("flags for a part of the pattern")
        return list(body)

    def _chars(self, code: Any, argument: Any) -> CharSet:
        if code is op.ANY:
            return ANY_CHAR if self._flags & re.DOTALL else NOT_NEWLINE
        if code is op.IN:
            return self._class(argument)
        return self._fold(CharSet.of([(argument, argument)]), code is op.NOT_LITERAL)

    def _class(self, members: list[_Item]) -> CharSet:
        negated = members[0][0] is op.NEGATE
        result = CharSet(())
        for code, argument in members[1:] if negated else members:
            if code is op.CATEGORY:
                result |= _category(argument, within=self._widened == negated)
            else:
                result |= CharSet.of([argument if code is op.RANGE else (argument, argument)])
        return self._fold(result, negated)

    def _fold(self, chars: CharSet, negated: bool) -> CharSet:
        if self._flags & re.IGNORECASE:
            chars = chars.ignoring_ascii_case()
        return ~chars if negated else chars

    def _refused(self, what: str) -> PatternError:
        return PatternError(f"the pattern {self._pattern!r} uses {what}, which is not supported")


def _category(category: Any, *, within: bool) -> CharSet:
    """The members of a class like `\\d`: `within` both standards, else of either."""
    narrow = {
        op.CATEGORY_DIGIT: DIGITS,
        op.CATEGORY_WORD: WORD,
        op.CATEGORY_SPACE: SPACE,
    }
    opposite = {
        op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
        op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
        op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    }
    if category in opposite:
        return ~_category(opposite[category], within=not within)
    return narrow[category] if within else _unicode_category(category)


_UNICODE: dict[Any, CharSet] = {}


def _unicode_category(category: Any) -> CharSet:
    if category not in _UNICODE:
        text = {op.CATEGORY_DIGIT: r"\d", op.CATEGORY_WORD: r"\w", op.CATEGORY_SPACE: r"[\s\ufeff]"}
        everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
        spans = (match.span() for match in re.finditer(f"{text[category]}+", everything))
        shift = 0xE000 - 0xD800
        _UNICODE[category] = CharSet.of(
            (a if a < 0xD800 else a + shift, b - 1 if b - 1 < 0xD800 else b - 1 + shift)
            for a, b in spans
        )
    return _UNICODE[category]


def _contains(items: list[_Item], test: Any) -> bool:
    return any(
        test(code, argument) or any(_contains(body, test) for body in _bodies(code, argument))
        for code, argument in items
    )


def _bodies(code: Any, argument: Any) -> list[list[_Item]]:
    if code is op.BRANCH:
        return [list(option) for option in argument[1]]
    if code is op.SUBPATTERN:
        return [list(argument[3])]
    if code in _REPEATS:
        return [list(argument[2])]
    if code in (op.ASSERT, op.ASSERT_NOT):
        return [list(argument[1])]
    return []


def _is_start(code: Any, argument: Any) -> bool:
    return code is op.AT and argument in (op.AT_BEGINNING, op.AT_BEGINNING_STRING)


def _is_special(code: Any, argument: Any) -> bool:
    return code in (op.AT, op.ASSERT, op.ASSERT_NOT)


def _options(items: list[_Item]) -> list[list[_Item]]:
    """The items as alternatives that branch nowhere around an anchor or look-around."""
    if not _contains(items, _is_special):
        return [items]
    (code, argument), rest = items[0], _options(items[1:]) if items[1:] else [[]]
    heads: list[list[_Item]] = [[items[0]]]
    if _contains([items[0]], _is_special):
        if code is op.BRANCH:
            heads = [head for option in argument[1] for head in _options(list(option))]
        elif code is op.SUBPATTERN:
            heads = _options(list(argument[3]))
    return [head + tail for head in heads for tail in rest]


def _only_ends(items: list[_Item]) -> bool:
    """Whether the only special item is a last '$'."""
    *first, (code, argument) = items
    is_end = code is op.AT and argument in (op.AT_END, op.AT_END_STRING)
    return is_end and not _contains(first, _is_special)
