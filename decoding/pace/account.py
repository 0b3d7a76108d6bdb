"""What is known when a sequence chooses its next step: costs, company, the worth of guesses.

One `Pace` belongs to an engine, one `Account` to each of its sequences. Nothing here decides: a
mode does, by `Outlook`, and the engine tells the account what came of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from decoding.pace.acceptance import Acceptance, Guesser, Tally, coarse
from decoding.pace.cost import ForwardCost, RunningCost
from decoding.record import Region

_PROBE_FIRST, _PROBE_LAST = 64, 1024
"""Steps of an engine without a denoised draft in a region until one is tried all the same. Each
such probe that convinces nobody doubles the wait for the next."""
_WEIGHED_EVERY = 8  # steps
_WORTH_ASKING, _LAST_ASKED = 0.06, 16
"""By which share of its tokens per second a step must promise more with a head than without, in the
mean of its last so many answers, to ask it before each: about what asking and judging it takes."""
_WORTH_WEIGHING, _LAST_WEIGHED = 0.03, 32
"""As for a head, of weighing drafts at all."""
_BELIEVED = 8  # guesses
_PICKS = 64  # the last ones say how many tokens are forced behind one
_MORE_ROWS = (1, 3, 7)  # so many at once; where they are cheapest, they tell the price of one


class Outlook(Protocol):
    """What a mode may know to choose a step by. Asking changes nothing, telling does."""

    @property
    def is_measured(self) -> bool:
        """Whether the cost of forwards is known; `seconds` may be asked only then."""
        ...

    @property
    def tokens_of_others(self) -> float:
        """Tokens that the other live sequences commit in each forward, all together."""
        ...

    def seconds(self, causal_rows: int, draft_rows: int = 0) -> float:
        """What a forward takes with so many rows of this sequence, causal ones and ones that
        draft, and those of the others in it."""
        ...

    def acceptance(self, guesser: Guesser, region: Region, depth: int) -> float:
        """The probability that a guess is right where those left of it were: `depth` tokens
        matched for a copy, the level of an n-gram or of the draft head's guess, the place in the
        block (from 1) for denoising."""
        ...

    def last_choice(self, region: Region, matched: int) -> object | None:
        """The mode of the last step that began there, with a match of `matched` tokens: of this
        sequence, else of any."""
        ...

    @property
    def is_drafting(self) -> bool:
        """Whether the sequence's last step checked a draft."""
        ...

    def weighs_denoising(self, region: Region) -> bool:
        """Whether a step should weigh denoising: where one of the last took it, and every few
        steps. To weigh what is seldom taken costs time, too."""
        ...

    def probe_due(self, region: Region) -> bool:
        """Whether denoising was left untried for so long that a step should try it."""
        ...

    def weighs_head(self, region: Region) -> bool:
        """Whether a step should ask the draft head: where its last answers promised enough, and
        every few steps."""
        ...

    def weighing_pays(self, region: Region) -> bool:
        """Whether the last steps that weighed drafts, behind ones without, promised enough."""
        ...

    @property
    def last_look(self) -> int:
        """The length of the sequence when drafts were weighed last; 0 before."""
        ...

    def looked(self, length: int) -> None:
        """To be told that drafts are weighed, by a sequence of so many tokens."""
        ...

    def weighed(self, region: Region, gain: float) -> None:
        """To be told what weighing drafts promised: by which share the step that is best is
        better than one without a draft."""
        ...

    def head_promised(self, region: Region, gain: float) -> None:
        """To be told what the head promised when it was asked: by which share a step with its
        draft is better than the best without; 0 where it is not."""
        ...

    def drafting_seconds(self, region: Region, *, denoised: bool) -> float:
        """What a guess takes beside the forwards: masks, and the walk under the grammar."""
        ...

    def rows_per_guess(self, region: Region) -> float:
        """How many rows a guess takes, with what the grammar forces behind it."""
        ...

    def price(self, region: Region) -> float:
        """The probability that a guess must have, at least, to pay for its rows: the tokens that
        the whole engine decodes in the time that one more takes, where rows are cheapest."""
        ...

    @property
    def wants_single_rows(self) -> bool:
        """Whether the sequence is alone and its steps should be autoregressive for a while, as the
        cost of those is no longer known well."""
        ...


