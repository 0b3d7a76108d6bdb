"""Self-speculation: draft a block, verify it causally, commit what agrees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.draft import Draft, Guess
from decoding.modes.drafters import CombinedDrafter, DiffusionDrafter, Drafter, LookupDrafter
from decoding.modes.fitting import check_block_fits, check_count, check_record
from decoding.modes.tree import branch_out
from decoding.network.base import Network
from decoding.record import Origin
from decoding.span import Branch, Pick, Purpose, Span


@dataclass(frozen=True, slots=True)
class SelfSpeculation:
    """A block of `block_length` - 1 guesses is checked by one causal forward.

    The text equals that of autoregressive decoding, token for token, also when sampling: the
    verifier picks every token itself, under the same grammar and with the same noise, and
    guesses only decide how many it can pick at once. Drafts share mask and noise, so that they
    agree as often as possible. `drafter` None copies from the context and, where the network
    has a diffusion pathway, denoises. `draft_threshold` above 0 refines drafts (see `Drafter`).

    `side_guesses` checks so many guesses more in the same forward, in branches off the draft
    where the drafter thought other tokens likely, too: more tokens per forward where further
    rows of one are cheap, as on a GPU. Each needs scratch room in the cache (a slot; a page of
    16 with the compiled forward).

    Sources: Nemotron-Labs-Diffusion, arXiv 2607.05722, section 3.4 (linear self-speculation);
    SpecInfer, arXiv 2305.09781 (trees of guesses).
    """

    block_length: int = 8
    drafter: Drafter | None = None
    draft_threshold: float = 0.0
    side_guesses: int = 0

    def __post_init__(self) -> None:
        check_count("block_length", self.block_length)
        if type(self.side_guesses) is not int or self.side_guesses < 0:
            raise ValueError(
                f"side_guesses must be a whole number >= 0 (0 is off), not {self.side_guesses!r}"
            )
        if self.drafter is not None:
            check_record("drafter", self.drafter, "draft", "LookupDrafter()")
        if not 0.0 <= self.draft_threshold <= 1.0:
            raise ValueError(
                f"draft_threshold must be a probability (0 is off), not {self.draft_threshold}"
            )

    @property
    def name(self) -> str:
        return "self-speculation"

    @property
    def denoises(self) -> bool:
        """Whether every draft is denoised; False where the drafter may copy instead."""
        return isinstance(self.drafter, DiffusionDrafter)

    def fit(self, network: Network) -> DecodeMode:
        check_block_fits(self.block_length, network)
        drafter = self.drafter
        if drafter is None:
            drafter = LookupDrafter() if network.mask_token_id is None else CombinedDrafter()
        return replace(self, drafter=drafter.fit(network))

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        assert self.drafter is not None, "fit the mode to a network first"
        draft = yield from self.drafter.draft(sequence, self.block_length, self.draft_threshold)
        count = min(self.side_guesses, sequence.num_scratch)
        yield from verify(sequence, branch_out(sequence, draft, count))


def verify(sequence: Decodable, draft: Draft) -> Step:
    """Encodes tail and draft causally, and beside it the draft's sides; commits the guesses that
    the network itself picks, and its own pick at the first that it does not, or behind them all.

    A side that was taken is encoded again in the next step: its rows were scratch.
    """
    start, tail = sequence.num_cached, sequence.tail
    tokens = (*tail, *draft.tokens)
    tree, branches, row = _Tree(sequence.length), [], len(tokens)
    tree.add((), draft, len(tail) - 1)
    for side in draft.sides:
        branches.append(Branch(len(tail) + side.place, side.draft.tokens))
        tree.add(draft.tokens[: side.place], side.draft, row - 1)
        row += len(side.draft.guesses)
    scores = yield Span(
        tokens,
        start=start,
        picks=tuple(tree.picks.values()),
        purpose=Purpose.VERIFY if draft.guesses else Purpose.NEXT,
        branches=tuple(branches),
    )
    sequence.num_drafted += sum(not guess.is_forced for guess in tree.guesses.values())
    sequence.num_denoised += sum(guess.is_denoised for guess in tree.guesses.values())
    picked = zip(scores.tokens, scores.logprobs, strict=True)
    _commit(sequence, tree, dict(zip(tree.picks, picked, strict=True)))
    agreed = _common_prefix(tokens, sequence.tokens[start:])
    sequence.num_cached = min(start + agreed, sequence.length - 1)


_Path = tuple[int, ...]
"""Tokens behind those that are committed."""


class _Tree:
    """What is guessed and what is asked behind the committed tokens, by the path there."""

    def __init__(self, position: int) -> None:
        self._position = position
        self.guesses: dict[_Path, Guess] = {}
        self.picks: dict[_Path, Pick] = {}

    def add(self, path: _Path, draft: Draft, row: int) -> None:
        """Guesses behind `path`, whose last token's row is `row`; theirs follow. What was asked
        before is not asked again."""
        for guess in draft.guesses:
            if not guess.is_forced:
                self._ask(path, guess.mask_W, row)
            path += (guess.token,)
            self.guesses.setdefault(path, guess)
            row += 1
        if draft.is_open:
            self._ask(path, draft.mask_W, row)

    def _ask(self, path: _Path, mask_W: Tensor | None, row: int) -> None:
        self.picks.setdefault(path, Pick(row, self._position + len(path), mask_W))


def _commit(sequence: Decodable, tree: _Tree, picked: Mapping[_Path, tuple[int, float]]) -> None:
    """Follows the network's picks through the tree, until one was not guessed."""
    forced = {path[:-1]: path for path, guess in tree.guesses.items() if guess.is_forced}
    places = {path[:-1] for path in tree.guesses}
    path: _Path = ()
    while path in picked and not sequence.finished:
        token, logprob = picked[path]
        guess = tree.guesses.get((*path, token))
        if guess is not None:
            sequence.commit(token, logprob, guess.candidate.origin)
        else:
            missed = path in places
            sequence.commit(token, logprob, Origin.CORRECTED if missed else Origin.AUTOREGRESSIVE)
        path += (token,)
        while path in forced:
            path = forced[path]


def _common_prefix(ours: tuple[int, ...], final: Sequence[int]) -> int:
    pairs = zip(ours, final, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(final)))
