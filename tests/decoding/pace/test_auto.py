"""What `Auto` takes, on the real engine in simulated time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    Curve,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    Fastest,
    ForwardCost,
    Grammar,
    LookupDrafter,
    Request,
    SelfSpeculation,
)
from decoding.copies import Match
from decoding.modes import Decodable
from decoding.ngrams import Continuation, NgramTable
from decoding.pace import Pace
from decoding.record import Region
from decoding.testing import ScriptedHead
from tests.decoding.modes.scripted import COST, TOKENIZER, requests, scripted_engine
from tests.decoding.pace.simulation import (
    COMPUTE_BOUND,
    FIRST_LETTER,
    MEMORY_BOUND,
    PROMPT,
    SimulatedNetwork,
    TextAt,
    again,
    num_switches,
    once,
    simulate,
)
from tests.decoding.soundness import assert_all_pages_back

FIXED: dict[str, DecodeMode] = {
    "autoregressive": Autoregressive(),
    "denoise 4": SelfSpeculation(4, DiffusionDrafter()),
    "denoise 8": SelfSpeculation(8, DiffusionDrafter()),
    "copy 8": SelfSpeculation(8, LookupDrafter()),
}
CALL_THEN_PROSE = Grammar.regex("[a-z]{40}[a-z]*")
"""Constrained for 40 letters, free behind them."""


ALWAYS_DRAFTS = Auto(free=Fastest(block_lengths=(2,), lookup=None, denoiser=None))


def skilled(position: int) -> float:
    return 0.9


def skilled_in_calls(position: int) -> float:
    return 0.95 if position < 40 else 0.0


# --- the text


@st.composite
def costs(draw: st.DrawFn) -> ForwardCost:
    def curve() -> Curve:
        times = draw(st.lists(st.floats(1e-6, 10.0), min_size=4, max_size=4))
        return Curve.through((1, 4, 16, 64), times)

    return ForwardCost(curve(), draw(st.sampled_from([None, curve()])))


@settings(max_examples=25)
@given(st.lists(requests(st.just(Auto())), min_size=1, max_size=4), costs(), st.floats(0.0, 1.0))
def test_the_text_is_the_autoregressive_one_whatever_things_cost(
    batch: list[Request], cost: ForwardCost, skill: float
) -> None:
    engine = scripted_engine(cost=cost, skill=skill)
    for request in batch:
        expected = scripted_engine().generate_many([plain(request)])[0]
        assert engine.generate_many([request])[0].token_ids == expected.token_ids
    together = scripted_engine(cost=cost, skill=skill)
    for one, request in zip(together.generate_many(batch), batch, strict=True):
        expected = scripted_engine().generate_many([plain(request)])[0]
        assert one.token_ids == expected.token_ids
        assert one.finish_reason == expected.finish_reason
    assert_all_pages_back(together)
    assert together._pace.rows == 0
    assert together._pace.tokens == pytest.approx(0.0)


def plain(request: Request) -> Request:
    return Request(
        request.prompt,
        grammar=request.grammar,
        sampling=request.sampling,
        max_new_tokens=request.max_new_tokens,
        stop=request.stop,
        close_at_budget=request.close_at_budget,
    )


# --- what is taken


def test_alone_drafts_that_are_right_are_taken() -> None:
    run = simulate(Auto(), skill_at=skilled)
    plain_run = simulate(Autoregressive())
    assert run.texts == plain_run.texts
    assert run.tokens_per_second > 1.8 * plain_run.tokens_per_second
    assert run.completions[0].stats.modes["self-speculation"] > 50


def test_drafts_that_are_wrong_are_soon_given_up() -> None:
    run = simulate(Auto(), tokens=200)
    assert run.completions[0].stats.decisions["free: autoregressive"] > 180
    warm = simulate(Auto(), tokens=200, warm_up=2)
    assert sum(warm.decisions("free: self").values()) <= 0.02 * 200


def test_where_rows_are_dear_nothing_is_drafted_however_good() -> None:
    run = simulate(Auto(), cost=COMPUTE_BOUND, skill_at=skilled, tokens=100, warm_up=1)
    assert run.decisions()["free: autoregressive"] >= 96


def test_company_makes_drafting_unprofitable() -> None:
    """The same text and the same skill; only the number of live sequences differs."""
    cost = ForwardCost(Curve((1, 16, 64), (1.0, 1.1, 4.0)))
    alone = simulate(Auto(), cost=cost, skill_at=skilled, warm_up=1)
    crowd = simulate(Auto(), cost=cost, skill_at=skilled, warm_up=1, num_live=32)
    assert share_drafting(alone) > 0.75
    assert share_drafting(crowd) < 0.1


def test_who_is_alone_goes_on_row_by_row_for_a_while_to_learn_what_that_costs() -> None:
    """Only where the cost follows what forwards take, and in no company."""

    def first_modes(engine: Engine, num_live: int) -> str:
        """A letter for each of the first tokens, when all are still there."""
        made = engine.generate_many(
            [Request([5 + at], mode=ALWAYS_DRAFTS, max_new_tokens=200) for at in range(num_live)]
        )
        return "".join(record.mode[0] for each in made for record in each.records[:160])

    free = ForwardCost(Curve((1, 64), (1.0, 1.0)))
    network = scripted_engine().network
    alone = first_modes(Engine(network, TOKENIZER, forward_cost=lambda _: free), 1)
    assert "a" * 15 in alone
    assert alone.count("a") < 30
    assert first_modes(Engine(network, TOKENIZER, forward_cost=free), 1).count("a") < 5
    together = first_modes(Engine(network, TOKENIZER, forward_cost=lambda _: free), 3)
    assert together.count("a") < 10


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What scripted heads were asked, once for each vector."""
    vectors: list[object] = []
    guess = ScriptedHead.guess

    def counted(
        self: ScriptedHead, hidden_E: NDArray[np.float32], *rest: object
    ) -> tuple[Continuation, ...]:
        if not any(each is hidden_E for each in vectors):
            vectors.append(hidden_E)
        return guess(self, hidden_E, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ScriptedHead, "guess", counted)
    return vectors


