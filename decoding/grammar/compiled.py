"""A grammar bound to one tokenizer. Immutable and shared; matchers are cheap copies."""

from dataclasses import dataclass

from llguidance import LLMatcher, LLParserLimits

from decoding.errors import GrammarError
from decoding.grammar.closing import Closers
from decoding.grammar.matcher import Matcher
from decoding.grammar.vocabulary import Vocabulary

# Real schemas with hundreds of alternatives for one object exceed the backend's defaults.
_LIMITS = LLParserLimits(max_items_in_row=50_000, step_max_items=1_000_000)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledGrammar:
    """Lives per grammar and tokenizer. `vocab_size` is the width of the masks, in tokens."""

    vocabulary: Vocabulary
    vocab_size: int
    _start: LLMatcher
    _closers: Closers

    @classmethod
    def build(
        cls,
        lark: str,
        vocabulary: Vocabulary,
        vocab_size: int | None = None,
        examples: tuple[str, ...] = (),
    ) -> "CompiledGrammar":
        """`examples` are texts that may complete a string.

        Raises `GrammarError` where the backend refuses, `ValueError` for a narrow mask.
        """
        width = vocabulary.size if vocab_size is None else vocab_size
        if width < vocabulary.size:
            raise ValueError(
                f"vocab_size={width} is less than the tokenizer's {vocabulary.size} tokens; "
                "give the width of the network's logits"
            )
        text = LLMatcher.grammar_from_lark(lark)
        start = LLMatcher(vocabulary.backend, text, log_level=0, limits=_LIMITS)
        if start.is_error():
            raise GrammarError(f"the grammar was refused: {start.get_error().splitlines()[0]}")
        spelled = tuple(tuple(vocabulary.encode(example)) for example in examples)
        closers = Closers(vocabulary.eos_token_ids[0], vocabulary.single_bytes, spelled)
        return cls(vocabulary, width, start, closers)

    def matcher(self) -> Matcher:
        """A new matcher at the start of the grammar, for one sequence."""
        return Matcher(self._start.deep_copy(), self.vocabulary, self._closers, self.vocab_size)

    def accepts(self, text: str) -> bool:
        """Whether the whole text, exactly as spelled, is in the grammar."""
        state = self._start.deep_copy()
        tokens = self.vocabulary.encode(text)
        consumed = not tokens or state.try_consume_tokens(tokens) == len(tokens)
        return consumed and not state.is_error() and bool(state.is_accepting())
