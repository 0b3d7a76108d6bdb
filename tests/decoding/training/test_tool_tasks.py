import json
import re
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest

from agentkit.messages import SystemMessage, UserMessage
from agentkit.models.base import ModelRequest, ToolDefinition
from agentkit.models.dialect import TurnReader, chat_messages, turn_grammar
from decoding.grammar import Grammar
from decoding.training.synthetic.domain import Action
from decoding.training.synthetic.formats import Format, answering, described
from decoding.training.synthetic.questions import question
from decoding.training.synthetic.specs import Tool, camel, draw_call, make_tool
from decoding.training.tasks import Kind, Task
from decoding.training.tool_tasks import (
    _REFUSALS,
    DOMAINS,
    HELD_OUT_DOMAINS,
    TRAINING_DOMAINS,
    Demonstration,
    Shape,
    demonstrations,
    tool_examples,
    tool_tasks,
)
from tests.decoding.tiny import byte_tokenizer

_SHOWN = re.compile(
    r'"name": "([\w.]+)", "(?:description|arguments)|^(?:- )?([\w.]+)\(', re.MULTILINE
)


def strings(value: object) -> Iterator[str]:
    """The texts in a JSON value, names of members left out."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from strings(each)
        case list():
            for each in value:
                yield from strings(each)


def calls(answer: str) -> list[object]:
    """What stands in an answer of any format; a list of one for a form that is filled."""
    if answer.startswith("<"):
        reader = TurnReader("call")
        list(reader.push(answer))
        return [
            {"name": each.name, "arguments": json.loads(each.arguments)} for each in reader.calls
        ]
    found = json.loads(answer)
    return found if isinstance(found, list) else [found]


def tool_names(task: Task) -> set[str]:
    """The tools the system turn shows."""
    return {first or second for first, second in _SHOWN.findall(task.messages[0][1])}


def is_call(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"name", "arguments"}


@pytest.fixture(scope="module")
def examples() -> list[tuple[Task, str]]:
    return list(tool_examples(3, 700))


def test_the_same_seed_gives_the_same_tasks() -> None:
    first, second = list(tool_tasks(5, 40)), list(tool_tasks(5, 40))
    assert first == second
    assert first[:10] == list(tool_tasks(5, 10))
    assert first != list(tool_tasks(6, 40))


def test_examples_are_the_tasks_that_have_one_right_answer() -> None:
    tasks = list(tool_tasks(8, 150))
    answered = [task for task, _ in tool_examples(8, 100)]
    left = iter(tasks)
    assert all(task in left for task in answered[:100]), "in the order of the tasks"
    assert 0 < sum(task not in answered for task in tasks[:90]) < 15


def test_every_right_answer_is_in_the_grammar_of_its_task(
    examples: list[tuple[Task, str]],
) -> None:
    tokenizer = byte_tokenizer()
    for task, answer in examples[:200]:
        assert task.grammar is not None
        assert task.grammar.accepts(answer, tokenizer), (task.messages, answer)
        # The spelling too is what a grammar would write, not only the document.
        assert task.grammar.compile(tokenizer).accepts(answer), answer


def test_another_task_s_answer_is_not_in_the_grammar(examples: list[tuple[Task, str]]) -> None:
    tokenizer = byte_tokenizer()
    strangers = [
        (task, other)
        for (task, _), (_, other) in pairwise(examples[:60])
        if not other.startswith("<") and not task.messages[0][1].endswith("answer.")
    ]
    refused = sum(
        not task.grammar.accepts(other, tokenizer) for task, other in strangers if task.grammar
    )
    assert refused >= 0.9 * len(strangers) > 20


def test_the_question_tells_what_the_answer_says(examples: list[tuple[Task, str]]) -> None:
    told = [
        text.replace("_", " ") in "\n".join(each for role, each in task.messages if role == "user")
        for task, answer in examples
        for call in calls(answer)
        for text in strings(call["arguments"] if is_call(call) else call)  # type: ignore[index]
    ]
    assert sum(told) > 0.85 * len(told), "all but dates and times in other words"


def test_tools_and_questions_vary(examples: list[tuple[Task, str]]) -> None:
    names = {name for task, _ in examples for name in tool_names(task)}
    assert len(names) > 700
    questions = [task.messages[-1][1] for task, _ in examples]
    assert len(set(questions)) > 0.98 * len(questions)
    assert len({task.source for task, _ in examples}) == len(TRAINING_DOMAINS) >= 25


def test_called_tools_are_among_those_that_are_shown(examples: list[tuple[Task, str]]) -> None:
    for task, answer in examples:
        called = {str(each["name"]) for each in calls(answer) if is_call(each)}  # type: ignore[index]
        assert called <= tool_names(task), task.messages


def test_turns_alternate_and_some_tasks_go_on_after_a_result() -> None:
    tasks = list(tool_tasks(2, 150))
    assert {task.kind for task in tasks} == {Kind.TOOL}
    turns = [len(task.messages) for task in tasks]
    assert 0.08 < sum(each > 2 for each in turns) / len(turns) < 0.25
    assert any(task.grammar is None for task in tasks), "free text after a result"
    for task in tasks:
        roles = [role for role, _ in task.messages]
        assert roles[0] == "system"
        assert roles[1:] == (["user", "assistant"] * len(roles))[: len(roles) - 1]
        assert roles[-1] == "user"


@pytest.fixture(scope="module")
def shown() -> list[Demonstration]:
    return list(demonstrations(3, 2_000))


_SIZES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def test_large_numbers_are_told_in_words_and_written_in_full(shown: list[Demonstration]) -> None:
    found = 0
    for each in shown:
        if each.shape is Shape.ANSWER:
            continue
        asked = each.task.messages[-1][1]
        for number, size in re.findall(
            r"(\d+(?:\.\d+)?) (thousand|million|billion|trillion)\b", asked
        ):
            found += 1
            assert str(round(float(number) * _SIZES[size])) in each.answer, asked
    assert found > 0.03 * len(shown)


def test_a_sixth_of_the_questions_fits_none_of_the_tools(
    shown: list[Demonstration],
) -> None:
    tagged = [each for each in shown if "To call a tool, write only" in each.task.messages[0][1]]
    unfit = [each for each in tagged if each.task.source.endswith("/none")]
    assert 0.13 < len(unfit) / len(tagged) < 0.19
    assert all(each.shape is Shape.ANSWER and "{" not in each.answer for each in unfit)


def asked_of(shown: Demonstration) -> str:
    return shown.task.messages[-1][1]


def test_small_talk_is_answered_and_not_refused(shown: list[Demonstration]) -> None:
    unfit = [each for each in shown if each.task.source.endswith("/none")]
    refused = [each for each in unfit if each.answer in _REFUSALS]
    assert 0.1 < 1 - len(refused) / len(unfit) < 0.4
    thanks = [each.answer for each in unfit if re.match("(Great, )?[Tt]hank", asked_of(each))]
    assert len(thanks) > 5
    assert set(thanks) <= {"You're welcome.", "You're welcome!", "Glad to help."}
    greeting = "(Hello|Hi|Hey|Hi there|Good morning|Good evening)[.!]?"
    greeted = [each.answer for each in unfit if re.fullmatch(greeting, asked_of(each))]
    assert greeted
    assert all(re.search("What can I do|How can I help|Tell me what", each) for each in greeted)


def test_tools_of_two_domains_that_do_the_same_are_not_shown_together() -> None:
    alike = ("Convert between currencies", "Convert an amount of money into", "What some cash is")
    told = [
        [text.lower() in each.task.messages[0][1].lower() for text in alike]
        for each in demonstrations(2, 600, ("finance", "investment", "exchange"))
    ]
    assert any(sum(each) == 1 for each in told)
    assert not any(sum(each) > 1 for each in told)


def test_allowed_values_are_spelled_otherwise_where_the_description_lists_them() -> None:
    rng, seen = Random(2), 0
    action = DOMAINS["commuting"].actions[1]
    for _ in range(200):
        tool = make_tool(rng, DOMAINS["commuting"], action)
        call = draw_call(rng, tool)
        for mention in call.mentions:
            name, allowed = mention.path[-1], mention.slot.schema.get("enum", [])
            if "TRANSIT" in allowed:
                seen += 1
                told = next(each for each in tool.parameters if each.name == mention.path[0])
                assert mention.spoken.islower(), name
                assert "TRANSIT" in f"{told.description} {told.members}"
    assert seen > 5


def test_whole_sentences_ask_for_allowed_values_in_capitals_too() -> None:
    rng, seen = Random(5), 0
    domain = DOMAINS["commuting"]
    for _ in range(400):
        call = draw_call(rng, make_tool(rng, domain, domain.actions[1]))
        is_cased = any("TRANSIT" in each.slot.schema.get("enum", []) for each in call.mentions)
        asked = question(rng, call)
        seen += is_cased and re.search("How long do I need for|My way is", asked) is not None
    assert seen > 5


def test_objects_of_free_keys_are_in_the_grammar() -> None:
    rng, tokenizer = Random(4), byte_tokenizer()
    for domain in (DOMAINS["grading"], DOMAINS["ledger"]):
        for action in domain.actions:
            tool = make_tool(rng, domain, action)
            form = answering(rng, Format.CALL, [tool])
            answer = form.written([draw_call(rng, tool)])
            assert form.grammar.accepts(answer, tokenizer), answer


@pytest.mark.parametrize("start", ["<tool_call>", "[{", '{"name":', '{"'])
def test_all_formats_occur(examples: list[tuple[Task, str]], start: str) -> None:
    assert sum(answer.startswith(start) for _, answer in examples) > 0.05 * len(examples)


def test_calls_in_tags_are_shown_and_constrained_as_agentkit_does() -> None:
    rng, tokenizer = Random(3), byte_tokenizer()
    for domain in list(DOMAINS.values())[::4]:
        tools = [make_tool(rng, domain, action) for action in domain.actions]
        shown = answering(rng, Format.TAGGED, tools)
        request = as_request(tools, shown.system)
        assert chat_messages(request)[0]["content"] == shown.system
        answer = shown.written([draw_call(rng, tools[0])])
        theirs = turn_grammar(request)
        assert theirs is not None
        assert Grammar.lark(theirs).accepts(answer, tokenizer)


def as_request(tools: list[Tool], system: str) -> ModelRequest:
    persona = system.partition("You can call these tools:")[0].rstrip()
    return ModelRequest(
        (*([SystemMessage(persona)] if persona else []), UserMessage("Hello")),
        tuple(
            ToolDefinition(
                each.name,
                each.description,
                {**described(each.parameters), "additionalProperties": False},
            )
            for each in tools
        ),
    )


def test_domains_that_are_held_out_share_no_tool_with_the_others() -> None:
    def actions(names: tuple[str, ...]) -> Iterator[Action]:
        for name in names:
            yield from DOMAINS[name].actions if name in DOMAINS else ()

    def stems(names: tuple[str, ...]) -> set[str]:
        return {
            stem
            for action in actions(names)
            for verb in action.verbs
            for noun in action.nouns
            for stem in (f"{verb}_{noun}", f"{noun}_{verb}", camel(f"{verb}_{noun}"))
        }

    assert not set(HELD_OUT_DOMAINS) & set(TRAINING_DOMAINS)
    assert not stems(HELD_OUT_DOMAINS) & stems(TRAINING_DOMAINS)
    held = list(tool_tasks(1, 60, HELD_OUT_DOMAINS))
    assert {task.source for task in held} == {f"synthetic/{name}" for name in HELD_OUT_DOMAINS}


@pytest.mark.parametrize("domains", [(), ("weather", "wether")])
def test_unknown_domains_are_refused(domains: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="domains of tools"):
        tool_tasks(1, 1, domains)
