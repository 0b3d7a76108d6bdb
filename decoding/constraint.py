"""A grammar at work on one sequence: masks, forced tokens, and a valid end within budget."""

import time

from torch import Tensor

from decoding.errors import BudgetTooSmall
from decoding.grammar import Matcher


class Constraint:
    """Owns a sequence's matcher. The matcher moves by committed tokens only.

    With `closing_budget` (tokens, the end token included) it keeps a *closing path*: tokens
    known to complete the grammar within what remains. Before a token is committed it asks
    for a path behind it; where none fits, the path kept so far is taken instead. By
    induction the answer always closes once the first path fits. Raises `BudgetTooSmall`
    where it does not.
    """

    def __init__(self, matcher: Matcher, closing_budget: int | None = None) -> None:
        self._matcher = matcher
        self._path: tuple[int, ...] | None = None
        self._masks: dict[tuple[int, ...], Tensor] = {}  # by the tokens ahead of this place
        self._may_end: bool | None = None  # not asked yet, here
        self.mask_seconds = 0.0
        if closing_budget is not None:
            self._path = matcher.closing_tokens(closing_budget)
            if self._path is None:
                raise BudgetTooSmall(closing_budget)

    def mask(self) -> Tensor:
        """Packed mask [W] of the tokens allowed next. Raises `GrammarDeadEnd` for none."""
        return self.mask_ahead((), self._matcher)

    def mask_ahead(self, ahead: tuple[int, ...], matcher: Matcher) -> Tensor:
        """As `mask`, behind some tokens more, where `matcher` stands. Computed once per place."""
        if ahead not in self._masks:
            started = time.perf_counter()
            self._masks[ahead] = matcher.fill_mask()
            self.mask_seconds += time.perf_counter() - started
        return self._masks[ahead]

    def accept(self, token: int) -> None:
        """Moves the matcher over a committed token."""
        self._matcher.accept(token)
        self._may_end = None
        self._masks = {key[1:]: mask for key, mask in self._masks.items() if key[:1] == (token,)}
        if self._path and self._path[0] == token:
            self._path = self._path[1:]

    def forced(self) -> tuple[int, ...]:
        """The tokens that the grammar leaves no choice about, from here on."""
        return self._matcher.forced_tokens()

    def fork(self, remaining: int) -> "Constraint":
        """A constraint at the same place that moves on its own.

        Where this one keeps a closing path, so does the copy, for `remaining` tokens. Raises
        `ValueError` where none fits.
        """
        fits = self._path is None or len(self._path) <= remaining
        copy = Constraint(self._matcher.fork(), None if fits else remaining)
        copy._path = self._path if fits else copy._path
        return copy

    def matcher(self) -> Matcher:
        """A matcher at this place, to look ahead with."""
        return self._matcher.fork()

    @property
    def may_end(self) -> bool:
        """Whether the text so far is a whole answer, whatever else may follow."""
        if self._may_end is None:
            self._may_end = self._matcher.is_accepting
        return self._may_end

    @property
    def is_complete(self) -> bool:
        """Whether the text is a whole answer and nothing but an end token can follow."""
        return self._matcher.only_end_follows

    def detour(self, token: int, remaining: int) -> tuple[int, ...] | None:
        """The closing path, where committing `token` would leave no way to end in time.

        `remaining` counts the tokens that may still be committed, `token` included. None
        means that `token` may be committed.
        """
        if self._path is None or (self._path and self._path[0] == token):
            return None
        self._matcher.accept(token)
        behind = self._matcher.closing_tokens(remaining - 1)
        self._matcher.rollback(1)
        if behind is None:
            return self._path
        self._path = (token, *behind)
        return None


class Lookahead:
    """A sequence's grammar and end run ahead of what is committed. A mode's `Preview`.

    It moves a copy of the matcher: a dead end ahead leaves the sequence's own untouched.
    """

    def __init__(self, constraint: Constraint | None, end_token_ids: frozenset[int]) -> None:
        self._constraint = constraint
        self._matcher = None if constraint is None else constraint.matcher()
        self._end_token_ids = end_token_ids
        self._ahead: tuple[int, ...] = ()
        self._over = False

    @property
    def over(self) -> bool:
        return self._over

    def mask(self) -> Tensor | None:
        if self._constraint is None or self._matcher is None:
            return None
        return self._constraint.mask_ahead(self._ahead, self._matcher)

    def forced(self) -> tuple[int, ...]:
        return () if self._matcher is None else self._matcher.forced_tokens()

    def accept(self, token: int) -> None:
        if self._matcher is not None:
            self._matcher.accept(token)
            self._ahead += (token,)
        self._over = token in self._end_token_ids
