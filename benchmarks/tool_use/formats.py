"""Forms in which a question is asked and a call is written. All are general: none knows the data.

Dialect    what agentkit asks of its in-process model
Written    one prompt, one call as JSON
ByName     the function is chosen first, by a prompt of its own
Narrowed   the function is chosen first, by the words that it shares with the question
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agentkit.messages import UserMessage
from agentkit.models import LocalModel
from agentkit.models.base import ModelRequest, ModelResponse, ModelSettings, ToolDefinition
from agentkit.models.shortlist import shortlist
from benchmarks.bfcl import Entry, Function, json_schema
from benchmarks.tool_use.checker import Call
from benchmarks.tool_use.describe import Describe, as_json, as_sections, as_signatures
from benchmarks.tool_use.worked import EXAMPLES
from decoding import AsyncEngine, Completion, Grammar, Sampling

MAX_TOKENS = 256
GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens read, of those found in the cache, tokens written, and forwards, of all prompts."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    new_tokens: int = 0
    forwards: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.new_tokens + other.new_tokens,
            self.forwards + other.forwards,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The calls made, as text; none where the model answered otherwise."""

    calls: tuple[tuple[str, str], ...]
    cost: Cost

    def parsed(self) -> tuple[Call, ...]:
        """Raises `ValueError` for arguments that are no JSON."""
        return tuple(Call(name, json.loads(arguments)) for name, arguments in self.calls)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask: one engine, and agentkit's model on it, compact and with `spaced_json`."""

    engine: AsyncEngine
    model: LocalModel
    spaced: LocalModel

    async def generate(self, chat: list[dict[str, str]], grammar: Grammar) -> Completion:
        return await self.engine.generate(
            chat,
            grammar=grammar,
            sampling=GREEDY,
            max_new_tokens=MAX_TOKENS,
            close_at_budget=True,
        )


class Format(Protocol):
    async def answer(self, asked: Asked, entry: Entry) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """agentkit's own way, through `LocalModel`: any number of calls, or an answer in words
    where `may_answer` allows one."""

    may_answer: bool = False
    spaced: bool = False

    async def answer(self, asked: Asked, entry: Entry) -> Answer:
        request = ModelRequest(
            (UserMessage(entry.question),),
            tuple(map(definition, entry.functions)),
            settings=ModelSettings(max_tokens=MAX_TOKENS, temperature=0.0),
            allow_final=self.may_answer,
        )
        model = asked.spaced if self.spaced else asked.model
        async with model.stream(request) as events:
            [response] = [each async for each in events if isinstance(each, ModelResponse)]
        usage = response.usage
        return Answer(
            tuple((call.name, call.arguments) for call in response.message.tool_calls),
            Cost(
                usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.forwards
            ),
        )


def definition(function: Function) -> ToolDefinition:
    """The function as a tool of agentkit."""
    schema = json_schema(function.parameters, described=True)
    return ToolDefinition(function.name, function.description, schema)


