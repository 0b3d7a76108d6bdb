"""The fastest way to the same text, chosen step by step from what was measured."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TypeVar

from decoding.errors import UnsupportedMode
from decoding.modes.autoregressive import Autoregressive
from decoding.modes.base import Decodable, DecodeMode, Step
from decoding.modes.denoise import can_denoise
from decoding.modes.drafters import (
    DiffusionDrafter,
    HeadDrafter,
    LookupDrafter,
    NgramDrafter,
)
from decoding.modes.fitting import check_block_fits, check_count
from decoding.modes.self_speculation import SelfSpeculation
from decoding.network.base import Network
from decoding.ngrams import Continuation
from decoding.pace import Guesser, Outlook
from decoding.record import Region

_Drafter = TypeVar("_Drafter", DiffusionDrafter, NgramDrafter, HeadDrafter)
_Own = LookupDrafter | NgramDrafter | HeadDrafter | DiffusionDrafter
_NEXT = Autoregressive()
_MARGIN = 0.06
"""Tokens per token of the step that stands by which another must win before it takes over."""
_PROBE_LENGTH = 4
_DEAR = 0.3
"""The price of a guess above which few of a draft head pay: asking it, for each of many sequences,
takes as long as it saves. Where guesses are dear, so does weighing any, unless it pays."""
_LOOKED_EVERY = 8
"""Positions, where it does not."""
_SURPLUS = 1.2
"""By which a guess must exceed its price: the best of many estimates is too high, and what it takes
to weigh and book a draft is not in it."""
_WORTHLESS = 0.02
"""Longer blocks are not weighed where their next guess is less probable to be kept."""
_WORSE = 2
"""Nor behind so many in turn that promise less than the one before."""


@dataclass(frozen=True, slots=True)
class Fastest:
    """Each step is the one that promises most tokens per second, alone or in company.

    It may pick one token, check a copy (`lookup`), what mostly follows (`ngrams`) or what the
    network's head guesses (`head`), or denoise a draft and check it (`denoiser`), at any of the
    block lengths; None leaves a drafter out, and so does a network that has no table or head, or
    cannot denoise. A head knows what the table does: beside one the table is left out, too.
    All of these leave the text as it is. What a step promises follows from the measured cost of
    forwards, the rows that other sequences have in them, and how often such guesses were right
    in this text and this engine. Another choice takes over once it is clearly better. Before
    the cost is measured, the step is autoregressive.
    """

    block_lengths: tuple[int, ...] = (2, 3, 4, 6, 8, 12, 16)
    lookup: LookupDrafter | None = LookupDrafter(min_match=1)
    denoiser: DiffusionDrafter | None = DiffusionDrafter(hints=LookupDrafter(min_match=2))
    ngrams: NgramDrafter | None = NgramDrafter()
    head: HeadDrafter | None = HeadDrafter()
    _modes: dict[tuple[Guesser, int], SelfSpeculation] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for block_length in self.block_lengths:
            check_count("block_length", block_length)
        if list(self.block_lengths) != sorted(set(self.block_lengths)) or not self.block_lengths:
            raise ValueError(f"block_lengths must be some, rising, not {self.block_lengths}")

    @property
    def name(self) -> str:
        return "fastest"

    def fit(self, network: Network) -> DecodeMode:
        lengths = tuple(each for each in self.block_lengths if each <= network.max_positions)
        if not lengths:
            check_block_fits(self.block_lengths[0], network)
        head = _fitted(self.head, network)
        return replace(
            self,
            block_lengths=lengths,
            denoiser=_fitted(self.denoiser, network),
            ngrams=None if head else _fitted(self.ngrams, network),
            head=head,
        )

    def select(self, sequence: Decodable) -> DecodeMode:
        outlook, region = sequence.outlook, sequence.region
        if not outlook.is_measured or sequence.finished or outlook.wants_single_rows:
            return _NEXT
        price = outlook.price(region)
        is_dear = price > _DEAR
        if is_dear and not self._looks(sequence):
            return _NEXT
        outlook.looked(sequence.length)
        scale = _Scale.of(sequence, region, price)
        others = [*self._copied(scale), *self._frequent(scale)]
        asked = self._may_ask(sequence) and not is_dear and outlook.weighs_head(region)
        guessed = list(self._guessed(scale)) if asked else []
        weighs = not is_dear and outlook.weighs_denoising(region)
        denoised = list(self._denoised(scale)) if weighs else []
        drafts = [*others, *guessed, *denoised]
        without = [scale.option(_NEXT, 1.0)] if drafts else []
        outlook.weighed(region, _gain(drafts, without))
        if asked:
            outlook.head_promised(region, _gain(guessed, [*without, *others]))
        if denoised and outlook.probe_due(region):
            return _nearest(denoised, _PROBE_LENGTH).mode
        if not drafts:
            return _NEXT
        options = [*without, *drafts]
        best = max(options, key=lambda option: option.rate)
        last = outlook.last_choice(region, self._matched(sequence))
        stands = next((option for option in options if option.mode == last), None)
        if stands is None:
            return best.mode
        won = (best.rate - stands.rate) * best.seconds
        return best.mode if won > _MARGIN * stands.tokens else stands.mode

    def step(self, sequence: Decodable) -> Step:
        yield from self.select(sequence).step(sequence)

    def _looks(self, sequence: Decodable) -> bool:
        """Whether drafts are weighed though they are dear: behind one, where it pays, and where
        they were not for some positions."""
        outlook = sequence.outlook
        pays = outlook.is_drafting or outlook.weighing_pays(sequence.region)
        return pays or sequence.length >= outlook.last_look + _LOOKED_EVERY

    def _may_ask(self, sequence: Decodable) -> bool:
        """Whether there is a head, and a vector for it to guess from."""
        return self.head is not None and sequence.hidden_E is not None

    def _matched(self, sequence: Decodable) -> int:
        if self.lookup is None:
            return 0
        lookup = self.lookup
        match = sequence.copies.match(lookup.max_match, lookup.min_match, sequence.allows)
        return 0 if match is None else match.length

    def _copied(self, scale: "_Scale") -> "Iterator[_Option]":
        match = None if self.lookup is None else self.lookup.find(scale.sequence)
        if match is not None and self.lookup is not None:
            yield from self._options(scale, self.lookup, Guesser.COPY, count(match.length))

    def _frequent(self, scale: "_Scale") -> "Iterator[_Option]":
        sequence = scale.sequence
        first = None if self.ngrams is None else self.ngrams.first(sequence)
        if self.ngrams is None or first is None:
            return
        if scale.pays(Guesser.NGRAM, first.level) and sequence.allows(first.token):
            levels = self.ngrams.levels(sequence)
            yield from self._options(scale, self.ngrams, Guesser.NGRAM, levels)

    def _guessed(self, scale: "_Scale") -> "Iterator[_Option]":
        if self.head is not None:
            levels = (each.level for each in foreseen(scale.sequence, self.head))
            yield from self._options(scale, self.head, Guesser.HEAD, levels)

    def _denoised(self, scale: "_Scale") -> "Iterator[_Option]":
        if self.denoiser is not None:
            yield from self._options(scale, self.denoiser, Guesser.DENOISE, count(1))

    def _options(
        self, scale: "_Scale", drafter: _Own, guesser: Guesser, depths: Iterable[int]
    ) -> "Iterator[_Option]":
        """One for each block length that is worth weighing, from the shortest. Where the first
        guess does not pay for its row none does: further ones are right only if it is."""
        rate, num_worse, drafts = 0.0, 0, guesser is Guesser.DENOISE
        if not drafts:
            depths = iter(depths)
            first = next(depths, None)
            if first is None or not scale.pays(guesser, first):
                return
            depths = chain((first,), depths)
        for block_length, tokens in self._expected(scale, guesser, depths):
            if drafts and not can_denoise(scale.sequence, block_length):
                continue
            mode, guesses = self._speculation(guesser, block_length, drafter), block_length - 1
            option = scale.option(mode, tokens, guesses, guesses if drafts else 0)
            yield option
            num_worse = num_worse + 1 if option.rate < rate else 0
            if num_worse == _WORSE:
                return
            rate = option.rate

    def _speculation(self, guesser: Guesser, block_length: int, drafter: _Own) -> SelfSpeculation:
        mode = self._modes.get((guesser, block_length))
        if mode is None:
            mode = self._modes[guesser, block_length] = SelfSpeculation(block_length, drafter)
        return mode

    def _expected(
        self, scale: "_Scale", guesser: Guesser, depths: Iterable[int]
    ) -> Iterator[tuple[int, float]]:
        """The tokens a step commits, by block length: its pick, and each guess that is right
        together with all left of it. No longer blocks than there are depths of guesses."""
        tokens, right, num_guesses, deeper = 1.0, 1.0, 0, iter(depths)
        region, acceptance, room = scale.region, scale.outlook.acceptance, scale.sequence.room
        for block_length in self.block_lengths:
            if block_length > max(room, 1) or right < _WORTHLESS:
                return
            while num_guesses < block_length - 1:
                depth = next(deeper, None)
                if depth is None:
                    return
                right *= acceptance(guesser, region, depth)
                tokens += right
                num_guesses += 1
            yield block_length, tokens


@dataclass(frozen=True, slots=True)
class _Option:
    """A step that could be taken, and what it promises: tokens of this sequence, and the tokens
    per second of the whole engine while the others go on as they do."""

    mode: DecodeMode
    tokens: float
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the options of one step are weighed by."""

    sequence: Decodable
    outlook: Outlook
    region: Region
    price: float  # of a guess
    tail: int  # rows that every option has; a prompt is read once, whatever the choice
    rows_per_guess: float
    tokens_of_others: float

    @classmethod
    def of(cls, sequence: Decodable, region: Region, price: float) -> "_Scale":
        outlook = sequence.outlook
        tail = max(sequence.length - max(sequence.num_cached, sequence.num_prompt), 1)
        rows_per_guess, others = outlook.rows_per_guess(region), outlook.tokens_of_others
        return cls(sequence, outlook, region, price, tail, rows_per_guess, others)

    def pays(self, guesser: Guesser, depth: int) -> bool:
        """Whether such a guess, by itself, is worth its row."""
        return self.outlook.acceptance(guesser, self.region, depth) > _SURPLUS * self.price

    def option(
        self, mode: DecodeMode, tokens: float, verified: int = 0, drafted: int = 0
    ) -> _Option:
        """A step that verifies so many guesses, and denoises so many of them before."""
        num_forwards = 1
        seconds = self.outlook.seconds(self.tail + round(verified * self.rows_per_guess))
        if verified:
            each = self.outlook.drafting_seconds(self.region, denoised=drafted > 0)
            seconds += verified * each
        if drafted:
            seconds += self.outlook.seconds(0, self.tail + drafted)
            num_forwards = 2
        earned = tokens + num_forwards * self.tokens_of_others
        return _Option(mode, tokens, seconds, earned / seconds)


def asks_head(outlook: Outlook, region: Region) -> bool:
    """Whether the draft head is weighed, and judged, in the next step."""
    return outlook.is_measured and outlook.weighs_head(region) and outlook.price(region) <= _DEAR


def foreseen(sequence: Decodable, head: HeadDrafter) -> tuple[Continuation, ...]:
    """What the head expects next; nothing where the grammar does not allow the first of it."""
    expected = head.foreseen(sequence)
    return expected if expected and sequence.allows(expected[0].token) else ()


def _gain(some: list[_Option], others: list[_Option]) -> float:
    """By which share the best of some is better than the best of the others; 0 if it is not."""
    if not some:
        return 0.0
    best, other = (max(option.rate for option in each) for each in (some, others))
    return max(best / other - 1.0, 0.0)


def _nearest(options: list[_Option], block_length: int) -> _Option:
    return min(options, key=lambda option: abs(_length(option.mode) - block_length))


def _length(mode: DecodeMode) -> int:
    return mode.block_length if isinstance(mode, SelfSpeculation) else 1


def _fitted(drafter: _Drafter | None, network: Network) -> _Drafter | None:
    try:
        return None if drafter is None else drafter.fit(network)
    except UnsupportedMode:
        return None
