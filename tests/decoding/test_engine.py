"""The engine on a scripted network: the same text whatever the batch, the cache, the cut."""

import json
import random
from collections.abc import Callable, Generator
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from torch import Tensor

from decoding import (
    AsyncEngine,
    Auto,
    Autoregressive,
    BlockDiffusion,
    CacheExhausted,
    CombinedDrafter,
    Committed,
    Completion,
    ContextOverflow,
    Curve,
    Decodable,
    DecodeMode,
    DecodingError,
    Drafter,
    Drafting,
    Engine,
    EngineClosed,
    Event,
    Failed,
    Finished,
    FixedSchedule,
    ForwardCost,
    Grammar,
    GrammarDeadEnd,
    LookupDrafter,
    NgramDrafter,
    NgramTable,
    NotFinite,
    Origin,
    Request,
    Sampling,
    SelfSpeculation,
)
from decoding.cache.storage import Storage
from decoding.modes import Step
from decoding.modes.draft import Candidate, Draft, Guess, SideDraft, empty_draft, extend_draft
from decoding.network.base import Network
from decoding.sampling import Choice, pick_tokens, unpack_masks
from decoding.span import Branch, ForwardBatch, Pick, Span
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import JSON as GRAMMAR
from tests.decoding.modes.scripted import SCHEMA, TOKENIZER, VOCAB
from tests.decoding.soundness import assert_all_pages_back, assert_sound, without_times
from tests.decoding.tiny import metaspace_tokenizer

END = TOKENIZER.eos_token_ids[0]


def new_engine(**kwargs: int) -> Engine:
    network = ScriptedNetwork(VOCAB, max_positions=kwargs.pop("max_positions", 400))
    return Engine(network, TOKENIZER, **{"cache_tokens": 4096, **kwargs})


def reference(prompt: list[int], sampling: Sampling, max_new_tokens: int) -> list[int]:
    """Decoding as in the textbook: all tokens in, one token out, no cache, no batch."""
    script, tokens = ScriptedNetwork(VOCAB)._script, list(prompt)
    for _ in range(max_new_tokens):
        choice = Choice(sampling, sampling.seed or 0, len(tokens), None)
        tokens.append(pick_tokens(script(tuple(tokens))[None], [choice]).tokens[0])
        if tokens[-1] == END:
            break
    return tokens[len(prompt) :]


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.sampled_from([0, 5]),
    top_p=st.sampled_from([1.0, 0.8]),
    seed=st.integers(0, 5),
)
prompts = st.lists(st.integers(0, 5), min_size=1, max_size=40)
requests = st.builds(
    Request,
    prompts,
    sampling=samplings,
    grammar=st.sampled_from([None, GRAMMAR]),
    max_new_tokens=st.integers(1, 40),
)


@settings(max_examples=60, deadline=None)
@given(prompts, samplings, st.integers(1, 30))
def test_decoding_equals_the_textbook(prompt: list[int], sampling: Sampling, count: int) -> None:
    out = new_engine().generate(prompt, sampling=sampling, max_new_tokens=count)
    assert list(out.token_ids) == reference(prompt, sampling, count)
    assert out.stats.forwards == out.stats.new_tokens == len(out.token_ids)
    assert out.stats.tokens_per_forward == 1.0
    assert out.finish_reason == ("stop" if out.token_ids[-1] == END else "length")


@settings(max_examples=50, deadline=None)
@given(st.lists(requests, min_size=1, max_size=6), st.integers(1, 4))
def test_a_batch_gives_what_each_gives_alone(many: list[Request], max_live: int) -> None:
    alone = [new_engine().generate_many([request])[0] for request in many]
    engine = new_engine(max_live=max_live, page_size=4)
    together = engine.generate_many(many)
    assert list(map(without_times, together)) == list(map(without_times, alone))
    assert_all_pages_back(engine)


@settings(max_examples=50, deadline=None)
@given(st.lists(requests, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_any_interleaving_of_adds_and_aborts_is_sound(
    many: list[Request], dice: random.Random
) -> None:
    engine = new_engine(page_size=4, cache_tokens=320, max_positions=160, max_live=3)
    waiting, open_ids, finished, aborted = list(many), [], {}, set()
    while waiting or open_ids:
        if waiting and dice.random() < 0.4:
            open_ids.append((engine.add(waiting[0]), waiting.pop(0)))
        if open_ids and dice.random() < 0.1:
            victim = dice.choice(open_ids)[0]
            if engine.abort(victim):
                aborted.add(victim)
        for event in engine.step():
            assert not isinstance(event, Failed)
            if isinstance(event, Finished):
                finished[event.request_id] = event.completion
                request = next(r for i, r in open_ids if i == event.request_id)
                open_ids.remove((event.request_id, request))
                expected = new_engine().generate_many([request])[0]
                if event.request_id in aborted:
                    assert event.completion.finish_reason == "cancelled"
                    count = len(event.completion.token_ids)
                    assert event.completion.token_ids == expected.token_ids[:count]
                else:
                    assert without_times(event.completion) == without_times(expected)
        assert_sound(engine)
    assert_all_pages_back(engine)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 3.0]), st.integers(30, 80))