@dataclass(frozen=True, slots=True)
class Written:
    """One call as a JSON object. With `spaced`, a space stands behind its commas and colons.

    `worked` is the number of worked examples, as earlier turns; they stand before the functions,
    so they are encoded once for all questions. With `repeated` the question is asked twice, with
    `thought` a sentence comes before the call.
    """

    describe: Describe
    spaced: bool = True
    worked: int = 0
    repeated: bool = False
    thought: bool = False

    async def answer(self, asked: Asked, entry: Entry) -> Answer:
        grammar = Grammar.lark(self._lark(entry.functions), spaced=self.spaced)
        completion = await asked.generate(self.chat(entry), grammar)
        text = completion.text[completion.text.index("{") :]
        call = json.loads(text)
        arguments = json.dumps(call["arguments"])
        return Answer(((call["name"], arguments),), cost(completion))

    def chat(self, entry: Entry) -> list[dict[str, str]]:
        system = "Answer with one call of a function: a JSON object of its name and its arguments."
        if not self.worked:
            system += f"\nThese are the functions:\n{self.describe(entry.functions)}"
            return [_turn("system", system), _turn("user", self._question(entry))]
        chat = [_turn("system", system)]
        for example in EXAMPLES[: self.worked]:
            chat += [_turn("user", self._task(example)), _turn("assistant", self._call(example))]
        return [*chat, _turn("user", self._task(entry))]

    def _task(self, entry: Entry) -> str:
        return f"Functions:\n{self.describe(entry.functions)}\nQuestion: {self._question(entry)}"

    def _question(self, entry: Entry) -> str:
        return f"{entry.question}\n{entry.question}" if self.repeated else entry.question

    def _call(self, example: Entry) -> str:
        [[(name, accepted)]] = [each.items() for each in example.accepted]
        arguments = {key: values[0] for key, values in accepted.items()}
        separators = (", ", ": ") if self.spaced else (",", ":")
        call = json.dumps({"name": name, "arguments": arguments}, separators=separators)
        return f"I call {name}.\n{call}" if self.thought else call

    def _lark(self, functions: Sequence[Function]) -> str:
        rules = [
            f"call{index}: {json.dumps(self._head(each.name))} "
            f'%json {json.dumps(json_schema(each.parameters))} "}}"'
            for index, each in enumerate(functions)
        ]
        call = " | ".join(f"call{index}" for index in range(len(functions)))
        start = f"THOUGHT ({call})\nTHOUGHT: /[^{{\\n]{{1,160}}\\n/" if self.thought else call
        return "\n".join([f"start: {start}", *rules]) + "\n"

    def _head(self, name: str) -> str:
        """A call up to its arguments."""
        gap = " " if self.spaced else ""
        return f'{{"name":{gap}{json.dumps(name)},{gap}"arguments":{gap}'


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Only the function whose words the question shares is in the prompt (`ShortlistModel`)."""

    written: Format

    async def answer(self, asked: Asked, entry: Entry) -> Answer:
        tools = tuple(map(definition, entry.functions))
        [nearest] = shortlist(entry.question, tools, 1)
        only = (entry.function(nearest.name),)
        return await self.written.answer(asked, replace(entry, functions=only))


@dataclass(frozen=True, slots=True)
class ByName:
    """The function is chosen first, by a prompt of names and descriptions, and is then alone."""

    written: Format

    async def answer(self, asked: Asked, entry: Entry) -> Answer:
        if len(entry.functions) == 1:
            return await self.written.answer(asked, entry)
        listed = "\n".join(f"- {each.name}: {each.description}" for each in entry.functions)
        chat = [
            _turn("system", "Answer with the name of the function that helps with the question."),
            _turn("user", f"Functions:\n{listed}\nQuestion: {entry.question}\nWhich function?"),
        ]
        names = [each.name for each in entry.functions]
        completion = await asked.generate(chat, Grammar.choice(names))
        only = (entry.function(completion.text),)
        answer = await self.written.answer(asked, replace(entry, functions=only))
        return replace(answer, cost=cost(completion) + answer.cost)


def cost(completion: Completion) -> Cost:
    stats = completion.stats
    return Cost(stats.prompt_tokens, stats.cached_prompt_tokens, stats.new_tokens, stats.forwards)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


FORMATS: dict[str, Format] = {
    "agentkit": Dialect(may_answer=True),
    "agentkit, must call": Dialect(),
    "agentkit, must call, spaced": Dialect(spaced=True),
    "agentkit, must call, shortlist": Narrowed(Dialect()),
    "agentkit, must call, spaced, shortlist": Narrowed(Dialect(spaced=True)),
    "json, compact": Written(as_json, spaced=False),
    "json": Written(as_json),
    "signatures, compact": Written(as_signatures, spaced=False),
    "signatures": Written(as_signatures),
    "sections": Written(as_sections),
    "sections, repeated": Written(as_sections, repeated=True),
    "sections, thought": Written(as_sections, thought=True),
    "signatures, worked": Written(as_signatures, worked=len(EXAMPLES)),
    "sections, worked": Written(as_sections, worked=len(EXAMPLES)),
    "sections, worked, by name": ByName(Written(as_sections, worked=len(EXAMPLES))),
    "sections, worked, shortlist": Narrowed(Written(as_sections, worked=len(EXAMPLES))),
}
