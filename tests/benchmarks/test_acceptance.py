"""Acceptance under shared noise, against theory and against what could be reached at best."""

import json
from itertools import product

import pytest
import torch

from benchmarks import acceptance
from benchmarks.acceptance import Agreement, Case, measure, shared_noise_agreement

DRAWS = 400
NOISE = 4 * 0.5 / DRAWS**0.5  # four standard errors
CASES = [Case(vocab, *each) for vocab in (5, 60) for each in product((0.7, 1.0), (0.5, 1.5))]


@pytest.fixture(scope="module")
def results() -> dict[Case, Agreement]:
    small, large = CASES[:4], CASES[4:]
    return dict(zip(CASES, measure(small, DRAWS) + measure(large, DRAWS), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shared_noise_lies_between_independent_samples_and_the_optimum(
    case: Case, results: dict[Case, Agreement]
) -> None:
    found = results[case]
    assert found.shared <= found.optimum + NOISE
    assert found.shared > found.independent
    assert found.shared_theory > found.independent_theory
    assert found.optimum / (2 - found.optimum) - 1e-9 <= found.shared_theory <= found.optimum


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_measured_is_what_theory_says(case: Case, results: dict[Case, Agreement]) -> None:
    found = results[case]
    assert found.shared == pytest.approx(found.shared_theory, abs=NOISE)
    assert found.independent == pytest.approx(found.independent_theory, abs=NOISE)


def test_the_fast_sum_is_the_plain_one() -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        p_V = (torch.randn(40, generator=generator).double() * 3).softmax(-1)
        q_V = (torch.randn(40, generator=generator).double() * 3).softmax(-1)
        ratios_VV = torch.maximum(p_V / p_V[:, None], q_V / q_V[:, None])
        plain = float((1 / ratios_VV.sum(-1)).sum())
        assert shared_noise_agreement(p_V, q_V) == pytest.approx(plain, rel=1e-9)
        assert shared_noise_agreement(p_V, p_V) == pytest.approx(1.0)


@pytest.mark.parametrize("as_json", [True, False])
def test_it_prints_every_case(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(acceptance, "VOCABULARIES", (4, 9))
    monkeypatch.setattr("sys.argv", ["acceptance", "--draws", "3", *["--json"] * as_json])
    acceptance.main()
    out = capsys.readouterr().out
    rows = json.loads(out)["results"] if as_json else out.splitlines()[2:]
    assert len(rows) == 16