def test_a_random_network_under_a_schema_writes_valid_json(
    seed: int, temperature: float, count: int
) -> None:
    engine = Engine(ScriptedNetwork(VOCAB, seed=seed), TOKENIZER, cache_tokens=512)
    out = engine.generate(
        "x",
        grammar=GRAMMAR,
        sampling=Sampling(temperature=temperature, seed=seed),
        max_new_tokens=count,
        close_at_budget=True,
    )
    assert out.finish_reason == "stop"
    Draft202012Validator(SCHEMA).validate(json.loads(out.text))
    assert out.stats.new_tokens <= count


def test_what_is_forced_costs_no_forward() -> None:
    engine = new_engine()
    out = engine.generate("x", grammar=Grammar.json_schema({"const": {"a": [1, 2]}}))
    assert out.text == '{"a":[1,2]}'
    assert out.finish_reason == "stop"
    assert out.stats.forwards == 0
    assert out.stats.forced == out.stats.new_tokens == len(out.token_ids)
    assert_all_pages_back(engine)


def test_events_tell_how_each_token_came_and_add_up() -> None:
    events = list(new_engine().stream(Request("x", grammar=GRAMMAR, max_new_tokens=60)))
    committed = [event for event in events if isinstance(event, Committed)]
    last = events[-1]
    assert isinstance(last, Finished)
    done = last.completion
    assert tuple(t for event in committed for t in event.token_ids) == done.token_ids
    assert "".join(event.text for event in committed) == done.text
    origins = [origin for event in committed for origin in event.origins]
    assert origins.count(Origin.FORCED) == done.stats.forced > 0
    assert sum(done.stats.modes.values()) == done.stats.new_tokens


def test_a_second_turn_reuses_the_first() -> None:
    engine = new_engine()
    prompt = list(range(50))
    first = engine.generate(prompt, max_new_tokens=10)
    assert first.stats.cached_prompt_tokens == 0
    history = [*prompt, *first.token_ids, 7, 8, 9]
    second = engine.generate(history, max_new_tokens=10)
    assert second.stats.cached_prompt_tokens == len(prompt) + len(first.token_ids) - 1
    assert second.token_ids == new_engine().generate(history, max_new_tokens=10).token_ids
    other = engine.generate([*prompt[:40], 99], max_new_tokens=5)
    assert other.stats.cached_prompt_tokens == 40


def test_a_long_prompt_is_encoded_in_pieces() -> None:
    engine = Engine(ScriptedNetwork(VOCAB, max_positions=3000), TOKENIZER, cache_tokens=4096)
    prompt = [token % 200 for token in range(1300)]
    out = engine.generate(prompt, max_new_tokens=3)
    assert out.stats.prefill_forwards == 2
    assert list(out.token_ids) == reference(prompt, Sampling(), 3)


def scripted(text: str, **kwargs: object) -> Completion:
    """Decodes a network that writes `text`, byte by byte, then its end."""
    ids = [*TOKENIZER.encode(text), END]

    def script(tokens: tuple[int, ...]) -> torch.Tensor:
        logits_V = torch.zeros(VOCAB)
        logits_V[ids[len(tokens) - 1]] = 10.0
        return logits_V

    engine = Engine(ScriptedNetwork(VOCAB, script=script), TOKENIZER, cache_tokens=512)
    out = engine.generate([1], **kwargs)  # type: ignore[arg-type]
    assert_all_pages_back(engine)
    return out


def test_text_ends_before_a_stop_string_even_if_split_across_tokens() -> None:
    out = scripted("one two END three", stop=("END",))
    assert (out.text, out.finish_reason) == ("one two ", "stop")
    assert TOKENIZER.decode(out.token_ids).endswith("END")


def test_a_stop_string_that_never_completes_is_shown() -> None:
    out = scripted("one EN", stop=("END",))
    assert (out.text, out.finish_reason) == ("one EN", "stop")


def test_the_end_token_is_kept_as_a_token_and_not_shown() -> None:
    out = scripted("hi")
    assert out.text == "hi"
    assert out.token_ids[-1] == END


