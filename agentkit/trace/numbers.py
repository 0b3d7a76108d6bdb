"""The numbers of a run, or of one turn.

Not every turn tells all: a turn without a decoding record has at most the counts of its
`ModelUsage`, where 0 means that it was not told, and one that was broken off has none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkit.decoding_trace import DecodingStats, TokenOrigin, TokenRegion
from agentkit.trace.pieces import spelt
from agentkit.trace.records import TurnTrace
from agentkit.trace.words import REGIONS, counted, seconds, share


@dataclass(frozen=True, slots=True)
class Number:
    """`key` names it for programs that read the page."""

    key: str
    label: str
    value: str
    note: str = ""


UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Told:
    """How many of some turns tell their numbers."""

    known: int
    turns: int

    def value(self, value: str) -> str:
        """`value`, or that no turn tells it."""
        return value if self.known or not self.turns else UNKNOWN

    def note(self, note: str = "") -> str:
        """`note`, and for how many turns the sum is known where that is not all."""
        if not self.turns or self.known == self.turns:
            return note
        if not self.known:
            return ""
        partly = f"known for {self.known} of {counted(self.turns, 'turn')}"
        return f"{note}; {partly}" if note else partly


@dataclass(frozen=True, slots=True)
class _Sum:
    """Over the turns that tell something, and how many these are."""

    stats: DecodingStats
    told: Told

    @classmethod
    def of(cls, turns: Sequence[TurnTrace], telling: Sequence[bool]) -> "_Sum":
        chosen = [_stats(turn) for turn, tells in zip(turns, telling, strict=True) if tells]
        return cls(_sum(chosen), Told(len(chosen), len(turns)))

    def number(self, key: str, label: str, value: str, note: str = "") -> Number:
        return Number(key, label, self.told.value(value), self.told.note(note))


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a run, or some of its turns, cost. Each sum is over the turns that tell its numbers:
    `written` new tokens, `paced` tokens and forwards, `read` prompt tokens, `recorded` all."""

    written: _Sum
    paced: _Sum
    read: _Sum
    recorded: _Sum
    first_token: Told
    origins: Counter[TokenOrigin]
    model_seconds: float
    tool_seconds: float

    @classmethod
    def of(cls, turns: Iterable[TurnTrace]) -> "Numbers":
        """The sums over `turns`."""
        turns = list(turns)
        recorded = [turn.decoding is not None for turn in turns]
        paced = [turn.decoding is not None or turn.usage.forwards > 0 for turn in turns]
        return cls(
            written=_Sum.of(
                turns,
                [
                    paces or turn.usage.output_tokens > 0
                    for turn, paces in zip(turns, paced, strict=True)
                ],
            ),
            paced=_Sum.of(turns, paced),
            read=_Sum.of(
                turns,
                [turn.decoding is not None or turn.usage.input_tokens > 0 for turn in turns],
            ),
            recorded=_Sum.of(turns, recorded),
            first_token=Told(sum(recorded[:1]), len(turns[:1])),
            origins=Counter(
                token.origin
                for turn in turns
                if turn.decoding is not None
                for token in turn.decoding.tokens
            ),
            model_seconds=sum(_stats(turn).seconds for turn in turns),
            tool_seconds=sum(_tool_seconds(turn) for turn in turns),
        )

    def listed(self) -> tuple[Number, ...]:
        """All of them, in the order of the page."""
        written, paced, recorded = self.written, self.paced, self.recorded
        told, read = recorded.stats, self.read.stats
        each = told.mask_microseconds / told.new_tokens if told.new_tokens else 0.0
        reading = counted(told.prefill_forwards, "forward")
        cached = share(read.cached_prompt_tokens, read.prompt_tokens)
        first = self.first_token.value(seconds(told.seconds_to_first_token))
        return (
            written.number("tokens", "Tokens", f"{written.stats.new_tokens:,}"),
            paced.number(
                "forwards",
                "Forwards",
                f"{paced.stats.forwards:,}",
                f"and {reading} that only read the prompt" if told.prefill_forwards else "",
            ),
            paced.number(
                "tokens-per-forward", "Tokens per forward", f"{paced.stats.tokens_per_forward:.2f}"
            ),
            recorded.number("drafted", "Drafted", f"{told.drafted:,}", "guessed, then checked"),
            recorded.number("accepted", "Accepted", f"{told.accepted:,}", "the check agreed"),
            recorded.number("acceptance", "Acceptance", share(told.accepted, told.drafted)),
            recorded.number(
                "copied", "Copied", f"{self.origins[TokenOrigin.COPIED]:,}", "among the accepted"
            ),
            paced.number("forced", "Forced", f"{paced.stats.forced:,}", "cost no forward"),
            recorded.number(
                "mask",
                "Grammar masks",
                f"{told.mask_microseconds:,.0f} µs",
                f"{each:,.0f} µs per token",
            ),
            self.read.number("prompt", "Prompt tokens", f"{read.prompt_tokens:,}"),
            self.read.number("cached", "of them cached", f"{read.cached_prompt_tokens:,}", cached),
            *(_by_mode(written)),
            *(_by_region(recorded)),
            Number("model-seconds", "Time in the model", seconds(self.model_seconds)),
            Number("tool-seconds", "Time in tools", seconds(self.tool_seconds)),
            Number("first-token", "To the first token", first),
        )