@dataclass(slots=True)
class Yield:
    """Tokens, forwards and rows of steps of one kind. Old steps fade."""

    tokens: float = 0.0
    forwards: float = 0.0
    rows: float = 0.0

    def add(self, tokens: int, forwards: int, rows: int) -> None:
        self.tokens = 0.98 * self.tokens + tokens
        self.forwards = 0.98 * self.forwards + forwards
        self.rows = 0.98 * self.rows + rows


@dataclass(slots=True)
class Drafting:
    """What guesses took outside of forwards. With every step old ones fade, so that what was slow
    once is tried again; a few that took nothing are believed beside them."""

    seconds: float = 0.0
    guesses: float = 0.0

    def add(self, guesses: int, seconds: float) -> None:
        self.seconds += seconds
        self.guesses += guesses

    def fade(self) -> None:
        self.seconds *= 0.99
        self.guesses *= 0.99

    @property
    def each(self) -> float:
        return self.seconds / (self.guesses + _BELIEVED)


@dataclass(frozen=True, slots=True)
class PaceStats:
    """What `Auto` decides by, as it stands now.

    `seconds_by_rows` is the cost of a forward, empty until it is measured; `tokens_per_forward` and
    `rows_per_forward` are moving averages by region and mode (forced tokens not counted),
    `acceptance` those of guesses by region, guesser and depth.
    """

    seconds_by_rows: Mapping[int, float] = field(default_factory=dict)
    draft_seconds_by_rows: Mapping[int, float] = field(default_factory=dict)
    tokens_per_forward: Mapping[str, float] = field(default_factory=dict)
    rows_per_forward: Mapping[str, float] = field(default_factory=dict)
    acceptance: Mapping[str, float] = field(default_factory=dict)


