"""Grammars over texts, and matchers that keep a sequence of tokens within one.

Grammar           per schema or expression; immutable, knows no tokenizer
CompiledGrammar   per grammar and tokenizer; immutable, cached
Matcher           per sequence; the only mutable part
"""

from decoding.grammar.compiled import CompiledGrammar
from decoding.grammar.grammar import Grammar
from decoding.grammar.matcher import Matcher, allows
from decoding.grammar.vocabulary import TokenizerLike

__all__ = ["CompiledGrammar", "Grammar", "Matcher", "TokenizerLike", "allows"]
