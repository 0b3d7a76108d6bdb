"""The head that guesses from the vector behind the last token."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from decoding import (
    Auto,
    Autoregressive,
    Finished,
    HeadDrafter,
    Request,
    Sampling,
    SelfSpeculation,
)
from decoding.draft_head import DRAFT_HEAD, HeadParameters, scores_weight, states
from decoding.errors import UnsupportedMode, WeightsError
from decoding.ngrams import Continuation
from decoding.record import Origin
from decoding.training.__main__ import main
from decoding.training.answers import Answer
from decoding.training.draft_head import HeadTraining, Traces, guesses, joined, train_head
from decoding.training.tasks import Kind
from tests.decoding.modes.scripted import (
    FORCED,
    JSON,
    TOKENIZER,
    block_lengths,
    requests,
    scripted_engine,
)
from tests.decoding.soundness import assert_all_pages_back

HIDDEN, VOCAB = 20, 40


def random_head(seed: int = 0, width: int = 32, candidates: int = 12) -> HeadParameters:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).half().float()

    return HeadParameters(
        tokens_C=torch.randperm(VOCAB, generator=generator)[:candidates],
        hidden_KE=drawn(width, HIDDEN),
        hidden_bias_K=drawn(width),
        token_KE=drawn(width, HIDDEN),
        state_KK=drawn(width, width),
        state_bias_K=drawn(width),
        norm_K=drawn(width),
        projection_EK=drawn(HIDDEN, width),
        output_bias_C=drawn(candidates),
    )


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    head, file = random_head(), tmp_path / DRAFT_HEAD
    head.save(file)
    read = HeadParameters.load(file, hidden_size=HIDDEN, vocab_size=VOCAB)
    for name in HeadParameters.__dataclass_fields__:
        assert torch.equal(getattr(read, name), getattr(head, name)), name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("state_KK", torch.zeros(32, 31), r"state_KK is \(32, 31\), not \(32, 32\)"),
        ("hidden_KE", torch.full((32, HIDDEN), torch.inf), "not finite"),
        ("tokens_C", torch.full((12,), VOCAB), f"not below {VOCAB}"),
        ("tokens_C", torch.full((12,), -1), f"not below {VOCAB}"),
        ("norm_K", None, "must hold norm_K"),
    ],
)
def test_a_wrong_head_is_refused(
    tmp_path: Path, name: str, value: Tensor | None, message: str
) -> None:
    file = tmp_path / DRAFT_HEAD
    random_head().save(file)
    arrays = load_file(file)
    del arrays[name]
    save_file(arrays if value is None else arrays | {name: value}, file)
    with pytest.raises(WeightsError, match=message):
        HeadParameters.load(file, hidden_size=HIDDEN, vocab_size=VOCAB)


def test_a_file_that_is_no_head_and_a_width_between_groups_are_refused(tmp_path: Path) -> None:
    file = tmp_path / DRAFT_HEAD
    with pytest.raises(WeightsError, match="no draft head"):
        HeadParameters.load(file, hidden_size=HIDDEN, vocab_size=VOCAB)
    random_head(width=30).save(file)
    with pytest.raises(WeightsError, match="multiple of 32"):
        HeadParameters.load(file, hidden_size=HIDDEN, vocab_size=VOCAB)


@settings(max_examples=20, deadline=None)
@given(prompt=st.text("abc", min_size=1), block=st.integers(1, 9), seed=st.integers(0, 9))
def test_a_head_that_knows_the_text_fills_every_step(prompt: str, block: int, seed: int) -> None:
    """Guesses are right only where the vector is that of the row before the last token."""
    engine = scripted_engine(seed=seed, head_skill=1.0)
    done = engine.generate(
        TOKENIZER.encode(prompt),
        mode=SelfSpeculation(block, HeadDrafter()),
        max_new_tokens=1 + 6 * block,
    )
    assert done.token_ids == _plainly(prompt, 1 + 6 * block, seed)
    if done.finish_reason == "length":
        assert done.stats.forwards == 1 + 6
        origins = [each.origin for each in done.records]
        assert origins[1:] == [*[Origin.ACCEPTED] * (block - 1), Origin.AUTOREGRESSIVE] * 6


def _plainly(prompt: str, count: int, seed: int) -> tuple[int, ...]:
    engine = scripted_engine(seed=seed, head_skill=None)
    ids = TOKENIZER.encode(prompt)
    return engine.generate(ids, mode=Autoregressive(), max_new_tokens=count).token_ids


@settings(max_examples=40, deadline=None)
@given(
    many=st.lists(
        requests(
            st.builds(
                SelfSpeculation,
                block_length=block_lengths,
                drafter=st.just(HeadDrafter()),
                side_guesses=st.sampled_from([0, 3]),
            )
        ),
        min_size=1,
        max_size=3,
    ),
    skill=st.sampled_from([0.0, 0.6, 1.0]),
)
def test_the_text_is_the_autoregressive_one_whatever_the_head_guesses(
    many: list[Request], skill: float
) -> None:
    engine = scripted_engine(head_skill=skill)
    plain = [replace(each, mode=Autoregressive()) for each in many]
    found, expected = engine.generate_many(many), scripted_engine().generate_many(plain)
    assert [each.token_ids for each in found] == [each.token_ids for each in expected]
    assert_all_pages_back(engine)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_company_and_branches_leave_the_text_as_it_is(temperature: float) -> None:
    modes = [
        SelfSpeculation(5, HeadDrafter()),
        SelfSpeculation(4, side_guesses=6),
        Autoregressive(),
        Auto(),
        SelfSpeculation(3, HeadDrafter(), side_guesses=4),
    ]

    def asked(plain: bool) -> list[Request]:
        return [
            Request(
                TOKENIZER.encode("ab" * (1 + number % 3)),
                mode=Autoregressive() if plain else mode,
                grammar=JSON if number % 2 else None,
                sampling=Sampling(temperature=temperature, seed=number),
                max_new_tokens=30,
            )
            for number, mode in enumerate(modes * 2)
        ]

    texts = [
        [each.token_ids for each in scripted_engine().generate_many(asked(plain))]
        for plain in (True, False)
    ]
    assert texts[0] == texts[1]


def test_nothing_is_guessed_behind_a_token_that_was_forced() -> None:
    done = scripted_engine(head_skill=1.0).generate(
        TOKENIZER.encode("go"),
        mode=SelfSpeculation(8, HeadDrafter()),
        grammar=FORCED,
        max_new_tokens=60,
    )
    assert done.stats.drafted == 0


def test_auto_takes_a_head_that_is_right_and_leaves_one_that_is_wrong() -> None:
    plain = _plainly("go", 60, 0)
    accepted = {}
    for skill in (1.0, 0.0):
        engine = scripted_engine(skill=0.0, head_skill=skill, table=None)
        for _ in range(4):
            done = engine.generate(TOKENIZER.encode("go"), mode=Auto(), max_new_tokens=60)
            assert done.token_ids == plain
        accepted[skill] = done.stats.accepted / max(len(plain), 1)
        shares = engine.stats().pace.acceptance
        seen = [share for cell, share in shares.items() if "draft head" in cell]
        assert (max(seen) > 0.9) == (skill == 1.0)
        assert min(seen) > 0.9 or skill == 0.0
    assert accepted[1.0] > 0.5
    assert accepted[0.0] < 0.1


def test_a_request_that_is_switched_to_auto_judges_the_head() -> None:
    engine = scripted_engine()
    request_id = engine.add(Request(TOKENIZER.encode("go"), max_new_tokens=40))
    engine.step()
    assert engine.switch(request_id, Auto())
    while not any(isinstance(event, Finished) for event in engine.step()):
        pass
    assert any("draft head" in cell for cell in engine.stats().pace.acceptance)


def test_a_head_that_is_given_is_the_one_asked() -> None:
    """Not the network's own, which is always right here."""

    class Silly:
        def guess(
            self, hidden_E: NDArray[np.float32], token: int, count: int, least: float = 0.0
        ) -> tuple[Continuation, ...]:
            return (Continuation(7, 5),) * count

    done = scripted_engine(head_skill=1.0).generate(
        TOKENIZER.encode("go"), mode=SelfSpeculation(4, HeadDrafter(Silly())), max_new_tokens=40
    )
    assert done.token_ids == _plainly("go", 40, 0)
    assert done.stats.drafted > 3 * done.stats.accepted
    with pytest.raises(TypeError, match="head must be a record"):
        HeadDrafter("head")  # type: ignore[arg-type]


