"""Synthetic tasks of tool calling, to learn from a model's own answers to them.

Tools, questions, wordings and formats are composed at random from `decoding.training.synthetic`;
nothing is taken from a published data set.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from random import Random
from typing import Any

from decoding.grammar import Grammar
from decoding.training.synthetic.arts import ARTS
from decoding.training.synthetic.calculations import CALCULATIONS
from decoding.training.synthetic.culture import CULTURE
from decoding.training.synthetic.domain import Action, Domain
from decoding.training.synthetic.everyday import EVERYDAY
from decoding.training.synthetic.extraction import extraction
from decoding.training.synthetic.facts import FACTS
from decoding.training.synthetic.figures import FIGURES
from decoding.training.synthetic.formats import Answering, Format, Spelling, answering
from decoding.training.synthetic.household import HOUSEHOLD
from decoding.training.synthetic.money import MONEY
from decoding.training.synthetic.office import OFFICE
from decoding.training.synthetic.questions import asked_again, ended, joined, question
from decoding.training.synthetic.science import SCIENCE
from decoding.training.synthetic.services import SERVICES
from decoding.training.synthetic.specs import Call, Tool, draw_call, make_tool, with_another_value
from decoding.training.synthetic.talk import aside
from decoding.training.synthetic.travel import TRAVEL
from decoding.training.synthetic.wellbeing import WELLBEING
from decoding.training.tasks import Kind, Task

_EXTRACTION = "extraction"
_ALL = (
    *TRAVEL,
    *HOUSEHOLD,
    *OFFICE,
    *MONEY,
    *SCIENCE,
    *CULTURE,
    *WELLBEING,
    *CALCULATIONS,
    *ARTS,
    *FACTS,
    *SERVICES,
    *FIGURES,
    *EVERYDAY,
)
DOMAINS = {each.name: each for each in _ALL}
HELD_OUT_DOMAINS = ("astronomy", "geometry", "restaurants")
"""Never trained on, so that what was learned can be told from what was memorized."""
TRAINING_DOMAINS = (
    *(name for name in sorted(DOMAINS) if name not in HELD_OUT_DOMAINS),
    _EXTRACTION,
)

_EXTRACTED, _CONTINUED, _FOREIGN, _TWO_CALLS, _FOLLOWED = 0.13, 0.18, 0.3, 0.25, 0.6
_FORMATS = {Format.CALL: 42, Format.TAGGED: 32, Format.ARGUMENTS: 12, Format.CALLS: 14}
_NUM_TOOLS = {1: 28, 2: 28, 3: 22, 4: 13, 5: 9}
_SHOWN_FORMATS = {Format.CALL: 10, Format.TAGGED: 80, Format.ARGUMENTS: 3, Format.CALLS: 7}
"""Of demonstrations."""
_WORKED_OUT = 2.5
"""How much oftener than others the domains are shown whose values are not copied."""
_QUESTIONS = 4
"""To the same tools."""
_SPACED, _UNFIT, _ASIDE = 0.3, 0.16, 1 / 3
"""An aside is one of the unfit that no tool at all is for."""
_REFUSALS = (
    "I have no tool for that.",
    "None of my tools can do that.",
    "Sorry, I can't do that with the tools I have.",
    "That is not something my tools can do.",
    "I can't help with that: there is no tool for it.",
)
_ANSWERS = ("Here is what I found: {}.", "The result: {}.", "{}.", "I have it: {}.")

_Example = tuple[Task, str | None]


def tool_tasks(seed: int, count: int, domains: Sequence[str] = TRAINING_DOMAINS) -> Iterator[Task]:
    """`count` tasks, the same for the same seed and domains.

    Raises `ValueError` where a domain is not known.
    """
    return (task for task, _ in islice(_drawn(seed, _checked(domains)), count))


def tool_examples(
    seed: int, count: int, domains: Sequence[str] = TRAINING_DOMAINS
) -> Iterator[tuple[Task, str]]:
    """`count` tasks with the right answer in the task's format: compact JSON, schema's order.

    These are the tasks of `tool_tasks` without those whose answer is free text. Raises
    `ValueError` where a domain is not known.
    """
    answered = (
        (task, answer) for task, answer in _drawn(seed, _checked(domains)) if answer is not None
    )
    return islice(answered, count)


class Shape(Enum):
    """What a right answer consists of."""

    CALL = "call"
    CALLS = "calls"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A task and the right answer to it, as a model should write it.

    JSON has spaces in some, which the task's grammar does not know; theirs is None.
    """

    task: Task
    answer: str
    shape: Shape


