"""The table of what mostly follows, and drafts from it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from decoding import (
    Auto,
    Autoregressive,
    DecodeMode,
    Engine,
    Finished,
    NgramDrafter,
    NgramTable,
    Request,
    SelfSpeculation,
)
from decoding.errors import UnsupportedMode, WeightsError
from decoding.ngrams import NGRAMS, Continuation
from decoding.record import Origin
from decoding.training.__main__ import main
from decoding.training.answers import Answer
from decoding.training.tasks import Kind
from tests.decoding.embedded import embedded_engine
from tests.decoding.modes.scripted import JSON, TOKENIZER, scripted_engine

texts = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=6)


def learned(lists: list[list[int]], most: int = 1000) -> NgramTable:
    return NgramTable.learn(((tokens, 0) for tokens in lists), most)


@settings(max_examples=200, deadline=None)
@given(texts)
def test_the_most_frequent_token_is_told(lists: list[list[int]]) -> None:
    table = learned(lists)
    for before in (None, *range(6)):
        for last in range(6):
            seen: Counter[int] = Counter()
            for tokens in lists:
                for at in range(1, len(tokens)):
                    left = tokens[at - 2] if at > 1 else None
                    if tokens[at - 1] == last and before in (None, left):
                        seen[tokens[at]] += 1
            found = table.after(before, last)
            if seen and max(seen.values()) > 1:
                assert found is not None
                assert seen[found.token] == max(seen.values())
            elif before is not None:
                assert found == table.after(None, last)
            else:
                assert found is None


@settings(max_examples=100, deadline=None)
@given(texts, st.integers(0, 8))
def test_a_table_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[int]], most: int
) -> None:
    table, file = learned(lists, most), tmp_path_factory.mktemp("table") / NGRAMS
    table.save(file)
    read = NgramTable.load(file, vocab_size=6)
    assert len(read) == len(table) <= most + 6
    for before in (None, *range(6)):
        for last in range(6):
            assert read.after(before, last) == table.after(before, last)


def test_the_prompt_is_not_counted_and_what_was_seen_once_is_not_kept() -> None:
    table = NgramTable.learn([([1, 2, 1, 2, 3, 4, 3, 4], 4)], 10)
    assert table.after(None, 1) is None
    assert table.after(None, 3) == Continuation(4, 3)  # two of two, and one doubt
    assert table.after(None, 4) is None
    assert table.after(9, 3) == table.after(None, 3)


def test_pairs_that_tell_more_than_the_last_token_are_kept_first() -> None:
    table = learned([[0, 1, 2] * 9, [3, 1, 4, 5] * 4], most=1)
    assert table.after(3, 1) == Continuation(4, 4)
    assert table.after(7, 1) == Continuation(2, 3)
    with pytest.raises(ValueError, match="at least 0"):
        learned([[1]], most=-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"next_N": np.array([9], np.uint8)}, "next_N is not below 6"),
        ({"level_N": np.array([7], np.uint8)}, "level_N is not below 6"),
        ({"count_L": np.array([2], np.uint8)}, "differ in length"),
        ({"last_L": np.array([[1]], np.uint8)}, "must hold the list last_L"),
        (
            {"last_L": np.array([1, 2], np.uint8), "count_L": np.array([2, -1], np.int8)},
            "count_L is not below 2",
        ),
    ],
)
def test_a_wrong_table_is_refused(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    names = ("last_L", "count_L", "before_N", "next_N", "level_N")
    save_file({name: np.array([1], np.uint8) for name in names} | change, tmp_path / NGRAMS)
    with pytest.raises(WeightsError, match=message):
        NgramTable.load(tmp_path / NGRAMS, vocab_size=6)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / NGRAMS).write_bytes(b"x")
    with pytest.raises(WeightsError, match="no table"):
        NgramTable.load(tmp_path / NGRAMS, vocab_size=6)
    with pytest.raises(WeightsError, match="no table"):
        NgramTable.load(tmp_path / "absent", vocab_size=6)


def text_of(engine: Engine, mode: DecodeMode, prompt: str = "go") -> tuple[tuple[int, ...], int]:
    done = engine.generate(TOKENIZER.encode(prompt), mode=mode, grammar=JSON, max_new_tokens=24)
    return done.token_ids, sum(each.origin is Origin.COPIED for each in done.records)


def test_what_was_counted_is_drafted_and_the_text_stays() -> None:
    engine = scripted_engine()
    plain, _ = text_of(engine, Autoregressive())
    prompt = TOKENIZER.encode("go")
    table = NgramTable.learn([((*prompt, *plain), len(prompt))] * 2, 100)
    text, copied = text_of(engine, SelfSpeculation(drafter=NgramDrafter(table)))
    assert text == plain
    assert copied > 0


def test_auto_takes_the_table_where_it_is_right_and_leaves_it_where_it_is_wrong() -> None:
    engine = scripted_engine(skill=0.0, head_skill=None)
    plain, _ = text_of(engine, Autoregressive())
    prompt = TOKENIZER.encode("go")
    right = NgramTable.learn([((*prompt, *plain), len(prompt))] * 9, 100)
    wrong = NgramTable({(0, token): Continuation(65, 5) for token in range(256)})
    copied = {}
    for name, table in {"right": right, "wrong": wrong}.items():
        engine = scripted_engine(skill=0.0, table=table, head_skill=None)
        for _ in range(4):
            text, copied[name] = text_of(engine, Auto())
            assert text == plain
        shares = engine.stats().pace.acceptance
        seen = [share for cell, share in shares.items() if "n-grams" in cell]
        assert seen
        assert (max(seen) > 0.5) == (name == "right")
    assert copied["right"] > copied["wrong"]


def test_a_request_that_is_switched_to_auto_judges_the_table() -> None:
    engine = scripted_engine(head_skill=None)
    request_id = engine.add(Request(TOKENIZER.encode("go"), grammar=JSON, max_new_tokens=24))
    engine.step()
    assert engine.switch(request_id, Auto())
    while not any(isinstance(event, Finished) for event in engine.step()):
        pass
    assert any("n-grams" in cell for cell in engine.stats().pace.acceptance)


def test_auto_leaves_the_table_out_beside_a_head() -> None:
    engine = scripted_engine()
    text_of(engine, Auto())
    assert not any("n-grams" in cell for cell in engine.stats().pace.acceptance)


def test_the_command_counts_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Answer((7,), (1, 2, 1, 2), "0000", "own", Kind.PROSE)
    (tmp_path / "answers.jsonl").write_text(answer.to_json() + "\n", encoding="utf-8")
    words = ["ngrams", "--answers", tmp_path / "answers.jsonl", "--folder", tmp_path / "run"]
    monkeypatch.setattr("sys.argv", ["training", *map(str, words)])
    main()
    table = NgramTable.load(tmp_path / "run" / NGRAMS, vocab_size=8)
    assert table.after(None, 1) == Continuation(2, 2 + 1)
    assert table.after(None, 7) is None
    assert "4 tokens of 1 answers" in "".join(capsys.readouterr())


def test_an_empty_table_guesses_nothing() -> None:
    drafter = NgramDrafter(NgramTable({}))
    text, copied = text_of(scripted_engine(), SelfSpeculation(drafter=drafter))
    assert (text, copied) == (text_of(scripted_engine(), Autoregressive())[0], 0)
    with pytest.raises(TypeError, match="NgramTable or None"):
        NgramDrafter("table")  # type: ignore[arg-type]


def test_a_network_without_a_table_is_named() -> None:
    with pytest.raises(UnsupportedMode, match="has no table"):
        text_of(scripted_engine(table=None), SelfSpeculation(drafter=NgramDrafter()))


def test_the_embedded_model_has_a_table_that_is_often_right() -> None:
    """On what it says to questions that were not counted."""
    with embedded_engine() as engine:
        prompt = [{"role": "user", "content": "What do people like about the sea?"}]
        plain = engine.generate(prompt, mode=Autoregressive(), max_new_tokens=48)
        drafted = engine.generate(
            prompt, mode=SelfSpeculation(drafter=NgramDrafter()), max_new_tokens=48
        )
    assert drafted.token_ids == plain.token_ids
    assert drafted.stats.accepted >= 3
