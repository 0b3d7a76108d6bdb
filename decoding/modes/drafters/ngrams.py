"""Guesses what the model mostly says there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from decoding.errors import UnsupportedMode
from decoding.modes.base import Decodable
from decoding.modes.draft import Candidate, Guess, empty_draft, extend_draft
from decoding.modes.drafters.base import Drafting
from decoding.network.base import Network
from decoding.ngrams import Continuation, NgramTable
from decoding.record import Origin


@dataclass(frozen=True, slots=True)
class NgramDrafter:
    """Guesses the most frequent token after the last two, from a table that was counted once.

    Costs no forward and knows nothing of the text but its last two tokens. `table` None takes the
    network's own. Source: n-gram models as drafts, arXiv 2211.17192, section 3.6.
    """

    table: NgramTable | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.table, NgramTable | None):
            raise TypeError(f"table must be an NgramTable or None, not {self.table!r}")

    def fit(self, network: Network) -> "NgramDrafter":
        """Raises `UnsupportedMode` where neither has a table, and `ValueError` for one of a model
        with more tokens."""
        table = network.ngrams if self.table is None else self.table
        if table is None:
            raise UnsupportedMode(
                "self-speculation with n-grams",
                network.name,
                "it has no table; give the drafter one, as `python -m decoding.training ngrams` "
                "makes it",
            )
        if table.num_tokens > network.vocab_size:
            raise ValueError(
                f"the table knows token {table.num_tokens - 1} and {network.name} has "
                f"{network.vocab_size} tokens; give the table that was counted with this model"
            )
        return replace(self, table=table)

    def first(self, sequence: Decodable) -> Continuation | None:
        """What the table guesses next, whether the grammar allows it or not; None for nothing."""
        assert self.table is not None, "fit the drafter to a network first"
        return next(self.table.walk(sequence.tokens), None)

    def levels(self, sequence: Decodable) -> Iterator[int]:
        """How sure the table is of its guesses, one after the other, perhaps without end."""
        assert self.table is not None, "fit the drafter to a network first"
        return (guess.level for guess in self.table.walk(sequence.tokens))

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()  # asks for no forward
        table, tokens = self.table, sequence.tokens
        assert table is not None, "fit the drafter to a network first"

        def propose(guesses: Sequence[Guess]) -> tuple[Candidate, ...]:
            text = [*tokens[-2:], *(guess.token for guess in guesses[-2:])]
            found = next(table.walk(text), None)
            return () if found is None else (Candidate(found.token, Origin.COPIED),)

        draft, count = empty_draft(sequence), min(block_length, sequence.room) - 1
        return draft if count < 1 else extend_draft(sequence, draft, count, propose)
