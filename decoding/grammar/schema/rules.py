"""The rules of a grammar under construction, and what of them can ever be finished."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from decoding.grammar.lark import quote


@dataclass(frozen=True, slots=True)
class Text:
    """A Lark literal, a terminal's name, or anything else that always matches some text."""

    lark: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A rule by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Many:
    """`low` to `high` times the symbols, None for any number."""

    symbols: tuple["Symbol", ...]
    low: int
    high: int | None


Symbol = Text | Ref | Many
Alternative = tuple[Symbol, ...]


def text(literal: str) -> Text:
    return Text(quote(literal))


@dataclass(slots=True)
class Rules:
    """Rules by name, each with its alternatives; terminals by name, each with its body."""

    prefix: str
    rules: dict[str, list[Alternative]] = field(default_factory=dict)
    terminals: dict[str, str] = field(default_factory=dict)
    parametric: dict[str, list[str]] = field(default_factory=dict)
    _by_body: dict[str, str] = field(default_factory=dict)

    def new(self) -> str:
        """The name of a new rule, without alternatives so far."""
        name = f"{self.prefix}_{len(self.rules)}"
        self.rules[name] = []
        return name

    def add(self, name: str, alternatives: Iterable[Sequence[Symbol]]) -> None:
        self.rules[name] += [tuple(alternative) for alternative in alternatives]

    def add_parametric(self, name: str, alternatives: list[str]) -> None:
        """Makes the rule one over a bit set, from Lark text that names no other rule."""
        self.parametric[name] = alternatives

    def terminal(self, body: str) -> Text:
        """A terminal with the body; equal bodies share one."""
        if body not in self._by_body:
            name = f"{self.prefix.upper()}_{len(self.terminals)}"
            self.terminals[name] = body
            self._by_body[body] = name
        return Text(self._by_body[body])

    def finishable(self) -> set[str]:
        """The names of the rules from which a finite text can be derived."""
        done: set[str] = set()
        users: dict[str, list[str]] = {}
        for name, alternatives in self.rules.items():
            for used in {ref for alternative in alternatives for ref in _refs(alternative)}:
                users.setdefault(used, []).append(name)
        waiting = list(self.rules)
        while waiting:
            name = waiting.pop()
            if name not in done and any(_ends(each, done) for each in self.rules[name]):
                done.add(name)
                waiting += users.get(name, [])
        return done

    def lark(self, start: str, root: str) -> str | None:
        """The grammar's text with `start` for the rule `root`; None if that has no text."""
        done = self.finishable()
        if root not in done:
            return None
        lines = [f"{start}: {root}"]
        reached, waiting = {root}, [root]
        while waiting:
            name = waiting.pop()
            kept = [_pruned(each, done) for each in self.rules[name] if _ends(each, done)]
            lines.append(f"{name}: " + " | ".join(dict.fromkeys(map(_spell, kept))))
            for ref in (ref for alternative in kept for ref in _refs(alternative)):
                if ref not in reached:
                    reached.add(ref)
                    waiting.append(ref)
        for name, alternatives in self.parametric.items():
            lines.append(f"{name}::_ : " + "\n    | ".join(alternatives))
        lines += [f"{name}: {body}" for name, body in self.terminals.items()]
        return "\n".join(lines) + "\n"


def _refs(symbols: Alternative) -> Iterable[str]:
    for symbol in symbols:
        if isinstance(symbol, Ref):
            yield symbol.name
        elif isinstance(symbol, Many):
            yield from _refs(symbol.symbols)


def _ends(symbols: Alternative, done: set[str]) -> bool:
    for symbol in symbols:
        if isinstance(symbol, Ref) and symbol.name not in done:
            return False
        if isinstance(symbol, Many) and symbol.low and not _ends(symbol.symbols, done):
            return False
    return True


def _pruned(symbols: Alternative, done: set[str]) -> Alternative:
    return tuple(
        symbol for symbol in symbols if not isinstance(symbol, Many) or _ends(symbol.symbols, done)
    )


def _spell(symbols: Alternative) -> str:
    return " ".join(map(_spell_one, symbols)) or '""'


def _spell_one(symbol: Symbol) -> str:
    match symbol:
        case Text(lark):
            return lark
        case Ref(name):
            return name
        case Many(_, _, 0):
            return '""'
        case Many(symbols, low, high):
            group = f"({_spell(symbols)})"
            if (low, high) == (0, None):
                return f"{group}*"
            if (low, high) == (0, 1):
                return f"{group}?"
            return f"{group}{{{low},{'' if high is None else high}}}"