def test_characters_of_several_tokens_come_out_whole() -> None:
    out = scripted("caf\u00e9 \U0001f642!", max_new_tokens=50)
    assert out.text == "caf\u00e9 \U0001f642!"


def test_a_cut_character_is_marked_not_dropped() -> None:
    assert scripted("a\U0001f642", max_new_tokens=2).text == "a\N{REPLACEMENT CHARACTER}"


def test_a_complete_answer_at_the_last_token_is_no_cut() -> None:
    grammar = Grammar.choice(["yes", "no"])
    assert scripted("yes", grammar=grammar, max_new_tokens=3).finish_reason == "stop"
    assert scripted("yes", grammar=grammar, max_new_tokens=2).finish_reason in {"stop", "length"}


@pytest.mark.parametrize("prompt", ["", [], ()])
def test_an_empty_prompt_is_refused(prompt: object) -> None:
    with pytest.raises(ValueError, match="empty"):
        new_engine().generate(prompt)  # type: ignore[arg-type]


def test_bad_prompts_are_refused_by_name() -> None:
    engine = new_engine()
    with pytest.raises(ValueError, match="token id 999 is outside the vocabulary of 288"):
        engine.generate([1, 999])
    with pytest.raises(TypeError, match="a prompt is text"):
        engine.generate([1, "a"])  # type: ignore[list-item]
    with pytest.raises(ContextOverflow, match="400 tokens and the model's context holds 400"):
        engine.generate([1] * 400)
    with pytest.raises(CacheExhausted, match="cache pages"):
        new_engine(cache_tokens=64).generate([1] * 60, max_new_tokens=60)
    with pytest.raises(ValueError, match="raise max_new_tokens"):
        engine.generate("x", grammar=GRAMMAR, max_new_tokens=3, close_at_budget=True)
    assert_all_pages_back(engine)


def test_an_answer_never_outgrows_the_context() -> None:
    out = new_engine(max_positions=20).generate([1] * 15, max_new_tokens=100)
    assert len(out.token_ids) <= 5


def test_a_dead_end_fails_its_request_only() -> None:
    engine = new_engine()
    stuck = Grammar.lark('start: "ab" NEVER\nNEVER: /a/ & /b/\n')
    good = engine.add(Request("x", max_new_tokens=5))
    bad = engine.add(Request("x", grammar=stuck, max_new_tokens=5))
    events = [event for _ in range(8) for event in engine.step()]
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.request_id for event in failed] == [bad]
    assert isinstance(failed[0].error, GrammarDeadEnd)
    assert [event.request_id for event in events if isinstance(event, Finished)] == [good]
    assert_all_pages_back(engine)


@dataclass(frozen=True)
class Late(Autoregressive):
    """Leaves its mask for later, and writes down when it is asked for."""

    log: list[str] = field(default_factory=list)
    breaks: bool = False

    def step(self, sequence: Decodable) -> Step:
        def mask() -> None:
            self.log.append("mask")
            if self.breaks:
                raise GrammarDeadEnd("ahead")

        pick = Pick(row=len(sequence.tail) - 1, position=sequence.length, mask_W=mask)
        scores = yield Span(sequence.tail, start=sequence.num_cached, picks=(pick,))
        sequence.num_cached = sequence.length
        sequence.commit(scores.tokens[0], scores.logprobs[0], Origin.AUTOREGRESSIVE)


def test_masks_left_for_later_are_asked_for_once_the_forward_is_under_way() -> None:
    log: list[str] = []
    engine = new_engine()
    forward = engine.network.forward

    def logged(*args: object) -> torch.Tensor:
        log.append("forward")
        return forward(*args)  # type: ignore[arg-type]

    engine.network.forward = logged  # type: ignore[method-assign]
    engine.generate([1, 2], mode=Late(log), max_new_tokens=2)
    assert log == ["forward", "mask", "forward", "mask"]


