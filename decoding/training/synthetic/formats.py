"""How a synthetic task shows its tools, constrains its answer, and writes the right one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from decoding.grammar import Grammar
from decoding.training.synthetic.slots import LONGEST_LIST
from decoding.training.synthetic.specs import Call, Parameter, Tool

_CLOSE = "}</tool_call>"
_OLD_TYPES = {"object": "dict", "number": "float"}  # as Python libraries name them
_PERSONAS = (
    "",
    "",
    "You are a helpful assistant.",
    "You are an assistant that can use tools.",
    "Be brief.",
    "You help the staff of a small company.",
    "Use a tool when it helps.",
)
_CALL_HEADS = (
    "Answer with exactly one function call: a JSON object with its name and its arguments.\n"
    "The functions are:\n",
    'Reply with one JSON object {"name": ..., "arguments": {...}} that calls a function.\n'
    "Available functions:\n",
    "Choose the function that answers the request and give its arguments, as JSON.\n\n",
    "You have access to the following functions. Respond only with the JSON of one call.\n",
    "Call the right tool. Output: its name and arguments as a JSON object.\nTools:\n",
    "You are a router of function calls. Write the call as JSON with the keys name and "
    "arguments, nothing else.\n",
)
_CALLS_HEADS = (
    "Answer with a JSON list of function calls, each with a name and arguments.\nFunctions:\n",
    'Reply with a list of calls: [{"name": ..., "arguments": {...}}, ...]. Call a function as '
    "often as needed.\nThese functions exist:\n",
    "Break the request into function calls and write them as one JSON array.\n",
)
_ARGUMENTS_HEADS = (
    "Write the arguments for a call of {name} as a JSON object.\n",
    "The function {name} will be called. Give its arguments as JSON.\n",
    "Turn the request into arguments of {name}: one JSON object.\n",
)


class Format(Enum):
    CALL = "one call as a JSON object"
    TAGGED = "calls in tags, or an answer"
    ARGUMENTS = "the arguments of a named tool"
    CALLS = "a JSON list of calls"


class Spelling(Enum):
    """How JSON is spelled: the value stands behind each comma and colon."""

    COMPACT = ""
    SPACED = " "

    @property
    def open(self) -> str:
        """A tagged call up to its tool's name."""
        return f'<tool_call>{{"name":{self.value}"'

    @property
    def arguments(self) -> str:
        """What stands between the name and the arguments of a tagged call."""
        return f'",{self.value}"arguments":{self.value}'

    def json(self, value: Any) -> str:
        separators = (f",{self.value}", f":{self.value}")
        return json.dumps(value, ensure_ascii=False, separators=separators)


@dataclass(frozen=True, slots=True)
class Answering:
    """The form of a task: what the system turn says and what the answer may be. The grammar is
    that of compact JSON."""

    format: Format
    system: str
    grammar: Grammar
    spelling: Spelling = Spelling.COMPACT

    def written(self, calls: Sequence[Call]) -> str:
        """The calls as an assistant turn, in the schema's order."""
        spelling = self.spelling
        match self.format:
            case Format.CALL:
                return spelling.json(_called(calls[0]))
            case Format.CALLS:
                return spelling.json([_called(each) for each in calls])
            case Format.ARGUMENTS:
                return spelling.json(calls[0].arguments)
            case Format.TAGGED:
                return "".join(
                    f"{spelling.open}{each.tool.name}{spelling.arguments}"
                    f"{spelling.json(each.arguments)}{_CLOSE}"
                    for each in calls
                )


def answering(
    rng: Random, form: Format, tools: Sequence[Tool], spelling: Spelling = Spelling.COMPACT
) -> Answering:
    """The tools shown in one of the form's wordings; ARGUMENTS takes the first tool alone."""
    match form:
        case Format.CALL:
            head, grammar = rng.choice(_CALL_HEADS), Grammar.json_schema(_any_call(tools))
        case Format.CALLS:
            many = {
                "type": "array",
                "items": _any_call(tools),
                "minItems": 1,
                "maxItems": LONGEST_LIST,
            }
            head, grammar = rng.choice(_CALLS_HEADS), Grammar.json_schema(many)
        case Format.ARGUMENTS:
            tools = tools[:1]
            head = rng.choice(_ARGUMENTS_HEADS).format(name=tools[0].name)
            grammar = Grammar.json_schema(tools[0].schema)
        case Format.TAGGED:
            system = _tagged_system(rng, tools, spelling)
            return Answering(form, system, _tagged_grammar(rng, tools), spelling)
    return Answering(form, head + _listing(rng, tools), grammar, spelling)