class Pace:
    """What an engine learns about its own speed. A `cost` that is given is never corrected."""

    def __init__(self, cost: ForwardCost | None = None) -> None:
        self._given = cost
        self._running: RunningCost | None = None
        self.acceptance = Tally(memory=256)
        self.yields: dict[tuple[Region, str], Yield] = {}
        self._drafting = {(region, how): Drafting() for region in Region for how in (False, True)}
        self._rows_per_guess = dict.fromkeys(Region, 1.0)
        self._unprobed = dict.fromkeys(Region, 0)
        self._probe_after = dict.fromkeys(Region, _PROBE_FIRST)
        self._head_gain = dict.fromkeys(Region, 1.0)  # of its last answers
        self._gain = dict.fromkeys(Region, 1.0)  # of the last steps that weighed drafts
        self._steps = dict.fromkeys(Region, 0)
        self.choices: dict[tuple[Region, int], object] = {}
        self.rows = 0
        self.tokens = 0.0
        self.rows_then = 0
        """At the end of the last forward: they stay the same while sequences choose, one after the
        other."""
        self._shares: dict[tuple[int, Region], float] = {}  # since then

    @property
    def cost(self) -> ForwardCost | None:
        """As it stands; None before it is measured."""
        return self._given if self._running is None else self._running.now()

    @property
    def is_measured(self) -> bool:
        return (self._running or self._given) is not None

    def measured(self, cost: ForwardCost) -> None:
        """What forwards cost at first. From now on it follows them."""
        self._running = RunningCost(cost)

    def seconds(self, causal_rows: int, draft_rows: int = 0) -> float:
        cost = self._running or self._given
        assert cost is not None, "measure the cost of forwards first"
        return cost.seconds(causal_rows, draft_rows)

    @property
    def wants_single_rows(self) -> bool:
        return self._running is not None and self._running.wants_single

    def account(self) -> "Account":
        """For a new sequence. It counts as company from its first span on."""
        return Account(self)

    def weighs_denoising(self, region: Region) -> bool:
        steps = self._unprobed[region]
        return steps < _WEIGHED_EVERY or steps % _WEIGHED_EVERY == 0 or self.probe_due(region)

    def probe_due(self, region: Region) -> bool:
        return self._unprobed[region] >= self._probe_after[region]

    def weighs_head(self, region: Region) -> bool:
        worth = self._head_gain[region] >= _WORTH_ASKING
        return worth or self._steps[region] % _WEIGHED_EVERY == 0

    def weighing_pays(self, region: Region) -> bool:
        return self._gain[region] >= _WORTH_WEIGHING

    def weighed(self, region: Region, gain: float) -> None:
        self._gain[region] += (gain - self._gain[region]) / _LAST_WEIGHED

    def head_promised(self, region: Region, gain: float) -> None:
        self._head_gain[region] += (gain - self._head_gain[region]) / _LAST_ASKED

    def step_chosen(self, region: Region, *, denoised: bool) -> None:
        """Counts towards the next probe."""
        self._steps[region] += 1
        self._drafting[region, False].fade()
        self._drafting[region, True].fade()
        if not denoised:
            self._unprobed[region] += 1
            return
        is_probe = self.probe_due(region)
        wait = 2 * self._probe_after[region] if is_probe else _PROBE_FIRST
        self._probe_after[region] = min(wait, _PROBE_LAST)
        self._unprobed[region] = 0

    def forward_ended(self) -> None:
        """Of any kind: what was known for its time is computed anew."""
        self.rows_then = self.rows
        self._shares.clear()

    def forward_took(self, causal_rows: int, draft_rows: int, seconds: float) -> None:
        """Corrects the curves by a forward of decoding. Those with prompts in them say little
        about it."""
        if self._running is not None:
            self._running.follow(causal_rows, seconds, draft_rows)

    def rows_per_guess(self, region: Region) -> float:
        return self._rows_per_guess[region]

    def share_of_guess(self, others: int, region: Region) -> float:
        """The time that a guess takes in a forward with so many rows of others, as a share of the
        forward's; where several at once are cheaper, that of one of these."""
        known = self._shares.get((others, region))
        if known is None:
            seconds = self.seconds(others + 1)
            row = min((self.seconds(others + 1 + more) - seconds) / more for more in _MORE_ROWS)
            guess = row * self._rows_per_guess[region] + self._drafting[region, False].each
            known = self._shares[others, region] = guess / seconds
        return known

    def picked(self, region: Region, picks: int, forced: int) -> None:
        """Behind so many picks so many tokens were forced."""
        surplus = 1.0 + forced / picks - self._rows_per_guess[region]
        self._rows_per_guess[region] += surplus * min(picks / _PICKS, 1.0)

    def drafting_took(
        self, region: Region, guesses: int, seconds: float, *, denoised: bool
    ) -> None:
        """Beside the forwards. A cost that is given is all there is."""
        if self._running is not None:
            self._drafting[region, denoised].add(guesses, seconds)

    def drafting_seconds(self, region: Region, *, denoised: bool) -> float:
        return self._drafting[region, denoised].each

    def stats(self) -> PaceStats:
        cost = self.cost
        curves = [None, None] if cost is None else [cost.causal, cost.draft]
        causal, draft = (
            {} if curve is None else dict(zip(curve.rows, curve.seconds, strict=True))
            for curve in curves
        )
        yields = self.yields.copy()  # another thread may ask
        seen = {f"{region.value}: {mode}": each for (region, mode), each in yields.items()}
        return PaceStats(
            seconds_by_rows=causal,
            draft_seconds_by_rows=draft,
            tokens_per_forward={
                key: each.tokens / each.forwards for key, each in seen.items() if each.forwards
            },
            rows_per_forward={
                key: each.rows / each.forwards for key, each in seen.items() if each.forwards
            },
            acceptance={
                f"{region.value}: {guesser.value} {depth}": share
                for (guesser, region, depth), share in self.acceptance.shares().items()
            },
        )