class Asking(ScriptedNetwork):
    """Asks what may be picked before it computes anything, as the compiled forward does."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size, mask_token_id=vocab_size - 1)
        self.masks: list[Many[Tensor | None] | None] = []

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        self.masks.append(None if batch.masks is None else batch.masks())
        return super().forward(batch, storage)


def test_a_network_that_asks_for_masks_has_them_computed_once() -> None:
    log: list[str] = []
    network = Asking(VOCAB)
    with Engine(network, TOKENIZER, cache_tokens=256) as engine:
        engine.generate([1, 2], mode=Late(log), max_new_tokens=3)
        engine.generate([1, 2], max_new_tokens=2)
    assert log == ["mask"] * 3
    assert network.masks == [[None]] * 5


def test_a_network_is_told_the_masks_of_what_is_picked() -> None:
    network = Asking(VOCAB)
    with Engine(network, TOKENIZER, cache_tokens=512) as engine:
        prompt = [1, 2, 3]
        done = engine.generate(prompt, grammar=GRAMMAR, max_new_tokens=8)
        told = [mask_W for masks in network.masks if masks for mask_W in masks]
        network.masks.clear()
        engine.generate(prompt, grammar=GRAMMAR, mode=BlockDiffusion(4), max_new_tokens=8)
    named = zip(done.token_ids, done.records, strict=True)
    picked = [token for token, record in named if record.origin is Origin.AUTOREGRESSIVE]
    assert len(told) == len(picked) > 1
    for token, mask_W in zip(picked, told, strict=True):
        assert mask_W is not None
        allowed_V = unpack_masks(mask_W[None], VOCAB)[0]
        assert allowed_V[token]
        assert not allowed_V.all()
    # A ranking is of all tokens, so rows that are denoised are scored without one.
    assert any(masks and set(masks) == {None} for masks in network.masks)


@pytest.mark.parametrize("network", [ScriptedNetwork, Asking])
def test_a_late_mask_that_fails_ends_its_request_only(
    network: Callable[[int], ScriptedNetwork],
) -> None:
    engine = Engine(network(VOCAB), TOKENIZER, cache_tokens=512)
    good = engine.add(Request([1, 2], max_new_tokens=3))
    bad = engine.add(Request([1, 2], mode=Late(breaks=True), max_new_tokens=3))
    events = [event for _ in range(8) for event in engine.step()]
    assert [event.request_id for event in events if isinstance(event, Failed)] == [bad]
    assert [event.request_id for event in events if isinstance(event, Finished)] == [good]
    alone = new_engine().generate([1, 2], max_new_tokens=3)
    assert [e.completion.token_ids for e in events if isinstance(e, Finished)] == [alone.token_ids]
    assert_all_pages_back(engine)


def test_only_forwards_of_decoding_correct_the_measured_cost() -> None:
    network = ScriptedNetwork(VOCAB, max_positions=400)
    measured = ForwardCost(Curve((1, 64), (1.0, 64.0)))
    engine = Engine(
        network, TOKENIZER, cache_tokens=4096, max_forward_rows=8, forward_cost=lambda _: measured
    )
    engine.add(Request([1] * 30, mode=Auto(), max_new_tokens=30))
    for _ in range(4):  # pieces of the prompt, and its end
        engine.step()
        assert engine.calibrate() == measured
    while not engine.is_idle:
        engine.step()
    assert engine.calibrate() != measured


def test_whole_prompts_that_end_in_a_forward_correct_nothing() -> None:
    measured = ForwardCost(Curve((1, 64), (1.0, 64.0)))
    network = ScriptedNetwork(VOCAB, max_positions=400)
    engine = Engine(network, TOKENIZER, cache_tokens=4096, forward_cost=lambda _: measured)
    decoding = engine.add(Request([1], mode=Auto(), max_new_tokens=9))
    engine.step()
    for first in (2, 3):
        engine.add(Request([first] * 8, max_new_tokens=1))
    engine.step()
    assert engine.calibrate() == measured
    assert decoding in engine._live


def test_a_network_error_leaves_the_engine_usable() -> None:
    engine = new_engine()
    expected = engine.generate([1, 2], max_new_tokens=6)
    forward, calls = engine.network.forward, []

    def failing(*args: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError("no more memory")
        return forward(*args)  # type: ignore[arg-type]

    engine.network.forward = failing  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        engine.generate([1, 2], max_new_tokens=6)
    assert_all_pages_back(engine)
    assert engine.generate([1, 2], max_new_tokens=6).token_ids == expected.token_ids


def test_leaving_a_stream_gives_the_pages_back() -> None:
    engine = new_engine()
    events = engine.stream(Request([1, 2, 3], max_new_tokens=100))
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert_all_pages_back(engine)


def test_a_closed_engine_says_so() -> None:
    engine = new_engine()
    engine.add(Request([1], max_new_tokens=5))
    engine.step()
    engine.close()
    engine.close()
    (last,) = [event for event in engine.step() if isinstance(event, Finished)]
    assert last.completion.finish_reason == "cancelled"
    with pytest.raises(EngineClosed):
        engine.add(Request([1]))
    assert_all_pages_back(engine)


def test_requests_are_validated_on_construction() -> None:
    with pytest.raises(ValueError, match="max_new_tokens"):
        Request("x", max_new_tokens=0)
    with pytest.raises(ValueError, match="tuple of non-empty strings"):
        Request("x", stop=("",))
    with pytest.raises(ValueError, match="tuple of non-empty strings"):
        Request("x", stop="END")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a grammar"):
        Request("x", close_at_budget=True)


def test_an_unseeded_request_draws_a_seed_and_tells_it() -> None:
    engine = new_engine()
    hot = Sampling(temperature=1.0)
    first, second = (engine.generate([1], sampling=hot, max_new_tokens=20) for _ in range(2))
    assert first.seed != second.seed
    again = engine.generate(
        [1], sampling=Sampling(temperature=1.0, seed=first.seed), max_new_tokens=20
    )
    assert again.token_ids == first.token_ids


def ends(engine: Engine) -> tuple[Failed, Finished]:
    """How two requests end, of which one fails."""
    events: list[Event] = []
    while not engine.is_idle:
        events += engine.step()
    (failed,) = (event for event in events if isinstance(event, Failed))
    (finished,) = (event for event in events if isinstance(event, Finished))
    return failed, finished


class Faulty:
    """A drafter with a bug that shows after a few steps."""

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()
        if sequence.length > 6:
            raise KeyError("a bug")
        return empty_draft(sequence)


def test_an_error_of_ones_own_drafter_ends_its_request_only() -> None:
    engine = new_engine()
    good = engine.add(Request([1], max_new_tokens=9))
    bad = engine.add(Request([2], mode=SelfSpeculation(4, Faulty()), max_new_tokens=9))
    failed, finished = ends(engine)
    assert (failed.request_id, finished.request_id) == (bad, good)
    assert isinstance(failed.error, KeyError)
    assert failed.stats.new_tokens == 6
    assert finished.completion.stats.forwards == 9
    assert engine.stats().new_tokens == 15
    assert_all_pages_back(engine)


class Foreign:
    """A drafter made for a model with more tokens."""

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()

        def propose(guesses: Many[Guess]) -> tuple[Candidate, ...]:
            return (Candidate(VOCAB + 7, Origin.COPIED),)

        return extend_draft(sequence, empty_draft(sequence), 2, propose)


def test_guesses_that_are_no_tokens_end_their_request_only() -> None:
    engine = new_engine()
    good = engine.add(Request([1], max_new_tokens=9))
    bad = engine.add(Request([2], mode=SelfSpeculation(4, Foreign()), max_new_tokens=9))
    failed, finished = ends(engine)
    assert (failed.request_id, finished.request_id) == (bad, good)
    assert str(VOCAB + 7) in str(failed.error)
    assert_all_pages_back(engine)


@dataclass(frozen=True, slots=True)
class Careless:
    """A drafter that minds neither the room nor what tokens there are."""

    drafted: Draft
    ends_badly: bool = False

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        try:
            yield Span(sequence.tail, sequence.num_cached)
        except GeneratorExit:
            if self.ends_badly:
                raise KeyError("no end") from None
            raise
        return replace(self.drafted, mask_W=sequence.mask())


def guessed(*tokens: int) -> tuple[Guess, ...]:
    return tuple(Guess(Candidate(token, Origin.COPIED)) for token in tokens)


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        (Draft(guessed(*range(1, 32)), None), "sequence.room"),
        (Draft(guessed(-1), None), "from -1"),
    ],
)
def test_guesses_without_room_end_their_request_only(draft: Draft, told: str) -> None:
    engine = new_engine()
    good = engine.add(Request([1], max_new_tokens=9))
    mode = SelfSpeculation(32, Careless(draft))
    bad = engine.add(Request([2] * 15, mode=mode, max_new_tokens=2))
    failed, finished = ends(engine)
    assert (failed.request_id, finished.request_id) == (bad, good)
    assert isinstance(failed.error, ValueError)
    assert told in str(failed.error)
    assert_all_pages_back(engine)


@dataclass(frozen=True, slots=True)
class Askew(Autoregressive):
    """A mode of one's own whose spans, once the prompt is read, are wrong in one thing."""

    spoil: Callable[[Span], Span]

    def step(self, sequence: Decodable) -> Step:
        pick = Pick(len(sequence.tail) - 1, sequence.length)
        span = Span(sequence.tail, sequence.num_cached, picks=(pick,))
        is_first = sequence.length == sequence.num_prompt
        scores = yield span if is_first else self.spoil(span)
        sequence.num_cached = sequence.length
        sequence.commit(scores.tokens[0] if scores.tokens else 1, 0.0, Origin.AUTOREGRESSIVE)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda span: replace(span, picks=(Pick(len(span.tokens), 9),)), "picks from row 1"),
        (lambda span: replace(span, picks=(Pick(-1, 9),)), "picks from row -1"),
        (lambda span: replace(span, adapter=True), "scripted has none"),
        (lambda span: replace(span, start=span.start + 1), "2 are encoded"),
        (lambda span: replace(span, start=span.start - 1), "2 are encoded"),
        (lambda span: replace(span, tokens=(), picks=()), "one token at least"),
        (lambda span: replace(span, branches=(Branch(0, (1,)),)), "behind 0 rows"),
        (lambda span: replace(span, branches=(Branch(1, ()),)), "a branch of 0 tokens"),
    ],
)
def test_spans_that_are_wrong_end_their_request_only(
    spoil: Callable[[Span], Span], told: str
) -> None:
    engine = new_engine()
    bad = engine.add(Request([1, 2], mode=Askew(spoil), max_new_tokens=5))
    good = engine.add(Request([1, 2, 3], max_new_tokens=5))
    failed, finished = ends(engine)
    assert (failed.request_id, finished.request_id) == (bad, good)
    assert isinstance(failed.error, ValueError)
    assert told in str(failed.error)
    alone = new_engine().generate([1, 2, 3], max_new_tokens=5)
    assert finished.completion.token_ids == alone.token_ids
    assert_all_pages_back(engine)


