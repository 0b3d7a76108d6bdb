"""Self-speculation is autoregressive decoding, token for token, whatever happens around it."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    CombinedDrafter,
    Completion,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    Finished,
    Grammar,
    LookupDrafter,
    Matcher,
    Origin,
    Request,
    Sampling,
    SelfSpeculation,
)
from tests.decoding.modes.scripted import (
    FORCED,
    JSON,
    all_modes,
    lossless_modes,
    requests,
    scripted_engine,
    speculations,
)
from tests.decoding.soundness import assert_all_pages_back, assert_sound, without_times


def autoregressive(request: Request) -> Completion:
    """The answer of one request, alone, by one token per forward."""
    plain = replace(request, mode=Autoregressive())
    return scripted_engine().generate_many([plain])[0]


@settings(max_examples=100, deadline=None)
@given(requests(speculations), st.sampled_from([0.0, 0.8, 1.0]))
def test_alone_it_equals_autoregressive(request: Request, skill: float) -> None:
    engine = scripted_engine(skill=skill, page_size=4)
    out = engine.generate_many([request])[0]
    assert without_times(out) == without_times(autoregressive(request))
    assert_all_pages_back(engine)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(requests(lossless_modes), min_size=1, max_size=5),
    st.lists(requests(all_modes), max_size=2),
    st.lists(lossless_modes, min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_so_it_does_among_others_switched_and_cancelled(
    exact: list[Request], others: list[Request], modes: list[DecodeMode], dice: random.Random
) -> None:
    """Any batch of modes, modes exchanged at random steps, requests cancelled at random
    forwards, pages reused all the while."""
    engine = scripted_engine(page_size=4, cache_tokens=512, max_live=4)
    waiting = [(request, True) for request in exact] + [(request, False) for request in others]
    dice.shuffle(waiting)
    open_requests: dict[int, tuple[Request, bool]] = {}
    aborted: set[int] = set()
    while waiting or open_requests:
        if waiting and dice.random() < 0.4:
            request, is_exact = waiting.pop()
            open_requests[engine.add(request)] = (request, is_exact)
        if open_requests and dice.random() < 0.3:
            lucky = dice.choice(list(open_requests))
            assert engine.switch(lucky, dice.choice(modes))
        if open_requests and dice.random() < 0.05:
            victim = dice.choice(list(open_requests))
            aborted |= {victim} if engine.abort(victim) else set()
        for event in engine.step():
            if isinstance(event, Finished):
                request, is_exact = open_requests.pop(event.request_id)
                cancelled = event.request_id in aborted
                assert (event.completion.finish_reason == "cancelled") == cancelled
                if is_exact:
                    assert_is_the_answer(event.completion, request, cancelled=cancelled)
        assert_sound(engine)
    assert_all_pages_back(engine)


def assert_is_the_answer(out: Completion, request: Request, *, cancelled: bool) -> None:
    expected = autoregressive(request)
    if cancelled:
        assert out.token_ids == expected.token_ids[: len(out.token_ids)]
        assert out.logprobs == expected.logprobs[: len(out.token_ids)]
    else:
        assert without_times(out) == without_times(expected)


@settings(max_examples=60, deadline=None)
@given(
    requests(lossless_modes),
    lossless_modes,
    st.integers(1, 12),
    st.sampled_from([0.0, 1.0]),
)
def test_a_fork_continues_as_a_cold_run_would(
    request: Request, mode: DecodeMode, steps: int, temperature: float
) -> None:
    sampling = Sampling(temperature=temperature, seed=9)
    request = replace(request, stop=())
    engine = scripted_engine(page_size=4)
    parent = engine.add(request)
    for _ in range(steps):
        engine.step()
    live = engine._live.get(parent)
    if live is None:
        return
    so_far, shown = list(live.sequence.tokens), "".join(live.sequence._text)
    child = engine.fork(parent, mode=mode, sampling=sampling)
    done = {}
    while not engine.is_idle:
        for event in engine.step():
            if isinstance(event, Finished):
                done[event.request_id] = event.completion
        assert_sound(engine)
    assert_all_pages_back(engine)
    assert without_times(done[parent]) == without_times(autoregressive(request))
    cold = scripted_engine()
    cold_id = cold.add(replace(request, mode=Autoregressive(), sampling=sampling))
    cold_sequence = cold._waiting.find(cold_id)
    assert cold_sequence is not None
    for token in so_far[cold_sequence.num_prompt :]:
        cold_sequence._append(token, 0.0, Origin.AUTOREGRESSIVE)
    expected = next(
        event.completion
        for _ in range(100)
        for event in cold.step()
        if isinstance(event, Finished) and event.request_id == cold_id
    )
    assert (*so_far, *done[child].token_ids) == (*request.prompt, *expected.token_ids)
    assert shown + done[child].text == expected.text


def test_a_fork_shares_what_is_encoded() -> None:
    engine = scripted_engine(page_size=4)
    prompt = [token % 6 for token in range(64)]
    parent = engine.add(Request(prompt, max_new_tokens=20))
    engine.step()
    held = engine.stats().held_pages
    engine.fork(parent)
    engine.step()
    assert engine.stats().held_pages - held == 5  # 19 positions of its own
    while not engine.is_idle:
        engine.step()
    assert_all_pages_back(engine)


def test_a_fork_of_a_fork_and_of_what_waits() -> None:
    engine = scripted_engine()
    sampling = Sampling(temperature=1.0, seed=4)
    first = engine.add(Request([1, 2], max_new_tokens=12, sampling=sampling))
    last = engine.fork(engine.fork(first), mode=SelfSpeculation(4))
    done = {}
    while not engine.is_idle:
        for event in engine.step():
            if isinstance(event, Finished):
                done[event.request_id] = event.completion
    assert len(done) == 3
    assert done[last].token_ids == done[first].token_ids
    assert_all_pages_back(engine)


def test_a_fork_needs_a_request_that_is_not_over() -> None:
    engine = scripted_engine()
    done = engine.add(Request([1], max_new_tokens=2))
    while not engine.is_idle:
        engine.step()
    with pytest.raises(ValueError, match="is not being decoded"):
        engine.fork(done)


def test_switching_an_unknown_request_is_no_error() -> None:
    assert not scripted_engine().switch(7, Autoregressive())


def counted(mode: DecodeMode, grammar: Grammar | None = JSON, skill: float = 1.0) -> Completion:
    engine = scripted_engine(skill=skill)
    return engine.generate([1, 2, 3], mode=mode, grammar=grammar, max_new_tokens=64)


@pytest.mark.parametrize("block_length", [2, 3, 8, 16, 32])
def test_right_drafts_commit_a_block_per_two_forwards(block_length: int) -> None:
    mode = SelfSpeculation(block_length, drafter=DiffusionDrafter())
    stats = counted(mode, grammar=None).stats
    assert stats.accepted == stats.drafted > 0
    assert stats.acceptance == 1.0
    assert stats.new_tokens == 64
    assert 2 * (63 // block_length) <= stats.forwards <= 2 * (63 // block_length) + 3


def test_what_is_copied_costs_no_draft() -> None:
    engine = scripted_engine()
    first = engine.generate([1, 2, 3], max_new_tokens=40)
    prompt = [1, 2, 3, *first.token_ids, 1, 2, 3]

    def script(tokens: tuple[int, ...]) -> object:
        return engine.network._script(tokens[43:] if len(tokens) > 45 else tokens)

    repeating = scripted_engine()
    repeating.network._script = script  # type: ignore[method-assign, assignment]
    mode = SelfSpeculation(8, drafter=LookupDrafter())
    out = repeating.generate(prompt, mode=mode, max_new_tokens=40)
    assert out.token_ids == first.token_ids
    assert out.stats.forwards == 5
    assert out.stats.origins == {"copied": 35, "autoregressive": 5}


def test_forced_tokens_cost_no_forward_in_any_mode() -> None:
    for mode in (Autoregressive(), SelfSpeculation(), Auto()):
        stats = counted(mode, FORCED).stats
        assert stats.forwards == stats.drafted == 0
        assert stats.forced == stats.new_tokens
        json = counted(mode, JSON).stats
        assert json.forced > 10
        assert json.forwards <= json.new_tokens - json.forced


@pytest.mark.parametrize(
    "mode",
    [
        Autoregressive(),
        SelfSpeculation(8, DiffusionDrafter()),
        SelfSpeculation(8, CombinedDrafter(enough=20)),
        BlockDiffusion(8),
    ],
)
def test_each_mask_is_computed_once(mode: DecodeMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifying adds none to the masks of the draft; a committed draft needs none again."""
    seen: list[tuple[int, ...]] = []
    compute = Matcher.fill_mask

    def noted(matcher: Matcher) -> torch.Tensor:
        seen.append(matcher.tokens)
        return compute(matcher)

    monkeypatch.setattr(Matcher, "fill_mask", noted)
    scripted_engine().generate([1, 2, 1, 2], mode=mode, grammar=JSON)
    assert len(seen) == len(set(seen)) > 5


