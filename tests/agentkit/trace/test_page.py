"""The page, read as a browser reads it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import Act, Agent, ModelSettings, ModelUsage, StepKind, UsageLimits
from agentkit.models import LocalModel
from agentkit.trace import (
    CallTrace,
    DecodingTrace,
    Ending,
    Recorder,
    RunTrace,
    TokenOrigin,
    TokenTrace,
    TurnTrace,
    is_page,
    render,
)
from agentkit.trace.words import ORIGINS
from decoding import (
    AsyncEngine,
    Auto,
    Autoregressive,
    BlockDiffusion,
    Curve,
    DecodeMode,
    Engine,
    ForwardCost,
    SelfSpeculation,
)
from decoding.testing import ScriptedNetwork
from tests.agentkit.support import add
from tests.agentkit.trace.reader import Node, read, tokens_of
from tests.agentkit.trace.samples import run_of, sample_run, token
from tests.decoding.tiny import byte_tokenizer

TOKENIZER = byte_tokenizer()
HOSTILE = [
    "<script>alert(1)</script>",
    "</span></div></script><!--",
    "\"onfocus='x'",
    "&amp;&lt;&#0;",
    "\x00\x07\x1b[2J\x7f\x9b",
    "\r\n\r",
    "\n",
    "  \t ",
    "\u202eevil\u202c\u2066\u2069",
    "\udc80\ud83d",
    "\u0301\u200d\ufeff",
    "",
    "{{ 7 * 7 }}{% raw %}",
    "\u05e9\u05dc\u05d5\u05dd",
]
TEXTS = st.lists(
    st.text(st.characters(exclude_categories=[]), max_size=12) | st.sampled_from(HOSTILE),
    max_size=12,
)
PAGES = settings(max_examples=30)


def texts(page: Node) -> list[str]:
    return [node.text for node in tokens_of(page)]


def in_mode(turn: TurnTrace, mode: str) -> DecodingTrace:
    """The turn's tokens, as if decoded in this mode."""
    assert turn.decoding is not None
    tokens = tuple(replace(each, mode=mode) for each in turn.decoding.tokens)
    return replace(
        turn.decoding, tokens=tokens, stats=replace(turn.decoding.stats, modes={mode: len(tokens)})
    )


def test_every_token_is_there_once_and_in_order() -> None:
    run = sample_run()
    page = read(render(run))
    told = [each for turn in run.turns if turn.decoding for each in turn.decoding.tokens]
    assert texts(page) == [each.text for each in told]
    for node, each in zip(tokens_of(page), told, strict=True):
        assert node.classes == ["t", f"o-{each.origin.value}"]
        assert node.attributes.get("data-step", "0") == str(
            each.denoise_step if each.origin is TokenOrigin.DENOISED else 0
        )


def test_tokens_and_forwards_point_at_each_other() -> None:
    page = read(render(sample_run()))
    bars = {bar.attributes["data-f"]: bar for bar in page.all(css="forward")}
    made: dict[str, list[str]] = {}
    for node in tokens_of(page):
        made.setdefault(node.attributes["data-f"], []).append(node.classes[1])
        assert (
            bars[node.attributes["data-f"]].attributes["data-block"]
            == (node.attributes["data-block"])
        )
    for key, bar in bars.items():
        cells = [cell.classes[0] for cell in bar.all(tag="i")]
        assert cells == made.get(key, [])
    assert made["0-none"] == ["o-forced"]
    assert made["0-3"] == ["o-accepted", "o-copied", "o-corrected", "o-forced"]
    assert made["0-4"] == ["o-denoised", "o-denoised"]
    assert bars["0-2"].attributes["data-block"] == bars["0-3"].attributes["data-block"]
    assert "chose 4 tokens" in bars["0-3"].text


