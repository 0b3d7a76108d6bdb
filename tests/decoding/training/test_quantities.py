import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding.training.synthetic.domain import Action, Domain, act
from decoding.training.synthetic.quantities import (
    amount,
    compounding,
    counted,
    distance,
    duration,
    implied,
    months,
    position,
    share,
    shares,
    starting_speed,
    worded,
)
from decoding.training.synthetic.questions import question
from decoding.training.synthetic.slots import Slot, mapping, text, whole
from decoding.training.synthetic.specs import draw_call, make_tool
from decoding.training.synthetic.words import POWERS, in_words, one_of
from decoding.training.tool_tasks import DOMAINS

SIZES = {
    "second": 1,
    "s": 1,
    "minute": 60,
    "min": 60,
    "hour": 3_600,
    "h": 3_600,
    "day": 86_400,
    "week": 604_800,
    "metre": 1,
    "m": 1,
    "kilometre": 1_000,
    "km": 1_000,
    "month": 1,
    "year": 12,
    "fortnight": 14 * 86_400,
    "decade": 120,
    "century": 1_200,
}
QUARTERS = {"a quarter of an hour": 900, "three quarters of an hour": 2_700}
WORDS = {in_words(number): number for number in range(1, 20)} | {"a": 1, "an": 1}
SEEDS = st.integers(0, 10**6)


def measured(told: str) -> float:
    """What "3.5 hours", "half a day" and "five km" are in the smallest unit of their kind."""
    if told in QUARTERS:
        return QUARTERS[told]
    if told.endswith(" and a half"):
        return 1.5 * measured(told.removesuffix(" and a half"))
    if told.startswith("half "):
        return SIZES[told.split()[-1]] / 2
    number, unit = told.split()
    count = float(WORDS[number]) if number in WORDS else float(number)
    return count * SIZES[unit if unit in SIZES else unit.removesuffix("s")]


@pytest.mark.parametrize(
    "slots",
    [
        duration("time", "{}", "Time", "second minute hour day"),
        months("term", "{}", "Term", "month year"),
        distance("way", "{}", "Way"),
    ],
    ids=["duration", "months", "distance"],
)
@given(seed=SEEDS)
def test_what_is_told_is_the_value_in_the_unit_of_the_description(
    slots: tuple[Slot, ...], seed: int
) -> None:
    for slot in slots:
        value, told = slot.draw(Random(seed))
        unit = slot.description.split()[-1].removesuffix("s")
        assert measured(told) == value * SIZES[unit], (told, slot.description)


@given(seed=SEEDS)
def test_a_share_is_a_fraction_unless_it_is_wanted_in_percent(seed: int) -> None:
    for slot in share("rate", 0.5, 30, "{}", "Rate"):
        value, told = slot.draw(Random(seed))
        number = float(re.sub(r" ?(%|percent)$", "", told))
        is_percent = told != str(value)
        wants_percent = slot.description.endswith("in percent") or "rate" not in slot.names
        assert value == pytest.approx(number / (100 if is_percent and not wants_percent else 1))


@given(seed=SEEDS, low=st.integers(1, 10**6), more=st.integers(0, 10**13))
def test_an_amount_is_what_is_told_of_it(seed: int, low: int, more: int) -> None:
    value, told = amount("sum", low, low + more, "{}", "Sum").draw(Random(seed))
    number, _, scale = told.replace(",", "").replace("k", " thousand").partition(" ")
    factor = {"": 1, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}[
        scale
    ]
    assert round(float(number) * factor) == value, told
    assert low <= value <= low + more


def test_amounts_are_told_in_every_size() -> None:
    told = [
        amount("sum", 1_000, high, "{}", "Sum").draw(Random(seed))
        for high in (900_000, 5 * 10**9)
        for seed in range(200)
    ]
    for word in ("k", "thousand", "million", "billion"):
        assert any(each.endswith(word) for _, each in told), word
    exact = [str(value) for value, each in told if each.replace(",", "") == str(value)]
    assert any(len(each) > 6 and each[-1] != "0" for each in exact), "long ones, digit by digit"


@given(seed=SEEDS)
def test_a_list_of_shares_is_told_in_percent(seed: int) -> None:
    for slot in shares("weights", 5, 60, "{}", "Weights"):
        values, told = slot.draw(Random(seed))
        factor = 1 if slot.description.endswith("in percent") else 0.01
        percents = [int(each) for each in re.findall(r"\d+", told)]
        assert values == pytest.approx([each * factor for each in percents]), told