def test_a_head_that_is_never_right_is_asked_now_and_then(asked: list[object]) -> None:
    cost = ForwardCost(Curve((1, 101), (1.0, 11.0)))
    for skill, least, most in ((0.9, 0.75, 1.0), (0.0, 0.2, 0.6)):
        asked.clear()
        engine = scripted_engine(cost=cost, head_skill=skill, table=None)
        mode = Fastest(lookup=None, denoiser=None)
        forwards = engine.generate([5], mode=mode, max_new_tokens=100).stats.forwards
        assert least * forwards <= len(asked) <= most * forwards


@pytest.mark.parametrize(("num_live", "asks"), [(1, True), (8, False)])
def test_a_head_is_asked_where_a_guess_can_pay_for_its_row(
    num_live: int, asks: bool, asked: list[object]
) -> None:
    """A row costs a tenth of a forward: alone a tenth of a token, among eight nearly half."""
    engine = scripted_engine(cost=ForwardCost(Curve((1, 101), (1.0, 11.0))))
    engine.generate_many(
        [Request([5 + at], mode=Auto(), max_new_tokens=30) for at in range(num_live)]
    )
    assert bool(asked) is asks


@pytest.mark.parametrize(("text", "least", "most"), [(again, 0.5, 1.0), (once, 0.1, 0.35)])
def test_dear_guesses_are_weighed_where_that_pays(
    text: TextAt, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight sequences, a row for a tenth of a forward: copies that are always right pay."""
    looks: list[object] = []
    find = LookupDrafter.find

    def counted(self: LookupDrafter, sequence: Decodable) -> Match | None:
        looks.append(sequence)
        return find(self, sequence)

    monkeypatch.setattr(LookupDrafter, "find", counted)
    cost = ForwardCost(Curve((1, 101), (1.0, 11.0)))
    mode = Auto(free=Fastest(denoiser=None, head=None, ngrams=None))
    run = simulate(mode, cost=cost, text_at=text, tokens=120, num_live=8)
    steps = sum(run.decisions().values())
    # Who copies looks twice: to choose, and to draft.
    copies = sum(run.decisions("free: self").values())
    assert least * steps <= len(looks) - copies <= most * steps


def test_the_price_of_a_row_is_what_it_takes_in_tokens() -> None:
    """Where the first further row is dear and the next ones are not, it is that of several."""
    pace = Pace(ForwardCost(Curve((1, 2, 8, 20), (2.0, 3.0, 4.0, 10.0))))
    account = pace.account()
    assert account.price(Region.FREE) == pytest.approx((4.0 - 2.0) / 7 / 2.0)
    other = pace.account()
    other.waits_for(4)
    other.begins(Region.FREE, "autoregressive")
    pace.forward_ended()
    assert account.price(Region.FREE) == pytest.approx(1.0 / 6 / 3.5 * 2.0)


def test_the_price_stays_the_same_while_sequences_choose() -> None:
    """Whoever of the same forward chooses first or last, with more or fewer rows than before."""
    pace = Pace(ForwardCost(Curve((1, 101), (1.0, 11.0))))
    accounts = [pace.account() for _ in range(4)]
    for each in accounts:
        each.waits_for(3)
    pace.forward_ended()
    prices = []
    for each in accounts:
        prices.append(each.price(Region.FREE))
        each.waits_for(9)
    assert len(set(prices)) == 1
    assert prices[0] == pytest.approx(0.1 / 1.9)
    pace.forward_ended()
    assert accounts[0].price(Region.FREE) == pytest.approx(0.1 / 3.7)


def test_what_drafts_take_beside_the_forwards_is_in_the_price() -> None:
    """By region; where the cost is given, it is all there is."""
    pace, given_one = Pace(), Pace(COST)
    pace.measured(COST)
    for each in (pace, given_one):
        each.account().drafted(Region.CONSTRAINED, 4, 6.0, denoised=False)
    alone = pace.account()
    row = (COST.seconds(8) - COST.seconds(1)) / 7
    assert alone.price(Region.FREE) == pytest.approx(row)
    assert alone.price(Region.CONSTRAINED) == pytest.approx(row + 0.5)
    assert given_one.account().price(Region.CONSTRAINED) == pytest.approx(row)
    for _ in range(1000):
        pace.step_chosen(Region.CONSTRAINED, denoised=False)
    assert alone.price(Region.CONSTRAINED) == pytest.approx(row + 0.5)  # until the next forward
    pace.forward_ended()
    assert alone.price(Region.CONSTRAINED) == pytest.approx(row, abs=1e-3)


def test_a_guess_takes_the_rows_of_what_is_forced_behind_it() -> None:
    pace = Pace(ForwardCost(Curve((1, 101), (1.0, 11.0))))
    account = pace.account()
    assert account.price(Region.CONSTRAINED) == pytest.approx(0.1)
    for _ in range(400):
        account.earned(Region.CONSTRAINED, "autoregressive", 2, 5, 1, 1)
    pace.forward_ended()
    assert account.rows_per_guess(Region.CONSTRAINED) == pytest.approx(3.5, rel=1e-3)
    assert account.price(Region.CONSTRAINED) == pytest.approx(0.35, rel=1e-3)
    assert account.price(Region.FREE) == pytest.approx(0.1)


def test_what_a_guess_takes_is_forgotten_after_every_forward() -> None:
    engine = scripted_engine(cost=COST)
    shares, forgotten = engine._pace._shares, []
    engine.add(Request([1, 2, 3] * 5, mode=Auto(), max_new_tokens=40))
    while not engine.is_idle:
        shares[99, Region.FREE] = 1.0
        engine.step()
        forgotten.append((99, Region.FREE) not in shares)
    assert len(forgotten) > 5
    assert all(forgotten)


def test_drafts_that_take_longer_than_they_save_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Copies that are always right, of a text that repeats itself, with a clock of which drafting
    takes nothing or forty forwards' time."""
    drafted = {}
    for seconds in (0.0, 40.0):
        ticks = itertools.count(0.0, seconds)
        monkeypatch.setattr("decoding.steps.perf_counter", lambda ticks=ticks: next(ticks))
        network = SimulatedNetwork(MEMORY_BOUND, again, lambda position: 0.0)
        engine = Engine(network, TOKENIZER, forward_cost=lambda _: MEMORY_BOUND)
        monkeypatch.setattr(engine._pace, "forward_took", lambda *_: None)
        made = engine.generate([1, 2, 3], mode=Auto(), max_new_tokens=200)
        drafted[seconds] = made.stats.origins.get("copied", 0)
    assert drafted[0.0] > 100
    assert drafted[40.0] < 20


def share_drafting(run: object) -> float:
    decisions = run.decisions()  # type: ignore[attr-defined]
    drafting = sum(count for key, count in decisions.items() if "speculation" in key)
    return float(drafting) / sum(decisions.values())


@pytest.mark.parametrize(("pattern", "judged"), [("[a-m]{40}", False), ("[a-z]{40}", True)])
def test_a_copy_that_the_grammar_forbids_is_no_guess(pattern: str, judged: bool) -> None:
    """Each letter of the answer is followed by a "z" in the prompt."""
    prompt = TOKENIZER.encode("azbzczdzezfzgzhzizjzkzlzmz!")
    network = SimulatedNetwork(
        MEMORY_BOUND, lambda _, at: FIRST_LETTER + (at + PROMPT - 1) % 26, lambda _: 0.0
    )
    engine = Engine(network, TOKENIZER, forward_cost=MEMORY_BOUND)
    made = engine.generate(prompt, mode=Auto(), grammar=Grammar.regex(pattern), max_new_tokens=13)
    assert made.text == "abcdefghijklm"
    assert ("constrained: copying 1" in engine.stats().pace.acceptance) is judged


@pytest.mark.parametrize(("pattern", "judged"), [("[a-m]{40}", False), ("[a-z]{40}", True)])
def test_what_the_table_guesses_and_the_grammar_forbids_is_no_guess(
    pattern: str, judged: bool
) -> None:
    last = FIRST_LETTER + 25
    network = SimulatedNetwork(MEMORY_BOUND, lambda _, at: FIRST_LETTER + at % 13, lambda _: 0.0)
    network.ngrams = NgramTable({(0, token): Continuation(last, 5) for token in range(256)})
    engine = Engine(network, TOKENIZER, forward_cost=MEMORY_BOUND)
    mode = Fastest(lookup=None, denoiser=None)
    made = engine.generate([1, 2, 3], mode=mode, grammar=Grammar.regex(pattern), max_new_tokens=13)
    assert made.text == "abcdefghijklm"
    assert ("constrained: n-grams 5" in engine.stats().pace.acceptance) is judged
    assert any("speculation" in key for key in made.stats.decisions) is judged


def test_a_probe_that_could_not_be_made_stays_due() -> None:
    pace, free = Pace(COST), Region.FREE

    def steps_until_due() -> int:
        count = 0
        while not pace.probe_due(free):
            pace.step_chosen(free, denoised=False)
            count += 1
        return count

    assert steps_until_due() == 64
    for _ in range(100):
        pace.step_chosen(free, denoised=False)
        assert pace.probe_due(free)
    pace.step_chosen(free, denoised=True)
    assert steps_until_due() == 128


def test_a_head_without_a_vector_is_not_marked_down() -> None:
    """Behind a prompt nothing was picked that it could guess from."""
    engine = scripted_engine(table=None)
    engine.add(Request([1, 2, 3], mode=Auto(), max_new_tokens=9))
    engine._admit()
    assert engine._pace._head_gain[Region.FREE] == 1.0
    assert all(engine._pace.weighs_head(region) for region in Region)


@pytest.mark.parametrize("grammar", [None, Grammar.regex("begins with [a-z]{40}")])
def test_the_first_step_is_chosen_once(
    grammar: Grammar | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = scripted_engine()
    told: list[float] = []
    monkeypatch.setattr(engine._pace, "weighed", lambda region, gain: told.append(gain))
    engine.add(Request([1, 2, 3] * 5, mode=Auto(), grammar=grammar, max_new_tokens=40))
    engine._admit()
    assert len(told) == 1


def test_dear_guesses_are_looked_at_where_no_step_begins_at_a_multiple_of_eight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each pick forces a second token, and the prompt's length is odd."""
    looks: list[int] = []
    find = LookupDrafter.find

    def counted(self: LookupDrafter, sequence: Decodable) -> Match | None:
        looks.append(sequence.length)
        return find(self, sequence)

    monkeypatch.setattr(LookupDrafter, "find", counted)
    engine = scripted_engine(cost=COMPUTE_BOUND, table=None, head_skill=None)
    engine._pace._gain = dict.fromkeys(Region, 0.0)
    pairs = Grammar.regex("([ab]x){40}")
    engine.generate([1, 2, 3], mode=Auto(), grammar=pairs, max_new_tokens=64)
    assert all(b - a == 8 for a, b in itertools.pairwise(looks))
    assert len(looks) >= 7


def test_a_head_is_judged_in_the_regions_only_where_it_may_draft(asked: list[object]) -> None:
    engine = scripted_engine(table=None)
    for mode in (Auto(free=Autoregressive()), Auto(free=Fastest(head=None))):
        engine.generate([1, 2, 3], mode=mode, max_new_tokens=20)
    assert not asked
    assert not any("draft head" in key for key in engine.stats().pace.acceptance)
    engine.generate([1, 2, 3], mode=Auto(constrained=Autoregressive()), max_new_tokens=20)
    assert asked


def test_copies_are_taken_where_the_text_repeats_itself() -> None:
    run = simulate(Auto(), text_at=again)
    origins = run.completions[0].stats.origins
    assert origins["copied"] > 25
    assert run.tokens_per_second > 1.5


def test_a_text_that_turns_changes_the_choice_in_its_middle() -> None:
    for warm_up, late in ((0, 15), (1, 6)):
        run = simulate(
            Auto(),
            skill_at=skilled_in_calls,
            grammar=CALL_THEN_PROSE,
            tokens=120,
            warm_up=warm_up,
        )
        records = run.completions[0].records
        call = [each.mode for each in records if each.region is Region.CONSTRAINED]
        prose = [each.mode for each in records if each.region is Region.FREE]
        assert call.count("self-speculation") > 0.8 * len(call)
        assert prose[late:].count("autoregressive") > 0.95 * len(prose[late:])
        plain_run = simulate(Autoregressive(), grammar=CALL_THEN_PROSE, tokens=120)
        assert run.texts == plain_run.texts


@pytest.mark.parametrize("skill", [0.3, 0.45, 0.5, 0.55, 0.7])
def test_near_a_tie_the_choice_does_not_flap(skill: float) -> None:
    run = simulate(Auto(), skill_at=lambda position: skill, tokens=240, warm_up=1)
    assert num_switches(run.completions[0]) <= 24


# --- how fast it is


def speeds(**conditions: object) -> dict[str, float]:
    modes = {**FIXED, "auto": Auto()}
    return {
        name: simulate(mode, warm_up=4, per_live=3, **conditions).tokens_per_second  # type: ignore[arg-type]
        for name, mode in modes.items()
    }


@pytest.mark.parametrize("num_live", [1, 2, 4, 8, 16, 32])
def test_auto_is_as_fast_as_the_best_fixed_mode(num_live: int) -> None:
    found = speeds(num_live=num_live, skill_at=skilled, tokens=60)
    auto = found.pop("auto")
    assert auto >= 0.95 * max(found.values()), found


@pytest.mark.parametrize("num_live", [1, 8])
def test_auto_beats_every_fixed_mode_where_the_text_changes(num_live: int) -> None:
    found = speeds(num_live=num_live, skill_at=skilled_in_calls, grammar=CALL_THEN_PROSE, tokens=80)
    auto = found.pop("auto")
    assert auto > 1.03 * max(found.values()), found


# --- what is seen


def test_decisions_curve_and_averages_are_shown() -> None:
    run = simulate(Auto(), skill_at=skilled)
    stats = run.completions[0].stats
    assert sum(stats.decisions.values()) <= stats.forwards
    assert all(key.startswith("free: ") for key in stats.decisions)
    pace = run.engine.stats().pace
    assert pace.seconds_by_rows == {1: 1.0, 16: 1.15, 64: 2.0}
    assert max(pace.tokens_per_forward.values()) > 2.0
    assert pace.tokens_per_forward.keys() == pace.rows_per_forward.keys()
    assert pace.acceptance["free: denoising 1"] > 0.7
    assert not simulate(Autoregressive()).completions[0].stats.decisions


def test_a_mode_that_is_named_is_the_only_one_in_its_region() -> None:
    mode = Auto(free=BlockDiffusion(4))
    run = simulate(mode, skill_at=skilled_in_calls, grammar=CALL_THEN_PROSE, tokens=80)
    assert set(run.decisions("free")) == {"free: diffusion 4"}
    assert not any("diffusion" in key for key in run.decisions("constrained"))


def test_drafters_and_block_lengths_can_be_left_out() -> None:
    run = simulate(Auto(free=Fastest((4,), lookup=None)), skill_at=skilled, text_at=again)
    assert set(run.decisions()) <= {"free: self-speculation 4", "free: autoregressive"}
    assert "copied" not in run.completions[0].stats.origins
    run = simulate(Fastest(denoiser=None), skill_at=skilled, text_at=once)
    assert "accepted" not in run.completions[0].stats.origins
    for lengths in ((), (4, 2), (0, 3), (2, 2)):
        with pytest.raises(ValueError, match="block_length"):
            Fastest(lengths)


def test_nothing_is_measured_for_requests_that_need_no_cost() -> None:
    calls = []

    def measure(network: object) -> ForwardCost:
        calls.append(network)
        return COST

    engine = scripted_engine(cost=measure)  # type: ignore[arg-type]
    engine.generate([1], max_new_tokens=3)
    engine.generate([1], mode=Auto(Autoregressive(), SelfSpeculation()), max_new_tokens=3)
    engine.generate([1], mode=Auto(Auto(*[Autoregressive()] * 2), Autoregressive()))
    assert not calls
    assert not engine.stats().pace.seconds_by_rows
    engine.generate([1], mode=Auto(), max_new_tokens=3)
    engine.generate([1], mode=Auto(), max_new_tokens=3)
    assert engine.calibrate().causal.rows == COST.causal.rows
    assert calls == [engine.network]
    engine = scripted_engine(cost=measure)  # type: ignore[arg-type]
    engine.generate([1], mode=Auto(Autoregressive(), Auto()), max_new_tokens=3)
    assert calls[-1] is engine.network
    for ask in ("switch", "fork"):
        engine = scripted_engine(cost=measure)  # type: ignore[arg-type]
        request = engine.add(Request([1], max_new_tokens=9))
        engine.step()
        if ask == "switch":
            engine.switch(request, Auto())
        else:
            engine.fork(request, mode=Auto())
        assert calls[-1] is engine.network
        engine.close()
        assert engine._pace.rows == 0
