"""Block denoising: from a block of masks to a draft, several tokens per forward.

The block stands behind the sequence's tail and sees itself in both directions; what it writes
to the cache is scratch. Sources: Nemotron-Labs-Diffusion, arXiv 2607.05722, section 3;
Fast-dLLM, arXiv 2505.22618. The walk under a grammar is ours.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial

from decoding.modes.base import Decodable
from decoding.modes.draft import Candidate, Draft, Guess, empty_draft, extend_draft
from decoding.modes.reveal import Block, RevealPolicy
from decoding.record import Origin
from decoding.span import MASK, Attention, Pick, Purpose, Ranking, Scores, Span

RANKS = 16  # candidates per position; a grammar may refuse the first ones

Cell = Candidate | None
"""A position of the block: decided, or still masked."""

Hint = Callable[[Sequence[Guess]], int | None]
"""What may well follow the guesses, if the network thinks so, too; None where nothing is known."""

_LONGEST_TAIL = 24
_NEAR = 3.0
"""How much less probable than the best candidate a hint may be, in nats."""


def can_denoise(sequence: Decodable, block_length: int) -> bool:
    """Whether a block may stand behind the tail.

    The tail is part of the block, so it is kept short, though a grammar may force some tokens.
    None of the prompt is in it: how much of a prompt is encoded already is the cache's luck and
    must not change the text.
    """
    return sequence.num_cached >= sequence.num_prompt and len(sequence.tail) <= max(
        block_length, _LONGEST_TAIL
    )


def denoise(
    sequence: Decodable,
    count: int,
    policy: RevealPolicy,
    max_steps: int,
    *,
    purpose: Purpose,
    origin: Origin,
    adapter: bool,
    hint: Hint | None = None,
) -> Generator[Span, Scores, Draft]:
    """Decides up to `count` positions in at most `max_steps` forwards.

    The draft returned is the decided part from the left. Under a grammar a position is decided
    for good only once everything left of it is: the rest is provisional, and masked again from
    the first token on that the grammar refuses. Its forced tokens stand in the block as soon as
    they are known, so that the following forwards see them.
    """
    draft = empty_draft(sequence)
    cells: list[Cell] = [None] * count
    proposals: list[tuple[Candidate, ...]] = []
    for step in range(1, max_steps + 1):
        masked = [place for place, cell in enumerate(cells) if cell is None]
        scores = yield _span(sequence, cells, masked, draft, purpose, adapter)
        rankings = dict(zip(masked, scores.rankings, strict=True))
        shown = frozenset(masked)
        if step < max_steps:
            tokens = tuple(None if cell is None else cell.token for cell in cells)
            before = tuple(sequence.tokens[-2:])
            shown &= frozenset(policy.reveal(Block(tokens, rankings, step, max_steps, before)))
            if not shown:
                name = type(policy).__name__
                raise ValueError(f"the reveal policy {name} revealed no masked position")
        if draft.mask_W is not None:
            shown |= {masked[0]}
        proposals = [
            _proposals(cell, rankings.get(place), place in shown, step, origin)
            for place, cell in enumerate(cells)
        ]
        draft = extend_draft(sequence, draft, count, partial(hinted_first, proposals, hint))
        cells = _decided(draft.guesses, proposals)
        if not draft.is_open or None not in cells:
            break
    return replace(draft, proposals=tuple(proposals))


def hinted_first(
    proposals: Sequence[Sequence[Candidate]], hint: Hint | None, guesses: Sequence[Guess]
) -> Sequence[Candidate]:
    """The candidates for the position behind the guesses, the hint first if it is near the best."""
    candidates = proposals[len(guesses)]
    hinted = None if hint is None else hint(guesses)
    if hinted is None or len(candidates) < 2:
        return candidates
    least = candidates[0].logprob - _NEAR
    found = [each for each in candidates if each.token == hinted and each.logprob > least]
    return [*found, *candidates] if found else candidates


def _span(
    sequence: Decodable,
    cells: Sequence[Cell],
    masked: Sequence[int],
    draft: Draft,
    purpose: Purpose,
    adapter: bool,
) -> Span:
    tail, frontier = sequence.tail, len(draft.guesses)
    return Span(
        (*tail, *(MASK if cell is None else cell.token for cell in cells)),
        start=sequence.num_cached,
        picks=tuple(
            Pick(
                row=len(tail) + place,
                position=sequence.length + place,
                mask_W=draft.mask_W if place == frontier else None,
            )
            for place in masked
        ),
        attention=Attention.BLOCK,
        adapter=adapter,
        ranks=RANKS,
        purpose=purpose,
    )


def _proposals(
    cell: Cell, ranking: Ranking | None, shown: bool, step: int, origin: Origin
) -> tuple[Candidate, ...]:
    """What may stand at a position after this forward; nothing where it stays masked."""
    if cell is not None:
        return (cell,)
    if ranking is None or not shown:
        return ()
    return tuple(
        Candidate(token, origin, logprob, step)
        for token, logprob in zip(ranking.tokens, ranking.logprobs, strict=True)
    )


def _decided(guesses: Sequence[Guess], proposals: Sequence[Sequence[Candidate]]) -> list[Cell]:
    """The block after the walk: its guesses, then what is provisional, then masks."""
    count, frontier = len(proposals), len(guesses)
    cells: list[Cell] = [guess.candidate for guess in guesses[:count]]
    if frontier < count and proposals[frontier]:
        return cells + [None] * (count - frontier)
    return cells + [each[0] if each else None for each in proposals[frontier:]]
