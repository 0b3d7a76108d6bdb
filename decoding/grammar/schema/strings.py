"""String clauses as languages, and as terminals."""

import json
from functools import lru_cache

from llguidance import LLMatcher, LLTokenizer

from decoding.grammar.charset import ANY_CHAR
from decoding.grammar.language import (
    ANY_TEXT,
    NOTHING,
    Alt,
    Both,
    Cat,
    Chars,
    Except,
    Language,
    Repeat,
    alt,
    both,
    example,
    is_plain_regex,
    json_char,
    literal,
    render,
)
from decoding.grammar.lark import quote
from decoding.grammar.pattern import example_match, search_language
from decoding.grammar.schema.clauses import StringClause
from decoding.grammar.schema.formats import format_language, widest_language


def json_string(text: str) -> str:
    """The one spelling in which grammars write a string."""
    return '"' + "".join(map(json_char, text)) + '"'


def string_language(clause: StringClause) -> Language:
    """The strings of a clause, unquoted."""
    if clause.one_of is not None:
        return alt(literal(text) for text in sorted(clause.one_of))
    parts: list[Language] = []
    for pattern, must in sorted(clause.patterns, key=lambda each: each[0].pattern):
        found = search_language(pattern.pattern, widened=not must)
        parts.append(found if must else Except(found))
    for each, must in sorted(clause.formats, key=lambda each: each[0].name):
        parts.append(format_language(each.name) if must else Except(widest_language(each.name)))
    if clause.none_of:
        parts.append(Except(alt(map(literal, sorted(filter(is_spellable, clause.none_of))))))
    if clause.min_length or clause.max_length is not None:
        parts.append(Repeat(Chars(ANY_CHAR), clause.min_length, clause.max_length))
    return both(parts) if parts else ANY_TEXT


def string_examples(clause: StringClause) -> list[str]:
    """Ends of strings, quote included, that may fulfil what is still asked of the string."""
    found = [example_match(pattern.pattern) for pattern, must in clause.patterns if must]
    found += [example(format_language(each.name)) for each, must in clause.formats if must]
    return [json_string(text)[1:] for text in found if text]


def string_terminal(language: Language) -> str:
    """The body of a terminal: the language's strings in quotes.

    Each part of an intersection gets the quotes: the backend is much faster at intersecting
    whole terminals than at what follows an intersection.
    """
    parts = language.parts if isinstance(language, Both) else (language,)
    wanted = [part for part in parts if not isinstance(part, Except)] or [ANY_TEXT]
    unwanted = [part.part for part in parts if isinstance(part, Except)]
    if not unwanted and len(wanted) == 1:
        return _in_quotes(wanted[0])
    spelled = [f"({_in_quotes(part)})" for part in wanted]
    return " & ".join([*spelled, *(f"~({_in_quotes(part)})" for part in unwanted)])


def _in_quotes(language: Language) -> str:
    if is_plain_regex(language):
        return f'/"{render(language, quoted=True)[1:-1]}"/'
    return f'/"/ ({render(language, quoted=True)}) /"/'


def is_spellable(text: str) -> bool:
    """Whether the text can be encoded; half of a surrogate pair cannot."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def enum_terminal(texts: frozenset[str]) -> str:
    """The body of a terminal for these strings, in quotes."""
    return " | ".join(quote(json_string(text)) for text in sorted(texts))


@lru_cache(maxsize=4096)
def is_void(language: Language) -> bool:
    """Whether the language holds no text at all."""
    if is_plain_regex(language):
        return _is_void_regex(language)
    if _leaves_out_few(language):
        return False
    body = render(language, quoted=False)
    state = LLMatcher(_bytes, LLMatcher.grammar_from_lark(f"start: T\nT: {body}"), log_level=0)
    if state.is_error():
        return False  # too large to tell
    if state.is_accepting():
        return False
    mask = state.compute_bitmask()
    return state.is_error() or not any(mask)


def _leaves_out_few(language: Language) -> bool:
    """Whether only listed texts are missing."""
    match language:
        case Both(parts):
            return all(map(_leaves_out_few, parts))
        case Except(part):
            return _is_finite(part)
        case _:
            return False


def _is_finite(language: Language) -> bool:
    match language:
        case Chars():
            return True
        case Cat(parts) | Alt(parts):
            return all(map(_is_finite, parts))
        case _:
            return False


def _is_void_regex(language: Language) -> bool:
    match language:
        case Chars(chars):
            return not chars.ranges
        case Cat(parts):
            return any(map(_is_void_regex, parts))
        case Repeat(part, low, _):
            return low > 0 and _is_void_regex(part)
        case _:
            return language == NOTHING


def _byte_tokenizer() -> LLTokenizer:
    # The backend wants a tokenizer even to ask whether a language is empty: one of single bytes.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    spelled = {byte: chr(byte) for byte in printable}
    spelled |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    vocabulary = {spelled[byte]: byte for byte in range(256)}
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    end = {"id": 256, "content": "<end>", "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": False, "special": True}  # fmt: skip
    return LLTokenizer(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [end],
                "pre_tokenizer": level,
                "decoder": level,
                "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
            }
        ),
        eos_token=256,
    )


_bytes = _byte_tokenizer()
