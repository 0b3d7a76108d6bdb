import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding.training.synthetic.domain import Action, Domain, act
from decoding.training.synthetic.quantities import amount, distance, duration, months, share, worded
from decoding.training.synthetic.questions import question
from decoding.training.synthetic.slots import Slot, text, whole
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
}
WORDS = {in_words(number): number for number in range(1, 20)} | {"a": 1, "an": 1}
SEEDS = st.integers(0, 10**6)


def measured(told: str) -> float:
    """What "3.5 hours", "half a day" and "five km" are in the smallest unit of their kind."""
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
        wants_percent = slot.description.endswith("in percent")
        assert value == pytest.approx(number / (100 if is_percent and not wants_percent else 1))


@given(seed=SEEDS, low=st.integers(1, 10**6), more=st.integers(0, 10**8))
def test_an_amount_is_what_is_told_of_it(seed: int, low: int, more: int) -> None:
    value, told = amount("sum", low, low + more, "{}", "Sum").draw(Random(seed))
    number, _, scale = told.replace(",", "").replace("k", " thousand").partition(" ")
    factor = {"": 1, "thousand": 1_000, "million": 1_000_000}[scale]
    assert float(number) * factor == pytest.approx(value)
    assert low <= value <= low + more


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


ACTIONS = [action for domain in DOMAINS.values() for action in domain.actions]


@pytest.mark.parametrize("action", [each for each in ACTIONS if each.sentences])
def test_every_sentence_tells_all_that_the_tool_cannot_do_without(action: Action) -> None:
    words = [f"<{place}>" for place in range(len(action.core))]
    for sentence in action.sentences:
        assert sentence[-1] in ".?!", sentence
        filled = sentence.format(*words)
        assert all(word in filled for word in words), sentence