def test_who_has_failed_is_no_company_while_the_error_is_held() -> None:
    engine = new_engine()
    engine.add(
        Request([1, 2], mode=Askew(lambda span: replace(span, adapter=True)), max_new_tokens=5)
    )
    engine.add(Request([1], max_new_tokens=9))
    failed, _ = ends(engine)
    assert failed.error.__traceback__ is not None
    assert engine._pace.rows == 0
    assert engine._pace.tokens == pytest.approx(0.0)


def test_sides_that_nobody_asked_for_are_left_out() -> None:
    draft = Draft(guessed(3), None, sides=(SideDraft(0, Draft(guessed(5), None)),))
    plain = new_engine().generate([1], max_new_tokens=9)
    found = new_engine().generate([1], max_new_tokens=9, mode=SelfSpeculation(4, Careless(draft)))
    assert found.token_ids == plain.token_ids


def test_a_clean_up_that_fails_keeps_nothing() -> None:
    engine = new_engine()
    mode = SelfSpeculation(4, Careless(Draft((), None), ends_badly=True))
    number = engine.add(Request([1], mode=mode, max_new_tokens=9))
    engine.step()
    engine.step()  # a draft is under way again
    with pytest.warns(RuntimeWarning, match="clean-up failed: KeyError"):
        engine.abort(number)
    (event,) = engine.step()
    assert isinstance(event, Finished)
    assert event.completion.finish_reason == "cancelled"
    assert_all_pages_back(engine)


