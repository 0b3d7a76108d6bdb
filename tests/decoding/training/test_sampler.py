"""The sampler's training: what it sees, what it learns, and prompts that a model writes itself."""

from collections.abc import Iterator
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decoding import Engine
from decoding.modes.reveal import Block, ConfidenceThreshold
from decoding.modes.sampler_features import SCALARS, BlockFeatures, Feature
from decoding.span import Ranking
from decoding.training.answers import Answer, Generation, generate
from decoding.training.own_prompts import SOURCE, opening, own_prompts
from decoding.training.rollout import Canvas, Rolled, canvases
from decoding.training.sampler import (
    OneByOne,
    SamplerTraining,
    Trajectory,
    area,
    block_features,
    state,
    train_sampler,
    watch,
)
from decoding.training.tasks import Kind, Task, seed_of
from tests.decoding.training.support import (
    random_adapter,
    random_answer,
    tiny_network,
    watched_seeds,
)


def ranking(token: int, probability: float) -> Ranking:
    rest = (1.0 - probability) / 2
    logprobs = torch.tensor([probability, rest, rest]).clamp(min=1e-6).log().tolist()
    return Ranking((token, token + 1, token + 2), tuple(logprobs), probability**2)


@given(
    scores=st.lists(st.integers(0, 5), min_size=2, max_size=40),
    data=st.data(),
)
def test_the_area_counts_pairs(scores: list[int], data: st.DataObject) -> None:
    right = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, is_right in zip(scores, right, strict=True)
        if is_right
        for b, other in zip(scores, right, strict=True)
        if not other
    ]
    expected = sum(pairs) / len(pairs) if pairs else 0.5
    assert area(torch.tensor(scores).float(), torch.tensor(right)) == pytest.approx(expected)


def test_canvases_lie_side_by_side_within_the_answer() -> None:
    answer = random_answer(0, prompt=5, length=30)
    found = canvases(answer, 8)
    assert [each.start for each in found] == [5, 13, 21]
    assert [token for each in found for token in (answer.text[each.start], *each.truth)] == list(
        answer.tokens[:24]
    )


def test_a_trajectory_is_careful_after_its_first_forwards() -> None:
    blocks = [
        Block((None, None, 9), {0: ranking(4, 0.6), 1: ranking(5, 0.9)}, step, 3) for step in (1, 2)
    ]
    trajectory = Trajectory(ConfidenceThreshold(0.5), 1)
    assert trajectory.reveal(blocks[0]) == {0, 1}
    assert trajectory.reveal(blocks[1]) == {1}
    assert trajectory.seen == blocks[1:]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("tiny")
    adapter = random_adapter(tiny_network(directory))
    adapter.save(directory / "adapter", torch.float32)
    with Engine.load(directory, profile="exact", adapter=directory / "adapter") as engine:
        yield engine


def test_states_are_of_blocks_from_all_masks_on(adapted: Engine) -> None:
    tasks = [Task((("user", word),), "words", Kind.PROSE) for word in ("one", "two", "three")]
    how = Generation(max_new_tokens=20, temperatures=(0.0,))
    answers = list(generate(adapted, tasks, how))
    config = SamplerTraining(block_lengths=(8,))
    features = block_features(None)
    states = list(watch(adapted, answers, features, config))
    assert len(states) > sum(len(canvases(each, 8)) for each in answers)
    is_masked = BlockFeatures(SCALARS[: SCALARS.index(Feature.IS_MASKED)]).width
    for numbers, masked, right in states:
        assert numbers.shape == (7, features.width)
        assert torch.equal(numbers[:, is_masked], masked.float())
        assert not right[~masked].any()
    counts = {int(masked.sum()) for _, masked, _ in states}
    assert max(counts) == 7
    assert min(counts) < 4


@pytest.mark.parametrize(
    ("decided", "expected"),
    [
        (2, [True, True, False]),  # the text's way, which says 3 4 5
        (9, [True, False, True]),  # another way, and it becomes 9 3 8 7
    ],
)
def test_the_text_is_right_as_long_as_the_block_is_the_text(
    decided: int, expected: list[bool]
) -> None:
    answer = Answer((0,), (1, 2, 3, 4, 5), "00000", "x", Kind.PROSE)
    rolled = Rolled(Canvas(answer, 1, 5), OneByOne(), (decided, 3, 8, 7), 4)
    block = Block(
        (decided, None, None, None),
        {1: ranking(3, 0.5), 2: ranking(4, 0.5), 3: ranking(7, 0.5)},
        1,
        4,
    )
    _, masked, right = state(block, rolled, BlockFeatures(SCALARS))
    assert masked.tolist() == [False, True, True, True]
    assert right.tolist() == [False, *expected]


def test_it_learns_what_confidence_does_not_say() -> None:
    """Guesses are right in even places only, whatever the network thinks of them."""
    features = BlockFeatures(SCALARS)
    random, states = Random(0), []
    for _ in range(600):
        block = Block(
            (None,) * 6, {at: ranking(at, random.uniform(0.2, 0.99)) for at in range(6)}, 1, 6
        )
        right = torch.tensor([at % 2 == 0 for at in range(6)])
        states.append((features.extract(block), torch.ones(6, dtype=torch.bool), right))
    config = SamplerTraining(
        num_layers=1,
        width=16,
        num_heads=2,
        feed_forward_width=16,
        epochs=8,
        batch_blocks=32,
        learning_rate=1e-2,
    )
    *_, (progress, sampler) = train_sampler(states, features, config)
    assert progress.held_out_area > 0.95
    scores = sampler.scores(block)
    assert min(scores[at] for at in (0, 2, 4)) > max(scores[at] for at in (1, 3, 5))


def test_a_model_writes_prompts_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("writer")
    tiny_network(directory)
    with Engine.load(directory, profile="exact") as engine:
        start = engine.tokenizer.decode(opening(engine.tokenizer))
        assert start.endswith("user\n")
        tasks = list(own_prompts(engine, 5, seed=3, max_tokens=200, at_once=16))
        again = list(own_prompts(engine, 5, seed=3, max_tokens=200, at_once=16))
    texts = [task.messages[0][1] for task in tasks]
    assert len(set(texts)) == 5
    assert all(
        len(text) >= 12 and task.source == SOURCE for text, task in zip(texts, tasks, strict=True)
    )
    assert texts == [task.messages[0][1] for task in again]


def test_neighbouring_seeds_share_no_request(
    adapted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (0, 6, 1 << 40):
        one, other = (
            {seed_of(each, number) for number in range(9_000)} for each in (seed, seed + 1)
        )
        assert len(one | other) == 18_000
    seeds = watched_seeds(adapted, monkeypatch)
    task = Task((("user", "one"),), "words", Kind.PROSE)
    taken = []
    for seed in (6, 7):
        next(own_prompts(adapted, 1, seed=seed, max_tokens=200, at_once=16))
        how = Generation(max_new_tokens=2, temperatures=(0.7,), samples=16, seed=seed)
        assert len(list(generate(adapted, [task], how))) == 16
        taken.append({prompt: {*each} for prompt, each in seeds.items()})
        seeds.clear()
    first, second = taken
    assert first.keys() == second.keys()
    assert [len(each) for each in first.values()] >= [16, 16]
    assert not any(first[prompt] & second[prompt] for prompt in first)


def test_an_answer_is_no_prompt(tmp_path_factory: pytest.TempPathFactory) -> None:
    answer = random_answer(1)
    assert answer.text == answer.prompt + answer.tokens
    assert Answer.from_json(answer.to_json()) == answer