def test_a_network_without_a_head_is_named() -> None:
    with pytest.raises(UnsupportedMode, match="training head"):
        scripted_engine(head_skill=None).generate(
            TOKENIZER.encode("go"), mode=SelfSpeculation(4, HeadDrafter())
        )


def following_traces(count: int, seed: int) -> tuple[Traces, Tensor]:
    """Tokens of which each is the sum of the last one and a number that the vector tells."""
    generator = torch.Generator().manual_seed(seed)
    embedding_VE = torch.randn(VOCAB, HIDDEN, generator=torch.Generator().manual_seed(5))
    traces = []
    for _ in range(count):
        step = int(torch.randint(1, 4, (), generator=generator))
        first = int(torch.randint(VOCAB, (), generator=generator))
        tokens_N = (first + step * torch.arange(12)) % VOCAB
        hidden_NE = torch.zeros(12, HIDDEN)
        hidden_NE[:, step] = 3.0
        traces.append(Traces(hidden_NE.half(), tokens_N, 11 - torch.arange(12)))
    return joined(traces), embedding_VE


def test_it_learns_what_follows_from_vector_and_token() -> None:
    seen, embedding_VE = following_traces(300, 0)
    held_out, _ = following_traces(20, 1)
    config = HeadTraining(
        soft=0.0, width=64, candidates=VOCAB, depth=3, epochs=12, rows_per_step=128
    )
    *_, (progress, head) = train_head(seen, held_out, embedding_VE, embedding_VE, config)
    assert min(progress.right) > 0.95
    assert 3.3 < progress.tokens_per_step <= 1 + (9 * 3 + 2 + 1) / 12
    guessed_ND = guesses(
        head,
        scores_weight(head, embedding_VE),
        held_out.hidden_NE[:1].float(),
        held_out.tokens_N[:1],
        embedding_VE,
        3,
    )
    assert guessed_ND[0].tolist() == held_out.tokens_N[1:4].tolist()