def test_a_table_of_a_model_with_more_tokens_is_refused() -> None:
    table = NgramTable.learn([([VOCAB + 3, 2] * 9, 0)], 9)
    with pytest.raises(ValueError, match=f"knows token {VOCAB + 3}"):
        new_engine().generate([1], mode=SelfSpeculation(4, NgramDrafter(table)))


def test_no_event_is_lost_when_the_network_fails() -> None:
    """Also of a request that ends in the very step in which another one's forward fails."""
    engine = new_engine()
    forward = engine.network.forward
    broken = [False]

    def failing(*args: object) -> torch.Tensor:
        if broken[0]:
            raise MemoryError("no more memory")
        return forward(*args)  # type: ignore[arg-type]

    engine.network.forward = failing  # type: ignore[method-assign]
    engine.add(Request([1], max_new_tokens=9))
    engine.step()
    forced = engine.add(Request([1], grammar=Grammar.json_schema({"const": 1})))
    broken[0] = True
    with pytest.raises(MemoryError):
        engine.step()
    broken[0] = False
    finished = [event.request_id for event in engine.step() if isinstance(event, Finished)]
    assert finished == [forced]


def test_events_taken_by_another_caller_are_an_error_not_a_hang() -> None:
    engine = new_engine()
    events = engine.stream(Request([1], max_new_tokens=9))
    next(events)
    while not engine.is_idle:
        engine.step()
    with pytest.raises(DecodingError, match="taken by another caller"):
        list(events)