def demonstrations(
    seed: int, count: int, domains: Sequence[str] = TRAINING_DOMAINS
) -> Iterator[Demonstration]:
    """`count` demonstrations, the same for the same seed and domains: one call, several, the
    answer that follows from a result, the one that no tool fits the question, or a reply to small
    talk. Neighbours ask the same tools, four at a time.

    Raises `ValueError` where a domain is not known.
    """
    return islice(_demonstrated(seed, _checked(domains)), count)


def _demonstrated(seed: int, names: Sequence[str]) -> Iterator[Demonstration]:
    rng = Random(seed)
    domains = [DOMAINS[name] for name in names if name != _EXTRACTION]
    if not domains:
        raise ValueError("demonstrations need a domain with tools")
    weights = [_WORKED_OUT if each in (*FIGURES, *EVERYDAY) else 1 for each in domains]
    while True:
        domain = rng.choices(domains, weights)[0]
        first = make_tool(rng, domain, rng.choice(domain.actions))
        tools = [first, *_others(rng, first, domain, domains)]
        stranger = _stranger(rng, tools, domain, domains)
        spelling = Spelling.SPACED if rng.random() < _SPACED else Spelling.COMPACT
        form = rng.choices(list(_SHOWN_FORMATS), list(_SHOWN_FORMATS.values()))[0]
        if form is Format.ARGUMENTS:
            tools = tools[:1]
        shown = answering(rng, form, rng.sample(tools, len(tools)), spelling)
        for _ in range(_QUESTIONS):
            if form is Format.TAGGED and rng.random() < _UNFIT:
                yield _unfit(rng, shown, tools, stranger)
            else:
                yield _fit(rng, domain, shown, rng.sample(tools, len(tools)))


def with_tools(rng: Random, task: Task, domains: Sequence[str] = TRAINING_DOMAINS) -> Task:
    """The task with tools that it does not need shown before it."""
    homes = [DOMAINS[name] for name in domains if name != _EXTRACTION]
    home = rng.choice(homes)
    first = make_tool(rng, home, rng.choice(home.actions))
    shown = answering(rng, Format.TAGGED, [first, *_others(rng, first, home, homes)])
    asked = [(role, text) for role, text in task.messages if role != "system"]
    return replace(task, messages=(("system", shown.system), *asked))


def _unfit(
    rng: Random, shown: Answering, tools: Sequence[Tool], stranger: Tool | None
) -> Demonstration:
    """A question for which none of the tools is made: `stranger` would be, or no tool at all."""
    if stranger is None or rng.random() < _ASIDE:
        asked, reply = aside(rng, [each.action for each in tools])
    else:
        asked, reply = question(rng, draw_call(rng, stranger)), None
    task = _task([("system", shown.system), ("user", asked)], "none", None)
    return Demonstration(task, reply or rng.choice(_REFUSALS), Shape.ANSWER)


def _fit(rng: Random, domain: Domain, shown: Answering, tools: Sequence[Tool]) -> Demonstration:
    """A question for the first of the tools."""
    asked, calls = _asked(rng, shown.format, tools)
    messages = [("system", shown.system), ("user", asked)]
    grammar = shown.grammar if shown.spelling is Spelling.COMPACT else None
    if rng.random() < _CONTINUED:
        talk = _Talk(rng, domain, shown, tools)
        messages, answer, shape = talk.demonstrated(messages, calls)
        if shape is Shape.ANSWER:
            grammar = None
    else:
        answer = shown.written(calls)
        shape = Shape.CALL if len(calls) == 1 else Shape.CALLS
    return Demonstration(_task(messages, domain.name, grammar), answer, shape)


