import json
from collections.abc import Iterator
from itertools import pairwise

import pytest

from agentkit.models.dialect import TurnReader
from decoding.training.tasks import Kind, Task
from decoding.training.tool_science import SCIENCE
from decoding.training.tool_specs import camel
from decoding.training.tool_tasks import (
    HELD_OUT_DOMAINS,
    TRAINING_DOMAINS,
    tool_examples,
    tool_tasks,
)
from decoding.training.tool_travel import TRAVEL
from decoding.training.tool_work import WORK
from tests.decoding.tiny import byte_tokenizer

_DOMAINS = {each.name: each for each in (*TRAVEL, *WORK, *SCIENCE)}


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


def tool_names(task: Task, answer: str) -> set[str]:
    system = task.messages[0][1]
    named = {
        each["name"] for each in calls(answer) if isinstance(each, dict) and "arguments" in each
    }
    assert all(name in system for name in named)
    return {str(name) for name in named}


def is_call(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"name", "arguments"}


@pytest.fixture(scope="module")
def examples() -> list[tuple[Task, str]]:
    return list(tool_examples(3, 800))


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


def test_tools_and_questions_vary() -> None:
    drawn = list(tool_examples(4, 2_000))
    names = {name for task, answer in drawn for name in tool_names(task, answer)}
    assert len(names) > 800
    questions = [task.messages[-1][1] for task, _ in drawn]
    assert len(set(questions)) > 0.98 * len(questions)
    assert len({task.source for task, _ in drawn}) == len(TRAINING_DOMAINS) >= 25


def test_all_formats_and_turns_occur() -> None:
    tasks = list(tool_tasks(2, 600))
    assert {task.kind for task in tasks} == {Kind.TOOL}
    turns = [len(task.messages) for task in tasks]
    assert 0.08 < sum(each > 2 for each in turns) / len(turns) < 0.25
    assert any(task.grammar is None for task in tasks), "free text after a result"
    for task in tasks:
        roles = [role for role, _ in task.messages]
        assert roles[0] == "system"
        assert roles[1:] == (["user", "assistant"] * len(roles))[: len(roles) - 1]
        assert roles[-1] == "user"
    answers = [answer for _, answer in tool_examples(2, 600)]
    assert any(answer.startswith("<tool_call>") for answer in answers)
    assert any(answer.startswith("[{") for answer in answers)
    assert any(answer.startswith('{"name":') for answer in answers)


def test_domains_that_are_held_out_share_no_tool_with_the_others() -> None:
    def stems(domains: tuple[str, ...]) -> set[str]:
        return {
            stem
            for name in domains
            if name in _DOMAINS
            for action in _DOMAINS[name].actions
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