def test_so_they_are_where_another_request_goes_on() -> None:
    engine = new_engine()
    long = engine.add(Request([2], max_new_tokens=60))
    events = engine.stream(Request([1], max_new_tokens=3))
    next(events)
    taken = [event.request_id for _ in range(4) for event in engine.step()]
    assert taken.count(long) < len(taken)
    with pytest.raises(DecodingError, match="taken by another caller"):
        list(events)


def test_a_stream_that_is_closed_before_it_begins_is_aborted() -> None:
    engine = new_engine()
    events = engine.stream(Request([1], max_new_tokens=9))
    assert not engine.is_idle
    cast("Generator[object]", events).close()
    assert engine.step() == []
    assert engine.is_idle
    assert_all_pages_back(engine)


def test_a_fork_may_go_further_than_what_it_was_forked_from() -> None:
    engine = new_engine()
    parent = engine.add(Request([1], max_new_tokens=4))
    engine.step()
    child = engine.fork(parent, max_new_tokens=20)
    done = {}
    while not engine.is_idle:
        for event in engine.step():
            if isinstance(event, Finished):
                done[event.request_id] = event.completion
    assert len(done[parent].token_ids) == 4
    assert len(done[child].token_ids) == 20


def test_a_refused_request_takes_the_batch_back() -> None:
    engine = new_engine()
    with pytest.raises(ValueError, match="999"):
        engine.generate_many([Request([1]), Request([999])])
    assert_all_pages_back(engine)
    assert engine.stats().waiting_requests == 0


def test_what_was_committed_before_a_failure_is_told() -> None:
    engine = new_engine()
    stuck = Grammar.lark('start: /[xy]/ "ab" NEVER\nNEVER: /c/ & /d/\n')
    engine.add(Request([1], grammar=stuck))
    events: list[Event] = []
    while not engine.is_idle:
        events += engine.step()
    told = "".join(event.text for event in events if isinstance(event, Committed))
    assert told.endswith("ab")
    assert isinstance(events[-1], Failed)
    assert events[-1].stats.new_tokens == len(TOKENIZER.encode(told))


def test_prompts_that_never_ran_are_no_hits_and_no_misses() -> None:
    engine = new_engine(max_live=1)
    engine.add(Request([1] * 20, max_new_tokens=2))
    engine.abort(engine.add(Request([1] * 20, max_new_tokens=2)))
    while not engine.is_idle:
        engine.step()
    assert engine.stats().prompt_tokens == 20


def test_whole_numbers_of_other_libraries_are_token_ids() -> None:
    expected = new_engine().generate([1, 2], max_new_tokens=4).token_ids
    for prompt in (np.array([1, 2]), torch.tensor([1, 2]), [np.int64(1), 2]):
        assert new_engine().generate(prompt, max_new_tokens=4).token_ids == expected
    with pytest.raises(TypeError, match="it holds a bool"):
        new_engine().generate([True, False])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"mode": Autoregressive}, "mode must be a record"),
        ({"mode": "auto"}, "mode must be a record"),
        ({"grammar": {"type": "object"}}, "grammar must be a Grammar"),
        ({"sampling": {"temperature": 1}}, "sampling must be a Sampling"),
        ({"max_new_tokens": 2.5}, "max_new_tokens must be a whole number"),
        ({"stop": (3,)}, "stop must be a tuple of non-empty strings"),
        ({"stop_token_ids": (-5,)}, "stop_token_ids must be token ids"),
    ],
)
def test_wrong_arguments_are_refused_where_they_enter(arguments: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        new_engine().generate([1], **arguments)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Sampling(seed=1.5), "seed must be a whole number"),
        (lambda: Sampling(top_k=2.5), "top_k must be a whole number"),
        (lambda: SelfSpeculation(2.5), "block_length must be a whole number"),
        (lambda: BlockDiffusion(max_denoise_steps=1.5), "max_denoise_steps must be a whole number"),
        (lambda: Auto(free=Autoregressive), "a mode of Auto must be a record"),
        (lambda: BlockDiffusion(sampler=FixedSchedule), "sampler must be a record"),
        (lambda: AsyncEngine(new_engine()), "a function that makes the engine"),
        (lambda: Request(None), "a prompt is text"),
        (lambda: SelfSpeculation(drafter=LookupDrafter), "drafter must be a record"),
        (lambda: LookupDrafter(min_match=1.5), "min_match must be a whole number"),
        (lambda: LookupDrafter(max_match=4.0), "max_match must be a whole number"),
        (lambda: CombinedDrafter(enough=1.5), "enough must be a whole number"),
        (lambda: BlockDiffusion(sampler=0.9), "sampler must be a record"),
    ],
)
def test_wrong_parameters_are_refused_where_they_enter(make: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        make()


def test_a_fork_within_a_character_of_byte_tokens_shows_no_text_twice() -> None:
    tokenizer = metaspace_tokenizer()
    ids = [*tokenizer.encode("a b\u00dfab"), tokenizer.eos_token_ids[0]]

    def script(tokens: tuple[int, ...]) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor(ids[len(tokens) - 1]), 300) * 9.0

    for steps in range(1, len(ids)):
        engine = Engine(ScriptedNetwork(300, script=script), tokenizer, cache_tokens=512)
        parent = engine.add(Request([1], max_new_tokens=40))
        shown = ""
        for _ in range(steps):
            shown += "".join(each.text for each in engine.step() if isinstance(each, Committed))
        child = engine.fork(parent)
        done = {}
        while not engine.is_idle:
            for event in engine.step():
                if isinstance(event, Finished):
                    done[event.request_id] = event.completion
        assert shown + done[child].text == done[parent].text