@given(seed=SEEDS)
def test_words_imply_their_counts(seed: int) -> None:
    known = {"monthly": 12, "quarterly": 4, "semi-annually": 2, "daily": 365, "yearly": 1}
    value, told = compounding("n").draw(Random(seed))
    assert value == known.get(told, value)
    dice = implied("dice", "2=two dice/a pair of dice,1=one die", "with {}", "Dice")
    value, told = dice.draw(Random(seed))
    assert value == (1 if told == "one die" else 2)
    known = {"half a dozen": 6, "a dozen": 12, "two dozen": 24, "a pair of": 2, "a couple of": 2}
    value, told = counted("count", 2, 24, "{} eggs", "Eggs").draw(Random(seed))
    number = {**WORDS, **known, "twenty": 20}.get(told)
    assert value == (int(told) if number is None else number)
    value, told = starting_speed("v0").draw(Random(seed))
    assert value == (0 if told.startswith("from ") else int(told.split()[1]))


@given(seed=SEEDS)
def test_positions_keep_their_signs(seed: int) -> None:
    values, told = position("place", "at {}", "Place").draw(Random(seed))
    numbers = [float(each) for each in re.findall(r"-?\d+\.?\d*", told)]
    if "°" in told:
        sides = zip(numbers, re.findall("[NESW]", told), strict=True)
        numbers = [-number if side in "SW" else number for number, side in sides]
    assert values == numbers, told


@given(seed=SEEDS)
def test_a_mapping_holds_all_that_is_told(seed: int) -> None:
    points = whole("", 200, 900, "{} {}|{}: {}", "")
    slot = mapping("scores", one_of(["art", "music", "logic"]), points, "{}", "Scores")
    values, told = slot.draw(Random(seed))
    found = re.findall(r"(\w+):? (\d+)", told)
    assert values == {name: int(number) for name, number in found}


@given(seed=SEEDS, x=st.integers(-9, 9))
def test_a_formula_is_the_one_that_is_told(seed: int, x: int) -> None:
    value, told = POWERS(Random(seed))
    spelled = told.replace(" squared", "**2").replace(" cubed", "**3").replace("^", "**")
    python = re.sub(r"(\d)x", r"\1*x", spelled)
    assert eval(value, {"x": x}) == eval(python, {"x": x}), told


@given(seed=SEEDS)
def test_a_worded_option_is_told_in_its_own_words(seed: int) -> None:
    slot = worded("unit", "km=kilometres/kilometers,mi=miles,league", "in {}", "Unit")
    value, told = slot.draw(Random(seed))
    meant = {"kilometres": "km", "kilometers": "km", "miles": "mi", "league": "league"}
    assert slot.schema["enum"] == ["km", "mi", "league"]
    assert value == meant[told]


def test_sentences_have_the_core_slots_in_their_places() -> None:
    route = act(
        "find",
        "way",
        "A way",
        "find it",
        (
            text("start", one_of(["Rome"]), "from {}", "Start"),
            text("end", one_of(["Oslo"]), "to {}", "End"),
        ),
        (whole("days", 2, 2, "within {} days", "Days"),),
        "how do I get to {1} from {0}?",
    )
    asked = set()
    for seed in range(200):
        call = draw_call(Random(seed), make_tool(Random(seed), Domain("way", (route,), ()), route))
        told = question(Random(seed), call, is_bare=True)
        assert "Rome" in told
        assert "Oslo" in told
        asked.add(told.replace("two", "2"))
    assert "How do I get to Oslo from Rome?" in asked
    assert "How do I get to Oslo from Rome within 2 days?" in asked


def test_a_negative_number_is_taken_away() -> None:
    line = act(
        "solve",
        "line",
        "A line",
        "solve",
        (whole("a", -9, -1, "{}", ""),),
        (),
        "solve x + {0} = 0.",
    )
    asked = set()
    for seed in range(30):
        call = draw_call(Random(seed), make_tool(Random(seed), Domain("line", (line,), ()), line))
        asked.add(question(Random(seed), call, is_bare=True))
    assert any("x - " in each for each in asked)
    assert not any("+ -" in each for each in asked)


ACTIONS = [action for domain in DOMAINS.values() for action in domain.actions]


@pytest.mark.parametrize("action", [each for each in ACTIONS if each.sentences])
def test_every_sentence_tells_all_that_the_tool_cannot_do_without(action: Action) -> None:
    words = [f"<{place}>" for place in range(len(action.core))]
    for sentence in action.sentences:
        assert sentence[-1] in ".?!", sentence
        filled = sentence.format(*words)
        assert all(word in filled for word in words), sentence
