"""Regular languages as terms, and their spelling as terminals of a Lark grammar.

A term describes texts. `render` writes it as a terminal; with `quoted` it writes the texts'
JSON spelling instead, every character in the one canonical way of `json_char`. One spelling
per character is what makes complements exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from decoding.grammar.charset import ANY_CHAR, CharSet

_SHORT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_CONTROLS = CharSet.of([(0, 0x1F)])
_PLAIN = ANY_CHAR - _CONTROLS - CharSet.chars('"\\')
_EXAMPLES = "a0A -"


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of the set."""

    chars: CharSet


@dataclass(frozen=True, slots=True)
class Cat:
    """The parts one after the other; no parts is the empty text."""

    parts: tuple["Language", ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any of the parts; no parts is no text at all."""

    parts: tuple["Language", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times the part, None for any number."""

    part: "Language"
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Both:
    """The texts in all parts at once."""

    parts: tuple["Language", ...]


@dataclass(frozen=True, slots=True)
class Except:
    """All texts but those of the part."""

    part: "Language"


Language = Chars | Cat | Alt | Repeat | Both | Except

EMPTY = Cat(())
NOTHING = Alt(())
ANY_TEXT = Repeat(Chars(ANY_CHAR), 0, None)


def cat(parts: Iterable[Language]) -> Language:
    flat: list[Language] = []
    for part in parts:
        if part == NOTHING:
            return NOTHING
        for each in part.parts if isinstance(part, Cat) else (part,):
            if not (each == ANY_TEXT and flat and flat[-1] == ANY_TEXT):
                flat.append(each)
    return flat[0] if len(flat) == 1 else Cat(tuple(flat))


def alt(parts: Iterable[Language]) -> Language:
    flat: dict[Language, None] = {}
    for part in parts:
        flat |= dict.fromkeys(part.parts if isinstance(part, Alt) else (part,))
    return next(iter(flat)) if len(flat) == 1 else Alt(tuple(flat))


def both(parts: Iterable[Language]) -> Language:
    flat: list[Language] = []
    for part in parts:
        for each in part.parts if isinstance(part, Both) else (part,):
            if each == NOTHING:
                return NOTHING
            if each != ANY_TEXT and each not in flat:
                flat.append(each)
    if not flat:
        return ANY_TEXT
    return flat[0] if len(flat) == 1 else Both(tuple(flat))


@cache
def _char(char: str) -> Chars:
    return Chars(CharSet.chars(char))


def literal(text: str) -> Language:
    return _char(text) if len(text) == 1 else Cat(tuple(map(_char, text)))


def has_empty_text(language: Language) -> bool:
    match language:
        case Chars():
            return False
        case Cat(parts) | Both(parts):
            return all(map(has_empty_text, parts))
        case Alt(parts):
            return any(map(has_empty_text, parts))
        case Repeat(part, low, _):
            return low == 0 or has_empty_text(part)
        case Except(part):
            return not has_empty_text(part)


def example(language: Language) -> str | None:
    """A short text of the language; None where none is found by looking at it."""
    match language:
        case Chars(chars):
            return next((char for char in _EXAMPLES if char in chars), None) or (
                chr(chars.ranges[0][0]) if chars.ranges else None
            )
        case Cat(parts):
            texts = [example(part) for part in parts]
            return None if None in texts else "".join(map(str, texts))
        case Alt(parts):
            found = [text for text in map(example, parts) if text is not None]
            return min(found, key=len) if found else None
        case Repeat(part, low, _):
            text = example(part) if low else ""
            return None if text is None else text * low
        case _:
            return None


def json_char(char: str) -> str:
    """The canonical spelling of a character inside of a JSON string."""
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    return f"\\u{ord(char):04x}" if ord(char) < 0x20 else char


def is_plain_regex(language: Language) -> bool:
    """Whether no intersection or complement occurs, so that emptiness shows in the term."""
    match language:
        case Chars():
            return True
        case Cat(parts) | Alt(parts):
            return all(map(is_plain_regex, parts))
        case Repeat(part, _, _):
            return is_plain_regex(part)
        case _:
            return False


def render(language: Language, *, quoted: bool) -> str:
    """The language as the body of a Lark terminal."""
    if is_plain_regex(language):
        return f"/{_regex(language, quoted) or '(?:)'}/"
    match language:
        case Cat(parts):
            return " ".join(_group(part, quoted) for part in parts)
        case Alt(parts):
            return " | ".join(_group(part, quoted) for part in parts)
        case Both(parts):
            return " & ".join(_group(part, quoted) for part in parts)
        case Except(part):
            return f"{_group(ANY_TEXT, quoted)} & ~{_group(part, quoted)}"
        case Repeat(_, _, 0):
            return '""'
        case Repeat(part, low, high):
            return _group(part, quoted) + _times(low, high)
        case Chars():
            raise AssertionError("a character is a plain regex")


def _group(language: Language, quoted: bool) -> str:
    return f"({render(language, quoted=quoted)})"


def _regex(language: Language, quoted: bool) -> str:
    match language:
        case Chars(chars):
            return _quoted_chars(chars) if quoted else _char_class(chars)
        case Cat(parts):
            return "".join(_regex(part, quoted) for part in parts)
        case Alt(parts):
            return (
                "(?:" + "|".join(_regex(part, quoted) for part in parts) + ")" if parts else _NEVER
            )
        case Repeat(_, _, 0):
            return ""
        case Repeat(part, low, high):
            return f"(?:{_regex(part, quoted)}){_times(low, high)}"
        case _:
            raise AssertionError("not a plain regex")


_NEVER = "[a&&b]"


def _times(low: int, high: int | None) -> str:
    assert high != 0, "no repetition is the empty text"
    if (low, high) == (0, None):
        return "*"
    if (low, high) == (0, 1):
        return "?"
    return f"{{{low},{'' if high is None else high}}}"


@lru_cache(maxsize=4096)
def _char_class(chars: CharSet) -> str:
    if not chars.ranges:
        return _NEVER
    if len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]:
        return _code(chars.ranges[0][0])
    spans = (_code(a) if a == b else f"{_code(a)}-{_code(b)}" for a, b in chars.ranges)
    return "[" + "".join(spans) + "]"


def _code(code: int) -> str:
    return chr(code) if code < 128 and chr(code).isalnum() else f"\\x{{{code:X}}}"


@lru_cache(maxsize=4096)
def _quoted_chars(chars: CharSet) -> str:
    plain = chars & _PLAIN
    options = [_char_class(plain)] if plain.ranges else []
    escaped = [chr(code) for a, b in (chars - _PLAIN).ranges for code in range(a, b + 1)]
    # Escapes that differ in their last character only share one alternative.
    last_characters: dict[str, str] = {}
    for spelled in map(json_char, escaped):
        last_characters[spelled[:-1]] = last_characters.get(spelled[:-1], "") + spelled[-1]
    for start, lasts in last_characters.items():
        options.append(
            "".join(_code(ord(char)) for char in start) + _char_class(CharSet.chars(lasts))
        )
    if len(options) == 1:
        return options[0]
    return "(?:" + "|".join(options) + ")" if options else _NEVER