def _checked(domains: Sequence[str]) -> Sequence[str]:
    known = {*DOMAINS, _EXTRACTION}
    if not domains or not set(domains) <= known:
        wrong = sorted(set(domains) - known) or "none"
        raise ValueError(f"domains of tools: {wrong} is not known; there are {sorted(known)}")
    return domains


def _drawn(seed: int, names: Sequence[str]) -> Iterator[_Example]:
    rng = Random(seed)
    domains = [DOMAINS[name] for name in names if name != _EXTRACTION]
    has_extraction = len(domains) < len(names)
    while True:
        if has_extraction and (not domains or rng.random() < _EXTRACTED):
            messages, grammar, answer = extraction(rng)
            yield _task(messages, _EXTRACTION, grammar), answer
        else:
            yield _calling(rng, domains)


def _task(messages: Sequence[tuple[str, str]], domain: str, grammar: Grammar | None) -> Task:
    return Task(tuple(messages), f"synthetic/{domain}", Kind.TOOL, grammar)


def _calling(rng: Random, domains: Sequence[Domain]) -> _Example:
    domain = rng.choice(domains)
    needed = make_tool(rng, domain, rng.choice(domain.actions))
    tools = [needed, *_others(rng, needed, domain, domains)]
    form = rng.choices(list(_FORMATS), list(_FORMATS.values()))[0]
    shown = answering(
        rng, form, tools if form is Format.ARGUMENTS else rng.sample(tools, len(tools))
    )
    asked, calls = _asked(rng, form, tools)
    messages = [("system", shown.system), ("user", asked)]
    talk = _Talk(rng, domain, shown, tools[:1] if form is Format.ARGUMENTS else tools)
    if rng.random() < _CONTINUED:
        return talk.continued(messages, calls)
    return _task(messages, domain.name, shown.grammar), shown.written(calls)


def _others(rng: Random, needed: Tool, domain: Domain, domains: Sequence[Domain]) -> Iterator[Tool]:
    """Further tools, no two of one action or alike, so that one tool alone fits the question."""
    seen: list[Action] = [needed.action]
    names = {needed.name}
    for _ in range(rng.choices(list(_NUM_TOOLS), list(_NUM_TOOLS.values()))[0] - 1):
        home = rng.choice(domains) if rng.random() < _FOREIGN else domain
        free = _unlike(seen, home)
        if not free:
            continue
        tool = make_tool(rng, home, rng.choice(free))
        if tool.name not in names:
            seen.append(tool.action)
            names.add(tool.name)
            yield tool


def _stranger(
    rng: Random, tools: Sequence[Tool], domain: Domain, domains: Sequence[Domain]
) -> Tool | None:
    """A tool of another action than these, if there is one, of their domain or of any."""
    for home in (rng.choice((domain, rng.choice(domains))), *rng.choices(domains, k=3)):
        if free := _unlike([each.action for each in tools], home):
            return make_tool(rng, home, rng.choice(free))
    return None


def _unlike(seen: Sequence[Action], home: Domain) -> list[Action]:
    """The actions of a domain that do something else than those seen. Within a domain all differ;
    those of two domains may do the same, which their words give away."""
    foreign = [each for each in seen if each not in home.actions]
    return [
        each
        for each in home.actions
        if each not in seen and all(not each.stems & other.stems for other in foreign)
    ]


