"""Other ways a draft may go on: a tree of guesses, its likeliest nodes first.

The draft's own guesses are the trunk. Wherever something else was likely as well, a branch leaves
it and follows the best candidates of the positions to its right, as the trunk does. One forward
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
    """A candidate that could be added: to a branch, or as the first of a new one at `place`."""

    surprise: float  # minus the logarithm of the path's probability
    number: int
    candidate: Candidate = field(compare=False)
    place: int = field(compare=False)
    side: _Side | None = field(default=None, compare=False)


def branch_out(sequence: Decodable, draft: Draft, most: int) -> Draft:
    """The draft with at most `most` guesses beside its own, from the same proposals."""
    if most < 1 or not draft.proposals:
        return draft
    numbers = count()
    nodes = [
        _Node(-logprob, next(numbers), candidate, place)
        for place, candidate, logprob in _off_trunk(draft)
    ]
    heapify(nodes)
    sides: list[_Side] = []
    while nodes and most > 0:
        node = heappop(nodes)
        side = node.side
        if side is None:
            side = _opened(sequence, draft, node.place)
            sides.append(side)
        most -= side.grow(node.candidate, most)
        if side.is_open and side.end < len(draft.proposals):
            best = _judged(draft.proposals[side.end], side.mask_W)[:1]
            for candidate, logprob in best:
                if logprob - node.surprise > _LEAST:
                    following = _Node(
                        node.surprise - logprob, next(numbers), candidate, side.end, side
                    )
                    heappush(nodes, following)
    return replace(draft, sides=tuple(side.done() for side in sides))


def _off_trunk(draft: Draft) -> Iterator[tuple[int, Candidate, float]]:
    """What else was proposed at each place of the trunk, with the path's log-probability."""
    path = 0.0
    for place, (guess, proposals) in enumerate(zip(draft.guesses, draft.proposals, strict=False)):
        if guess.is_forced:
            continue
        own = guess.candidate.logprob
        for candidate, logprob in _judged(proposals, guess.mask_W):
            if candidate.token == guess.token:
                own = logprob
            elif path + logprob > _LEAST:
                yield place, candidate, path + logprob
        path += own


def _judged(
    candidates: Sequence[Candidate], mask_W: Tensor | None
) -> list[tuple[Candidate, float]]:
    """Those allowed, with their log-probabilities: where a grammar forbids some, among those that
    are left."""
    left = allowed(candidates, mask_W)
    if mask_W is None or not left:
        return [(each, each.logprob) for each in left]
    top = max(each.logprob for each in left)
    total = top + math.log(sum(math.exp(each.logprob - top) for each in left))
    return [(each, each.logprob - total) for each in left]


def _opened(sequence: Decodable, draft: Draft, place: int) -> _Side:
    ahead = sequence.preview()
    for guess in draft.guesses[:place]:
        ahead.accept(guess.token)
    return _Side(place, ahead, sequence.room, mask_W=draft.guesses[place].mask_W)