def test_the_legend_and_the_numbers_agree_with_the_tokens() -> None:
    page = read(render(sample_run()))
    counts = Counter(node.classes[1].removeprefix("o-") for node in tokens_of(page))
    legend = {
        node.attributes["data-origin"]: int(node.text) for node in page.all(having="data-origin")
    }
    assert legend == counts
    assert set(legend) == {origin.value for origin in ORIGINS} == {o.value for o in TokenOrigin}
    for key, value in (("tokens", "13"), ("forwards", "9"), ("drafted", "3"), ("cached", "240")):
        assert page.number(key) == value


def test_calls_turns_and_gaps_are_told() -> None:
    page = read(render(sample_run()))
    assert [bar.text for bar in page.one("lane-calls").all(tag="li")] == ["search", "weather"]
    assert [bar.text for bar in page.one("lane-turns").all(tag="a")] == [
        "Turn 1: act",
        "Turn 2: answer",
    ]
    told = page.one("turn-0").text
    assert "no such city" in told
    assert '{"text":"lunch"}' in told
    [table] = page.all(tag="table")
    assert [row.all(tag="td")[2].text for row in table.all(tag="tr")[1:]] == ["11", "2"]


def test_the_page_needs_nothing_else() -> None:
    text = render(sample_run())
    page = read(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert not re.search(r"https?:|@import|url\(|\bfetch\b|XMLHttp|import\(", text)
    assert [node.tag for node in page.walk() if "src" in node.attributes] == []
    for node in page.walk():
        assert not [name for name in node.attributes if name.startswith("on")]
        assert node.tag not in ("link", "iframe", "object", "img", "form")
        if "href" in node.attributes:
            assert page.one(node.attributes["href"].removeprefix("#")).tag == "article"
    names = [node.attributes["id"] for node in page.walk() if "id" in node.attributes]
    assert len(set(names)) == len(names)
    assert is_page(text[:1000])
    assert not is_page("<!DOCTYPE html><title>agentkit trace</title>")


def test_the_page_can_be_walked_without_seeing_it() -> None:
    page = read(render(sample_run()))
    [title] = page.all(tag="title")
    assert title.text == "13 tokens in 9 forwards, 1.44 per forward: What is for lunch?"
    levels = [int(node.tag[1]) for node in page.walk() if re.fullmatch(r"h\d", node.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for node in page.all(having="aria-labelledby"):
        assert page.one(node.attributes["aria-labelledby"]).text
    for node in page.walk():
        if node.attributes.get("tabindex") == "0":
            assert node.attributes.get("aria-label")
    for node in (*tokens_of(page), *page.all(css="forward")):
        assert node.attributes["title"].endswith(".")
        assert node.attributes["tabindex"] == "-1"  # one of a group is made reachable by script


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_does_anything(hostile: str) -> None:
    check_harmless(HOSTILE, hostile)


@PAGES
@given(TEXTS, st.sampled_from([*HOSTILE, "go"]))
def test_no_text_does_anything(written: Sequence[str], hostile: str) -> None:
    check_harmless(written, hostile)


def check_harmless(written: Sequence[str], hostile: str) -> None:
    origins = list(TokenOrigin)
    run = run_of(
        [token(text, origins[index % len(origins)]) for index, text in enumerate(written)],
        prompt=hostile,
        ending=Ending.FAILED,
    )
    call = CallTrace("c1", hostile, hostile, 0.0, 0.1, hostile, is_error=True)
    [turn] = run.turns
    run = replace(
        run,
        model=hostile,
        reason=hostile,
        turns=(replace(turn, calls=(call,), retry=hostile, decoding=in_mode(turn, hostile)),),
    )
    text = render(run)
    text.encode()  # surrogates would not
    page = read(text)
    assert texts(page) == list(written)
    assert len(page.all(tag="script")) == 2
    assert [script.attributes for script in page.all(tag="script")] == [{}, {}]
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", text
    )
    names = {name for node in page.walk() for name in node.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert "49" not in texts(page)


@PAGES
@given(TEXTS)
def test_texts_of_models_that_tell_nothing_are_as_safe(written: Sequence[str]) -> None:
    turns = tuple(
        TurnTrace(index, StepKind.ACT, 0.0, 1.0, 1.0 if index % 2 else None, text)
        for index, text in enumerate(written)
    )
    page = read(render(RunTrace("go", "m", turns, Ending.CANCELLED, 1.0)))
    shown = [node.text for node in page.all(css="whole")]
    assert shown == [text for text in written if text]
    assert tokens_of(page) == []


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending.FAILED, "failed after"),
        (Ending.CANCELLED, "cancelled after"),
        (Ending.UNFINISHED, "not finished after"),
    ],
)
def test_how_a_run_ended_is_told_first(ending: Ending, words: str) -> None:
    run = replace(run_of([token("a")], ending=ending), reason="the tool <b> crashed")
    page = read(render(run))
    [header] = page.all(tag="header")
    assert words in header.text
    assert "the tool <b> crashed" in header.text


