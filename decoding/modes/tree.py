"""Other ways a draft may go on: a tree of guesses, its likeliest nodes first.

The draft's own guesses are the trunk. Wherever something else was likely as well, a branch leaves
it and follows the best candidates of the positions to its right, as the trunk does; a branch that
differs twice repeats the rows of the one that it differs from. One forward
denoises all positions at once, so that any of their candidates can be combined: the probability
of a path is the product over its tokens. Source: SpecInfer, arXiv 2305.09781; the choice of nodes
is that of a best-first search.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import count

from torch import Tensor

from decoding.modes.base import Decodable, Preview
from decoding.modes.draft import Candidate, Draft, Guess, SideDraft, allowed, follow

_LEAST = math.log(0.002)
"""Paths that are less probable are not worth their rows."""


@dataclass(slots=True)
class _Side:
    """A branch that grows."""

    place: int
    ahead: Preview
    room: int
    guesses: list[Guess] = field(default_factory=list)
    mask_W: Tensor | None = None
    is_open: bool = True

    @property
    def end(self) -> int:
        """The place in the draft behind the last guess."""
        return self.place + len(self.guesses)

    def grow(self, candidate: Candidate, most: int) -> int:
        """Adds an allowed candidate, and what it forces as long as that is not more than `most`
        guesses together. Returns how many were added."""
        self.guesses.append(Guess(candidate, self.mask_W))
        room = self.room - self.end
        forced, self.mask_W, self.is_open = follow(self.ahead, candidate.token, room)
        if len(forced) > most - 1:
            del forced[most - 1 :]
            self.mask_W, self.is_open = None, False  # what follows is forced, too
        self.guesses += forced
        return 1 + len(forced)

    def done(self) -> SideDraft:
        return SideDraft(self.place, Draft(tuple(self.guesses), self.mask_W, self.is_open))


@dataclass(order=True, slots=True)
class _Node:
    """A candidate that could be added: to `side`, or as the end of a new one, behind `prefix`.

    The cheapest comes first: `cost` is the logarithm of the rows it needs, less that of the
    probability of its path.
    """

    cost: float
    number: int
    candidate: Candidate = field(compare=False)
    logprob: float = field(compare=False)  # of the path
    place: int = field(compare=False)
    mask_W: Tensor | None = field(compare=False)
    prefix: tuple[Guess, ...] = field(default=(), compare=False)
    side: _Side | None = field(default=None, compare=False)


def branch_out(sequence: Decodable, draft: Draft, most: int) -> Draft:
    """The draft with at most `most` guesses beside its own, from the same proposals, and with no
    other sides: there may be no room for them."""
    if most < 1 or not draft.proposals:
        return replace(draft, sides=()) if draft.sides else draft
    numbers = count()
    nodes = list(_off_trunk(draft, numbers))
    heapify(nodes)
    sides: list[_Side] = []
    while nodes and len(nodes[0].prefix) < most:
        node = heappop(nodes)
        side = node.side
        if side is None:
            side = _opened(sequence, draft, node)
            sides.append(side)
        most -= len(node.prefix) + side.grow(node.candidate, most - len(node.prefix))
        for following in _following(draft, side, node.logprob, numbers):
            heappush(nodes, following)
    return replace(draft, sides=tuple(side.done() for side in sides))


def _off_trunk(draft: Draft, numbers: Iterator[int]) -> Iterator[_Node]:
    """What else was proposed at each place of the trunk."""
    path = 0.0
    for place, (guess, proposals) in enumerate(zip(draft.guesses, draft.proposals, strict=False)):
        if guess.is_forced:
            continue
        own = guess.candidate.logprob
        for candidate, share in _judged(proposals, guess.mask_W):
            logprob = path + share
            if candidate.token == guess.token:
                own = share
            elif logprob > _LEAST:
                yield _Node(-logprob, next(numbers), candidate, logprob, place, guess.mask_W)
        path += own


def _following(draft: Draft, side: _Side, path: float, numbers: Iterator[int]) -> Iterator[_Node]:
    """What may follow a side: its best candidate in it, others in sides that repeat it."""
    if not side.is_open or side.end >= len(draft.proposals):
        return
    prefix = tuple(side.guesses)
    ranked = _judged(draft.proposals[side.end], side.mask_W)
    for rank, (candidate, share) in enumerate(ranked):
        logprob = path + share
        if logprob > _LEAST:
            repeated = prefix if rank else ()
            yield _Node(
                math.log(1 + len(repeated)) - logprob,
                next(numbers),
                candidate,
                logprob,
                side.place,
                side.mask_W,
                repeated,
                None if rank else side,
            )


def _opened(sequence: Decodable, draft: Draft, node: _Node) -> _Side:
    ahead = sequence.preview()
    for guess in (*draft.guesses[: node.place], *node.prefix):
        ahead.accept(guess.token)
    return _Side(node.place, ahead, sequence.room, list(node.prefix), node.mask_W)


def _judged(
    candidates: Sequence[Candidate], mask_W: Tensor | None
) -> list[tuple[Candidate, float]]:
    """Those allowed, with their log-probabilities: where a grammar forbids some, among those that
    are left."""
    left = list(allowed(candidates, mask_W))
    if mask_W is None or not left:
        return [(each, each.logprob) for each in left]
    top = max(each.logprob for each in left)
    total = top + math.log(sum(math.exp(each.logprob - top) for each in left))
    return [(each, each.logprob - total) for each in left]
