"""Synthetic tools composed from a domain, and calls of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Any

from decoding.training.synthetic.domain import Action, Domain, alternatives
from decoding.training.synthetic.slots import Slot

_GROUPED, _REQUIRED_MORE, _MENTIONED = 0.15, 0.25, 0.65
_LISTED, _CASED = 0.3, 0.4
"""Parameters whose description lists the allowed values; those of them with capital letters."""
_GROUPS = ("options", "details", "settings", "params", "request", "criteria", "preferences")
_ENDINGS = ("", "", "", ".", ". Gives the result.", ". Returns an object.")
_HEADS = ("", "", "Optional. ")
_DEFAULTS = (
    " (default: {})",
    ". Default is {}.",
    ". Defaults to {}.",
    " (optional, {} if not given)",
)


class _Style(Enum):
    SNAKE = "get_weather"
    CAMEL = "getWeather"
    DOTTED = "weather.get_forecast"
    DEEP = "weather.forecast.get"
    NOUN_FIRST = "forecast.get"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; a nested object has `members` and no slot."""

    name: str
    description: str
    is_required: bool
    slot: Slot | None
    members: tuple["Parameter", ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        return object_schema(self.members) if self.slot is None else self.slot.schema


@dataclass(frozen=True, slots=True)
class Tool:
    """`wish` asks for it in the words of its name."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    action: Action
    wish: str

    @property
    def schema(self) -> dict[str, Any]:
        return object_schema(self.parameters)


@dataclass(frozen=True, slots=True)
class Mention:
    """A value the question has to tell, and where it stands in the arguments."""

    path: tuple[str, ...]
    slot: Slot
    spoken: str


@dataclass(frozen=True, slots=True)
class Call:
    tool: Tool
    arguments: Mapping[str, Any]
    mentions: tuple[Mention, ...]


def object_schema(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """A closed object, its properties in the order of the parameters."""
    return {
        "type": "object",
        "properties": {each.name: each.schema for each in parameters},
        "required": [each.name for each in parameters if each.is_required],
        "additionalProperties": False,
    }


def make_tool(rng: Random, domain: Domain, action: Action) -> Tool:
    """A tool of the action: its name, its style of names and its parameters are drawn."""
    style = rng.choice(list(_Style))
    more = rng.sample(action.more, rng.randint(0, len(action.more)))
    parameters: dict[str, Parameter] = {}
    for slots in (*action.core, *more):
        is_required = slots in action.core or rng.random() < _REQUIRED_MORE
        slot = rng.choice(alternatives(slots))
        parameter = make_parameter(rng, slot, is_required, is_camel=style is _Style.CAMEL)
        parameters.setdefault(parameter.name, parameter)
    verb, noun = rng.choice(action.verbs), rng.choice(action.nouns)
    first = next(iter(parameters))
    ending = f"_by_{first}" if rng.random() < 0.1 and style is _Style.SNAKE else ""
    return Tool(
        _tool_name(rng, style, domain.name, verb, noun) + ending,
        _tool_description(rng, action, verb),
        _grouped(rng, tuple(parameters.values())),
        action,
        f"{verb} the {noun}".replace("_", " "),
    )


def _tool_name(rng: Random, style: _Style, domain: str, verb: str, noun: str) -> str:
    match style:
        case _Style.SNAKE:
            return f"{verb}_{noun}"
        case _Style.CAMEL:
            return camel(f"{verb}_{noun}")
        case _Style.DOTTED:
            return f"{domain}.{verb}_{noun}"
        case _Style.DEEP:
            return f"{domain}.{noun}.{verb}"
        case _Style.NOUN_FIRST:
            return rng.choice((f"{noun}.{verb}", f"{noun}_{verb}"))


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _tool_description(rng: Random, action: Action, verb: str) -> str:
    opened = f"{verb.replace('_', ' ').capitalize()}: {action.description.lower()}"
    return rng.choice((action.description, action.description, opened)) + rng.choice(_ENDINGS)


def make_parameter(rng: Random, slot: Slot, is_required: bool, is_camel: bool) -> Parameter:
    name = rng.choice(slot.names)
    description = slot.description
    is_listed = "enum" in slot.schema and rng.random() < _LISTED
    if is_listed and rng.random() < _CASED:
        slot = _cased(rng, slot)
    if is_listed:
        description += f": {', '.join(slot.schema['enum'])}"
    if not is_required:
        description = rng.choice(_HEADS) + description
        if rng.random() < 0.4:
            description += rng.choice(_DEFAULTS).format(_plain(slot.draw(rng)[0]))
    elif rng.random() < 0.2 and not slot.is_flag:
        description += f", e.g. {_plain(slot.draw(rng)[0])}"
    return Parameter(camel(name) if is_camel else name, description, is_required, slot)


def _cased(rng: Random, slot: Slot) -> Slot:
    """The allowed values in capital letters, which nobody says."""
    change = rng.choice((str.capitalize, str.upper))

    def draw(rng: Random) -> tuple[str, str]:
        value, spoken = slot.draw(rng)
        return change(value), spoken

    allowed = [change(each) for each in slot.schema["enum"]]
    is_plain = all(each.replace("_", "").islower() for each in slot.schema["enum"])
    return replace(slot, schema={**slot.schema, "enum": allowed}, draw=draw) if is_plain else slot


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")


def _grouped(rng: Random, parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """Sometimes the last parameters become members of a nested object."""
    if len(parameters) < 3 or rng.random() >= _GROUPED:
        return parameters
    cut = rng.choice((len(parameters) - 2, 1))
    free = [name for name in _GROUPS if all(each.name != name for each in parameters)]
    members = tuple(replace(each, is_required=True) for each in parameters[cut:])
    name = rng.choice(free)
    return (*parameters[:cut], Parameter(name, f"The {name}", True, None, members))


def draw_call(rng: Random, tool: Tool) -> Call:
    """A call with values for all required and some optional parameters, in the schema's order."""
    mentions: list[Mention] = []
    return Call(tool, draw_values(rng, tool.parameters, mentions, ()), tuple(mentions))


def draw_values(
    rng: Random,
    parameters: tuple[Parameter, ...],
    mentions: list[Mention],
    path: tuple[str, ...],
) -> dict[str, Any]:
    """Values by name; what the question must tell of them is added to `mentions`."""
    values: dict[str, Any] = {}
    for each in parameters:
        if not each.is_required and rng.random() >= _MENTIONED:
            continue
        at = (*path, each.name)
        if each.slot is None:
            values[each.name] = draw_values(rng, each.members, mentions, at)
        else:
            values[each.name], spoken = each.slot.draw(rng)
            mentions.append(Mention(at, each.slot, spoken))
    return values


def with_another_value(rng: Random, call: Call) -> tuple[Call, Mention] | None:
    """The same call but for one value; None where no value can be told in one phrase."""
    outer = [each for each in call.mentions if len(each.path) == 1 and not each.slot.is_flag]
    if not outer:
        return None
    mention = rng.choice(outer)
    name = mention.path[0]
    for _ in range(4):
        value, spoken = mention.slot.draw(rng)
        if value != call.arguments[name]:
            told = replace(mention, spoken=spoken)
            mentions = tuple(told if each is mention else each for each in call.mentions)
            return Call(call.tool, {**call.arguments, name: value}, mentions), told
    return None