def test_nothing_went_wrong_with_a_run_that_waits() -> None:
    page = read(render(run_of([token("a")], ending=Ending.WAITS)))
    [header] = page.all(tag="header")
    assert "waits for its owner after" in header.text
    assert "went wrong" not in header.text


def test_a_run_that_never_began() -> None:
    page = read(render(Recorder().trace()))
    assert "ended before its first turn" in page.text
    assert page.all(tag="h1")[0].text == "0 turns in 0 s"


def test_a_turn_that_was_broken_off_says_so() -> None:
    turn = TurnTrace(0, StepKind.ACT, 0.0, 1.0, None, "half a sen")
    page = read(render(RunTrace("go", "m", (turn,), Ending.CANCELLED, 1.0)))
    assert "Broken off" in page.one("turn-0").text
    assert page.all(css="whole")[0].text == "half a sen"


def test_what_a_turn_does_not_tell_is_unknown() -> None:
    usage = ModelUsage(output_tokens=8, seconds=2.0)
    turns = (
        TurnTrace(0, StepKind.ACT, 0.0, 1.0),
        TurnTrace(1, StepKind.ANSWER, 1.0, 3.0, 3.0, "hello", usage),
    )
    page = read(render(RunTrace("go", "m", turns, Ending.CANCELLED, 3.0)))
    assert page.number("tokens") == "8"
    assert "known for 1 of 2 turns" in page.text
    for key in ("forwards", "tokens-per-forward", "drafted", "forced", "mask", "prompt", "cached"):
        assert page.number(key) == "unknown", key
    assert page.number("first-token") == "unknown"
    assert page.number("model-seconds") == "3.00 s"
    assert "What it had written" not in page.text
    assert not page.all(having="data-origin")
    [table] = page.all(tag="table")
    broken_off, whole = ([td.text for td in row.all(tag="td")] for row in table.all(tag="tr")[1:])
    assert broken_off == ["1.00 s", "0 s", *["unknown"] * 11]
    assert whole == ["2.00 s", "0 s", "8", *["unknown"] * 10]


def test_a_sum_says_for_how_many_turns_it_is_known() -> None:
    run = sample_run()
    broken_off = TurnTrace(2, StepKind.ACT, run.seconds, run.seconds + 1)
    page = read(render(replace(run, turns=(*run.turns, broken_off))))
    assert page.number("tokens") == "13"
    [heading] = page.all(tag="h1")
    assert heading.text == "13 tokens in 9 forwards, 1.44 per forward; known for 2 of 3 turns"
    [legend] = [note.text for note in page.all(css="note") if "Counts" in note.text]
    assert legend == "Counts are known for 2 of 3 turns."
    notes = [node.text for node in page.all(css="numbers")[0].all(tag="small")]
    assert sum("known for 2 of 3 turns" in note for note in notes) == len(notes) >= 11
    whole = render(run)
    assert "known for" not in whole
    assert "unknown" not in whole
    first = replace(run, turns=(broken_off, *run.turns))
    assert read(render(first)).number("first-token") == "unknown"


