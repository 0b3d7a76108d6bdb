"""Places on the time axis, blocks, and numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import ModelUsage, StepKind
from agentkit.trace import (
    CallTrace,
    DecodingTrace,
    Ending,
    ForwardPurpose,
    RunTrace,
    TokenOrigin,
    TurnTrace,
)
from agentkit.trace.blocks import Blocks, modes_of
from agentkit.trace.numbers import Numbers, Told
from agentkit.trace.timeline import timeline
from agentkit.trace.words import counted, seconds, share
from tests.agentkit.trace.samples import all_origins, forwards, sample_run, token

DENOISE, NEXT = ForwardPurpose.DENOISE, ForwardPurpose.NEXT
DRAFT, VERIFY = ForwardPurpose.DRAFT, ForwardPurpose.VERIFY


def test_a_token_of_a_forward_that_there_is_not() -> None:
    for wrong in (1, -2):
        with pytest.raises(ValueError, match=f"names forward {wrong}, and there are 1"):
            DecodingTrace((token("a", forward=wrong),), forwards(NEXT))


def test_blocks_and_who_chose_what() -> None:
    blocks = Blocks.of(all_origins())
    assert blocks.block_of == (0, 1, 2, 2, 4, 4, 4, 7)
    # Denoised tokens belong to the step that uncovered them, though the last one committed them.
    assert blocks.makers == (-1, 1, 3, 3, 3, 3, 4, 6, 4, 7, 7)


def test_two_blocks_of_denoising_are_two_blocks() -> None:
    trace = DecodingTrace(
        (
            token("a", TokenOrigin.DENOISED, 1, 2),
            token("b", forward=2),
            token("c", TokenOrigin.DENOISED, 4, 1),
            token("d", TokenOrigin.DENOISED, 4, 9),
            token("e", TokenOrigin.DENOISED, 5, 1),
        ),
        forwards(DENOISE, DENOISE, NEXT, DENOISE, DENOISE, NEXT),
    )
    assert Blocks.of(trace) == Blocks((0, 0, 2, 3, 3, 5), (1, 2, 3, 4, 5))


def test_drafts_belong_to_their_check_and_verifiers_stand_alone() -> None:
    trace = DecodingTrace((), forwards(DRAFT, DRAFT, VERIFY, VERIFY, DRAFT, VERIFY))
    assert Blocks.of(trace).block_of == (0, 0, 0, 3, 4, 4)


def test_forwards_take_the_mode_of_what_they_led_to() -> None:
    assert modes_of(all_origins()) == [
        "autoregressive",
        "autoregressive",
        "self-speculation",
        "self-speculation",
        *["diffusion"] * 4,
    ]
    assert modes_of(DecodingTrace((), forwards(NEXT))) == [""]


def test_the_sample_run() -> None:
    run = sample_run()
    layout = timeline(run)
    assert [bar.label for bar in layout.turns] == ["Turn 1: act", "Turn 2: answer"]
    assert [(bar.label, bar.kind, bar.row) for bar in layout.calls] == [
        ("search", "good", 0),
        ("weather", "error", 1),
    ]
    assert layout.call_rows == 2
    assert [bar.label for bar in layout.modes] == [
        "autoregressive",
        "self-speculation",
        "diffusion",
        "autoregressive",
    ]
    keys = [bar.key for bar in layout.forwards]
    assert keys == ["0-none", *(f"0-{index}" for index in range(8)), "1-0", "1-1"]
    assert sum(len(bar.cells) for bar in layout.forwards) == 13
    # In the order in which the text has them, not in that of their origins.
    assert layout.forwards[4].cells == (
        TokenOrigin.ACCEPTED,
        TokenOrigin.COPIED,
        TokenOrigin.CORRECTED,
        TokenOrigin.FORCED,
    )
    [gap] = [bar for bar in layout.idle if bar.place.width > 30]
    assert gap.label.startswith("waits for search, weather, ")
    assert layout.silent == ()
    named = (*layout.turns, *layout.calls, *layout.modes, *layout.idle)
    for place in [bar.place for bar in named] + [bar.place for bar in layout.forwards]:
        assert 0 <= place.left <= 100
        assert place.left + place.width <= 100.001


def test_tall_piles_fit() -> None:
    many = [token("{", TokenOrigin.FORCED, 0) for _ in range(500)]
    chosen = [token("a", TokenOrigin.ACCEPTED, 0) for _ in range(64)]
    trace = DecodingTrace((*many, *chosen), forwards(VERIFY))
    turn = TurnTrace(0, StepKind.ANSWER, 0.0, 1.0, 1.0, decoding=trace)
    layout = timeline(RunTrace("", "", (turn,), Ending.FINISHED, 1.0))
    assert layout.chart <= 260
    assert layout.cell * 64 + layout.rider * 500 <= layout.chart


def test_a_model_that_tells_nothing_has_one_block_per_turn() -> None:
    call = CallTrace("c1", "search", "{}", 0.2, None)
    turns = (
        TurnTrace(0, StepKind.ACT, 0.0, 1.0, 0.2, "a", ModelUsage(output_tokens=3), calls=(call,)),
        TurnTrace(1, StepKind.ACT, 1.0, 2.0),
    )
    layout = timeline(RunTrace("", "", turns, Ending.CANCELLED, 2.0))
    assert (len(layout.silent), layout.forwards, layout.modes) == (2, (), ())
    assert "never finished" in layout.calls[0].about
    assert layout.calls[0].kind == "error"
    numbers = Numbers.of(turns)
    assert numbers.written.stats.new_tokens == 3
    assert numbers.written.told == Told(1, 2)
    assert numbers.paced.told == numbers.recorded.told == Told(0, 2)
    assert numbers.tool_seconds == pytest.approx(0.8)


def test_an_empty_run() -> None:
    layout = timeline(RunTrace("", "", (), Ending.FAILED, 0.0))
    assert [tick.label for tick in layout.ticks] == ["0 s"]
    assert layout.idle == ()


@given(st.floats(1e-6, 1e5))
def test_ticks_are_few_round_and_in_order(length: float) -> None:
    ticks = timeline(RunTrace("", "", (), Ending.FINISHED, length)).ticks
    lefts = [tick.left for tick in ticks]
    assert lefts == sorted(set(lefts))
    assert ticks[0].left == 0
    coarse = [tick for tick in ticks if tick.level == 0]
    assert 2 <= len(coarse) <= 6
    assert len(ticks) <= 800
    assert max(lefts) <= 100


def test_numbers_add_up() -> None:
    run = sample_run()
    numbers = Numbers.of(run.turns)
    stats = [turn.decoding.stats for turn in run.turns if turn.decoding is not None]
    for each in (numbers.written, numbers.paced, numbers.read, numbers.recorded):
        assert each.told == Told(2, 2)
        assert each.stats == numbers.recorded.stats
    summed = numbers.recorded.stats
    assert summed.new_tokens == sum(each.new_tokens for each in stats) == 13
    assert summed.forwards == sum(each.forwards for each in stats) == 9
    assert summed.seconds_to_first_token == stats[0].seconds_to_first_token
    assert sum(summed.modes.values()) == sum(summed.regions.values()) == 13
    assert numbers.origins.total() == 13
    told = {number.key: number.value for number in numbers.listed()}
    assert told["acceptance"] == "67 %"
    assert told["copied"] == "1"
    assert told["mask"] == "494 µs"
    assert told["mode-diffusion"] == "5"
    assert told["region-constrained"] == "6"
    assert told["tool-seconds"] == "500 ms"
    assert replace(summed, drafted=0).acceptance == 0.0


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0 s"), (1e-6, "1.00 µs"), (0.0123, "12.3 ms"), (0.9996, "1.00 s"), (75.2, "75.2 s"),
     (1234.5, "1,234 s"), (0.00099999, "1.00 ms")],
)  # fmt: skip
def test_durations(value: float, told: str) -> None:
    assert seconds(value) == told


def test_counts_and_shares() -> None:
    assert (counted(1, "row"), counted(0, "row"), counted(1200, "row")) == (
        "1 row",
        "0 rows",
        "1,200 rows",
    )
    assert (share(1, 3), share(0, 0)) == ("33 %", "none")