def _asked(rng: Random, form: Format, tools: Sequence[Tool]) -> tuple[str, list[Call]]:
    """A question and the calls it needs: one, or two and more where the format has them."""
    first = draw_call(rng, tools[0])
    many = {Format.CALLS: 0.8, Format.TAGGED: _TWO_CALLS}
    if rng.random() >= many.get(form, 0):
        return question(rng, first), [first]
    asked = question(rng, first, is_bare=True)
    again = with_another_value(rng, first)
    if again is not None and (len(tools) == 1 or rng.random() < 0.4):
        second, mention = again
        return f"{ended(asked)} {asked_again(rng, mention)}", [first, second]
    calls = [first, draw_call(rng, rng.choice(tools))]
    if rng.random() < 0.2:
        calls.append(draw_call(rng, rng.choice(tools)))
    further = [question(rng, each, is_bare=True) for each in calls[1:]]
    return joined(rng, [asked, *further]), calls


@dataclass(frozen=True, slots=True)
class _Talk:
    """Goes on after the first calls: their results, then another question or the answer."""

    rng: Random
    domain: Domain
    shown: Answering
    tools: Sequence[Tool]

    def continued(self, messages: list[tuple[str, str]], calls: list[Call]) -> _Example:
        outcomes = [self._outcome(each) for each in calls]
        results = "\n".join(
            f"Result of {call.tool.name}: {json.dumps(outcome, ensure_ascii=False)}"
            for call, outcome in zip(calls, outcomes, strict=True)
        )
        messages = [*messages, ("assistant", self.shown.written(calls))]
        if self.rng.random() >= _FOLLOWED:
            is_tagged = self.shown.format is Format.TAGGED
            grammar = self.shown.grammar if is_tagged else None
            return _task([*messages, ("user", results)], self.domain.name, grammar), None
        asked, following = self._follow_up(calls[-1])
        if self.rng.random() < 0.5:
            messages.append(("user", f"{results}\n{asked}"))
        else:
            messages += [("user", results), ("assistant", self._reply(outcomes)), ("user", asked)]
        answer = self.shown.written([following])
        return _task(messages, self.domain.name, self.shown.grammar), answer

    def demonstrated(
        self, messages: list[tuple[str, str]], calls: list[Call]
    ) -> tuple[list[tuple[str, str]], str, Shape]:
        """The talk after the results of the calls, what is right to write then, and its shape."""
        outcomes = [self._outcome(each) for each in calls]
        results = "\n".join(
            f"Result of {call.tool.name}: {json.dumps(outcome, ensure_ascii=False)}"
            for call, outcome in zip(calls, outcomes, strict=True)
        )
        messages = [*messages, ("assistant", self.shown.written(calls)), ("user", results)]
        reply = self._reply(outcomes)
        if self.shown.format is Format.TAGGED and self.rng.random() < 0.5:
            return messages, reply, Shape.ANSWER
        asked, following = self._follow_up(calls[-1])
        messages += [("assistant", reply), ("user", asked)]
        return messages, self.shown.written([following]), Shape.CALL

    def _follow_up(self, last: Call) -> tuple[str, Call]:
        again = with_another_value(self.rng, last)
        if again is not None and self.rng.random() < 0.5:
            return asked_again(self.rng, again[1]), again[0]
        call = draw_call(self.rng, self.rng.choice(self.tools))
        return question(self.rng, call), call

    def _outcome(self, call: Call) -> dict[str, Any]:
        """What the tool gave back: some of its arguments, then values of its domain."""
        home = next(each for each in DOMAINS.values() if call.tool.action in each.actions)
        told = [each for each in call.arguments.items() if isinstance(each[1], str)]
        outcome: dict[str, Any] = {"status": "ok"} if self.rng.random() < 0.4 else {}
        outcome |= self.rng.sample(told, self.rng.randint(0, min(2, len(told))))
        for slot in self.rng.sample(home.results, self.rng.randint(1, len(home.results))):
            outcome.setdefault(slot.names[0], slot.draw(self.rng)[0])
        return outcome

    def _reply(self, outcomes: list[dict[str, Any]]) -> str:
        told = ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for outcome in outcomes
            for name, value in outcome.items()
        )
        return self.rng.choice(_ANSWERS).format(told)
