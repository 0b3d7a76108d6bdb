"""What an engine counts over its life."""

from dataclasses import dataclass

from decoding.pace import PaceStats
from decoding.record import Stats


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A moment's view of an engine. Pages are counted, not bytes.

    `forwards` counts calls of the network, however many sequences shared them, `rows` the tokens
    evaluated in them, of which each may have `max_forward_rows`. New, drafted, accepted and
    forced tokens and the time in which masks were computed are those of requests that are over,
    prompt tokens those of requests that began. `held_pages` includes what is kept for re-use,
    `shared_pages` are those that several live sequences read, `kept_pages` those kept by name for
    a next turn, `evicted_pages` those given up so far. `profile` names the numerics; `pace` is
    what `Auto` decides by.
    """

    profile: str
    live_sequences: int
    waiting_requests: int
    max_forward_rows: int
    free_pages: int
    held_pages: int
    shared_pages: int
    evicted_pages: int
    kept_pages: int
    deadline_misses: int
    rows: int
    forwards: int
    new_tokens: int
    prompt_tokens: int
    cached_prompt_tokens: int
    drafted: int
    accepted: int
    forced: int
    modes: dict[str, int]
    pace: PaceStats = PaceStats()
    mask_microseconds: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Share of prompt tokens that were found encoded, 0.0 to 1.0."""
        return self.cached_prompt_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def row_use(self) -> float:
        """Share of the rows that forwards could have had and did have; 0.0 before the first."""
        return self.rows / (self.forwards * self.max_forward_rows) if self.forwards else 0.0


class Totals:
    """Counters over an engine's life."""

    def __init__(self) -> None:
        self.forwards = 0
        self.rows = 0
        self.deadline_misses = 0
        self.new_tokens = 0
        self.prompt_tokens = 0
        self.cached_prompt_tokens = 0
        self.drafted = 0
        self.accepted = 0
        self.forced = 0
        self.mask_microseconds = 0.0
        self.modes: dict[str, int] = {}

    def admit(self, prompt_tokens: int, cached_prompt_tokens: int) -> None:
        self.prompt_tokens += prompt_tokens
        self.cached_prompt_tokens += cached_prompt_tokens

    def count_forward(self, rows: int) -> None:
        self.forwards += 1
        self.rows += rows

    def add(self, stats: Stats) -> None:
        self.new_tokens += stats.new_tokens
        self.drafted += stats.drafted
        self.accepted += stats.accepted
        self.forced += stats.forced
        self.mask_microseconds += stats.mask_microseconds
        for mode, count in stats.modes.items():
            self.modes[mode] = self.modes.get(mode, 0) + count

    def view(
        self,
        *,
        profile: str,
        live_sequences: int,
        waiting_requests: int,
        max_forward_rows: int,
        free_pages: int,
        held_pages: int,
        shared_pages: int,
        evicted_pages: int,
        kept_pages: int,
        pace: PaceStats,
    ) -> EngineStats:
        """The counters beside what is live now."""
        return EngineStats(
            profile=profile,
            live_sequences=live_sequences,
            waiting_requests=waiting_requests,
            max_forward_rows=max_forward_rows,
            free_pages=free_pages,
            held_pages=held_pages,
            shared_pages=shared_pages,
            evicted_pages=evicted_pages,
            kept_pages=kept_pages,
            pace=pace,
            deadline_misses=self.deadline_misses,
            rows=self.rows,
            forwards=self.forwards,
            new_tokens=self.new_tokens,
            prompt_tokens=self.prompt_tokens,
            cached_prompt_tokens=self.cached_prompt_tokens,
            drafted=self.drafted,
            accepted=self.accepted,
            forced=self.forced,
            mask_microseconds=self.mask_microseconds,
            modes=dict(self.modes),
        )