def test_a_training_goes_on_from_a_head() -> None:
    """Which is as good at first as it was, and is left as it is."""
    seen, embedding_VE = following_traces(300, 0)
    held_out, _ = following_traces(20, 1)
    embedding_VE = 0.2 * embedding_VE  # so that its scale matters
    config = HeadTraining(
        soft=0.0, width=64, candidates=VOCAB, depth=3, epochs=4, rows_per_step=128
    )
    *_, (before, head) = train_head(seen, held_out, embedding_VE, embedding_VE, config)
    kept = {name: getattr(head, name).clone() for name in HeadParameters.__dataclass_fields__}
    still = replace(config, epochs=1, learning_rate=1e-9, width=32, candidates=3)
    [(progress, same)] = train_head(seen, held_out, embedding_VE, embedding_VE, still, head)
    assert progress.right == pytest.approx(before.right, abs=0.01)
    *_, (after, _) = train_head(seen, held_out, embedding_VE, embedding_VE, config, head)
    assert after.loss < before.loss
    for name, each in kept.items():
        assert torch.allclose(getattr(same, name), each, atol=1e-5), name
        assert torch.equal(getattr(head, name), each), name


def test_it_learns_what_the_network_found_probable() -> None:
    """Of tokens that follow one another at random, what the vectors say of the next one."""
    generator = torch.Generator().manual_seed(2)
    embedding_VE = torch.randn(VOCAB, HIDDEN, generator=generator)
    tokens_N = torch.randint(VOCAB, (4_000,), generator=generator)
    meant_N = (tokens_N.roll(1) + 7) % VOCAB
    seen = Traces(2 * embedding_VE[meant_N].half(), tokens_N, 3_999 - torch.arange(4_000))
    config = HeadTraining(
        soft=1.0, width=64, candidates=VOCAB, depth=1, epochs=8, rows_per_step=128
    )
    *_, (_, head) = train_head(seen, seen, embedding_VE, embedding_VE, config)
    output_CK = scores_weight(head, embedding_VE)
    rows = seen.hidden_NE[:200].float(), tokens_N[:200]
    guessed_ND = guesses(head, output_CK, *rows, embedding_VE, 1)
    assert (guessed_ND[:, 0] == (tokens_N[:200] + 7) % VOCAB).float().mean() > 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 40}, "multiple of 32"),
        ({"learning_rate": 0.0}, "finite and above 0"),
        ({"epochs": 0}, "at least 1"),
        ({"soft": 1.5}, "a share"),
    ],
)
def test_a_training_that_gives_no_head_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HeadTraining(), **change)


