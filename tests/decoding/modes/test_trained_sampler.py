"""The trained sampler: its features by hand, its network, its files, and it at work."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from decoding import BlockDiffusion, Purpose, Request, Sampling, WeightsError
from decoding.modes.reveal import Block
from decoding.modes.sampler_features import SCALARS, BlockFeatures, Feature
from decoding.modes.sampler_network import SamplerNetwork, SamplerSizes
from decoding.modes.trained_sampler import CONFIG, WEIGHTS, TrainedSampler
from decoding.ngrams import NGRAMS as TABLE
from decoding.ngrams import Continuation, NgramTable
from decoding.span import Ranking
from tests.decoding.modes.scripted import JSON, TOKENIZER, VOCAB, scripted_engine

PAPERS = tuple(set(Feature) - {Feature.NEIGHBOURS, Feature.CONTINUATION})
NGRAMS = NgramTable({(9, 40): Continuation(8, 5), (0, 60): Continuation(71, 2)})
"""40 behind 8 is followed by 8, and 60 by 71."""
VECTORS_VD = torch.arange(VOCAB * 3, dtype=torch.float32).view(VOCAB, 3)


def ranking(probabilities: list[float], first_token: int = 40) -> Ranking:
    tokens = tuple(range(first_token, first_token + len(probabilities)))
    purity = sum(each**2 for each in probabilities)
    return Ranking(tokens, tuple(math.log(each) for each in probabilities), purity)


BLOCK = Block(
    tokens=(None, 8, None, None),
    rankings={
        0: ranking([0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]),
        2: ranking([0.9, 0.1], first_token=60),
        3: ranking([1e-30], first_token=70),
    },
    step=1,
    max_steps=4,
    before=(7, 8),
)


def block_features(features: tuple[Feature, ...]) -> BlockFeatures:
    return BlockFeatures(
        features,
        VECTORS_VD if any(feature.is_vector for feature in features) else None,
        NGRAMS if Feature.CONTINUATION in features else None,
    )


def sampler(
    features: tuple[Feature, ...] = tuple(Feature), *, threshold: float = 0.5, seed: int = 0
) -> TrainedSampler:
    """Random weights, large enough for scores on both sides of a half."""
    extractor = block_features(features)
    torch.manual_seed(seed)
    network = SamplerNetwork(
        SamplerSizes(extractor.width, num_layers=2, width=16, num_heads=2, feed_forward_width=24)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
        network.mean.normal_()
        network.std.uniform_(0.5, 2.0)
    return TrainedSampler(network, extractor, threshold)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    length = draw(st.integers(1, 9))
    masked = draw(st.sets(st.integers(0, length - 1), min_size=1))
    dice = random.Random(draw(st.integers(0, 1000)))
    rankings = {}
    for place in masked:
        weights = [dice.random() ** 3 + 1e-6 for _ in range(draw(st.integers(1, 16)))]
        rankings[place] = ranking([each / sum(weights) for each in weights], dice.randrange(200))
    tokens = tuple(None if at in masked else dice.randrange(VOCAB) for at in range(length))
    return Block(tokens, rankings, step=1, max_steps=length)


# --- features


def column(feature: Feature) -> list[list[float]]:
    rows: list[list[float]] = block_features((feature,)).extract(BLOCK).tolist()
    return rows


def vector(token: int) -> list[float]:
    return [3.0 * token, 3.0 * token + 1, 3.0 * token + 2]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (
            Feature.TOP_PROBABILITIES,
            [
                [0.5, 0.25, 0.125, 0.0625, 0.03125],
                [1, 0, 0, 0, 0],
                [0.9, 0.1, 0, 0, 0],
                [0, 0, 0, 0, 0],
            ],
        ),
        (Feature.TOP_PROBABILITY, [[0.5], [1], [0.9], [0]]),
        (Feature.MARGIN, [[0.25], [1], [0.8], [0]]),
        (Feature.TOP_MASS, [[0.875], [1], [1], [0]]),
        (
            Feature.TOP_ENTROPY,
            [
                [math.log(2) * sum(rank / 2**rank for rank in range(1, 6))],
                [0],
                [-0.9 * math.log(0.9) - 0.1 * math.log(0.1)],
                [0],
            ],
        ),
        (Feature.LOG_TOP_PROBABILITY, [[math.log(0.5)], [0], [math.log(0.9)], [-20]]),
        (Feature.IMPURITY, [[1 - sum(4.0**-k for k in range(1, 7))], [0], [0.18], [1]]),
        (Feature.IS_MASKED, [[1], [0], [1], [1]]),
        (Feature.MASKED_FRACTION, [[0.75]] * 4),
        (Feature.LOG_NUM_MASKED, [[math.log(4)]] * 4),
        (Feature.PLACE, [[0], [0.25], [0.5], [0.75]]),
        (Feature.INPUT_VECTOR, [[0, 0, 0], vector(8), [0, 0, 0], [0, 0, 0]]),
        (Feature.FIRST_VECTOR, [vector(40), vector(8), vector(60), vector(70)]),
        (Feature.SECOND_VECTOR, [vector(41), [0, 0, 0], vector(61), [0, 0, 0]]),
        (Feature.THIRD_VECTOR, [vector(42), [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        (Feature.NEIGHBOURS, [[0, 0, 0, 0]] * 4),
        (Feature.CONTINUATION, [[0, 0], [1, 1], [0, 0], [0.4, 0]]),
    ],
)
def test_features_by_hand(feature: Feature, expected: list[list[float]]) -> None:
    assert column(feature) == [pytest.approx(row, abs=1e-6) for row in expected]


def test_every_feature_is_tried_by_hand() -> None:
    marks = test_features_by_hand.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(Feature)


def test_guesses_know_their_neighbours() -> None:
    """40 40 41 40, the second guess of the last but one being 40, behind 40."""
    rankings = {
        0: ranking([0.5, 0.3]),
        1: ranking([0.9]),
        2: Ranking((40, 41), (math.log(0.1), math.log(0.6)), 0.4),
    }
    block = Block((None, None, None, 40), rankings, 1, 4, before=(40,))
    assert BlockFeatures((Feature.NEIGHBOURS,)).extract(block).tolist() == [
        [1, 1, 1, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 1, 0],
    ]


def test_continuations_follow_what_stands_before() -> None:
    table = NgramTable({(2, 3): Continuation(4, 5), (5, 6): Continuation(7, 3)})
    block = Block((4, 5, None), {2: ranking([0.5, 0.3], 6)}, 1, 3, before=(1, 3))
    features = BlockFeatures((Feature.CONTINUATION,), ngrams=table)
    assert features.extract(block).tolist() == [[1, 1], [0, 0], [0, 0]]
    block = Block((None, 6, None), {0: ranking([0.5], 4), 2: ranking([0.5], 6)}, 1, 3)
    assert features.extract(block)[2].tolist() == pytest.approx([0.6, 0])


def test_features_stand_in_the_order_asked() -> None:
    both = BlockFeatures((Feature.PLACE, Feature.FIRST_VECTOR, Feature.MARGIN), VECTORS_VD)
    parts = [column(each) for each in (Feature.PLACE, Feature.FIRST_VECTOR, Feature.MARGIN)]
    joined = [[*place, *vectors, *margin] for place, vectors, margin in zip(*parts, strict=True)]
    assert both.extract(BLOCK).tolist() == joined
    assert both.width == 5


@given(blocks(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(block: Block, dice: random.Random) -> None:
    """When sampling, candidates come in the order of their noise."""
    shuffled = {}
    for place, each in block.rankings.items():
        pairs = list(zip(each.tokens, each.logprobs, strict=True))
        dice.shuffle(pairs)
        tokens, logprobs = zip(*pairs, strict=True)
        shuffled[place] = Ranking(tokens, logprobs, each.purity)
    again = replace(block, rankings=shuffled)
    extract = block_features(tuple(Feature)).extract
    assert torch.equal(extract(block), extract(again))


@pytest.mark.parametrize(
    ("features", "vectors_VD", "ngrams"),
    [
        ((), None, None),
        ((Feature.MARGIN, Feature.MARGIN), None, None),
        ((Feature.FIRST_VECTOR,), None, None),
        ((Feature.MARGIN,), VECTORS_VD, None),
        ((Feature.FIRST_VECTOR,), VECTORS_VD[0], None),
        ((Feature.CONTINUATION,), None, None),
        ((Feature.MARGIN,), None, NGRAMS),
    ],
)
def test_unusable_features_are_refused(
    features: tuple[Feature, ...], vectors_VD: Tensor | None, ngrams: NgramTable | None
) -> None:
    with pytest.raises(ValueError, match=r"feature|vectors"):
        BlockFeatures(features, vectors_VD, ngrams)


def test_a_token_of_another_model_is_refused() -> None:
    few = BlockFeatures((Feature.SECOND_VECTOR,), VECTORS_VD[:61])
    with pytest.raises(ValueError, match="61 tokens and met token 61"):
        few.extract(BLOCK)


# --- the network


def test_the_default_sizes_are_the_papers() -> None:
    width = BlockFeatures(PAPERS, torch.zeros(9, 32)).width
    assert width == 143  # and a constant zero in the paper
    with torch.device("meta"):
        network = SamplerNetwork(SamplerSizes(width))
    assert sum(each.numel() for each in network.parameters()) == pytest.approx(4.8e6, rel=0.01)


def test_every_position_sees_every_other_and_where_it_stands() -> None:
    network = sampler(SCALARS).network
    features_BPC = torch.randn(1, 6, network.sizes.num_features)
    plain_BP = network(features_BPC)
    for place in range(6):
        changed_BPC = features_BPC.clone()
        changed_BPC[0, place] += 0.5
        assert ((network(changed_BPC) - plain_BP).abs() > 1e-6).all()
    moved_BP = network(features_BPC.roll(1, dims=1))
    assert not torch.allclose(moved_BP.roll(-1, dims=1), plain_BP, atol=1e-4)


def test_blocks_of_a_batch_are_scored_apart() -> None:
    network = sampler(SCALARS).network
    features_BPC = torch.randn(3, 5, network.sizes.num_features)
    alone = [network(features_BPC[block : block + 1])[0] for block in range(3)]
    assert torch.allclose(network(features_BPC), torch.stack(alone), atol=1e-5)


def test_features_are_standardised() -> None:
    network = sampler(SCALARS).network
    features_BPC = torch.randn(1, 5, network.sizes.num_features)
    expected_BP = network(features_BPC)
    scaled_BPC = (features_BPC - network.mean) / network.std
    network.mean.zero_()
    network.std.fill_(1.0)
    assert torch.allclose(network(scaled_BPC), expected_BP, atol=1e-5)


def test_a_fresh_network_can_be_trained() -> None:
    network = sampler(SCALARS).network
    network(torch.randn(2, 4, network.sizes.num_features)).sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in network.parameters())


@pytest.mark.parametrize(
    "bad", [{"num_layers": 0}, {"width": 10, "num_heads": 4}, {"width": 3, "num_heads": 1}]
)
def test_impossible_sizes_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SamplerSizes(5, **bad)


# --- the policy


@settings(max_examples=60)
@given(blocks(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_it_reveals_the_best_and_what_reaches_the_threshold(
    block: Block, one: float, two: float
) -> None:
    low, high = sorted((one, two))
    scores = sampler().scores(block)
    assert scores.keys() == block.rankings.keys()
    assert all(0.0 <= score <= 1.0 for score in scores.values())
    much, little = (sampler(threshold=each).reveal(block) for each in (low, high))
    assert little <= much
    best = max(scores.values())
    assert any(scores[place] == best for place in little)
    reaching = {place for place, score in scores.items() if score >= high}
    assert reaching <= little
    assert len(little - reaching) == (not reaching)


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_a_threshold_is_a_probability(bad: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        sampler(threshold=bad)


def test_features_and_network_must_fit() -> None:
    with pytest.raises(ValueError, match="5 numbers per position"):
        TrainedSampler(sampler().network, BlockFeatures((Feature.TOP_PROBABILITIES,)))


# --- its files


@pytest.mark.parametrize(
    "features", [tuple(Feature), SCALARS, (Feature.THIRD_VECTOR,), (Feature.CONTINUATION,)]
)
def test_what_is_saved_loads_the_same(features: tuple[Feature, ...], tmp_path: Path) -> None:
    saved = sampler(features)
    saved.save(tmp_path / "new" / "folder", torch.float32)
    loaded = TrainedSampler.load(tmp_path / "new" / "folder", threshold=0.25)
    assert loaded.scores(BLOCK) == saved.scores(BLOCK)
    assert loaded.threshold == 0.25
    assert not any(each.requires_grad for each in loaded.network.parameters())


def test_half_precision_changes_scores_by_thousandths(tmp_path: Path) -> None:
    saved = sampler(tuple(Feature))
    saved.save(tmp_path)
    scores = TrainedSampler.load(tmp_path).scores(BLOCK)
    assert scores == pytest.approx(saved.scores(BLOCK), abs=1e-2)


def edit_config(**changes: Any) -> Callable[[Path], object]:
    """Sets keys of the config, or with None removes them."""

    def edit(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text()) | changes
        kept = {key: value for key, value in config.items() if value is not None}
        (folder / CONFIG).write_text(json.dumps(kept))

    return edit


def edit_tensor(key: str, change: Callable[[Tensor], Tensor | None]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        changed = change(tensors.pop(key, torch.zeros(1)))
        if changed is not None:
            tensors[key] = changed.contiguous()
        save_file(tensors, folder / WEIGHTS)

    return edit


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.flatten().index_fill(0, torch.tensor([1]), value).view_as(tensor)


@pytest.mark.parametrize(
    ("damage", "file", "key"),
    [
        (lambda folder: (folder / CONFIG).unlink(), CONFIG, None),
        (lambda folder: (folder / CONFIG).write_text("{"), CONFIG, None),
        (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS, None),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\x00" * 90), WEIGHTS, None),
        (edit_config(version=2), CONFIG, "version"),
        (edit_config(version=None), CONFIG, "version"),
        (edit_config(features=None), CONFIG, "features"),
        (edit_config(features=[]), CONFIG, "features"),
        (edit_config(features="margin"), CONFIG, "features"),
        (edit_config(features=["margin", "margin"]), CONFIG, "features"),
        (edit_config(features=["margin", "mood"]), CONFIG, "features"),
        (edit_config(features=["margin", 3]), CONFIG, "features"),
        (edit_config(width=None), CONFIG, "width"),
        (edit_config(width=16.5), CONFIG, "width"),
        (edit_config(num_layers=True), CONFIG, "num_layers"),
        (edit_config(num_layers=10**9), CONFIG, "num_layers"),
        (edit_config(num_heads=5), CONFIG, "num_heads"),
        (edit_config(vocab_size=None), CONFIG, "vocab_size"),
        (edit_config(vector_width=0), CONFIG, "vector_width"),
        (edit_config(vocab_size=VOCAB + 1), WEIGHTS, "token_vectors"),
        (edit_config(num_layers=1), WEIGHTS, "layers.1.attention_norm.bias"),
        (edit_config(num_layers=3), WEIGHTS, "layers.2.attention_norm.weight"),
        (edit_config(feed_forward_width=25), WEIGHTS, "layers.0.up.weight"),
        (edit_config(features=["margin"]), WEIGHTS, "mean"),
        (edit_tensor("mean", lambda tensor: None), WEIGHTS, "mean"),
        (edit_tensor("mean", lambda tensor: tensor[1:]), WEIGHTS, "mean"),
        (edit_tensor("mean", lambda tensor: tensor.long()), WEIGHTS, "mean"),
        (edit_tensor("mean", with_value(math.nan)), WEIGHTS, "mean"),
        (edit_tensor("output.weight", with_value(math.inf)), WEIGHTS, "output.weight"),
        (edit_tensor("std", with_value(0.0)), WEIGHTS, "std"),
        (edit_tensor("std", with_value(-1.0)), WEIGHTS, "std"),
        (edit_tensor("token_vectors", with_value(math.nan)), WEIGHTS, "token_vectors"),
        (edit_tensor("token_vectors", lambda tensor: None), WEIGHTS, "token_vectors"),
        (edit_tensor("surplus", lambda tensor: tensor), WEIGHTS, "surplus"),
        (lambda folder: (folder / TABLE).unlink(), TABLE, None),
    ],
)
def test_damage_is_named_by_file_and_key(
    damage: Callable[[Path], object], file: str, key: str | None, tmp_path: Path
) -> None:
    sampler().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(WeightsError) as caught:
        TrainedSampler.load(tmp_path)
    assert caught.value.file == tmp_path / file
    assert caught.value.key == key


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"as TrainedSampler\.save writes it") as caught:
        TrainedSampler.load(tmp_path / "nowhere")
    assert caught.value.file == tmp_path / "nowhere" / CONFIG
    assert "save_pretrained" not in str(caught.value)


def test_a_folder_without_weights_says_what_to_give(tmp_path: Path) -> None:
    sampler().save(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"as TrainedSampler\.save writes it"):
        TrainedSampler.load(tmp_path)


def test_weights_in_half_precision_are_read_in_full(tmp_path: Path) -> None:
    sampler().save(tmp_path)
    halves = {key: each.half() for key, each in load_file(tmp_path / WEIGHTS).items()}
    save_file(halves, tmp_path / WEIGHTS)
    loaded = TrainedSampler.load(tmp_path)
    assert loaded.network.mean.dtype == torch.float32
    assert loaded.scores(BLOCK) == pytest.approx(sampler().scores(BLOCK), abs=0.05)


# --- at work


def denoise_forwards(threshold: float, **sampling: float) -> int:
    mode = BlockDiffusion(block_length=9, sampler=sampler(threshold=threshold))
    out = scripted_engine().generate(
        [1, 2, 3], mode=mode, sampling=Sampling(seed=4, **sampling), max_new_tokens=18
    )
    assert out.stats.new_tokens == 18
    return sum(forward.purpose is Purpose.DENOISE for forward in out.forwards)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8}])
def test_the_threshold_decides_how_many_forwards_a_block_takes(sampling: dict[str, float]) -> None:
    """Twice: eight masks, and one token of the causal forward behind them."""
    assert denoise_forwards(0.0, **sampling) == 2
    assert denoise_forwards(1.0, **sampling) == 16
    assert 2 < denoise_forwards(0.5, **sampling) < 16


def test_one_sampler_serves_a_batch_and_a_grammar() -> None:
    mode = BlockDiffusion(block_length=8, sampler=sampler())
    requests = [
        Request([1, 2], mode=mode, max_new_tokens=20),
        Request([3], mode=mode, grammar=JSON, max_new_tokens=45, close_at_budget=True),
        Request([4, 5], mode=mode, sampling=Sampling(temperature=1.0, seed=1), max_new_tokens=20),
    ]
    together = scripted_engine().generate_many(requests)
    alone = [scripted_engine().generate_many([request])[0] for request in requests]
    assert [out.token_ids for out in together] == [out.token_ids for out in alone]
    assert JSON.accepts(together[1].text, TOKENIZER)


def test_a_sampler_of_another_model_is_refused_before_any_work() -> None:
    engine = scripted_engine()
    made = sampler((Feature.FIRST_VECTOR,))
    other = TrainedSampler(
        made.network, BlockFeatures(made.features.features, VECTORS_VD[:200]), made.threshold
    )
    with pytest.raises(ValueError, match=f"vectors for 200 tokens and scripted has {VOCAB}"):
        engine.generate([1], mode=BlockDiffusion(sampler=other))
    assert engine.is_idle


def test_continuations_of_another_model_are_refused_before_any_work() -> None:
    table = NgramTable({(0, 3): Continuation(VOCAB, 2)})
    made = sampler((Feature.CONTINUATION,))
    features = BlockFeatures(made.features.features, ngrams=table)
    engine = scripted_engine()
    with pytest.raises(ValueError, match=f"follows token {VOCAB} and scripted has {VOCAB} tokens"):
        engine.generate([1], mode=BlockDiffusion(sampler=TrainedSampler(made.network, features)))
    assert engine.is_idle