def test_counts_of_models_that_tell_only_those() -> None:
    usage = ModelUsage(input_tokens=9, output_tokens=8, forwards=4, modes={"fast": 8}, seconds=2.0)
    turn = TurnTrace(0, StepKind.ANSWER, 0.0, 3.0, 3.0, "hello", usage)
    page = read(render(RunTrace("go", "m", (turn,), Ending.FINISHED, 3.0)))
    assert page.number("tokens-per-forward") == "2.00"
    assert page.number("mode-fast") == "8"
    assert page.number("model-seconds") == "2.00 s"


# --- from a model in this process


def recorded(mode: DecodeMode, seed: int) -> RunTrace:
    """A run with a tool over a scripted network, most of it random."""

    def make() -> Engine:
        network = ScriptedNetwork(
            288, seed=seed, max_positions=2000, mask_token_id=TOKENIZER.mask_token_id
        )
        rows_are_free = ForwardCost(Curve((1, 64), (1.0, 1.0)))
        return Engine(network, TOKENIZER, cache_tokens=16384, forward_cost=rows_are_free)

    engine = AsyncEngine(make)
    agent = Agent(
        LocalModel("scripted", engine=engine, mode=mode),
        tools=[add],
        strategy=Act(call_first=True),
        settings=ModelSettings(max_tokens=60, temperature=1.0, seed=seed),
    )
    recorder = Recorder()

    async def watch() -> None:
        with recorder:
            async with agent.run_stream("hi", usage_limits=UsageLimits(turns=3)) as run:
                async for event in run:
                    recorder.add(event)
        await engine.aclose()

    anyio.run(watch)
    return recorder.trace()


@pytest.mark.parametrize(
    ("mode", "origins"),
    [
        (Autoregressive(), {TokenOrigin.AUTOREGRESSIVE}),
        (BlockDiffusion(), {TokenOrigin.DENOISED}),
        (SelfSpeculation(), {TokenOrigin.ACCEPTED, TokenOrigin.CORRECTED}),
        (Auto(), {TokenOrigin.ACCEPTED, TokenOrigin.CORRECTED}),
    ],
    ids=["autoregressive", "diffusion", "self-speculation", "auto"],
)
def test_a_run_of_each_mode(mode: DecodeMode, origins: set[TokenOrigin]) -> None:
    run = recorded(mode, seed=4)
    page = read(render(run))
    told: list[TokenTrace] = []
    for turn in run.turns:
        assert turn.decoding is not None
        stats, tokens = turn.decoding.stats, turn.decoding.tokens
        told += tokens
        counts = Counter(each.origin for each in tokens)
        assert stats.new_tokens == len(tokens)
        assert stats.forced == counts[TokenOrigin.FORCED]
        assert stats.accepted == counts[TokenOrigin.ACCEPTED] + counts[TokenOrigin.COPIED]
        assert stats.modes == Counter(each.mode for each in tokens)
        assert stats.regions == Counter(each.region.value for each in tokens)
        assert stats.forwards + stats.prefill_forwards == len(turn.decoding.forwards)
        assert turn.decoding.text.startswith(turn.text)
        assert turn.answered is not None
        assert turn.started <= turn.asked + 0.001
    assert texts(page) == [each.text for each in told]
    assert {each.origin for each in told} >= {*origins, TokenOrigin.FORCED}
    bars = {bar.attributes["data-f"]: bar for bar in page.all(css="forward")}
    assert sum(len(bar.all(tag="i")) for bar in bars.values()) == len(told)
    for node in tokens_of(page):
        step = node.attributes.get("data-step")
        if step:  # the forward that uncovered the token is the block's forward of that number
            block = [
                key
                for key, bar in bars.items()
                if bar.attributes["data-block"] == node.attributes["data-block"]
            ]
            assert block[int(step) - 1] == node.attributes["data-f"]
    assert [call.attributes["class"].split()[2] for call in page.one("lane-calls").all(tag="li")]
