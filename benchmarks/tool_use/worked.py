"""Worked examples for the prompt, made up for it: like no question of the data."""

from typing import Any

from benchmarks.bfcl import Entry, Function


def _function(name: str, description: str, required: int, **properties: Any) -> Function:
    """The first `required` of the properties are required."""
    return Function(
        name,
        description,
        {"type": "dict", "properties": properties, "required": list(properties)[:required]},
    )


def _parameter(kind: str, description: str) -> dict[str, Any]:
    return {"type": kind, "description": description}


def _example(question: str, functions: list[Function], name: str, arguments: Any) -> Entry:
    accepted = {key: [value] for key, value in arguments.items()}
    return Entry("worked", question, tuple(functions), ({name: accepted},))


EXAMPLES: tuple[Entry, ...] = (
    _example(
        "Which books by Ursula Becker since 1987 do you have? Also show those that are on loan.",
        [
            _function(
                "library.find_books",
                "Looks for books in the library's catalogue.",
                1,
                author=_parameter("string", "The name of the author."),
                since=_parameter("integer", "Only books published in this year or later."),
                on_loan=_parameter("boolean", "Whether to list books on loan. Default is false."),
                language=_parameter("string", "The language of the books."),
            )
        ],
        "library.find_books",
        {"author": "Ursula Becker", "since": 1987, "on_loan": True},
    ),
    _example(
        "Please find out where the parcel with number RT-40 is.",
        [
            _function(
                "send_parcel",
                "Sends a parcel to an address.",
                2,
                to=_parameter("string", "The town it is sent to."),
                weight=_parameter("integer", "Its weight in grams."),
                insured=_parameter("boolean", "Whether it is insured. Default is false."),
            ),
            _function(
                "track_parcel",
                "Tells where a parcel is.",
                1,
                number=_parameter("string", "The parcel's number."),
            ),
        ],
        "track_parcel",
        {"number": "RT-40"},
    ),
    _example(
        "I need 2.5 litres of paint made of blue and white.",
        [
            _function(
                "mix_paint",
                "Mixes a pot of paint.",
                2,
                colours={
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "The colours to mix.",
                },
                litres=_parameter("float", "How much paint to mix, in litres."),
                finish=_parameter("string", "How the paint dries. Default is 'matt'."),
            )
        ],
        "mix_paint",
        {"colours": ["blue", "white"], "litres": 2.5},
    ),
    _example(
        "Plan a walk of at most 3 hours from Hill End to Low Mill without roads.",
        [
            _function(
                "plan_walk",
                "Plans a walk between two villages.",
                3,
                start=_parameter("string", "The village where it begins."),
                goal=_parameter("string", "The village where it ends."),
                hours=_parameter("integer", "How long it may take, in hours."),
                avoid_roads=_parameter("boolean", "Whether to keep away from roads."),
            )
        ],
        "plan_walk",
        {"start": "Hill End", "goal": "Low Mill", "hours": 3, "avoid_roads": True},
    ),
)