def test_the_command_trains_on_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Answer((7, 9), tuple(range(20, 60)) * 2, "0" * 80, "own", Kind.PROSE)
    file = tmp_path / "answers.jsonl"
    file.write_text((answer.to_json() + "\n") * 4, encoding="utf-8")
    words = ["head", "--answers", file, "--held-out", file, "--folder", tmp_path / "run"]
    words += ["--width", 32, "--candidates", 50, "--epochs", 1]
    monkeypatch.setattr("sys.argv", ["training", *map(str, words)])
    main()
    head = HeadParameters.load(tmp_path / "run" / DRAFT_HEAD, hidden_size=576, vocab_size=49152)
    assert head.width == 32
    assert set(range(20, 60)) <= set(head.tokens_C.tolist())
    assert json.loads((tmp_path / "run" / "head.json").read_text())["tokens"] == 320
    assert "epoch 1 of 1: loss" in "".join(capsys.readouterr())
    words = [*words[:6], tmp_path / "further", "--epochs", 1, "--learning-rate", 1e-9]
    words += ["--start-from", tmp_path / "run" / DRAFT_HEAD]
    monkeypatch.setattr("sys.argv", ["training", *map(str, words)])
    main()
    further = HeadParameters.load(
        tmp_path / "further" / DRAFT_HEAD, hidden_size=576, vocab_size=49152
    )
    for name in HeadParameters.__dataclass_fields__:
        ours, theirs = getattr(further, name), getattr(head, name)
        assert torch.allclose(ours.float(), theirs.float(), atol=1e-3, rtol=1e-2), name
    told = json.loads((tmp_path / "further" / "head.json").read_text())
    assert told["start_from"] == str(tmp_path / "run" / DRAFT_HEAD)
    assert (told["width"], told["candidates"], told["learning_rate"]) == (32, 50, 1e-9)


def test_a_row_is_followed_by_tokens_of_its_own_answer_only() -> None:
    traces, _ = following_traces(2, 3)
    at_RD, is_own_RD = traces.following(torch.tensor([0, 10, 11, 23]), 2)
    alone = [True, False, False]
    assert is_own_RD.tolist() == [[True] * 3, [True, True, False], alone, alone]
    assert at_RD[0].tolist() == [0, 1, 2]
    assert at_RD[1, :2].tolist() == [10, 11]
    with pytest.raises(ValueError, match="no answers"):
        joined([])


def test_states_go_on_from_one_another() -> None:
    head = random_head(3)
    hidden_NE, embedded_NDE = torch.randn(2, HIDDEN), torch.randn(2, 3, HIDDEN)
    whole = states(head, hidden_NE, embedded_NDE)
    assert [each.shape for each in whole] == [(2, 32)] * 3
    assert torch.equal(states(head, hidden_NE, embedded_NDE[:, :1])[0], whole[0])
    other = replace(head, hidden_KE=head.hidden_KE * 0)
    assert not torch.equal(states(other, hidden_NE, embedded_NDE)[2], whole[2])