def _by_mode(written: _Sum) -> Iterable[Number]:
    for mode, count in written.stats.modes.items():
        part = share(count, written.stats.new_tokens)
        name = spelt(mode)
        yield written.number(f"mode-{name}", f"Tokens, {name}", f"{count:,}", part)


def _by_region(recorded: _Sum) -> Iterable[Number]:
    for region in TokenRegion:
        count = recorded.stats.regions.get(region.value, 0)
        if count:
            part = share(count, recorded.stats.new_tokens)
            name = f"Tokens, {REGIONS[region]}"
            yield recorded.number(f"region-{region.value}", name, f"{count:,}", part)


def _stats(turn: TurnTrace) -> DecodingStats:
    if turn.decoding is not None:
        return turn.decoding.stats
    usage = turn.usage
    return DecodingStats(
        prompt_tokens=usage.input_tokens,
        cached_prompt_tokens=usage.cached_input_tokens,
        new_tokens=usage.output_tokens,
        forwards=usage.forwards,
        forced=usage.forced_tokens,
        modes=usage.modes,
        seconds=usage.seconds or (turn.answered or turn.ended) - turn.started,
    )


def _tool_seconds(turn: TurnTrace) -> float:
    """Tools of a turn run at the same time, so this is from the first to the last."""
    if not turn.calls:
        return 0.0
    ends = [turn.ended if call.ended is None else call.ended for call in turn.calls]
    return max(ends) - min(call.started for call in turn.calls)


def _sum(all_stats: list[DecodingStats]) -> DecodingStats:
    first = next((each.seconds_to_first_token for each in all_stats), 0.0)
    modes: Counter[str] = Counter()
    regions: Counter[str] = Counter()
    for each in all_stats:
        modes.update(each.modes)
        regions.update(each.regions)
    return DecodingStats(
        prompt_tokens=sum(each.prompt_tokens for each in all_stats),
        cached_prompt_tokens=sum(each.cached_prompt_tokens for each in all_stats),
        new_tokens=sum(each.new_tokens for each in all_stats),
        forwards=sum(each.forwards for each in all_stats),
        prefill_forwards=sum(each.prefill_forwards for each in all_stats),
        drafted=sum(each.drafted for each in all_stats),
        accepted=sum(each.accepted for each in all_stats),
        forced=sum(each.forced for each in all_stats),
        modes=dict(modes),
        regions=dict(regions),
        mask_microseconds=sum(each.mask_microseconds for each in all_stats),
        seconds_to_first_token=first,
        seconds=sum(each.seconds for each in all_stats),
    )
