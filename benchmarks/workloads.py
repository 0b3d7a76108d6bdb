"""What the modes are measured on: calls of tools under a grammar, code, and prose."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decoding import Grammar


@dataclass(frozen=True, slots=True)
class Task:
    """One question, and the grammar of its answer where it has one."""

    question: str
    system: str = "You are a helpful assistant."
    grammar: Grammar | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.question},
        ]

    @property
    def text(self) -> str:
        """For models without a chat template."""
        return f"{self.system}\n\n{self.question}\n\n"


def _closed(**properties: Any) -> dict[str, Any]:
    """An object of exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": longest}


_ADDRESS = _closed(street=_text(40), city=_text(30), country={"enum": ["DE", "FR", "GB", "US"]})
_TOOLS: Mapping[str, dict[str, Any]] = {
    "place_order": _closed(
        customer=_closed(name=_text(40), email=_text(40)),
        items={
            "type": "array",
            "items": _closed(
                product=_text(30),
                quantity={"type": "integer", "minimum": 1, "maximum": 99},
                colour={"enum": ["red", "green", "blue", "black"]},
            ),
            "minItems": 1,
            "maxItems": 3,
        },
        deliver_to=_ADDRESS,
        express={"type": "boolean"},
    ),
    "create_event": _closed(
        title=_text(60),
        start={"type": "string", "pattern": "^2026-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]$"},
        minutes={"enum": [15, 30, 45, 60, 90]},
        attendees={"type": "array", "items": _text(40), "maxItems": 4},
        repeat={"enum": ["never", "daily", "weekly", "monthly"]},
    ),
    "search_flights": _closed(
        origin=_closed(city=_text(30), code={"type": "string", "pattern": "^[A-Z]{3}$"}),
        destination=_closed(city=_text(30), code={"type": "string", "pattern": "^[A-Z]{3}$"}),
        passengers=_closed(
            adults={"type": "integer", "minimum": 1, "maximum": 9},
            children={"type": "integer", "minimum": 0, "maximum": 9},
        ),
        cabin={"enum": ["economy", "business", "first"]},
    ),
    "send_message": _closed(
        to=_text(40),
        channel={"enum": ["email", "sms", "chat"]},
        body=_text(160),
        urgent={"type": "boolean"},
    ),
}
_CALL = {
    "anyOf": [
        _closed(name={"const": name}, arguments=arguments) for name, arguments in _TOOLS.items()
    ]
}
_CALL_GRAMMAR = Grammar.json_schema(_CALL)
_CALL_SYSTEM = "\n".join(
    [
        "Answer with one call of a tool: a JSON object of its name and its arguments.",
        *(f"- {name}: {', '.join(tool['properties'])}" for name, tool in _TOOLS.items()),
    ]
)


def _call(question: str) -> Task:
    return Task(question, _CALL_SYSTEM, _CALL_GRAMMAR)


WORKLOADS: Mapping[str, tuple[Task, ...]] = {
    "tool": (
        _call(
            "Order 2 blue garden chairs and 1 green parasol for Maria Lindqvist, "
            "maria.lindqvist@example.org, express, to 14 Harbour Street, Bristol, GB."
        ),
        _call(
            "Put the quarterly budget review into the calendar: 9 March 2026 at 14:30, one hour, "
            "with tom@example.org and aisha@example.org, every month."
        ),
        _call(
            "Find flights from Lisbon (LIS) to Copenhagen (CPH) for two adults and one child in "
            "economy."
        ),
        _call(
            "Text +44 20 7946 0123 that the delivery for order KX-20417 is delayed until Thursday "
            "and that we are sorry for the trouble. It is urgent."
        ),
    ),
    "code": (
        Task("Write a Python function that checks whether a string is a palindrome."),
        Task("Write a Python class for a stack with push, pop, peek and is_empty."),
        Task(
            "Rename the variable `x` to `total` in this function and return the whole function:\n\n"
            "def add_up(values):\n    x = 0\n    for value in values:\n        x = x + value\n"
            "    return x"
        ),
        Task("Write a SQL query that lists the ten customers with the highest total of orders."),
    ),
    "prose": (
        Task("Write a short story about a lighthouse keeper who finds a letter."),
        Task("Explain to a child why the sky is blue."),
        Task("Describe a walk through an old market in the early morning."),
        Task("What should one consider before adopting a dog?"),
    ),
}

# Further questions, for benchmarks that ask new ones in every round.
MORE: Mapping[str, tuple[Task, ...]] = {
    "code": (
        Task("Write a Python function that merges two sorted lists into one sorted list."),
        Task("Write a bash script that renames all .jpeg files of a folder to .jpg."),
        Task("Write a JavaScript function that counts the words of a text."),
        Task(
            "Add a docstring and type hints to this function and return the whole function:\n\n"
            "def area(width, height):\n    if width < 0 or height < 0:\n"
            "        raise ValueError('negative size')\n    return width * height"
        ),
        Task("Write a Python generator that yields the Fibonacci numbers below a limit."),
        Task("Write a SQL statement that creates a table of books with authors and years."),
        Task("Write a Python function that reads a CSV file and returns the mean of a column."),
        Task(
            "Turn this loop into a list comprehension and return the code:\n\n"
            "squares = []\nfor number in range(20):\n    if number % 2 == 0:\n"
            "        squares.append(number * number)"
        ),
    ),
    "prose": (
        Task("Explain how bread is made, from the grain to the loaf."),
        Task("Write a letter to a friend who has moved to another country."),
        Task("What are the advantages of travelling by train?"),
        Task("Tell the story of a clockmaker who could stop time for a minute."),
        Task("Describe how the seasons change in a forest."),
        Task("Why do people keep diaries? Give your view."),
        Task("Explain what a library is to somebody who has never seen one."),
        Task("Write about a musician who plays on a bridge every evening."),
    ),
}


def tool_schema() -> dict[str, Any]:
    """The schema behind the grammar of the tool tasks."""
    return _CALL
