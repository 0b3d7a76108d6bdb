"""Long prompts are read in pieces that fit a forward: the text is the same, nobody is held up."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding import (
    Autoregressive,
    BlockDiffusion,
    Committed,
    Decodable,
    DecodeMode,
    Engine,
    Finished,
    Purpose,
    Request,
    SelfSpeculation,
    Span,
    Step,
)
from decoding.network.base import Network
from decoding.span import Attention, ForwardBatch
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import (
    TOKENIZER,
    VOCAB,
    all_modes,
    lossless_modes,
    requests,
    scripted_engine,
)
from tests.decoding.nemotron import write_nemotron
from tests.decoding.soundness import assert_all_pages_back, assert_sound, without_times

budgets = st.sampled_from([1, 2, 3, 5, 8, 13, 40])


def noting_batches(engine: Engine) -> list[ForwardBatch]:
    """The batches of the engine's forwards, as they come."""
    batches: list[ForwardBatch] = []
    forward = engine.network.forward

    def noted(batch: ForwardBatch, storage: object) -> torch.Tensor:
        batches.append(batch)
        return forward(batch, storage)  # type: ignore[arg-type]

    engine.network.forward = noted  # type: ignore[method-assign]
    return batches


@settings(max_examples=50, deadline=None)
@given(st.lists(requests(all_modes), min_size=1, max_size=4), budgets)
def test_the_text_does_not_depend_on_how_spans_were_split(many: list[Request], budget: int) -> None:
    expected = scripted_engine().generate_many(many)
    engine = scripted_engine(max_forward_rows=budget, page_size=4)
    batches = noting_batches(engine)
    outs = engine.generate_many(many)
    assert list(map(without_times, outs)) == list(map(without_times, expected))
    for batch in batches:
        assert len(batch.token_ids_T) <= budget or _num_spans(batch) == 1
    for out, whole in zip(outs, expected, strict=True):
        assert out.stats.forwards == whole.stats.forwards
        assert sum(each.purpose is Purpose.PREFILL for each in out.forwards) == (
            out.stats.prefill_forwards
        )
        assert len(out.forwards) == out.stats.forwards + out.stats.prefill_forwards
    assert_all_pages_back(engine)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(requests(all_modes), min_size=2, max_size=5),
    budgets,
    st.randoms(use_true_random=False),
)
def test_the_cache_is_sound_between_pieces(
    many: list[Request], budget: int, dice: "object"
) -> None:
    engine = scripted_engine(max_forward_rows=budget, page_size=4, cache_tokens=512)
    ids = [engine.add(request) for request in many]
    while not engine.is_idle:
        engine.step()
        assert_sound(engine)
        if dice.random() < 0.05:  # type: ignore[attr-defined]
            engine.abort(dice.choice(ids))  # type: ignore[attr-defined]
    assert_all_pages_back(engine)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine.load(
        write_nemotron(tmp_path_factory.mktemp("nemotron")), cache_tokens=64
    ) as engine:
        yield engine


@settings(max_examples=8, deadline=None)
@given(st.lists(requests(lossless_modes), min_size=1, max_size=3), budgets)
def test_a_real_network_writes_the_same_to_the_bit(
    loaded: Engine, many: list[Request], budget: int
) -> None:
    """Float32, profile "exact": log-probabilities included."""

    def decode(rows: int) -> list[tuple[object, ...]]:
        engine = Engine(loaded.network, loaded.tokenizer, cache_tokens=1024, max_forward_rows=rows)
        outs = engine.generate_many(many)
        assert_all_pages_back(engine)
        return list(map(without_times, outs))

    assert decode(budget) == decode(512)


def long_engine(**limits: int) -> Engine:
    network = ScriptedNetwork(VOCAB, max_positions=5000)
    return Engine(network, TOKENIZER, **{"cache_tokens": 8192, **limits})


def long_prompt(count: int, seed: int) -> list[int]:
    return [(seed * 7 + place * place) % 200 for place in range(count)]


def test_a_long_prompt_holds_up_nobody() -> None:
    engine = long_engine(max_forward_rows=64)
    short = [engine.add(Request([index], max_new_tokens=40)) for index in range(3)]
    engine.step()
    long = engine.add(Request(long_prompt(1500, 1), max_new_tokens=2))
    for _ in range(20):
        events = [event for event in engine.step() if isinstance(event, Committed)]
        assert [event.request_id for event in events] == short
        assert all(len(event.token_ids) == 1 for event in events)
    assert engine._live[long].sequence.num_cached == 20 * (64 - 3)


