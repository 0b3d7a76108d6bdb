"""What an agent is given, checked where it is given: a mistake is told in its own words, and not by
whatever stumbles over it later."""

from collections.abc import Sequence
from typing import Any


def check_least(name: str, value: int | None, least: int) -> None:
    """Raises `TypeError` for what is no whole number and `ValueError` for less than `least`."""
    if value is None:
        return
    if type(value) is not int:
        raise TypeError(f"{name} is {value!r}; give a whole number of {least} or more")
    if value < least:
        raise ValueError(f"{name} is {value}; give {least} or more")


def check_seconds(name: str, seconds: float | None) -> None:
    """Raises `TypeError` for what is no number and `ValueError` for one that is not above 0."""
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} is {seconds!r}; give seconds as a number, or None")
    if not seconds > 0:
        raise ValueError(f"{name} is {seconds}; give seconds above 0, or None")


def check_kind(name: str, value: object, kind: type, example: str) -> None:
    """Raises `TypeError` for a value that is neither None nor of that class."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}; give {example}, or None")


def check_able(name: str, value: object, method: str, example: str) -> None:
    """Raises `TypeError` for a value that is neither None nor has that method; also for a class
    in the place of its instance."""
    if isinstance(value, type):
        raise TypeError(f"{name} is the class {value.__name__}; give an instance: {example}")
    if value is not None and not callable(getattr(value, method, None)):
        raise TypeError(f"{name} is {value!r}; give {example}, or None")


def check_name(value: object) -> None:
    """Raises `ValueError` for an agent's name that is no text."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"name is {value!r}; give the agent a name of some letters")


def check_instructions(value: object) -> None:
    """Raises `TypeError` for what is neither text nor a function."""
    if not isinstance(value, str) and not callable(value):
        raise TypeError(f"instructions are {value!r}; give a str, or a function that returns one")


def check_messages(value: Sequence[Any], kinds: tuple[type, ...]) -> None:
    """Raises `TypeError` for a history that holds something else than messages."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"message_history is {value!r}; give messages, as result.messages has them")
    for place, each in enumerate(value):
        if not isinstance(each, kinds):
            raise TypeError(
                f"message_history[{place}] is {each!r}; give messages, as result.messages has them"
            )
