"""Sampled texts follow the exact distribution, by chi-square over a vocabulary of five words.

Every text of up to four tokens is one outcome. Seeds are counted up, so a test always sees the
same samples.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from decoding import (
    BlockDiffusion,
    CombinedDrafter,
    Completion,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    Grammar,
    LookupDrafter,
    Origin,
    Pick,
    Purpose,
    Request,
    Sampling,
    SelfSpeculation,
    Span,
)
from decoding.modes import Decodable, Step
from decoding.network.base import Network
from decoding.testing import ScriptedNetwork
from decoding.tokenizer import Tokenizer

LETTERS = "abcd"
END = 4
WORDS = 5
COUNT = 1000
LENGTH = 4
LAST = 0  # the prompt's last word
# The next word depends on the last: uneven, so that drafts and filters matter.
LOGITS = torch.randn(WORDS, WORDS, generator=torch.Generator().manual_seed(5)) * 0.7
LOGITS[:, END] -= 1.0
REJECTED = 1e-4

SPECULATION = SelfSpeculation(block_length=8, drafter=DiffusionDrafter())
GRAMMAR = Grammar.regex("([ab][bcd]|c[ac])[abd][cd]")


def allowed(words: tuple[int, ...]) -> set[int]:
    """The words that may follow these under `GRAMMAR`, worked out by hand."""
    if len(words) == 0:
        return {0, 1, 2}
    if len(words) == 1:
        return {0, 2} if words[0] == 2 else {1, 2, 3}
    return {0, 1, 3} if len(words) == 2 else {2, 3}


def next_probabilities(
    words: tuple[int, ...], sampling: Sampling, constrained: bool
) -> dict[int, float]:
    """Mask, temperature, top-k and top-p, written out once more."""
    logits_V = LOGITS[words[-1] if words else LAST].double()
    weights = {word: float((logits_V[word] / sampling.temperature).exp()) for word in range(WORDS)}
    if constrained:
        weights = {word: weights[word] for word in allowed(words)}
    order = sorted(weights, key=weights.__getitem__, reverse=True)
    if sampling.top_k:
        order = order[: sampling.top_k]
    total = sum(weights[word] for word in order)
    kept: dict[int, float] = {}
    for word in order:
        if sum(kept.values()) >= sampling.top_p * total:
            break
        kept[word] = weights[word]
    return {word: weight / sum(kept.values()) for word, weight in kept.items()}


def outcomes(
    sampling: Sampling, constrained: bool, words: tuple[int, ...] = (), probability: float = 1.0
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every text and its exact probability."""
    if len(words) == LENGTH or END in words:
        yield words, probability
        return
    for word, each in next_probabilities(words, sampling, constrained).items():
        yield from outcomes(sampling, constrained, (*words, word), probability * each)


def p_value(
    observed: Mapping[tuple[int, ...], int], exact: Mapping[tuple[int, ...], float]
) -> float:
    """Of Pearson's statistic; outcomes expected fewer than five times count as one."""
    assert observed.keys() <= exact.keys(), "a text that cannot be"
    count = sum(observed.values())
    cells = [(observed[text], count * exact[text]) for text in exact]
    rare = [cell for cell in cells if cell[1] < 5]
    cells = [cell for cell in cells if cell[1] >= 5]
    if rare:
        cells.append((sum(seen for seen, _ in rare), sum(expected for _, expected in rare)))
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    assert len(cells) > 2, "too few outcomes to tell anything"
    halves = torch.tensor([len(cells) - 1, statistic], dtype=torch.float64) / 2
    return float(torch.special.gammaincc(halves[0], halves[1]))


@cache
def sample(mode: DecodeMode, sampling: Sampling, constrained: bool) -> list[Completion]:
    network = ScriptedNetwork(
        WORDS,
        mask_token_id=WORDS,
        has_adapter=True,
        script=lambda words: LOGITS[words[-1]],
        skill=0.5,
    )
    engine = Engine(network, five_words(), cache_tokens=64 * 16)
    return engine.generate_many(
        [
            Request(
                prompt(seed),
                mode=mode,
                grammar=GRAMMAR if constrained else None,
                sampling=Sampling(sampling.temperature, sampling.top_k, sampling.top_p, seed=seed),
                max_new_tokens=LENGTH,
            )
            for seed in range(COUNT)
        ]
    )