def test_records_and_counts_agree() -> None:
    out = counted(SelfSpeculation(8), skill=0.6)
    stats = out.stats
    assert len(out.records) == len(out.token_ids) == stats.new_tokens
    assert sum(bool(each.purpose.value != "prefill") for each in out.forwards) == stats.forwards
    for counts in (stats.modes, stats.regions, stats.origins):
        assert sum(counts.values()) == stats.new_tokens
    origins = [record.origin for record in out.records]
    accepted = origins.count(Origin.ACCEPTED) + origins.count(Origin.COPIED)
    assert stats.accepted == accepted <= stats.drafted
    assert stats.forced == origins.count(Origin.FORCED)
    assert [record.forward for record in out.records] == sorted(r.forward for r in out.records)
    assert out.records[-1].forward <= len(out.forwards) - 1
    assert stats.mask_microseconds > 0


def test_the_engine_counts_by_mode() -> None:
    engine: Engine = scripted_engine()
    drafts = DiffusionDrafter()
    one = engine.generate([1], mode=SelfSpeculation(drafter=drafts), max_new_tokens=5).stats
    two = engine.generate([1], max_new_tokens=7, grammar=JSON).stats
    total = engine.stats()
    assert total.modes == {"self-speculation": 5, "autoregressive": 7}
    assert total.drafted == one.drafted > 0
    assert total.accepted == one.accepted
    assert total.forced == two.forced > 0
    assert total.forwards == one.forwards + two.forwards
