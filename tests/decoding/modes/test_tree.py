"""Branches off a draft: which guesses are sent beside it, and that they earn what they cost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding import (
    Auto,
    Autoregressive,
    DecodeMode,
    DiffusionDrafter,
    Grammar,
    Purpose,
    Request,
    SelfSpeculation,
    Span,
)
from decoding.constraint import Constraint, Lookahead
from decoding.errors import CacheExhausted
from decoding.modes.draft import Candidate, Draft, Guess, empty_draft, extend_draft
from decoding.modes.tree import branch_out
from decoding.record import Origin
from decoding.sequence import Sequence
from tests.decoding.branching import Sure, assert_branches_pay
from tests.decoding.modes.scripted import TOKENIZER, VOCAB, scripted_engine
from tests.decoding.soundness import assert_all_pages_back

WORDS = Grammar.regex(r"[abc]+(de)?f")


def sequence(grammar: Grammar | None, room: int) -> Sequence:
    constraint = None
    if grammar is not None:
        constraint = Constraint(grammar.compile(TOKENIZER, VOCAB).matcher())
    return Sequence(
        0,
        Request([1]),
        (1,),
        mode=SelfSpeculation(),
        seed=0,
        max_new_tokens=room,
        end_token_ids=frozenset(TOKENIZER.eos_token_ids),
        detokenizer=TOKENIZER.detokenizer(),
        constraint=constraint,
    )


LETTERS = [TOKENIZER.encode(letter)[0] for letter in "abcdef"]


@st.composite
def rankings(draw: st.DrawFn) -> tuple[tuple[Candidate, ...], ...]:
    """Some letters for each of a few places, with probabilities."""
    places = []
    for _ in range(draw(st.integers(1, 6))):
        tokens = draw(st.permutations(LETTERS))[: draw(st.integers(2, 6))]
        weights = sorted((draw(st.integers(1, 50)) for _ in tokens), reverse=True)
        places.append(
            tuple(
                Candidate(token, Origin.ACCEPTED, math.log(weight / (sum(weights) + 1)))
                for token, weight in zip(tokens, weights, strict=True)
            )
        )
    return tuple(places)


@given(rankings(), st.integers(0, 12), st.integers(1, 10), st.sampled_from([None, WORDS]))
def test_branches_are_legal_different_and_within_what_is_allowed(
    proposals: tuple[tuple[Candidate, ...], ...], most: int, room: int, grammar: Grammar | None
) -> None:
    own = sequence(grammar, room)
    count = min(len(proposals), room)
    trunk = extend_draft(own, empty_draft(own), count, lambda guesses: proposals[len(guesses)])
    draft = Draft(trunk.guesses, trunk.mask_W, trunk.is_open, proposals)
    branched = branch_out(own, draft, most)
    assert branched.guesses == draft.guesses
    assert sum(len(side.draft.guesses) for side in branched.sides) <= most
    paths = [(*draft.tokens[: side.place], *side.draft.tokens) for side in branched.sides]
    assert len(set(paths)) == len(paths)
    for side in branched.sides:
        assert not draft.guesses[side.place].is_forced
        assert side.draft.guesses[0].token != draft.guesses[side.place].token
        assert side.place + len(side.draft.guesses) <= room
        path = [*draft.tokens[: side.place], *side.draft.tokens]
        if grammar is not None:
            assert grammar.compile(TOKENIZER, VOCAB).matcher().validate(path) == len(path)
        ahead = own.preview()
        for token in path:
            ahead.accept(token)
        if side.draft.is_open:
            assert _words(side.draft, ahead)


def _words(draft: Draft, ahead: Lookahead) -> bool:
    """Whether the mask behind the draft is the grammar's."""
    mask_W, right_W = draft.mask_W, ahead.mask()
    if mask_W is None or right_W is None:
        return mask_W is right_W
    return bool((mask_W == right_W).all())


@given(rankings(), st.integers(1, 12))
def test_more_guesses_are_those_of_fewer_and_less_likely_ones(
    proposals: tuple[tuple[Candidate, ...], ...], most: int
) -> None:
    own = sequence(None, 20)
    trunk = Draft(tuple(Guess(ranked[0]) for ranked in proposals), None, True, proposals)
    first, fewer, more = (
        set(paths(branch_out(own, trunk, count))) for count in (1, most, most + 1)
    )
    assert first <= fewer <= more
    alternatives = [
        sum(ranked[0].logprob for ranked in proposals[:place]) + candidate.logprob
        for place, ranked in enumerate(proposals)
        for candidate in ranked[1:]
    ]
    likely = [each for each in alternatives if each > math.log(0.002)]
    assert len(first) == bool(likely)
    for path in first:
        logprobs = [
            next(each.logprob for each in ranked if each.token == token)
            for token, ranked in zip(path, proposals, strict=False)
        ]
        assert sum(logprobs) == pytest.approx(max(likely))


def paths(draft: Draft) -> list[tuple[int, ...]]:
    """All that the sides say, from the first place on."""
    return [
        (*draft.tokens[: side.place], *side.draft.tokens[:end])
        for side in draft.sides
        for end in range(1, len(side.draft.guesses) + 1)
    ]


def test_a_branch_that_differs_twice_repeats_the_one_it_differs_from() -> None:
    proposals = tuple(
        (
            Candidate(LETTERS[0], Origin.ACCEPTED, math.log(0.51)),
            Candidate(LETTERS[1], Origin.ACCEPTED, math.log(0.49)),
        )
        for _ in range(2)
    )
    trunk = Draft(tuple(Guess(ranked[0]) for ranked in proposals), None, True, proposals)
    branched = branch_out(sequence(None, 20), trunk, 5)
    a, b = LETTERS[:2]
    assert [(side.place, side.draft.tokens) for side in branched.sides] == [
        (0, (b, a)),
        (1, (b,)),
        (0, (b, b)),
    ]


@pytest.mark.parametrize("page_size", [1, 4, 16])
def test_a_branch_that_is_right_is_committed_whole(page_size: int) -> None:
    engine = scripted_engine(skill=1.0, page_size=page_size)
    assert_branches_pay(engine, engine, [1, 2, 3])
    assert_all_pages_back(engine)


def test_scratch_is_leased_with_the_answer() -> None:
    engine = scripted_engine(page_size=4, cache_tokens=64)
    mode = SelfSpeculation(8, side_guesses=8)
    with pytest.raises(CacheExhausted):
        engine.add(Request([1] * 20, mode=mode, max_new_tokens=40))
    engine.add(Request([1] * 20, mode=Auto(free=mode), max_new_tokens=36))
    engine.step()
    assert engine.stats().free_pages == 0


def test_a_mode_taken_up_on_the_way_does_with_what_is_leased() -> None:
    mode = SelfSpeculation(8, Sure(DiffusionDrafter()), side_guesses=8)

    def verified(first: DecodeMode) -> list[Span]:
        engine = scripted_engine(skill=1.0, page_size=4)
        request = engine.add(Request([1, 2, 3], mode=first, max_new_tokens=30))
        engine.step()
        assert engine.switch(request, mode)
        spans = []
        while not engine.is_idle:
            engine.step()
            spans += [one.span for one in engine._live.values()]
        return [span for span in spans if span.purpose is Purpose.VERIFY]

    assert any(span.branches for span in verified(mode))
    without = verified(Autoregressive())
    assert without
    assert not any(span.branches for span in without)


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "8"])
def test_side_guesses_are_a_count(wrong: int) -> None:
    with pytest.raises(ValueError, match="side_guesses must be a whole number >= 0"):
        SelfSpeculation(side_guesses=wrong)
