"""Where one sequence stands in its grammar."""

import numpy as np
import torch
from llguidance import LLMatcher
from numpy.typing import NDArray
from torch import Tensor

from decoding.errors import GrammarDeadEnd, GrammarError
from decoding.grammar.closing import Closers, Way, closing_way
from decoding.grammar.vocabulary import Vocabulary


class Matcher:
    """The state of one sequence under a grammar. One owner, one thread at a time.

    A sequence *terminates* by one of the tokenizer's end tokens, which is legal exactly where
    the text so far is a whole text of the grammar (`is_accepting`). After it nothing follows.

    Where the grammar fixes the next bytes, `forced_tokens` names their canonical spelling and
    `fill_mask` allows the first of those tokens only, so a decoder may commit them without
    looking at a mask. Elsewhere the mask allows every token whose bytes fit. `validate` and
    `accept` go by bytes everywhere: they also take other spellings of forced text.

    Methods raise `GrammarError` where the backend gives up, for example at its limits.
    """

    def __init__(
        self, state: LLMatcher, vocabulary: Vocabulary, closers: Closers, vocab_size: int
    ) -> None:
        self._state = state
        self._vocabulary = vocabulary
        self._closers = closers
        self._vocab_size = vocab_size
        self._tokens: list[int] = []
        self._terminated = False
        self._last_way: Way = ()  # speeds up the next search; decides nothing

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens accepted so far, the end token included."""
        return tuple(self._tokens)

    @property
    def is_terminated(self) -> bool:
        """Whether an end token was accepted."""
        return self._terminated

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is a whole text of the grammar."""
        return bool(self._state.is_accepting())

    @property
    def only_end_follows(self) -> bool:
        """Whether the text is whole and nothing but an end token may follow."""
        return not self._terminated and self.is_accepting and bool(self._state.is_stopped())

    def fill_mask(self, out_W: Tensor | None = None) -> Tensor:
        """The tokens allowed next, int32 [ceil(vocab_size / 32)], bit `t % 32` of word `t // 32`.

        Changes no state. Writes into `out_W` where given. Tokens above the tokenizer's size
        are never allowed. Raises `GrammarDeadEnd` where no token is allowed and `ValueError`
        after the end token.
        """
        if self._terminated:
            raise ValueError("the text has ended: no token may follow its end token")
        words = (self._vocab_size + 31) // 32
        if out_W is None:
            out_W = torch.empty(words, dtype=torch.int32)
        elif out_W.shape != (words,) or out_W.dtype != torch.int32 or not out_W.is_contiguous():
            raise ValueError(f"the mask must be contiguous int32 [{words}], not {out_W.shape}")
        # Of so few numbers numpy's view is quicker than the tensor.
        mask_W: NDArray[np.int32] = out_W.numpy()
        if self.only_end_follows:
            mask_W[:] = 0
            for token in self._vocabulary.eos_token_ids:
                mask_W.view(np.uint32)[token // 32] |= np.uint32(1 << (token % 32))
            return out_W
        known = (self._vocabulary.size + 31) // 32
        mask_W[known:] = 0
        self._state.unsafe_compute_mask_ptr(out_W.data_ptr(), known * 4)
        self._check()
        if not mask_W.any():
            raise GrammarDeadEnd(self._text())
        return out_W

    def accept(self, token: int) -> None:
        """Moves over `token`. Raises `ValueError`, changing nothing, where it is illegal."""
        if token in self._vocabulary.eos_token_ids and not self._terminated and self.is_accepting:
            self._terminated = True
        elif self._terminated or not self._consume(token):
            raise ValueError(
                f"token {token} is not allowed after {self._text()[-80:]!r}; "
                "accept only tokens that the mask allows"
            )
        self._tokens.append(token)

    def rollback(self, num_tokens: int) -> None:
        """Undoes the last `num_tokens` accepted tokens, the end token included."""
        if not 0 <= num_tokens <= len(self._tokens):
            raise ValueError(f"cannot take back {num_tokens} of {len(self._tokens)} tokens")
        if num_tokens == 0:
            return
        within_grammar = num_tokens - 1 if self._terminated else num_tokens
        self._terminated = False
        if within_grammar and not self._state.rollback(within_grammar):
            self._check()
        del self._tokens[len(self._tokens) - num_tokens :]

    def forced_tokens(self) -> tuple[int, ...]:
        """The tokens that the grammar leaves no choice about, in canonical spelling.

        Changes no state. Where the forced text completes the grammar, the tokenizer's first
        end token follows it; so it does, alone, where the text is whole already and nothing
        else can follow.
        """
        if self._terminated:
            return ()
        end = self._vocabulary.eos_token_ids[:1]
        if self.only_end_follows:
            return end
        forced = list(self._state.compute_ff_tokens())
        self._check()
        if not forced:
            return ()
        count = self._state.try_consume_tokens(forced)
        ends = count == len(forced) and self.only_end_follows
        self._state.rollback(count)
        self._check()
        return (*forced[:count], *(end if ends else ()))

    def validate(self, tokens: list[int] | tuple[int, ...]) -> int:
        """How many of the tokens are legal, one after the other, from here. Changes no state."""
        if self._terminated:
            return 0
        eos = self._vocabulary.eos_token_ids
        before_end = next((i for i, token in enumerate(tokens) if token in eos), len(tokens))
        known = next(
            (i for i, token in enumerate(tokens) if not self._is_known(token)), len(tokens)
        )
        prefix = list(tokens[: min(before_end, known)])
        legal = int(self._state.validate_tokens(prefix)) if prefix else 0
        if legal == before_end < len(tokens) and self._accepts_after(prefix):
            legal += 1
        self._check()
        return legal

    def closing_tokens(self, limit: int) -> tuple[int, ...] | None:
        """A short way to the end of the grammar: at most `limit` tokens, an end token last.

        None where none was found, which does not prove that there is none. Begins with
        `forced_tokens`. Changes no state. After the end token the way is empty.
        """
        if self._terminated:
            return ()
        way = closing_way(self.fork(), self._closers, limit, self._last_way)
        if way is None:
            return None
        self._last_way = way
        return tuple(token for piece in way for token in piece)

    def fork(self) -> "Matcher":
        """A matcher in the same state that moves on its own."""
        copy = Matcher(self._state.deep_copy(), self._vocabulary, self._closers, self._vocab_size)
        copy._tokens = list(self._tokens)
        copy._terminated = self._terminated
        copy._last_way = self._last_way
        return copy

    def _is_known(self, token: int) -> bool:
        return 0 <= token < self._vocabulary.size

    def _consume(self, token: int) -> bool:
        if not self._is_known(token) or token in self._vocabulary.eos_token_ids:
            return False
        legal = self._state.try_consume_tokens([token]) == 1
        self._check()
        return legal

    def _accepts_after(self, prefix: list[int]) -> bool:
        count = self._state.try_consume_tokens(prefix) if prefix else 0
        whole = self.is_accepting
        if count:
            self._state.rollback(count)
        return whole

    def _check(self) -> None:
        if not self._state.is_error():
            return
        reason = self._state.get_error().splitlines()[0]
        if "NoExtension" in reason or "NoExtension" in self._state.stop_reason():
            raise GrammarDeadEnd(self._text())
        raise GrammarError(f"the matcher gave up after {self._text()[-80:]!r}: {reason}")

    def _text(self) -> str:
        ends = self._vocabulary.eos_token_ids
        return self._vocabulary.decode([token for token in self._tokens if token not in ends])


def allows(mask_W: Tensor, token: int) -> bool:
    """Whether a packed mask, on the host, has the token's bit."""
    words: NDArray[np.int32] = mask_W.numpy()
    return bool((int(words[token // 32]) >> (token % 32)) & 1)
