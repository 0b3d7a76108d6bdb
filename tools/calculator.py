"""Arithmetic for a model: a small parser that computes as it reads. Nothing is ever executed."""

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, NamedTuple

from pydantic import Field

from agentkit import ModelRetry, tool

Number = int | float

_MAX_CHARACTERS = 1_000
_MAX_DEPTH = 50
_MAX_BITS = 4_096  # about 1,230 digits
_MAX_ROUND_DIGITS = 300

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[a-z][a-z0-9]*)"
    r"|(?P<symbol>\*\*|//|[-+*/%^(),])"
)


class _Token(NamedTuple):
    kind: str  # "number", "name", "symbol" or "end"
    text: str
    position: int


class _Function(NamedTuple):
    compute: Callable[..., Number]
    fewest: int
    most: int


def _round(value: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > _MAX_ROUND_DIGITS:
        raise ValueError(f"round takes a whole number of digits, at most {_MAX_ROUND_DIGITS}")
    return round(value, digits) if digits else round(value)


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        _check_bits(base.bit_length() * exponent)
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the result is not a real number")
    return result


def _times(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    return left * right


def _itself(value: Number) -> Number:
    if isinstance(value, int):
        _check_bits(value.bit_length())
    return value


def _check_bits(bits: int) -> None:
    if bits > _MAX_BITS:
        raise OverflowError(f"the result has more than {_MAX_BITS} bits")


_SUMS = MappingProxyType({"+": operator.add, "-": operator.sub})
_PRODUCTS = MappingProxyType(
    {"*": _times, "/": operator.truediv, "//": operator.floordiv, "%": operator.mod}
)
_CONSTANTS = MappingProxyType({"pi": math.pi, "e": math.e})
_FUNCTIONS = MappingProxyType(
    {
        "abs": _Function(abs, 1, 1),
        "ceil": _Function(math.ceil, 1, 1),
        "cos": _Function(math.cos, 1, 1),
        "exp": _Function(math.exp, 1, 1),
        "floor": _Function(math.floor, 1, 1),
        "log": _Function(math.log, 1, 2),
        "log10": _Function(math.log10, 1, 1),
        "log2": _Function(math.log2, 1, 1),
        "max": _Function(lambda *values: max(values), 1, 100),
        "min": _Function(lambda *values: min(values), 1, 100),
        "round": _Function(_round, 1, 2),
        "sin": _Function(math.sin, 1, 1),
        "sqrt": _Function(math.sqrt, 1, 1),
        "tan": _Function(math.tan, 1, 1),
    }
)
_KNOWN = ", ".join([*_FUNCTIONS, *_CONSTANTS])


def evaluate(expression: str) -> Number:
    """The value of an arithmetic expression, with Python's precedence and rounding.

    Bounded in length, depth and size of its numbers, so it always ends soon. Raises
    `ModelRetry` saying what is wrong and where.
    """
    if len(expression) > _MAX_CHARACTERS:
        raise ModelRetry(f"the expression is longer than {_MAX_CHARACTERS} characters; split it")
    return _Parser(list(_tokens(expression))).parse()


# Under this schema a model that decodes by grammar can write nothing but arithmetic.
Expression = Annotated[str, Field(max_length=200, pattern=r"^[0-9A-Za-z+*/%^(). ,-]+$")]


@tool(name="calculate", idempotent=True)
def calculator(expression: Expression) -> int | float:
    """Compute an arithmetic expression exactly as written and give the number.

    Operators: + - * / // (whole division) % (remainder) ** (power), parentheses. Functions: abs,
    ceil, cos, exp, floor, log, log10, log2, max, min, round, sin, sqrt, tan (angles in radians).
    Constants: pi, e.

    Args:
        expression: for example (3 + 4.5) * 2 ** 10
    """
    return evaluate(expression)


@dataclass(slots=True)
class _Parser:
    """Recursive descent over the tokens of one expression.

    sum     = product (("+" | "-") product)*
    product = unary (("*" | "/" | "//" | "%") unary)*
    unary   = ("+" | "-") unary | power
    power   = atom [("**" | "^") unary]
    atom    = number | constant | name "(" sum ("," sum)* ")" | "(" sum ")"
    """

    tokens: list[_Token]
    index: int = 0
    depth: int = 0

    def parse(self) -> Number:
        value = self._sum()
        if self._next.kind != "end":
            raise self._unexpected()
        return value

    @property
    def _next(self) -> _Token:
        return self.tokens[self.index]

    def _take(self, *symbols: str) -> _Token | None:
        """The next token where it is one of these symbols; moves past it."""
        token = self._next
        if token.kind != "symbol" or token.text not in symbols:
            return None
        self.index += 1
        return token

    def _sum(self) -> Number:
        value = self._product()
        while token := self._take(*_SUMS):
            value = self._compute(token, _SUMS[token.text], value, self._product())
        return value

    def _product(self) -> Number:
        value = self._unary()
        while token := self._take(*_PRODUCTS):
            value = self._compute(token, _PRODUCTS[token.text], value, self._unary())
        return value

    def _unary(self) -> Number:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ModelRetry(f"the expression is nested deeper than {_MAX_DEPTH}; split it")
        if token := self._take("+", "-"):
            value = self._unary() if token.text == "+" else -self._unary()
        else:
            value = self._power()
        self.depth -= 1
        return value

    def _power(self) -> Number:
        base = self._atom()
        if token := self._take("**", "^"):
            return self._compute(token, _power, base, self._unary())
        return base

    def _atom(self) -> Number:
        token = self._next
        if self._take("("):
            value = self._sum()
            self._expect(")")
            return value
        if token.kind == "number":
            self.index += 1
            number = int(token.text) if token.text.isdigit() else float(token.text)
            return self._compute(token, _itself, number)
        if token.kind == "name":
            self.index += 1
            return self._named(token)
        raise self._unexpected()

    def _named(self, name: _Token) -> Number:
        if name.text in _CONSTANTS:
            return _CONSTANTS[name.text]
        if name.text not in _FUNCTIONS:
            raise ModelRetry(f"{_where(name)}: not known; known are {_KNOWN}")
        function = _FUNCTIONS[name.text]
        self._expect("(")
        values = [self._sum()]
        while self._take(","):
            values.append(self._sum())
        self._expect(")")
        if not function.fewest <= len(values) <= function.most:
            raise ModelRetry(f"{_where(name)}: it does not take {len(values)} numbers")
        return self._compute(name, function.compute, *values)

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            raise self._unexpected(f", where {symbol!r} is needed")

    def _unexpected(self, detail: str = "") -> ModelRetry:
        return ModelRetry(f"{_where(self._next)}: not expected here{detail}")

    def _compute(self, token: _Token, compute: Callable[..., Number], *values: Number) -> Number:
        try:
            result = compute(*values)
        except (ArithmeticError, ValueError) as error:
            raise ModelRetry(f"{_where(token)}: {error}") from error
        if isinstance(result, float) and not math.isfinite(result):
            raise ModelRetry(f"{_where(token)}: the result is too large")
        return result


def _tokens(expression: str) -> Iterator[_Token]:
    position = 0
    while position < len(expression):
        if expression[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(expression, position)
        if match is None:
            token = _Token("unknown", expression[position], position)
            raise ModelRetry(f"{_where(token)}: not known; write numbers, + - * / ( ) and names")
        yield _Token(str(match.lastgroup), match.group(), position)
        position = match.end()
    yield _Token("end", "", position)


def _where(token: _Token) -> str:
    shown = repr(token.text) if token.text else "the end"
    return f"{shown} at character {token.position + 1}"
