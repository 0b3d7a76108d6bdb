"""Are these the calls that were asked for? The rules are those of the leaderboard's checker.

- The function's name is right, required parameters are there, no others than described ones.
- A value is one of the accepted ones. Texts are compared without case, spaces and the signs
  ,./-_*^ and a single quote is a double one. A whole number does for a `float`.
- A parameter may be left out if the empty text is among its accepted values.
- Several calls may come in any order.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.bfcl import Entry, Function

_IGNORED = re.compile(r"[ ,./\-_*^]")
_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`names`: the functions called are the right ones, each as often as it should be.
    `arguments`: all else is right, too."""

    names: bool
    arguments: bool


def check(entry: Entry, calls: Sequence[Call]) -> Verdict:
    expected = sorted(name for accepted in entry.accepted for name in accepted)
    names = expected == sorted(call.name for call in calls)
    return Verdict(names, names and _all_match(entry, list(calls)))


def _all_match(entry: Entry, calls: list[Call]) -> bool:
    """Takes for each accepted call the first of the remaining ones that matches it."""
    for accepted in entry.accepted:
        [(name, values)] = accepted.items()
        function = entry.function(name)
        found = (place for place, call in enumerate(calls) if _matches(call, function, values))
        place = next(found, None)
        if place is None:
            return False
        del calls[place]
    return not calls


def _matches(call: Call, function: Function, accepted: Mapping[str, list[Any]]) -> bool:
    known = function.parameters["properties"]
    given = call.arguments
    return (
        call.name == function.name
        and all(name in given for name in function.parameters.get("required", ()))
        and all(name in known and name in accepted for name in given)
        and all(_is_accepted(given[name], known[name], accepted[name]) for name in given)
        and all(name in given or "" in values for name, values in accepted.items())
    )


def _is_accepted(value: Any, spec: Mapping[str, Any], accepted: Sequence[Any]) -> bool:
    kind = _TYPES[spec["type"]]
    if kind is float and type(value) is int:
        value = float(value)
    of_kind = next((type(each) for each in accepted if each != ""), kind)
    if type(value) is not kind:  # the name of a variable may stand for a value
        return type(value) is of_kind and value in accepted
    if isinstance(value, list):
        return _is_list_accepted(value, _TYPES[spec["items"]["type"]], accepted)
    if of_kind is not kind:
        return value in accepted
    if kind is dict:
        return any(_is_object(value, each) for each in accepted if each != "")
    return _plain(value) in map(_plain, accepted)


def _is_list_accepted(value: list[Any], inner: type, accepted: Sequence[Any]) -> bool:
    if not value and "" in accepted:  # an empty list says as much as none
        return True
    lists = [each for each in accepted if isinstance(each, list)]
    if "" not in accepted and not any(_are_of_kind(value, inner, each) for each in lists):
        return False
    if inner is dict:
        return any(len(value) == len(each) and all(map(_is_object, value, each)) for each in lists)
    return list(map(_plain, value)) in [list(map(_plain, each)) for each in lists]


def _are_of_kind(value: list[Any], inner: type, like: Sequence[Any]) -> bool:
    other = next((type(each) for each in like if each != ""), inner)
    return all(type(item) in (inner, other) for item in value)


def _is_object(value: Any, accepted: Mapping[str, list[Any]]) -> bool:
    """Whether each member is one of its accepted values."""
    return (
        isinstance(value, dict)
        and all(name in accepted for name in value)
        and all(_plain(item) in map(_plain, accepted[name]) for name, item in value.items())
        and all(name in value or "" in values for name, values in accepted.items())
    )


def _plain(value: Any) -> Any:
    """A text without what does not count; all else as it is."""
    if not isinstance(value, str):
        return value
    return _IGNORED.sub("", value).lower().replace("'", '"')
