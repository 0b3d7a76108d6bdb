"""The checker, on cases made by hand: what the leaderboard's rules accept and what not."""

from typing import Any

import pytest

from benchmarks.bfcl import Entry, Function
from benchmarks.tool_use.checker import Call, Verdict, check

RIGHT, WRONG_ARGUMENTS, WRONG_NAMES = (
    Verdict(True, True),
    Verdict(True, False),
    Verdict(False, False),
)
BOOK = Function(
    "shop.book",
    "Books.",
    {
        "type": "dict",
        "properties": {
            "title": {"type": "string"},
            "copies": {"type": "integer"},
            "price": {"type": "float"},
            "gift": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "weights": {"type": "array", "items": {"type": "float"}},
            "to": {"type": "dict", "properties": {"town": {"type": "string"}}},
            "parts": {"type": "array", "items": {"type": "dict"}},
        },
        "required": ["title"],
    },
)
OTHER = Function("shop.sell", "Sells.", {"type": "dict", "properties": {}, "required": []})
ACCEPTED: dict[str, list[Any]] = {
    "title": ["Emma's Day, Part 2", "Emma"],
    "copies": [3, ""],
    "price": [2.0, ""],
    "gift": [True, ""],
    "tags": [["old", "New York"], ""],
    "weights": [[1.0, 2.5], ""],
    "to": [{"town": ["Bath"], "street": ["High Street", ""]}, ""],
    "parts": [[{"name": ["lid"]}, {"name": ["box"]}], ""],
}


def judged(*calls: dict[str, Any], name: str = "shop.book", times: int = 1) -> Verdict:
    entry = Entry("x", "?", (BOOK, OTHER), ({"shop.book": ACCEPTED},) * times)
    return check(entry, [Call(name, arguments) for arguments in calls])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"title": 'EMMA"S DAY PART 2'},
        {"title": "emma's-day part 2"},
        {"copies": 3},
        {"price": 2},
        {"price": 2.0},
        {"gift": True},
        {"tags": ["OLD", "new_york"]},
        {"tags": []},  # as good as left out
        {"weights": [1.0, 2.5]},
        {"weights": [1, 2.5]},  # of a list that may be left out no kind of items is asked
        {"to": {"town": "BATH"}},
        {"to": {"town": "Bath", "street": "high street"}},
        {"parts": [{"name": "lid"}, {"name": "box"}]},
    ],
)
def test_what_is_right(given: dict[str, Any]) -> None:
    assert judged({"title": "emma", **given}) == RIGHT


@pytest.mark.parametrize(
    "given",
    [
        {"title": "Anna"},
        {"title": "emma s-day part 2"},  # the quote is no sign that may be left out
        {"title": 3},
        {"copies": 4},
        {"copies": 3.0},
        {"copies": "3"},
        {"copies": True},
        {"price": 2.5},
        {"gift": False},
        {"gift": 1},
        {"tags": ["New York", "old"]},
        {"tags": ["old"]},
        {"tags": "old"},
        {"weights": [1, 2]},
        {"to": {}},
        {"to": {"town": "Bath", "land": "UK"}},
        {"to": {"town": "York"}},
        {"parts": [{"name": "box"}, {"name": "lid"}]},
        {"parts": [{"name": "lid"}]},
        {"unknown": 1},
    ],
)
def test_what_is_wrong(given: dict[str, Any]) -> None:
    assert judged({"title": "Emma", **given}) == WRONG_ARGUMENTS


def test_required_parameters_and_names() -> None:
    assert judged({"copies": 3}) == WRONG_ARGUMENTS
    assert judged({"title": "Emma"}, name="shop.sell") == WRONG_NAMES


def test_what_may_not_be_left_out() -> None:
    entry = Entry("x", "?", (BOOK,), ({"shop.book": {"title": ["Emma"], "copies": [3]}},))
    assert check(entry, [Call("shop.book", {"title": "Emma"})]) == WRONG_ARGUMENTS


def test_several_calls_come_in_any_order_and_each_counts_once() -> None:
    one, other = {"title": ["a"]}, {"title": ["b"]}
    entry = Entry("x", "?", (BOOK,), ({"shop.book": one}, {"shop.book": other}))
    first, second = Call("shop.book", {"title": "a"}), Call("shop.book", {"title": "b"})
    assert check(entry, [second, first]) == RIGHT
    assert check(entry, [first, first]) == WRONG_ARGUMENTS
    assert check(entry, [first]) == WRONG_NAMES
    assert check(entry, [first, second, first]) == WRONG_NAMES


def test_where_no_call_is_right() -> None:
    entry = Entry("x", "?", (BOOK,), ())
    assert check(entry, []) == RIGHT
    assert check(entry, [Call("shop.book", {"title": "Emma"})]) == WRONG_NAMES


def test_the_name_of_a_variable_may_stand_for_a_value() -> None:
    entry = Entry("x", "?", (BOOK,), ({"shop.book": {"title": ["a"], "tags": ["old_tags"]}},))
    assert check(entry, [Call("shop.book", {"title": "a", "tags": "old_tags"})]) == RIGHT
    assert check(entry, [Call("shop.book", {"title": "a", "tags": "OLD_TAGS"})]) == WRONG_ARGUMENTS