def _any_call(tools: Sequence[Tool]) -> dict[str, Any]:
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": tool.schema},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def _called(call: Call) -> dict[str, Any]:
    return {"name": call.tool.name, "arguments": call.arguments}


def _tagged_grammar(rng: Random, tools: Sequence[Tool]) -> Grammar:
    spelling = Spelling.COMPACT
    rules = [
        f"call{index}: {json.dumps(spelling.open + tool.name + spelling.arguments)} "
        f"%json {json.dumps(tool.schema)} {json.dumps(_CLOSE)}"
        for index, tool in enumerate(tools)
    ]
    calls = "(" + " | ".join(f"call{index}" for index in range(len(tools))) + ")+"
    start = calls if rng.random() < 0.3 else f"{calls} | /[^<](.|\\n)*/"
    return Grammar.lark("\n".join([f"start: {start}", *rules]) + "\n")


def _tagged_system(rng: Random, tools: Sequence[Tool], spelling: Spelling) -> str:
    persona = rng.choice(_PERSONAS)
    lines = [persona, ""] if persona else []
    lines.append("You can call these tools:")
    lines += [f"- {tool.name}({_signature(tool)}): {tool.description}" for tool in tools]
    form = f"{spelling.open}TOOL{spelling.arguments}{{...}}{_CLOSE}"
    lines.append(f"To call a tool, write only {form}")
    lines.append("Its result comes back; once you know enough, answer.")
    return "\n".join(lines)


def _signature(tool: Tool) -> str:
    return ", ".join(
        f"{each.name}{'' if each.is_required else '?'}: {_type_of(each)} ({each.description})"
        for each in tool.parameters
    )


def _type_of(parameter: Parameter) -> str:
    return str(parameter.schema["type"])


def _listing(rng: Random, tools: Sequence[Tool]) -> str:
    """The tools one a line: specifications of three kinds, or signatures."""
    drawn = rng.random()
    if drawn < 0.15:
        return "\n".join(f"{each.name}({_signature(each)}) - {each.description}" for each in tools)
    has_old_types = drawn < 0.6
    specs = [specification(tool, has_old_types=has_old_types) for tool in tools]
    if drawn > 0.85:
        specs = [{"type": "function", "function": each} for each in specs]
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in specs)


def specification(tool: Tool, *, has_old_types: bool = False) -> dict[str, Any]:
    """Name, description and parameters, as function calling is usually described."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": described(tool.parameters, has_old_types=has_old_types),
    }


def described(parameters: Sequence[Parameter], *, has_old_types: bool = False) -> dict[str, Any]:
    return {
        "type": _named("object", has_old_types),
        "properties": {each.name: _described(each, has_old_types) for each in parameters},
        "required": [each.name for each in parameters if each.is_required],
    }


def _described(parameter: Parameter, has_old_types: bool) -> dict[str, Any]:
    if parameter.slot is None:
        inner = described(parameter.members, has_old_types=has_old_types)
        return {"type": inner.pop("type"), "description": parameter.description, **inner}
    schema = parameter.slot.schema
    shown: dict[str, Any] = {
        "type": _named(schema.get("type", "string"), has_old_types),
        "description": parameter.description,
    }
    if "enum" in schema:
        shown["enum"] = schema["enum"]
    if "items" in schema:
        shown["items"] = {"type": _named(schema["items"]["type"], has_old_types)}
    if "additionalProperties" in schema:
        values = schema["additionalProperties"]["type"]
        shown["additionalProperties"] = {"type": _named(values, has_old_types)}
    return shown


def _named(kind: str, has_old_types: bool) -> str:
    return _OLD_TYPES.get(kind, kind) if has_old_types else kind
