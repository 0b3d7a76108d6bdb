"""Picking tokens: filters, masks, and noise that depends on seed and position only."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from decoding.sampling import Choice, Sampling, apply_masks, gumbel_noise, pick_tokens

CPU = torch.device("cpu")


def pack(allowed: list[int], vocab_size: int) -> Tensor:
    words = [0] * ((vocab_size + 31) // 32)
    for token in allowed:
        words[token // 32] |= 1 << (token % 32)
    return torch.tensor(words, dtype=torch.int64).to(torch.int32)


def choice(
    sampling: Sampling, position: int = 0, seed: int = 0, mask_W: Tensor | None = None
) -> Choice:
    return Choice(sampling, seed, position, mask_W)


def frequencies(logits_V: Tensor, sampling: Sampling, count: int = 4000) -> Tensor:
    picked = pick_tokens(
        logits_V.expand(count, -1), [choice(sampling, position) for position in range(count)]
    )
    return torch.bincount(torch.tensor(picked.tokens), minlength=len(logits_V)) / count


def test_samples_follow_the_distribution() -> None:
    """Chi-square over five words, 4 degrees of freedom; 23.5 is the 0.9999 quantile."""
    logits_V = torch.tensor([1.0, 0.2, -0.5, 2.0, 0.0])
    count = 4000
    for temperature in (0.7, 1.0):
        expected_V = (logits_V / temperature).softmax(-1)
        observed_V = frequencies(logits_V, Sampling(temperature=temperature), count)
        chi_square = count * ((observed_V - expected_V) ** 2 / expected_V).sum()
        assert chi_square < 23.5


def test_noise_is_a_pure_function_of_seed_position_and_token() -> None:
    one = gumbel_noise(7, 3, 100, CPU)
    assert torch.equal(one, gumbel_noise(7, 3, 100, CPU))
    assert torch.equal(one[:40], gumbel_noise(7, 3, 40, CPU))
    assert not torch.equal(one, gumbel_noise(7, 4, 100, CPU))
    assert not torch.equal(one, gumbel_noise(8, 3, 100, CPU))


def test_noise_matches_the_published_generator() -> None:
    """The first outputs of SplitMix64 seeded with 1234567, as its reference code prints them."""
    from decoding.sampling import _mix_int

    state, outputs = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        outputs.append(_mix_int(state))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_noise_has_the_moments_of_a_gumbel() -> None:
    noise = torch.cat([gumbel_noise(1, position, 2000, CPU) for position in range(50)])
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.02)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.05)


def test_neighbouring_positions_are_uncorrelated() -> None:
    rows = torch.stack([gumbel_noise(5, position, 5000, CPU) for position in range(8)])
    correlations = torch.corrcoef(rows) - torch.eye(8)
    assert correlations.abs().max() < 0.06


@given(st.integers(1, 200), st.data())
def test_masks_remove_exactly_the_forbidden_tokens(vocab_size: int, data: st.DataObject) -> None:
    allowed = data.draw(st.sets(st.integers(0, vocab_size - 1), min_size=1))
    logits_RV = torch.randn(2, vocab_size)
    masked_RV = apply_masks(logits_RV, [None, pack(sorted(allowed), vocab_size)])
    assert torch.equal(masked_RV[0], logits_RV[0])
    for token in range(vocab_size):
        kept = masked_RV[1, token] == logits_RV[1, token]
        assert kept if token in allowed else masked_RV[1, token] == -math.inf


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 2.0]), st.data())
def test_a_pick_is_always_allowed(seed: int, temperature: float, data: st.DataObject) -> None:
    allowed = data.draw(st.sets(st.integers(0, 69), min_size=1))
    sampling = Sampling(temperature=temperature, top_k=3, top_p=0.9, min_p=0.1)
    logits_RV = torch.randn(1, 70, generator=torch.Generator().manual_seed(seed)) * 10
    mask_W = pack(sorted(allowed), 70)
    picked = pick_tokens(logits_RV, [choice(sampling, seed=seed, mask_W=mask_W)])
    assert picked.tokens[0] in allowed
    assert -math.inf < picked.logprobs[0] <= 1e-6


def test_greedy_is_argmax_and_ignores_the_seed() -> None:
    logits_RV = torch.randn(5, 33)
    picked = pick_tokens(logits_RV, [choice(Sampling(seed=row), row) for row in range(5)])
    assert list(picked.tokens) == logits_RV.argmax(-1).tolist()


@pytest.mark.parametrize("temperature", [1e-100, 1e-45, 1e-30, 1e-6])
@pytest.mark.parametrize("filters", [{}, {"top_k": 3, "top_p": 0.9, "min_p": 0.1}])
def test_the_least_temperatures_are_nearly_greedy(
    temperature: float, filters: dict[str, float]
) -> None:
    logits_RV = torch.randn(40, 70, generator=torch.Generator().manual_seed(0)) * 4
    logits_RV[20:] -= 100.0
    sampling = Sampling(temperature=temperature, **filters)  # type: ignore[arg-type]
    picked = pick_tokens(logits_RV, [choice(sampling, row) for row in range(40)])
    assert list(picked.tokens) == logits_RV.argmax(-1).tolist()


def test_logprobs_are_of_the_masked_untempered_distribution() -> None:
    logits_RV = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    picked = pick_tokens(logits_RV, [choice(Sampling(), mask_W=pack([0, 1], 4))])
    assert picked.tokens == (1,)
    assert picked.logprobs[0] == pytest.approx(math.log(1 / (1 + math.exp(-1))), abs=1e-6)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(temperature=1.0, top_k=2), {3, 2}),
        (Sampling(temperature=1.0, top_p=0.5), {3}),
        (Sampling(temperature=1.0, top_p=0.7), {3, 2}),
        (Sampling(temperature=1.0, min_p=0.3), {3, 2}),
        (Sampling(temperature=1.0, top_k=3, top_p=0.99, min_p=0.01), {3, 2, 1}),
        (Sampling(temperature=0.1, top_p=0.9), {3}),
    ],
)
def test_filters_keep_what_they_should(sampling: Sampling, kept: set[int]) -> None:
    """Probabilities are 0.5625, 0.25, 0.125, 0.0625, best last."""
    logits_V = torch.tensor([0.0625, 0.125, 0.25, 0.5625]).log()
    observed_V = frequencies(logits_V, sampling, 600)
    assert {token for token in range(4) if observed_V[token] > 0} == kept


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits_RV = torch.randn(6, 50)
    choices = [
        choice(Sampling(temperature=0.0 if row % 2 else 0.8, top_k=row), row, seed=row)
        for row in range(6)
    ]
    together = pick_tokens(logits_RV, choices).tokens
    alone = [pick_tokens(logits_RV[r : r + 1], choices[r : r + 1]).tokens[0] for r in range(6)]
    assert list(together) == alone


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1.0},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"temperature": 1e-308},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"seed": -1},
    ],
)
def test_bad_parameters_are_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Sampling(**bad)  # type: ignore[arg-type]


def test_logprobs_do_not_depend_on_the_company_of_a_row() -> None:
    """A vocabulary so wide that a single row would be split among two threads."""
    code = (
        "import torch\n"
        "from decoding.sampling import Choice, Sampling, pick_tokens\n"
        "torch.set_num_threads(2)\n"
        "logits_RV = torch.randn(64, 49152, generator=torch.Generator().manual_seed(1)) * 3\n"
        "choices = [Choice(Sampling(), 0, row, None, ranks=4) for row in range(64)]\n"
        "together = pick_tokens(logits_RV, choices)\n"
        "for row in range(64):\n"
        "    alone = pick_tokens(logits_RV[row : row + 1], choices[row : row + 1])\n"
        "    assert alone.part(0, 1) == together.part(row, row + 1), row\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