def prompt(seed: int) -> tuple[int, ...]:
    """No matter to the words that follow, but drafts are right for some prompts only."""
    return (*(seed // 4**place % 4 for place in range(5)), LAST)


def five_words() -> Tokenizer:
    """Four letters and an end token."""
    vocab = {letter: index for index, letter in enumerate(LETTERS)}
    backend = Backend(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<end>", special=True)])
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>"))


def judge(mode: DecodeMode, sampling: Sampling, constrained: bool) -> float:
    observed = Counter(each.token_ids for each in sample(mode, sampling, constrained))
    return p_value(observed, dict(outcomes(sampling, constrained)))


@pytest.mark.parametrize(
    ("sampling", "constrained"),
    [
        (Sampling(temperature=1.0), False),
        (Sampling(temperature=0.7, top_k=3), False),
        (Sampling(temperature=1.0, top_p=0.8), False),
        (Sampling(temperature=0.7, top_k=4, top_p=0.9), True),
    ],
)
def test_self_speculation_samples_the_exact_distribution(
    sampling: Sampling, constrained: bool
) -> None:
    completions = sample(SPECULATION, sampling, constrained)
    observed = Counter(completion.token_ids for completion in completions)
    assert p_value(observed, dict(outcomes(sampling, constrained))) > REJECTED
    drafted = sum(completion.stats.drafted for completion in completions)
    accepted = sum(completion.stats.accepted for completion in completions)
    assert 0.3 * drafted < accepted < 0.9 * drafted


def test_so_it_does_when_it_also_copies() -> None:
    mode = SelfSpeculation(block_length=8, drafter=CombinedDrafter(LookupDrafter(), enough=1))
    assert judge(mode, Sampling(temperature=1.0), constrained=False) > REJECTED


@dataclass(frozen=True, slots=True)
class Redrawing:
    """Wrong: a word that was refused is drawn again with fresh noise, so that words which
    drafts miss come too rarely."""

    speculation: SelfSpeculation = SPECULATION

    @property
    def name(self) -> str:
        return "redrawing"

    def fit(self, network: Network) -> DecodeMode:
        return Redrawing(self.speculation.fit(network))  # type: ignore[arg-type]

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        drafter = self.speculation.drafter
        assert drafter is not None
        draft = yield from drafter.draft(sequence, 8, 0.0)
        start, behind = sequence.num_cached, len(sequence.tail) - 1
        masks = [*(guess.mask_W for guess in draft.guesses), draft.mask_W]
        scores = yield Span(
            (*sequence.tail, *draft.tokens),
            start=start,
            picks=tuple(
                Pick(behind + place, sequence.length + place + fresh, mask_W)
                for place, mask_W in enumerate(masks)
                for fresh in (0, 1000)
            ),
            purpose=Purpose.VERIFY,
        )
        for place, (token, redrawn) in enumerate(
            zip(scores.tokens[::2], scores.tokens[1::2], strict=True)
        ):
            agrees = place < len(draft.guesses) and token == draft.guesses[place].token
            is_last = place == len(draft.guesses)
            sequence.num_cached = sequence.length
            sequence.commit(token if agrees or is_last else redrawn, 0.0, Origin.ACCEPTED)
            if sequence.finished or not agrees:
                return


@pytest.mark.parametrize(
    ("wrong", "constrained"),
    [(Redrawing(), True), (BlockDiffusion(block_length=8, threshold=0.0), False)],
    ids=["redraws what is refused", "trusts its drafts"],
)
def test_wrong_samplers_are_found_out(wrong: DecodeMode, constrained: bool) -> None:
    assert judge(wrong, Sampling(temperature=1.0), constrained) < REJECTED


@pytest.mark.parametrize("temperature", [0.8, 1.3])
def test_a_wrong_temperature_is_found_out(temperature: float) -> None:
    completions = sample(SPECULATION, Sampling(temperature=1.0), False)
    observed = Counter(completion.token_ids for completion in completions)
    assert p_value(observed, dict(outcomes(Sampling(temperature=temperature), False))) < REJECTED


def test_the_p_value_is_that_of_the_tables() -> None:
    """The 0.95 quantile of chi-square with 4 degrees of freedom is 9.488."""
    exact: dict[tuple[int, ...], float] = {(word,): 0.2 for word in range(5)}
    shift = (9.488 * 100 / 2) ** 0.5
    counts = [100 + shift, 100 - shift, 100, 100, 100]
    observed = {(word,): counts[word] for word in range(5)}
    assert p_value(observed, exact) == pytest.approx(0.05, abs=1e-4)  # type: ignore[arg-type]