@pytest.mark.parametrize("mode", [Autoregressive(), SelfSpeculation(4), BlockDiffusion(4)])
@pytest.mark.parametrize("grammar", [None, GRAMMAR])
def test_numbers_that_are_not_finite_fail_by_name(
    mode: DecodeMode, grammar: Grammar | None
) -> None:
    def script(tokens: tuple[int, ...]) -> torch.Tensor:
        logits_V = torch.zeros(VOCAB)
        logits_V[5:] = torch.nan if len(tokens) > 8 else 0.0
        return logits_V

    network = ScriptedNetwork(
        VOCAB, script=script, mask_token_id=TOKENIZER.mask_token_id, skill=1.0
    )
    engine = Engine(network, TOKENIZER, cache_tokens=512)
    with pytest.raises(NotFinite, match=r"logits of scripted at position \d+ are not finite"):
        engine.generate([1, 2], mode=mode, grammar=grammar, max_new_tokens=40)
    assert_all_pages_back(engine)


# --- what the network is told


class Told(ScriptedNetwork):
    """Keeps how far the rows of its forwards reach."""

    def __init__(self) -> None:
        super().__init__(VOCAB, mask_token_id=VOCAB - 1)
        self.reaches: list[list[float]] = []

    def forward(self, batch: ForwardBatch, storage: Storage) -> Tensor:
        assert batch.reach_R is not None
        self.reaches.append(batch.reach_R.tolist())
        return super().forward(batch, storage)


@pytest.mark.parametrize(
    ("request_", "reach"),
    [
        (Request([1, 2, 3]), 6.0),
        (Request([1, 2, 3], sampling=Sampling(temperature=0.5, seed=1)), 8.0),
        (Request([1, 2, 3], sampling=Sampling(temperature=1.5, seed=1)), 12.0),
        (Request([1, 2, 3], grammar=GRAMMAR), 6.0),
    ],
    ids=["greedy", "cool", "hot", "grammar"],
)
def test_rows_reach_as_far_as_their_picks_do(request_: Request, reach: float) -> None:
    network = Told()
    with Engine(network, TOKENIZER, cache_tokens=256) as engine:
        asked = replace(request_, mode=SelfSpeculation(4, LookupDrafter()), max_new_tokens=8)
        engine.generate_many([asked, replace(asked, grammar=None, sampling=Sampling())])
    assert {each for reaches in network.reaches for each in reaches} == {reach, 6.0}


@dataclass(frozen=True)
class Ranking(Autoregressive):
    """Asks for a ranking beside its pick."""

    def step(self, sequence: Decodable) -> Step:
        pick = Pick(len(sequence.tail) - 1, sequence.length, sequence.mask)
        scores = yield Span(sequence.tail, start=sequence.num_cached, picks=(pick,), ranks=2)
        sequence.num_cached = sequence.length
        sequence.commit(scores.tokens[0], scores.logprobs[0], Origin.AUTOREGRESSIVE)


def test_rows_that_are_ranked_reach_everywhere() -> None:
    network = Told()
    with Engine(network, TOKENIZER, cache_tokens=256) as engine:
        engine.generate([1, 2, 3], mode=Ranking(), grammar=GRAMMAR, max_new_tokens=8)
    assert {each for reaches in network.reaches for each in reaches} == {float("inf")}


def test_denoised_rows_reach_everywhere() -> None:
    network = Told()
    with Engine(network, TOKENIZER, cache_tokens=256) as engine:
        engine.generate([1, 2, 3], mode=BlockDiffusion(4), max_new_tokens=8)
    assert [float("inf")] * 3 in network.reaches  # the first of a block is not denoised