class Account:
    """One sequence's `Outlook`, and where its engine writes down what came of its steps."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._acceptance = Acceptance(pace.acceptance)
        self._choices: dict[tuple[Region, int], object] = {}
        self._rows = 0
        self._tokens = 0.0  # per forward
        self._is_drafting = False
        self._last_look = 0

    # --- Outlook

    @property
    def is_drafting(self) -> bool:
        return self._is_drafting

    @property
    def is_measured(self) -> bool:
        return self._pace.is_measured

    @property
    def tokens_of_others(self) -> float:
        return self._pace.tokens - self._tokens

    def seconds(self, causal_rows: int, draft_rows: int = 0) -> float:
        return self._pace.seconds(self._pace.rows - self._rows + causal_rows, draft_rows)

    def acceptance(self, guesser: Guesser, region: Region, depth: int) -> float:
        return self._acceptance.share(guesser, region, depth)

    def last_choice(self, region: Region, matched: int) -> object | None:
        key = (region, coarse(matched))
        return self._choices.get(key, self._pace.choices.get(key))

    def weighs_denoising(self, region: Region) -> bool:
        return self._pace.weighs_denoising(region)

    def probe_due(self, region: Region) -> bool:
        return self._pace.probe_due(region)

    def weighs_head(self, region: Region) -> bool:
        return self._pace.weighs_head(region)

    def weighing_pays(self, region: Region) -> bool:
        return self._pace.weighing_pays(region)

    @property
    def last_look(self) -> int:
        return self._last_look

    def looked(self, length: int) -> None:
        self._last_look = length

    def weighed(self, region: Region, gain: float) -> None:
        # Behind a draft another is likely: what a fresh look finds is the question.
        if not self._is_drafting:
            self._pace.weighed(region, gain)

    def head_promised(self, region: Region, gain: float) -> None:
        self._pace.head_promised(region, gain)

    def drafting_seconds(self, region: Region, *, denoised: bool) -> float:
        return self._pace.drafting_seconds(region, denoised=denoised)

    def rows_per_guess(self, region: Region) -> float:
        return self._pace.rows_per_guess(region)

    def price(self, region: Region) -> float:
        share = self._pace.share_of_guess(self._pace.rows_then - self._rows, region)
        return share * (1.0 + self.tokens_of_others)

    @property
    def wants_single_rows(self) -> bool:
        return self._pace.wants_single_rows and self._pace.rows == self._rows

    # --- told by the engine

    def waits_for(self, rows: int) -> None:
        """The sequence has a span of so many rows in the next forward. Rows of a prompt do not
        count: they are over soon, and say nothing of the forwards to come."""
        self._pace.rows += rows - self._rows
        self._rows = rows

    def leave(self) -> None:
        """The sequence is over. Repeating it does nothing."""
        self._pace.rows -= self._rows
        self._rows = 0
        self._set_tokens(0.0)

    def begins(self, region: Region, mode: str) -> None:
        """A step begins; it may be expected to earn what such steps did."""
        self._is_drafting = False
        known = self._pace.yields.get((region, mode))
        self._set_tokens(1.0 if known is None else known.tokens / known.forwards)

    def drafted(self, region: Region, guesses: int, seconds: float, *, denoised: bool) -> None:
        """So many guesses took so long beside the forwards."""
        self._is_drafting = True
        self._pace.drafting_took(region, guesses, seconds, denoised=denoised)

    def guessed(self, guesser: Guesser, region: Region, depth: int, right: bool) -> None:
        """A guess was, or would have been, right or wrong."""
        self._acceptance.add(guesser, region, depth, right)

    def chose(self, region: Region, matched: int, mode: object, *, denoised: bool) -> None:
        """A step that was chosen by this outlook begins; `denoised` says how its draft is made."""
        self._choices[region, coarse(matched)] = self._pace.choices[region, coarse(matched)] = mode
        self._pace.step_chosen(region, denoised=denoised)

    def earned(
        self, region: Region, mode: str, picks: int, forced: int, forwards: int, rows: int
    ) -> None:
        """A step committed so many picked tokens, and so many that the grammar forced."""
        if forwards:
            self._pace.yields.setdefault((region, mode), Yield()).add(picks, forwards, rows)
        if picks:
            self._pace.picked(region, picks, forced)

    def _set_tokens(self, tokens: float) -> None:
        self._pace.tokens += tokens - self._tokens
        self._tokens = tokens
