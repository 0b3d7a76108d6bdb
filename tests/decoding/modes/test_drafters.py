"""What drafters guess. That guesses never change the text is shown elsewhere."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding import (
    CombinedDrafter,
    Decodable,
    DiffusionDrafter,
    Drafter,
    Drafting,
    LookupDrafter,
    Purpose,
    Request,
    SelfSpeculation,
)
from decoding.copies import CopyIndex
from decoding.modes.denoise import hinted_first
from decoding.modes.draft import Candidate, Guess, empty_draft
from decoding.modes.drafters.lookup import CopySource
from decoding.network.base import Network
from decoding.record import Origin
from decoding.sequence import Sequence
from tests.decoding.modes.scripted import JSON, TOKENIZER, scripted_engine


def copies(tokens: list[int], count: int, *, most: int = 4, least: int = 1) -> list[int]:
    source, guesses = CopySource(CopyIndex(tokens), most, least), list[Guess]()
    while len(guesses) < count and (found := source.next(guesses)):
        guesses.append(Guess(found[0]))
    return [guess.token for guess in guesses]


def test_lookup_copies_what_followed_the_latest_longest_match() -> None:
    assert copies([1, 2, 3, 9, 1, 2, 3, 8, 7, 6, 1, 2, 3], 3) == [8, 7, 6]
    assert copies([5, 1, 2, 7, 4, 2, 9, 1, 2], 1) == [7]  # two tokens beat the later one
    assert copies([1, 2, 3], 4) == []
    assert copies([1, 2, 1], 4, least=2) == []
    assert copies([4, 4], 3) == [4, 4, 4]  # a copy may run into what it copied


def test_lookup_looks_anew_where_the_guesses_leave_the_copy() -> None:
    source = CopySource(CopyIndex([1, 2, 3, 4, 1, 7, 8, 9, 1]), 2, 1)
    assert source.next([])[0].token == 7
    forced = Guess(Candidate(2, Origin.FORCED))
    assert source.next([forced])[0].token == 3


def naive(tokens: list[int], most: int, least: int) -> int | None:
    for size in range(most, least - 1, -1):
        for at in range(len(tokens) - size - 1, -1, -1):
            if tokens[at : at + size] == tokens[len(tokens) - size :]:
                return tokens[at + size]
    return None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 255, 256, 257, 65536, 2**24]), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_lookup_finds_what_a_plain_search_finds(tokens: list[int], least: int, more: int) -> None:
    found = copies(tokens, 1, most=least + more, least=least)
    expected = naive(tokens, least + more, least)
    assert found == ([] if expected is None else [expected])


def drafted(drafter: Drafter, prompt: list[int], **mode: float) -> list[tuple[int, ...]]:
    """The verified spans of a short run."""
    engine = scripted_engine(skill=0.9)
    speculation = SelfSpeculation(8, drafter, **mode)
    engine.add(Request(prompt, mode=speculation, max_new_tokens=24))
    spans = []
    while not engine.is_idle:
        engine.step()
        spans += [one.span for one in engine._live.values()]
    return [span.tokens for span in spans if span.purpose is Purpose.VERIFY]


def test_drafts_with_and_without_the_adapter_differ() -> None:
    assert drafted(DiffusionDrafter(adapter=True), [1]) != drafted(
        DiffusionDrafter(adapter=False), [1]
    )
    assert drafted(DiffusionDrafter(), [1]) == drafted(DiffusionDrafter(adapter=True), [1])


def test_a_threshold_refines_drafts_in_several_forwards() -> None:
    engine = scripted_engine(skill=0.7)

    def run(threshold: float) -> tuple[int, int]:
        mode = SelfSpeculation(8, DiffusionDrafter(), draft_threshold=threshold)
        stats = engine.generate([1, 2], mode=mode, max_new_tokens=40).stats
        drafts = stats.forwards - stats.accepted
        return drafts, stats.drafted

    assert run(0.9)[0] > run(0.0)[0]


def test_the_combination_copies_first_and_denoises_otherwise() -> None:
    engine = scripted_engine(skill=1.0)
    again = engine.generate([1, 2, 3], max_new_tokens=30)
    prompt = [1, 2, 3, *again.token_ids, 1, 2, 3]
    mode = SelfSpeculation(8, CombinedDrafter())
    out = scripted_engine(skill=1.0).generate(prompt, mode=mode, max_new_tokens=30)
    purposes = {each.purpose for each in out.forwards}
    assert Purpose.DRAFT in purposes
    assert out.stats.accepted == out.stats.origins["accepted"] + out.stats.origins.get("copied", 0)


def test_drafts_are_legal_and_hold_the_forced_tokens() -> None:
    engine = scripted_engine(skill=0.0)
    engine.add(Request([1], mode=SelfSpeculation(16, DiffusionDrafter()), grammar=JSON))
    matcher = JSON.compile(TOKENIZER, 288).matcher
    checked = 0
    while not engine.is_idle:
        engine.step()
        for one in engine._live.values():
            if one.span.purpose is Purpose.VERIFY:
                answer = [*one.sequence.tokens[1:], *one.span.tokens[len(one.sequence.tail) :]]
                assert matcher().validate(answer) == len(answer)
                checked += 1
    assert checked > 3


@pytest.mark.parametrize("bounds", [(0, 0), (2, 3), (3, 0)])
def test_match_lengths_must_make_sense(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"(min|max)_match"):
        LookupDrafter(*bounds)
    with pytest.raises(ValueError, match="enough"):
        CombinedDrafter(enough=0)


def test_copies_are_kept_where_nothing_better_comes() -> None:
    """Behind a prompt the diffusion pathway has no guesses."""
    prompt = [1, 2, 3, 4, 5, 1, 2, 3]
    spans = []
    for drafter in (Short(), CombinedDrafter(Short(), enough=20)):
        engine = scripted_engine()
        engine.add(Request(prompt, mode=SelfSpeculation(4, drafter), max_new_tokens=9))
        engine._admit()
        spans += [one.span for one in engine._live.values()]
    assert spans[0] == spans[1]
    assert spans[0].tokens == (*prompt, 4)


@dataclass(frozen=True)
class Short:
    """Copies one token at most."""

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        return (yield from LookupDrafter(min_match=1).draft(sequence, 2, threshold))


@dataclass(frozen=True)
class InVain:
    """Denoises, and then has no guess."""

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from DiffusionDrafter(adapter=True).draft(sequence, block_length, threshold)
        return empty_draft(sequence)


@pytest.mark.parametrize(("block_length", "room"), [(2, 24), (8, 2)])
def test_copies_are_enough_where_there_is_no_room_for_more(block_length: int, room: int) -> None:
    """Nothing is denoised that could not be more than what is copied."""
    engine = scripted_engine()
    copied = CombinedDrafter(LookupDrafter(min_match=1), InVain(), enough=20)
    sequence = Sequence(
        0,
        Request([1, 2, 1, 2, 1]),
        (1, 2, 1, 2, 1),
        mode=SelfSpeculation(block_length, copied),
        seed=0,
        max_new_tokens=room,
        end_token_ids=frozenset(),
        detokenizer=TOKENIZER.detokenizer(),
        constraint=None,
    )
    sequence.num_cached, sequence.num_prompt = 4, 4
    drafting = copied.fit(engine.network).draft(sequence, block_length, 0.0)
    with pytest.raises(StopIteration) as end:
        next(drafting)
    assert end.value.value.tokens == (2,)


def test_a_copy_that_is_kept_behind_a_denoised_draft_is_not_judged_as_one() -> None:
    engine = scripted_engine(head_skill=None, table=None)
    mode = SelfSpeculation(8, CombinedDrafter(Short(), InVain()))
    made = engine.generate([1, 2, 1, 2, 1], mode=mode, max_new_tokens=40)
    assert Purpose.DRAFT in {each.purpose for each in made.forwards}
    assert made.stats.drafted > 0
    assert not any("denoising" in key for key in engine.stats().pace.acceptance)
    engine.generate([1, 2, 3], mode=SelfSpeculation(8, CombinedDrafter()), max_new_tokens=40)
    assert any("denoising" in key for key in engine.stats().pace.acceptance)


def test_a_hint_breaks_ties_and_no_more() -> None:
    ranked = (
        Candidate(5, Origin.ACCEPTED, -0.5),
        Candidate(6, Origin.ACCEPTED, -3.0),
        Candidate(7, Origin.ACCEPTED, -4.0),
    )

    def first(hinted: int | None) -> int:
        return hinted_first([(), ranked], lambda guesses: hinted, [Guess(ranked[0])])[0].token

    assert first(None) == 5
    assert first(6) == 6
    assert first(7) == 5  # the network finds it too improbable
    assert first(9) == 5  # it does not think of it
