"""Many answers at once, against the engine's."""

from collections import Counter
from itertools import chain
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from decoding import Engine, Grammar
from decoding.network.transformer import Transformer
from decoding.tokenizer import Tokenizer
from decoding.training.answers import Generation, generate
from decoding.training.bulk import Asked, Bulk, bulk_answers
from decoding.training.own_prompts import own_prompts_in_bulk
from decoding.training.tasks import Kind, Task
from tests.decoding.batches import Part, forward_batch
from tests.decoding.training.support import tiny_network, watched_seeds


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    tiny_network(directory)
    return directory


def some_tasks() -> list[Task]:
    random = Random(1)
    return [
        Task((("user", "".join(random.choices("abcdef ", k=random.randint(1, 30)))),), "x", kind)
        for kind in (Kind.PROSE, Kind.CODE)
        for _ in range(9)
    ]


@pytest.mark.parametrize("at_once", [1, 4, 64])
def test_answers_are_the_engines(model: Path, at_once: int) -> None:
    tasks = some_tasks()
    how = Generation(max_new_tokens=20, temperatures=(0.0,), at_once=at_once)
    with Engine.load(model, profile="exact") as engine:
        expected = {each.to_json() for each in generate(engine, tasks, how)}
    tokenizer = Tokenizer.from_directory(model)
    found = list(bulk_answers(tiny_network(model), tokenizer, tasks, how))
    assert {each.to_json() for each in found} == expected


def test_what_was_answered_is_not_asked_again(model: Path) -> None:
    tasks, how = some_tasks(), Generation(max_new_tokens=4, temperatures=(0.0,), at_once=8)
    given = tiny_network(model), Tokenizer.from_directory(model), tasks, how
    whole = list(bulk_answers(*given))
    answered = Counter(each.prompt for each in whole[:5])
    rest = list(bulk_answers(*given, answered))
    assert {each.prompt for each in rest} == {each.prompt for each in whole} - answered.keys()


def test_of_several_samples_those_that_are_missing_are_made(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the engine none with a seed that its prompt had before, and in bulk too."""
    tasks = some_tasks()[:3]
    how = Generation(max_new_tokens=12, temperatures=(2.0,), samples=4, at_once=4)
    with Engine.load(model, profile="exact") as engine:
        seeds = watched_seeds(engine, monkeypatch)
        whole = list(generate(engine, tasks, how))
        begun, done, new = dict.fromkeys(each.prompt for each in whole)
        first = [seeds.pop(prompt) for prompt in (begun, done, new)]
        assert len(set(chain(*first))) == 12
        answered = Counter({begun: 1, done: 4})
        rest = Counter(each.prompt for each in generate(engine, tasks, how, answered))
        assert rest == Counter({begun: 3, new: 4})
        assert len({*first[0], *seeds[begun]}) == 4 + 3
        assert seeds[new] == first[2]
        assert list(generate(engine, tasks, how, Counter(each.prompt for each in whole))) == []
    given = tiny_network(model), Tokenizer.from_directory(model), tasks, how
    before = list(bulk_answers(*given))
    assert Counter(each.prompt for each in before) == dict.fromkeys((begun, done, new), 4)
    after = list(bulk_answers(*given, answered))
    assert Counter(each.prompt for each in after) == rest
    assert list(bulk_answers(*given, Counter(each.prompt for each in before))) == []


def test_a_prompt_that_several_tasks_ask_is_answered_for_each(model: Path) -> None:
    tasks = some_tasks()[:1] * 3
    how = Generation(max_new_tokens=4, temperatures=(0.0,))
    with Engine.load(model, profile="exact") as engine:
        [prompt] = {each.prompt for each in generate(engine, tasks, how)}
        assert len(list(generate(engine, tasks, how, {prompt: 2}))) == 1
    given = tiny_network(model), Tokenizer.from_directory(model), tasks, how
    assert len(list(bulk_answers(*given, {prompt: 2}))) == 1


def test_what_is_sampled_follows_the_distribution(model: Path) -> None:
    network = tiny_network(model)
    prompt, count, temperature = (5, 9, 11), 4000, 2.0
    bulk = Bulk(network, [], max_new_tokens=1, at_once=500)
    torch.manual_seed(0)
    first = [tokens[0] for _, tokens in bulk.decode([Asked(prompt, temperature)] * count)]
    found_V = torch.bincount(torch.tensor(first), minlength=network.vocab_size) / count
    [(_, (best,))] = bulk.decode([Asked(prompt, 0.0)])
    expected_V = _logits(network, prompt).div(temperature).softmax(-1)
    assert best == int(expected_V.argmax())
    assert float((found_V - expected_V).abs().sum()) < 2.0 * (network.vocab_size / count) ** 0.5


def _logits(network: Transformer, prompt: tuple[int, ...]) -> Tensor:
    storage = network.allocate_cache(len(prompt))
    part = Part(prompt, list(range(len(prompt))))
    return network.forward(forward_batch([part]), storage)[-1]


def test_prompts_of_its_own_differ(model: Path) -> None:
    tokenizer = Tokenizer.from_directory(model)
    made = own_prompts_in_bulk(tiny_network(model), tokenizer, 5, max_tokens=60, at_once=64, seed=3)
    texts = [task.messages[0][1] for task in made]
    assert len(set(texts)) == 5


def test_grammars_are_refused(model: Path) -> None:
    task = Task((("user", "hi"),), "x", Kind.TOOL, Grammar.regex("a+"))
    tokenizer = Tokenizer.from_directory(model)
    with pytest.raises(ValueError, match="grammar"):
        list(bulk_answers(tiny_network(model), tokenizer, [task], Generation()))
