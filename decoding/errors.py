"""Everything the decoder refuses, by whose fault it is.

    DecodingError
      CacheExhausted     the request needs more cache pages than there can be
      QueueFull          too many requests wait already; try again later
      DeadlineExceeded   the request's time was over (in `decoding.request`, with its completion)
      ContextOverflow    the prompt does not fit the model's context
      GrammarError       the grammar cannot be compiled, or uses what we do not enforce
      BudgetTooSmall     no answer under the grammar fits the token budget
      GrammarDeadEnd     no token of the vocabulary continues the text
      UnsupportedMode    this network cannot decode in that mode
      NotFinite          the network's numbers are no numbers
      WeightsError       a checkpoint is missing, incomplete or damaged
      EngineClosed       the engine was closed, or its thread died

A wrong argument is a plain `ValueError` or `TypeError`, raised where it enters.
"""

from pathlib import Path


class DecodingError(Exception):
    """Base of every error this package raises on purpose."""


class CacheExhausted(DecodingError):
    """Raised by `Engine.add`, before any work, for a request that can never fit."""

    def __init__(self, needed: int, total: int) -> None:
        super().__init__(
            f"the request needs {needed} cache pages and the engine has {total}; "
            "shorten the prompt, lower max_new_tokens or side_guesses, or load the engine with "
            "more cache_tokens"
        )
        self.needed = needed
        self.total = total


class QueueFull(DecodingError):
    """Raised by `Engine.add`, before any work, where as many requests wait as may."""

    def __init__(self, waiting: int, limit: int) -> None:
        super().__init__(
            f"{waiting} requests wait and max_waiting is {limit}; step the engine until some have "
            "begun, or load it with a higher max_waiting"
        )
        self.waiting = waiting
        self.limit = limit


class ContextOverflow(DecodingError):
    """Raised by `Engine.add` for a prompt that leaves no room for an answer."""

    def __init__(self, prompt_tokens: int, context: int) -> None:
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and the model's context holds {context}, "
            "of which at least one must stay free for the answer; shorten the prompt"
        )
        self.prompt_tokens = prompt_tokens
        self.context = context


class GrammarError(DecodingError):
    """Raised when a grammar is built: malformed, or asks for what cannot be enforced.

    `location` is a JSON pointer into the schema ("" for the root), or None where the
    grammar is not a schema.
    """

    def __init__(self, reason: str, location: str | None = None) -> None:
        where = "" if location is None else f" at '{location or '#'}'"
        super().__init__(f"{reason}{where}")
        self.reason = reason
        self.location = location


class BudgetTooSmall(DecodingError, ValueError):
    """Raised by `Engine.add` where `close_at_budget` asks for a valid end within `max_new_tokens`
    and none was found."""

    def __init__(self, budget: int) -> None:
        super().__init__(
            f"no answer within max_new_tokens={budget} was found under this grammar; raise "
            "max_new_tokens, or leave close_at_budget off"
        )
        self.budget = budget


class GrammarDeadEnd(DecodingError):
    """Raised during decoding when the grammar allows no token of this vocabulary."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"no token of the vocabulary continues {text[-80:]!r} under the grammar; "
            "the grammar asks for text that this tokenizer cannot spell"
        )
        self.text = text


class UnsupportedMode(DecodingError):
    """Raised by `Engine.add` when the network cannot decode in the mode asked for."""

    def __init__(self, mode: str, model: str, reason: str) -> None:
        super().__init__(f"{model} cannot decode in mode {mode}: {reason}")
        self.mode = mode
        self.model = model


class NotFinite(DecodingError):
    """Raised during decoding when a network's logits are NaN or infinite."""

    def __init__(self, model: str, position: int) -> None:
        super().__init__(
            f"the logits of {model} at position {position} are not finite; its weights are "
            "damaged, or its config.json describes another network"
        )
        self.model = model
        self.position = position


class WeightsError(DecodingError):
    """Raised while loading: says which file and, where known, which key is wrong."""

    def __init__(self, reason: str, file: str | Path | None = None, key: str | None = None) -> None:
        parts = [reason]
        if key is not None:
            parts.append(f"key {key!r}")
        if file is not None:
            parts.append(f"file {file}")
        super().__init__("; ".join(parts))
        self.reason = reason
        self.file = file
        self.key = key


class EngineClosed(DecodingError):
    """Raised by calls on an engine that was closed, or whose thread has died."""

    def __init__(self, reason: str = "the engine is closed") -> None:
        super().__init__(reason)
