"""The matcher's contract, mostly on random walks over a few grammars."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.errors import GrammarDeadEnd, GrammarError
from decoding.grammar import Grammar, Matcher
from tests.decoding.grammar.conftest import SmallTokenizer, allowed, random_text

_tokenizer = SmallTokenizer()
_END, _TURN = _tokenizer.eos_token_ids
_GRAMMARS = [
    Grammar.json_schema(
        {
            "type": "object",
            "properties": {
                "name": {"enum": ["ab", "abé", "trué"]},
                "n": {"type": "integer", "minimum": 7, "maximum": 120},
                "more": {"type": "array", "items": {"type": ["boolean", "null", "string"]}},
            },
            "required": ["name", "n"],
            "additionalProperties": False,
        }
    ),
    Grammar.json_schema(
        {
            "$ref": "#/$defs/node",
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                        "at": {"type": "string", "format": "date-time"},
                    },
                    "required": ["next", "at"],
                    "additionalProperties": False,
                }
            },
        }
    ),
    Grammar.regex(r"(ab|true){1,3}|[a-e]+@[a-e]+\.org"),
    Grammar.choice(["name", "named", "nam", ""]),
    Grammar.lark(
        'start: "<call>" %json {"type": ["integer", "object"]} "</call>" | WORD\nWORD: /[a-z]+/'
    ),
]
_numbers = st.integers(0, len(_GRAMMARS) - 1)
_walks = st.tuples(_numbers, st.integers(0, 10_000), st.integers(0, 25))


def started(grammar: Grammar) -> Matcher:
    return grammar.compile(_tokenizer, 320).matcher()


def walked(walk: tuple[int, int, int]) -> Matcher:
    """A matcher some random legal tokens into its grammar; never terminated."""
    number, seed, steps = walk
    matcher = started(_GRAMMARS[number])
    for step in range(steps):
        options = [t for t in allowed(matcher) if t not in _tokenizer.eos_token_ids]
        if not options:
            break
        matcher.accept(options[(seed * 7919 + step * 104729) % len(options)])
    return matcher


def observed(matcher: Matcher) -> tuple[object, ...]:
    if matcher.is_terminated:
        return (matcher.tokens,)
    return (
        matcher.tokens,
        matcher.is_accepting,
        matcher.only_end_follows,
        tuple(allowed(matcher)),
        matcher.forced_tokens(),
    )


@settings(deadline=None, max_examples=60)
@given(_walks, st.lists(st.integers(-3, 400), max_size=6))
def test_asking_changes_nothing(walk: tuple[int, int, int], draft: list[int]) -> None:
    matcher = walked(walk)
    before = observed(matcher)
    matcher.validate(draft)
    matcher.closing_tokens(60)
    matcher.fork().accept(allowed(matcher)[0])
    assert observed(matcher) == before


@settings(deadline=None, max_examples=20)
@given(_walks)
def test_validate_and_accept_agree_and_the_mask_too(walk: tuple[int, int, int]) -> None:
    matcher = walked(walk)
    legal = [token for token in range(320) if matcher.validate([token])]
    forced = matcher.forced_tokens()
    if forced and forced[0] not in _tokenizer.eos_token_ids:
        assert allowed(matcher) == [forced[0]]
        assert forced[0] in legal
    else:
        assert allowed(matcher) == legal
    for token in range(320):
        copy = matcher.fork()
        if token in legal:
            copy.accept(token)
        else:
            with pytest.raises(ValueError, match="not allowed"):
                copy.accept(token)
            assert observed(copy) == observed(matcher)


@settings(deadline=None, max_examples=60)
@given(_walks, st.integers(0, 99))
def test_rollback_undoes_and_forks_part(walk: tuple[int, int, int], choice: int) -> None:
    matcher = walked(walk)
    before, fork = observed(matcher), matcher.fork()
    count = 0
    while not matcher.is_terminated and count < 5:
        options = allowed(matcher)
        matcher.accept(options[choice % len(options)])
        count += 1
    assert observed(fork) == before
    matcher.rollback(count)
    assert observed(matcher) == before


@settings(deadline=None, max_examples=60)
@given(_walks)
def test_forced_tokens_are_all_that_bytes_leave(walk: tuple[int, int, int]) -> None:
    matcher = walked(walk)
    forced, legal = matcher.forced_tokens(), allowed(matcher)
    if forced:
        assert matcher.validate(forced) == len(forced)
        assert legal == [forced[0]] or forced[0] == _END
        for token in range(256):
            # another spelling of the same bytes is legal, other bytes are not
            if matcher.validate([token]) and forced[0] != _END:
                other = _tokenizer.hf.convert_ids_to_tokens(token)
                assert _tokenizer.hf.convert_ids_to_tokens(forced[0]).startswith(other)
    if legal == list(_tokenizer.eos_token_ids):
        assert forced == (_END,)
    elif forced:
        assert not matcher.is_accepting


@settings(deadline=None, max_examples=60)
@given(_walks, st.one_of(st.integers(1, 40), st.just(400)))
def test_closing_ends_the_grammar_within_its_limit(walk: tuple[int, int, int], limit: int) -> None:
    matcher = walked(walk)
    path = matcher.closing_tokens(limit)
    if path is None:
        assert limit < 400, "no way to end was found, though there is room"
        return
    assert len(path) <= limit
    forced = matcher.forced_tokens()
    assert path[: len(forced)] == forced
    for token in path:
        assert not matcher.is_terminated
        matcher.accept(token)
    assert matcher.is_terminated


@settings(deadline=None, max_examples=60)
@given(_numbers, st.integers(0, 10_000))
def test_a_budget_always_closes(number: int, seed: int) -> None:
    grammar = _GRAMMARS[number]
    tokens = random_text(started(grammar), 70, seed)
    assert tokens is not None
    assert len(tokens) <= 70
    assert tokens[-1] in (_END, _TURN)
    text = _tokenizer.decode(tokens)
    assert grammar.accepts(text, _tokenizer)


_MANY = {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "string"}, "minItems": 6}]}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("pattern", ["^(international|organization|zzzz)$", "^(in|out)-of-true$"])
def test_a_way_through_a_pattern_is_spelled_as_decoding_spells_it(pattern: str, seed: int) -> None:
    """Behind the first token of an example the rest is forced, up to the next key."""
    grammar = Grammar.json_schema(
        {
            "type": "object",
            "properties": {"a": {"type": "string", "pattern": pattern}, "b": _MANY},
            "required": ["a", "b"],
            "additionalProperties": False,
        }
    )
    tokens = random_text(started(grammar), 45, seed)
    assert tokens is not None
    assert grammar.accepts(_tokenizer.decode(tokens), _tokenizer)


@pytest.mark.parametrize(
    ("grammar", "limit"),
    [
        (
            Grammar.json_schema(
                {
                    "type": "object",
                    "properties": {"email": {"type": "string", "format": "email"}},
                    "required": ["email"],
                }
            ),
            18,
        ),
        (Grammar.json_schema({"type": "array", "items": {"format": "uri"}, "minItems": 1}), 8),
        (Grammar.regex(r"[a-z]+ize the world"), 20),
        (Grammar.json_schema({"type": "string", "pattern": "^[x}]{3}-[a-f]{2}$"}), 10),
    ],
)
def test_ways_to_close_are_short(grammar: Grammar, limit: int) -> None:
    assert started(grammar).closing_tokens(limit) is not None


def test_every_end_token_ends_a_whole_text_and_only_that() -> None:
    matcher = started(Grammar.choice(["ab", "abe"]))
    assert matcher.forced_tokens() == tuple(_tokenizer.encode("ab"))
    assert matcher.validate([_END]) == 0
    assert matcher.validate([*_tokenizer.encode("ab"), _TURN, _END]) == 2
    for token in _tokenizer.encode("ab"):
        matcher.accept(token)
    assert matcher.is_accepting
    assert not matcher.only_end_follows
    assert matcher.forced_tokens() == ()
    assert {_END, _TURN} < set(allowed(matcher))
    for end in (_END, _TURN):
        matcher.accept(end)
        assert matcher.is_terminated
        assert (matcher.validate([end]), matcher.forced_tokens(), matcher.closing_tokens(9)) == (
            0,
            (),
            (),
        )
        with pytest.raises(ValueError, match="has ended"):
            matcher.fill_mask()
        with pytest.raises(ValueError, match="not allowed"):
            matcher.accept(end)
        matcher.rollback(1)
    assert matcher.is_accepting
    matcher.accept(_tokenizer.encode("e")[0])
    assert matcher.only_end_follows
    assert allowed(matcher) == [_END, _TURN]
    assert matcher.forced_tokens() == (_END,)


def test_the_forced_end_of_a_grammar_includes_the_end_token() -> None:
    matcher = started(Grammar.choice(["name"]))
    assert matcher.forced_tokens() == (*_tokenizer.encode("name"), _END)


@pytest.mark.parametrize("extra", [0, 1, 40, 1000])
def test_masks_have_the_width_asked_for_and_allow_no_padding(extra: int) -> None:
    width = _tokenizer.vocab_size + extra
    matcher = Grammar.regex("(?s).*").compile(_tokenizer, width).matcher()
    mask_W = matcher.fill_mask()
    assert mask_W.shape == ((width + 31) // 32,)
    assert mask_W.dtype == torch.int32
    assert max(allowed(matcher)) < _tokenizer.vocab_size
    dirty_W = torch.full_like(mask_W, -1)
    assert matcher.fill_mask(dirty_W) is dirty_W
    assert torch.equal(dirty_W, mask_W)


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    matcher = started(_GRAMMARS[0])
    with pytest.raises(ValueError, match="must be contiguous int32"):
        matcher.fill_mask(torch.zeros(3, dtype=torch.int32))
    with pytest.raises(ValueError, match="less than the tokenizer"):
        _GRAMMARS[0].compile(_tokenizer, 100)


def test_an_end_token_in_the_sign_bit_of_a_word_is_allowed() -> None:
    class Shifted(SmallTokenizer):
        def __init__(self) -> None:
            super().__init__()
            fill = 31 - self.vocab_size % 32
            self.hf.add_tokens([f"<fill{i}>" for i in range(fill)], special_tokens=True)
            self.hf.add_tokens(["<last>"], special_tokens=True)
            self.vocab_size = len(self.hf)
            self.eos_token_ids = (self.hf.convert_tokens_to_ids("<last>"),)  # type: ignore[assignment]

    tokenizer = Shifted()
    assert tokenizer.eos_token_ids[0] % 32 == 31
    matcher = Grammar.choice([""]).compile(tokenizer).matcher()
    assert allowed(matcher) == list(tokenizer.eos_token_ids)


def test_special_tokens_spelled_in_a_string_stay_text() -> None:
    grammar = Grammar.json_schema({"type": "string"})
    assert grammar.accepts('"<end>"', _tokenizer)
    special = _tokenizer.eos_token_ids[1]
    matcher = started(grammar)
    matcher.accept(_tokenizer.encode('"')[0])
    assert special not in allowed(matcher)


def test_text_that_no_token_spells_is_a_dead_end() -> None:
    class Sparse(SmallTokenizer):
        """Has no token for 'b' in any form."""

        def __init__(self) -> None:
            super().__init__()
            vocabulary = {"a": 0, "c": 1, "<end>": 2}
            backend = self.hf.backend_tokenizer.__class__.from_str(
                '{"version":"1.0","added_tokens":[{"id":2,"content":"<end>","single_word":false,'
                '"lstrip":false,"rstrip":false,"normalized":false,"special":true}],'
                '"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,'
                '"trim_offsets":true,"use_regex":false},"decoder":{"type":"ByteLevel",'
                '"add_prefix_space":false,"trim_offsets":true,"use_regex":false},'
                '"model":{"type":"BPE","vocab":{"a":0,"c":1},"merges":[]}}'
            )
            self.hf = self.hf.__class__(tokenizer_object=backend, eos_token="<end>")
            self.vocab_size, self.eos_token_ids = len(vocabulary), (2,)  # type: ignore[assignment]

    sparse = Sparse()
    matcher = Grammar.choice(["ab"]).compile(sparse).matcher()
    matcher.accept(0)
    with pytest.raises(GrammarDeadEnd):
        matcher.fill_mask()


def test_rolling_back_too_far_is_refused() -> None:
    matcher = started(_GRAMMARS[2])
    with pytest.raises(ValueError, match="cannot take back"):
        matcher.rollback(1)
    matcher.rollback(0)


def test_a_tokenizer_without_an_end_token_is_refused() -> None:
    tokenizer = SmallTokenizer()
    tokenizer.eos_token_ids = ()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no end token"):
        _GRAMMARS[0].compile(tokenizer)


def test_compiling_twice_gives_the_same_object() -> None:
    one = Grammar.json_schema({"type": "null"}).compile(_tokenizer)
    assert Grammar.json_schema({"type": "null"}).compile(_tokenizer) is one
    assert Grammar.json_schema({"type": "null"}).compile(_tokenizer, 999) is not one


def test_grammar_error_is_raised_for_grammars_the_backend_refuses() -> None:
    with pytest.raises(GrammarError, match="refused"):
        Grammar.lark("start: missing_rule")
