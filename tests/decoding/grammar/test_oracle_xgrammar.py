"""Texts our grammars generate, judged by a second grammar engine."""

import json

import pytest

from decoding.grammar import Grammar
from tests.decoding.grammar.conftest import SmallTokenizer, random_text

xgrammar = pytest.importorskip(
    "xgrammar", reason="the oracle is the extra 'oracle': pip install 'trimode[oracle]'"
)
pytestmark = pytest.mark.oracle

# Within what both engines enforce: the oracle ignores some keywords without a word.
_SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
     "required": ["a", "b"], "additionalProperties": False},
    {"type": "array", "items": {"type": ["boolean", "null"]}, "minItems": 1, "maxItems": 3},
    {"anyOf": [{"type": "string", "pattern": "^[a-c]{1,3}$"}, {"const": 7}]},
    {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"],
     "additionalProperties": False,
     "$defs": {"n": {"anyOf": [{"type": "null"},
                               {"type": "array", "items": {"$ref": "#/$defs/n"}}]}}},
    {"type": "integer", "minimum": -3, "maximum": 120},
]  # fmt: skip


@pytest.mark.parametrize("schema", _SCHEMAS)
def test_the_oracle_accepts_what_we_generate(
    schema: dict[str, object], tokenizer: SmallTokenizer
) -> None:
    info = xgrammar.TokenizerInfo.from_huggingface(
        tokenizer.hf, vocab_size=tokenizer.vocab_size, stop_token_ids=list(tokenizer.eos_token_ids)
    )
    oracle = xgrammar.GrammarCompiler(info).compile_json_schema(
        json.dumps(schema), any_whitespace=False, separators=(",", ":"), strict_mode=False
    )
    for seed in range(20):
        tokens = random_text(Grammar.json_schema(schema).compile(tokenizer).matcher(), 60, seed)
        assert tokens is not None
        judge = xgrammar.GrammarMatcher(oracle)
        assert judge.accept_string(tokenizer.decode(tokens)), tokenizer.decode(tokens)
        assert judge.is_completed()
