"""Where everything of a run stands on its time axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkit.decoding_trace import DecodingTrace, ForwardPurpose, ForwardTrace, TokenOrigin
from agentkit.trace.axis import Axis, Place, Tick
from agentkit.trace.blocks import Blocks, modes_of
from agentkit.trace.pieces import spelt
from agentkit.trace.records import CallTrace, RunTrace, TurnTrace
from agentkit.trace.words import PURPOSES, counted, seconds

_CHART = 112.0  # pixels for the highest pile of chosen tokens
_CELL = 14.0  # pixels for one of them, at most
_RIDERS = 60.0  # the same for tokens that came without a choice
_RIDER = 3.5
WITHOUT_CHOICE = frozenset((TokenOrigin.FORCED, TokenOrigin.CLOSING))
_IDLE = 0.02  # shorter gaps, as a share of the run, are not drawn


@dataclass(frozen=True, slots=True)
class Bar:
    """Something with a name that lasted. `row` tells bars apart that overlap."""

    place: Place
    label: str
    about: str
    kind: str
    target: str = ""
    row: int = 0


@dataclass(frozen=True, slots=True)
class ForwardBar:
    """One forward. `cells` are the tokens that it chose, lowest first; `cost` is the height of
    its rows in percent. Without a purpose it is no forward: tokens that came before any."""

    key: str
    block: str
    place: Place
    purpose: ForwardPurpose | None
    cells: tuple[TokenOrigin, ...]
    cost: float
    about: str

    @property
    def num_riders(self) -> int:
        """Tokens that nobody chose."""
        return sum(cell in WITHOUT_CHOICE for cell in self.cells)

    @property
    def num_chosen(self) -> int:
        return len(self.cells) - self.num_riders


@dataclass(frozen=True, slots=True)
class Timeline:
    """Heights are in pixels: `cell` of a token, `rider` of one that nobody chose, `chart` of
    all the room for them."""

    ticks: tuple[Tick, ...]
    turns: tuple[Bar, ...]
    calls: tuple[Bar, ...]
    modes: tuple[Bar, ...]
    forwards: tuple[ForwardBar, ...]
    silent: tuple[Bar, ...]
    idle: tuple[Bar, ...]
    cell: float
    rider: float
    chart: float

    @property
    def call_rows(self) -> int:
        return 1 + max((bar.row for bar in self.calls), default=0)


def timeline(trace: RunTrace) -> Timeline:
    """Lays out a run."""
    axis = Axis(trace.seconds)
    forwards = [bar for turn in trace.turns for bar in _forwards(axis, turn, _most_rows(trace))]
    cell = max(3.0, min(_CELL, _CHART / max(1, *(bar.num_chosen for bar in forwards), 1)))
    rider = min(_RIDER, _RIDERS / max(1, *(bar.num_riders for bar in forwards), 1))
    piles = (bar.num_chosen * cell + bar.num_riders * rider for bar in forwards)
    return Timeline(
        ticks=axis.ticks(),
        turns=tuple(_turn(axis, turn) for turn in trace.turns),
        calls=_calls(axis, trace),
        modes=tuple(bar for turn in trace.turns for bar in _modes(axis, turn)),
        forwards=tuple(forwards),
        silent=tuple(_silent(axis, turn) for turn in trace.turns if not has_forwards(turn)),
        idle=_idle(axis, trace),
        cell=cell,
        rider=rider,
        chart=max(_CHART / 2, *piles, 0.0),
    )


def has_forwards(turn: TurnTrace) -> bool:
    """Whether the model told what it did in this turn."""
    return turn.decoding is not None and bool(turn.decoding.forwards)


def turn_name(turn: TurnTrace) -> str:
    return f"Turn {turn.index + 1}: {turn.kind.value}"


def _turn(axis: Axis, turn: TurnTrace) -> Bar:
    name = turn_name(turn)
    lasted = seconds(turn.ended - turn.started)
    return Bar(
        axis.place(turn.started, turn.ended),
        name,
        f"{name}, {lasted}",
        turn.kind.value,
        f"turn-{turn.index}",
    )


def _calls(axis: Axis, trace: RunTrace) -> tuple[Bar, ...]:
    free_from: list[float] = []
    bars: list[Bar] = []
    calls = [(turn, call) for turn in trace.turns for call in turn.calls]
    for turn, call in sorted(calls, key=lambda item: item[1].started):
        end = turn.ended if call.ended is None else call.ended
        row = next((row for row, free in enumerate(free_from) if free <= call.started), None)
        if row is None:
            row = len(free_from)
            free_from.append(0.0)
        free_from[row] = end
        kind = "error" if call.is_error or call.result is None else "good"
        name = spelt(call.name)
        about = f"{name}, {call_state(call)}, {seconds(end - call.started)}"
        target = f"turn-{turn.index}"
        bars.append(Bar(axis.place(call.started, end), name, about, kind, target, row))
    return tuple(bars)


def call_state(call: CallTrace) -> str:
    """What became of a call, in words."""
    if call.result is None:
        return "never finished"
    return "failed" if call.is_error else "done"


def _modes(axis: Axis, turn: TurnTrace) -> list[Bar]:
    """Stretches of forwards in one mode."""
    if turn.decoding is None:
        return []
    bars: list[Bar] = []
    stretch: tuple[str, float, float] | None = None
    for mode, forward in zip(modes_of(turn.decoding), turn.decoding.forwards, strict=True):
        start, end = _span(turn, forward)
        if stretch is not None and stretch[0] == mode:
            stretch = (mode, stretch[1], end)
            continue
        if stretch is not None:
            bars.append(_mode(axis, *stretch))
        stretch = (mode, start, end)
    return bars if stretch is None else [*bars, _mode(axis, *stretch)]


def _mode(axis: Axis, mode: str, start: float, end: float) -> Bar:
    name = spelt(mode) or "prompt"
    return Bar(axis.place(start, end), name, f"{name}, {seconds(end - start)}", "mode")


def _span(turn: TurnTrace, forward: ForwardTrace) -> tuple[float, float]:
    start = turn.asked + forward.started
    return start, start + forward.seconds


def _most_rows(trace: RunTrace) -> int:
    rows = [
        forward.rows
        for turn in trace.turns
        if turn.decoding is not None
        for forward in turn.decoding.forwards
    ]
    return max(rows, default=1)


def _forwards(axis: Axis, turn: TurnTrace, most_rows: int) -> list[ForwardBar]:
    if turn.decoding is None:
        return []
    blocks = Blocks.of(turn.decoding)
    free: list[TokenOrigin] = []
    cells: list[list[TokenOrigin]] = [[] for _ in turn.decoding.forwards]
    for token, maker in zip(turn.decoding.tokens, blocks.makers, strict=True):
        (free if maker < 0 else cells[maker]).append(token.origin)
    bars = [
        ForwardBar(
            key=forward_key(turn.index, index),
            block=forward_key(turn.index, blocks.block_of[index]),
            place=axis.place(*_span(turn, forward)),
            purpose=forward.purpose,
            cells=tuple(cells[index]),
            cost=round(100 * math.log2(1 + forward.rows) / math.log2(1 + max(most_rows, 1)), 1),
            about=forward_about(turn.decoding, index, len(cells[index])),
        )
        for index, forward in enumerate(turn.decoding.forwards)
    ]
    return [_free(axis, turn, free), *bars] if free else bars


def forward_key(turn: int, forward: int) -> str:
    """Names a forward, or with -1 the time before the first, on the whole page."""
    return f"{turn}-{forward}" if forward >= 0 else f"{turn}-none"


def _free(axis: Axis, turn: TurnTrace, cells: Sequence[TokenOrigin]) -> ForwardBar:
    """The tokens that needed no forward, piled up before the first one."""
    assert turn.decoding is not None
    forwards = turn.decoding.forwards
    first = turn.asked + (forwards[0].started if forwards else 0.0)
    key = forward_key(turn.index, -1)
    about = f"Before any forward: {counted(len(cells), 'token')}, at no cost."
    return ForwardBar(key, key, axis.place(first, first), None, tuple(cells), 0.0, about)


def forward_about(decoding: DecodingTrace, index: int, num_tokens: int) -> str:
    """A forward in words."""
    forward = decoding.forwards[index]
    name, does = PURPOSES[forward.purpose]
    shared = f", shared by {forward.sequences} answers" if forward.sequences > 1 else ""
    return (
        f"Forward {index + 1}, {name}: {does}. {counted(forward.rows, 'row')}{shared}, "
        f"{seconds(forward.seconds)}, chose {counted(num_tokens, 'token')}."
    )


def _silent(axis: Axis, turn: TurnTrace) -> Bar:
    """An answer whose forwards nobody told of."""
    end = turn.ended if turn.answered is None else turn.answered
    about = f"The model answered in {seconds(end - turn.started)} and told no forwards."
    return Bar(axis.place(turn.started, end), "no forwards told", about, "silent")


def _idle(axis: Axis, trace: RunTrace) -> tuple[Bar, ...]:
    """The gaps in which this run used no forward, with the tools that ran meanwhile."""
    bars = []
    for start, end in _gaps(_busy(trace), trace.seconds):
        if end - start < _IDLE * trace.seconds:
            continue
        tools = sorted(
            {
                spelt(call.name)
                for turn in trace.turns
                for call in turn.calls
                if call.started < end and (call.ended is None or call.ended > start)
            }
        )
        cause = f"waits for {', '.join(tools)}" if tools else "no forward"
        label = f"{cause}, {seconds(end - start)}"
        bars.append(Bar(axis.place(start, end), label, label, "idle"))
    return tuple(bars)


def _busy(trace: RunTrace) -> list[tuple[float, float]]:
    spans = []
    for turn in trace.turns:
        if turn.decoding is not None and turn.decoding.forwards:
            spans += [_span(turn, forward) for forward in turn.decoding.forwards]
        else:
            spans.append((turn.started, turn.ended if turn.answered is None else turn.answered))
    return sorted(spans)


def _gaps(spans: Sequence[tuple[float, float]], end: float) -> Iterable[tuple[float, float]]:
    reached = 0.0
    for start, stop in spans:
        if start > reached:
            yield reached, start
        reached = max(reached, stop)
    if end > reached:
        yield reached, end
