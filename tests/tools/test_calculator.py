"""The calculator agrees with Python's arithmetic, always ends soon, and explains its refusals."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentkit import ModelRetry, Tool
from tools import calculator
from tools.calculator import evaluate

NAMES: dict[str, Any] = {
    name: getattr(math, name)
    for name in ("ceil", "cos", "e", "exp", "floor", "log", "log10", "log2", "pi", "sin")
} | {name: getattr(math, name) for name in ("sqrt", "tan")}

leaves = (
    st.integers(0, 999).map(str)
    | st.floats(0, 1e6).map(repr)
    | st.sampled_from(["pi", "e", ".5", "2.", "1e3", "2.5E-2"])
)
spaces = st.sampled_from(["", " ", "\t", "  "])
operators = st.sampled_from(["+", "-", "*", "/", "//", "%"])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["-", "+", "- "])
    one = st.sampled_from(["abs", "ceil", "cos", "floor", "sin", "sqrt", "log", "round"])
    many = st.sampled_from(["min", "max"])
    powers = st.sampled_from(["2", "3", "-1", "0.5", "(1/2)", "2**1"])
    return st.one_of(
        st.builds("{}{}{}{}{}".format, inner, spaces, operators, spaces, inner),
        st.builds("({}{}{})".format, spaces, inner, spaces),
        st.builds("{}{}".format, signs, inner),
        st.builds("{}{}**{}{}".format, inner, spaces, spaces, powers),
        st.builds("{}({})".format, one, inner),
        st.builds("{}({}, {})".format, many, inner, inner),
    )


expressions = st.recursive(leaves, _grow, max_leaves=8)


@given(expressions)
def test_it_agrees_with_python(expression: str) -> None:
    try:
        expected = eval(expression, NAMES | {"__builtins__": {}} | SAFE)
    except (ArithmeticError, ValueError, TypeError):
        with pytest.raises(ModelRetry):
            evaluate(expression)
        return
    try:
        value = evaluate(expression)
    except ModelRetry as error:
        assume("bits" not in str(error))  # our bound, not Python's
        assert isinstance(expected, complex) or not math.isfinite(expected)
    else:
        assert value == expected
        assert type(value) is type(expected)


SAFE: dict[str, Any] = {"abs": abs, "min": min, "max": max, "round": round}


@given(st.text(alphabet="0123456789.+-*/%^(), eminaxbsqrtlogpi\u00e9\x00", max_size=40))
def test_any_text_gives_a_number_or_a_retry(text: str) -> None:
    try:
        value = evaluate(text)
    except ModelRetry:
        return
    assert isinstance(value, int | float)
    assert math.isfinite(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 ^ 10", 1024),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("2 ** 3 ** 2", 512),
        ("7 // 2 * 2 + 7 % 2", 7),
        ("round(2.567, 2)", 2.57),
        ("round(1234, -2)", 1200),
        ("log(8, 2)", 3.0),
        ("max(1, 2.5, 2)", 2.5),
        ("1 ** 999999999999", 1),
        ("10 ** 1000 % 7", pow(10, 1000, 7)),
    ],
)
def test_known_values(expression: str, value: float) -> None:
    assert evaluate(expression) == value
    assert type(evaluate(expression)) is type(value)


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9**9**9**9",
        "9^9^9^9^9",
        "(2**4000)*(2**4000)",
        "2.0 ** 9**9",
        "1e999",
        "1e308 * 10",
        "round(5, -999999999)",
        "round(5.5, 10**20)",
        "exp(1000)",
        "10**1000 / 3",
        "9" * 1_001,
        "1+" * 499 + "1" * 1_000,
        "(" * 400 + "1" + ")" * 400,
        "-" * 900 + "1",
        "2**" * 300 + "1",
        "max(" + "1," * 200 + "1)",
    ],
)
def test_nothing_grows_without_bound(expression: str) -> None:
    with pytest.raises(ModelRetry):
        evaluate(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "the end at character 1: not expected here"),
        ("1 +", "the end at character 4"),
        ("1 2", "'2' at character 3"),
        ("(1", "where ')' is needed"),
        ("1)", "')' at character 2"),
        ("abs 1", "where '(' is needed"),
        ("abs()", "')' at character 5"),
        ("abs(1, 2)", "does not take 2 numbers"),
        ("x + 1", "'x' at character 1: not known; known are abs, ceil"),
        ("__import__('os')", "'_' at character 1"),
        ("(1).real", "'.' at character 4"),
        ("2 > 1", "'>' at character 3"),
        ("1,000 + 1", "',' at character 2"),
        ("1 / 0", "'/' at character 3: division by zero"),
        ("(-8) ** 0.5", "not a real number"),
        ("sqrt(-1)", "'sqrt' at character 1"),
        ("log(0)", "'log' at character 1"),
        ("2j", "'j' at character 2"),
    ],
)
def test_refusals_say_what_and_where(expression: str, words: str) -> None:
    with pytest.raises(ModelRetry) as caught:
        evaluate(expression)
    assert words in str(caught.value)


@pytest.mark.anyio
async def test_as_a_tool() -> None:
    assert isinstance(calculator, Tool)
    assert calculator.name == "calculate"
    arguments = calculator.validate('{"expression": "0.1 + 0.2"}')
    assert await calculator.call(arguments, None) == "0.30000000000000004"  # type: ignore[arg-type]
    assert calculator("1 + 1") == 2