def test_two_long_prompts_progress_together() -> None:
    engine = long_engine(max_forward_rows=100)
    first = engine.add(Request(long_prompt(900, 1), max_new_tokens=2))
    engine.step()
    second = engine.add(Request(long_prompt(700, 2), max_new_tokens=2))
    for step in range(1, 8):
        engine.step()
        read = [engine._live[each].sequence.num_cached for each in (first, second)]
        assert read == [100 + 50 * step, 50 * step]


def test_what_a_short_prompt_leaves_goes_to_the_long_one() -> None:
    engine = long_engine(max_forward_rows=100)
    long = engine.add(Request(long_prompt(900, 1), max_new_tokens=2))
    engine.add(Request(long_prompt(20, 2), max_new_tokens=2))
    engine.step()
    assert engine._live[long].sequence.num_cached == 80


def test_more_readers_than_rows_take_turns() -> None:
    engine = long_engine(max_forward_rows=3)
    ids = [engine.add(Request(long_prompt(30, seed), max_new_tokens=1)) for seed in range(7)]
    for _ in range(14):
        engine.step()
    read = [engine._live[each].sequence.num_cached for each in ids]
    assert sum(read) == 3 * 14
    assert max(read) - min(read) <= 1


def test_a_block_larger_than_the_budget_gets_its_turn_among_others() -> None:
    """Also where others never leave room for it."""
    engine = scripted_engine(max_forward_rows=4)
    batches = noting_batches(engine)
    engine.add(Request([1], mode=BlockDiffusion(8), max_new_tokens=12))
    others = [engine.add(Request([2, seed], max_new_tokens=40)) for seed in range(4)]
    done = []
    while not engine.is_idle:
        done += [event.request_id for event in engine.step() if not isinstance(event, Committed)]
    assert set(done) == {0, *others}
    blocks = [b for b in batches if any(s.attention is Attention.BLOCK for s in b.segments)]
    assert blocks
    assert all(len(batch.segments) == 1 for batch in blocks)


@pytest.mark.parametrize("mode", [Autoregressive(), SelfSpeculation(8)])
def test_the_pieces_of_a_prompt_are_prefill_forwards(mode: DecodeMode) -> None:
    engine = long_engine(max_forward_rows=100)
    out = engine.generate(long_prompt(950, 3), mode=mode, max_new_tokens=4)
    assert out.stats.prefill_forwards == 9
    assert [each.rows for each in out.forwards[:9]] == [100] * 9
    assert out.forwards[9].purpose in {Purpose.NEXT, Purpose.VERIFY}
    stats = engine.stats()
    assert stats.rows == sum(each.rows for each in out.forwards)
    assert stats.row_use == stats.rows / (100 * stats.forwards)


class ReadsFirst:
    """A mode of one's own that reads the whole tail but its last token before it picks."""

    name = "reads-first"

    def fit(self, network: Network) -> DecodeMode:
        return self

    def select(self, sequence: Decodable) -> DecodeMode:
        return self

    def step(self, sequence: Decodable) -> Step:
        if len(sequence.tail) > 1:
            before, count = sequence.num_cached, len(sequence.tail) - 1
            yield Span(sequence.tail[:-1], start=before)
            assert before <= sequence.num_cached <= before + count
            sequence.num_cached = before + count
        yield from Autoregressive().step(sequence)


def test_a_span_without_picks_is_split_as_well() -> None:
    prompt = long_prompt(300, 4)
    expected = long_engine().generate(prompt, max_new_tokens=5)
    out = long_engine(max_forward_rows=32).generate(prompt, mode=ReadsFirst(), max_new_tokens=5)
    assert out.token_ids == expected.token_ids
    assert out.stats.prefill_forwards == 10


@pytest.mark.parametrize("limit", ["max_live", "page_size", "max_forward_rows", "max_waiting"])
@pytest.mark.parametrize("value", [0, 7.5, True])
def test_limits_are_whole_and_at_least_one(limit: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{limit} must be a whole number of at least 1"):
        long_engine(**{limit: value})


def _num_spans(batch: ForwardBatch) -> int:
    return sum(not segment.is_branch for segment in batch.segments)


@pytest.mark.parametrize("budget", [1, 4])
def test_a_prompt_is_read_beside_a_stream_of_short_answers(budget: int) -> None:
    engine = scripted_engine(max_forward_rows=budget, max_live=8)
    reader = engine.add(Request(list(range(100)), max_new_tokens=1))
    for turn in range(120 * 8):
        while engine.stats().live_sequences + engine.stats().waiting_requests < 8:
            engine.add(Request([turn % 100], max_new_tokens=2))
        ended = [event.request_id for event in engine.step() if isinstance(event, Finished)]
        if reader in ended:
            return
    raise AssertionError("the prompt was never read")
