"""What a caller asks of an engine, and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from decoding.errors import DecodingError
from decoding.grammar import Grammar
from decoding.modes import Autoregressive, DecodeMode
from decoding.modes.fitting import check_record
from decoding.record import ForwardRecord, Origin, Stats, TokenRecord
from decoding.sampling import Sampling

ChatMessage = Mapping[str, str]
"""`{"role": ..., "content": ...}`, as chat templates take it."""

Prompt = str | Sequence[int] | Sequence[ChatMessage]
"""Text, token ids, or chat messages."""

FinishReason = Literal["stop", "length", "cancelled"]
"""Why decoding ended: at an end of its own, at `max_new_tokens`, or because it was cancelled."""


@dataclass(frozen=True, slots=True)
class Request:
    """One generation, validated on construction.

    `prompt` is text (encoded as the tokenizer does by default), token ids, or chat messages
    `{"role", "content"}` (rendered by the checkpoint's template). Decoding ends at one of
    the tokenizer's end tokens or of `stop_token_ids`, before one of the `stop` strings in
    the text, when the grammar is complete, or after `max_new_tokens`.

    With `close_at_budget`, an answer under a grammar always ends validly: as soon as the
    remaining tokens would no longer suffice, a short way to the grammar's end is taken.

    A request of higher `priority` starts sooner; what runs is not stopped for it. `deadline` is
    in seconds from being added: when they are over, the request ends between two forwards with
    `DeadlineExceeded`.

    `keep` names a conversation that will go on: what is encoded at the end of this request stays
    in the cache for its next turn, in place of what the last one left, within the engine's
    `kept_tokens`; what others left goes first. `Engine.forget` ends that.
    """

    prompt: Prompt = field(hash=False)
    mode: DecodeMode = Autoregressive()
    grammar: Grammar | None = None
    sampling: Sampling = Sampling()
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    close_at_budget: bool = False
    priority: int = 0
    deadline: float | None = None
    keep: str | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.prompt, "__len__"):
            raise TypeError(
                "a prompt is text, a list of token ids, or a list of chat messages, "
                f"not {self.prompt!r}"
            )
        if len(self.prompt) == 0:
            raise ValueError("the prompt is empty; give text, token ids or chat messages")
        check_record("mode", self.mode, "step", "Autoregressive()")
        if self.grammar is not None and not isinstance(self.grammar, Grammar):
            raise TypeError(
                f"grammar must be a Grammar, such as Grammar.json_schema(...), not {self.grammar!r}"
            )
        if not isinstance(self.sampling, Sampling):
            raise TypeError(f"sampling must be a Sampling, not {self.sampling!r}")
        if type(self.max_new_tokens) is not int or self.max_new_tokens < 1:
            raise ValueError(
                f"max_new_tokens must be a whole number of at least 1, not {self.max_new_tokens}"
            )
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise ValueError(f"stop must be a tuple of non-empty strings, not {self.stop!r}")
        if not all(type(token) is int and token >= 0 for token in self.stop_token_ids):
            raise ValueError(f"stop_token_ids must be token ids, not {self.stop_token_ids!r}")
        if self.close_at_budget and self.grammar is None:
            raise ValueError("close_at_budget needs a grammar: free text has no valid end")
        if self.keep is not None and not (isinstance(self.keep, str) and self.keep):
            raise ValueError(f"keep must be a name, or None, not {self.keep!r}")
        if type(self.priority) is not int:
            raise ValueError(f"priority must be a whole number, not {self.priority!r}")
        is_number = isinstance(self.deadline, int | float) and self.deadline is not True
        if self.deadline is not None and not (is_number and 0.0 < self.deadline < inf):
            raise ValueError(f"deadline must be seconds above 0, or None, not {self.deadline!r}")


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished generation.

    `token_ids` are all committed tokens, an end token included; `text` shows neither that
    token nor a stop string. `logprobs` belong to `token_ids`: 0.0 for forced tokens, for
    denoised ones that of the block's own distribution, before the grammar's mask. `seed`
    is the one used, also where the request left it open. `records` holds one entry per token,
    `forwards` one per forward: how the answer came to be.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stats: Stats
    prompt_token_ids: tuple[int, ...] = field(default=(), repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)
    seed: int = 0
    records: tuple[TokenRecord, ...] = field(default=(), repr=False)
    forwards: tuple[ForwardRecord, ...] = field(default=(), repr=False)


class DeadlineExceeded(DecodingError):
    """Ends a request whose `deadline` passed. `completion` is what was decoded until then, its
    reason "cancelled"; without tokens where the request had not begun."""

    def __init__(self, deadline: float, completion: Completion) -> None:
        super().__init__(
            f"the request's deadline of {deadline} s passed after {completion.stats.new_tokens} "
            "tokens; raise the deadline or the priority, or lower max_new_tokens"
        )
        self.deadline = deadline
        self.completion = completion


@dataclass(frozen=True, slots=True)
class Committed:
    """Tokens became final. `text` is what can be shown now: it never ends inside a character
    and never shows what may turn out to be a stop string. `stats` are those of the whole
    request so far."""

    request_id: int
    token_ids: tuple[int, ...]
    records: tuple[TokenRecord, ...]
    text: str
    stats: Stats

    @property
    def origins(self) -> tuple[Origin, ...]:
        """How each of the tokens came to be."""
        return tuple(record.origin for record in self.records)


@dataclass(frozen=True, slots=True)
class Finished:
    """The request is over and its pages are back."""

    request_id: int
    completion: Completion


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot go on (for example `GrammarDeadEnd`); its pages are back."""

    request_id: int
    error: Exception
    stats: Stats = Stats()


Event = Committed | Finished | Failed
"""What an engine tells of a request: tokens as they become final, then one end."""
