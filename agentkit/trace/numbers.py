"""The numbers of a run, or of one turn."""

from collections import Counter
from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a run, or some of its turns, cost."""

    stats: DecodingStats
    origins: Counter[TokenOrigin]
    model_seconds: float
    tool_seconds: float

    @classmethod
    def of(cls, turns: Iterable[TurnTrace]) -> "Numbers":
        """The sum over `turns`."""
        turns = list(turns)
        return cls(
            stats=_sum([_stats(turn) for turn in turns]),
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
        stats, copied = self.stats, self.origins[TokenOrigin.COPIED]
        mask = stats.mask_microseconds
        each = mask / stats.new_tokens if stats.new_tokens else 0.0
        cached = share(stats.cached_prompt_tokens, stats.prompt_tokens)
        return (
            Number("tokens", "Tokens", f"{stats.new_tokens:,}"),
            Number(
                "forwards",
                "Forwards",
                f"{stats.forwards:,}",
                f"and {counted(stats.prefill_forwards, 'forward')} that only read the prompt"
                if stats.prefill_forwards
                else "",
            ),
            Number("tokens-per-forward", "Tokens per forward", f"{stats.tokens_per_forward:.2f}"),
            Number("drafted", "Drafted", f"{stats.drafted:,}", "guessed, then checked"),
            Number("accepted", "Accepted", f"{stats.accepted:,}", "the check agreed"),
            Number("acceptance", "Acceptance", share(stats.accepted, stats.drafted)),
            Number("copied", "Copied", f"{copied:,}", "among the accepted"),
            Number("forced", "Forced", f"{stats.forced:,}", "cost no forward"),
            Number("mask", "Grammar masks", f"{mask:,.0f} µs", f"{each:,.0f} µs per token"),
            Number("prompt", "Prompt tokens", f"{stats.prompt_tokens:,}"),
            Number("cached", "of them cached", f"{stats.cached_prompt_tokens:,}", cached),
            *(_by_mode(stats)),
            *(_by_region(stats)),
            Number("model-seconds", "Time in the model", seconds(self.model_seconds)),
            Number("tool-seconds", "Time in tools", seconds(self.tool_seconds)),
            Number("first-token", "To the first token", seconds(stats.seconds_to_first_token)),
        )


def _by_mode(stats: DecodingStats) -> Iterable[Number]:
    for mode, count in stats.modes.items():
        part = share(count, stats.new_tokens)
        name = spelt(mode)
        yield Number(f"mode-{name}", f"Tokens, {name}", f"{count:,}", part)


def _by_region(stats: DecodingStats) -> Iterable[Number]:
    for region in TokenRegion:
        count = stats.regions.get(region.value, 0)
        if count:
            part = share(count, stats.new_tokens)
            yield Number(f"region-{region.value}", f"Tokens, {REGIONS[region]}", f"{count:,}", part)


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
