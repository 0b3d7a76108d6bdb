"""How contenders are timed in turn, and what the ratios are made of."""

import json
from collections.abc import Sequence

import pytest

from benchmarks.peers import measure as module
from benchmarks.peers.base import Answer, Ask, Peer
from benchmarks.peers.measure import Outcome, Sample, figures, is_finished, measure
from benchmarks.peers.report import workload_report
from benchmarks.peers.tasks import Job, Workload
from tests.benchmarks.peers.fakes import Clock, FakePeer

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
CALL = Ask((1, 2, 3), 20, SCHEMA)
PROSE = Ask((1, 2), 10)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)


def workload(unit: str, *jobs: Job) -> Workload:
    asks = [ask for job in jobs for asks in job for ask in asks]
    has_schemas = any(ask.schema is not None for ask in asks)
    return Workload("fake", unit, "here", lambda number: list(jobs), has_schemas)


def run(load: Workload, contenders: Sequence[FakePeer], clock: Clock, repeats: int = 3) -> Outcome:
    return measure(load, contenders, repeats, clock=clock)


def test_figures_are_those_of_the_clock() -> None:
    clock = Clock()
    peer = FakePeer("a", clock, seconds=2.0)
    outcome = run(workload("tokens", ((PROSE,),), ((PROSE,),)), [peer], clock)
    found = outcome.figures["a"]
    assert found.tokens_per_second == 10 / 2.0
    assert found.tasks_per_second == 1 / 2.0
    assert found.characters_per_second == 10 / 2.0
    assert found.seconds_per_task == 2.0
    assert found.tokens_per_task == 10
    assert found.prompt_tokens_per_task == 2
    assert (found.finished, found.tasks) == (6, 6)
    assert found.seconds_per_task_by_round == [2.0, 2.0, 2.0]


def test_rounds_that_finish_nothing_count() -> None:
    def sample(finished: int) -> Sample:
        return Sample(2.0, 2.0, 1, finished, 10, 20, 5)

    assert figures([sample(1), sample(1), sample(1)]).tasks_per_second == 0.5
    assert figures([sample(1), sample(1), sample(0)]).tasks_per_second == pytest.approx(1 / 3)


def test_a_slow_round_does_not_move_the_median() -> None:
    clock = Clock()
    peer = FakePeer("a", clock)
    seconds = {0: 50.0, 2: 9.0}  # the warm-up, and one disturbed round

    def jobs(number: int) -> list[Job]:
        peer.seconds = seconds.get(number, 1.0)
        return [((PROSE,),)]

    load = Workload("fake", "tokens", "here", jobs, has_schemas=False)
    assert run(load, [peer], clock).figures["a"].tokens_per_second == 10.0


def test_every_contender_does_a_job_before_the_next_and_they_begin_in_turn() -> None:
    clock = Clock()
    order: list[tuple[str, int]] = []

    class Noting(FakePeer):
        def generate(self, ask: Ask) -> Answer:
            order.append((self.name, ask.max_tokens))
            return super().generate(ask)

    peers = [Noting("a", clock), Noting("b", clock)]
    run(workload("tokens", ((Ask((1,), 5),),), ((Ask((1,), 6),),)), peers, clock, repeats=1)
    names = ["a", "b", "b", "a"]
    assert order == list(zip(names + names[2:] + names[:2], [5, 5, 6, 6] * 2, strict=True))


def test_a_schema_is_met_before_it_is_timed_and_only_once() -> None:
    clock = Clock()
    peer = FakePeer("a", clock)
    outcome = run(workload("tasks", ((CALL,),), ((CALL,),)), [peer], clock, repeats=2)
    first, *rest = peer.asked
    assert first == Ask(CALL.prompt[-1:], 2, SCHEMA)
    assert rest == [CALL] * 6
    assert outcome.figures["a"].seconds_per_task == 1.0


def test_jobs_go_to_the_method_that_is_made_for_them() -> None:
    clock = Clock()
    peer = FakePeer("a", clock)
    jobs: list[Job] = [((CALL,),), ((CALL, PROSE),), ((CALL, PROSE), (CALL, PROSE))]
    outcome = run(workload("tasks", *jobs), [peer], clock, repeats=1)
    met = ["generate"]  # the schema, before it is timed
    once = ["generate", "converse", *["generate"] * 2, "concurrent"]
    once += ["converse", *["generate"] * 2] * 2
    assert peer.calls == met + once * 2
    assert outcome.figures["a"].tasks == outcome.figures["a"].finished == 4


def test_a_task_counts_when_all_its_answers_are_complete() -> None:
    assert is_finished(CALL, Answer('{"a":1}', 7, 3))
    assert not is_finished(CALL, Answer('{"a":', 20, 3))
    assert not is_finished(CALL, Answer('{"a":"1"}', 9, 3))
    assert is_finished(PROSE, Answer("", 10, 2))
    assert not is_finished(PROSE, Answer("", 9, 2))
    clock = Clock()
    cut = FakePeer("cut", clock, text='{"a":')
    found = run(workload("tasks", ((CALL, PROSE),)), [cut], clock).figures["cut"]
    assert (found.finished, found.tasks_per_second) == (0, 0.0)


def test_who_cannot_is_left_out_with_a_reason_and_the_others_go_on() -> None:
    clock = Clock()
    contenders = [
        FakePeer("fine", clock),
        FakePeer("no grammars", clock, has_grammar=False),
        FakePeer("broken", clock, fails=RuntimeError("out of paper")),
        FakePeer("another prompt", clock, miscounts=1),
    ]
    outcome = run(workload("tasks", ((CALL,),)), contenders, clock)
    assert outcome.figures.keys() == {"fine"}
    assert "no grammars" in outcome.left_out["no grammars"]
    assert "out of paper" in outcome.left_out["broken"]
    assert "3 tokens as 4" in outcome.left_out["another prompt"]


def test_who_only_adds_grammars_is_not_measured_without_schemas() -> None:
    clock = Clock()
    contenders = [FakePeer("plain", clock), FakePeer("more", clock, is_for_schemas_only=True)]
    outcome = run(workload("tokens", ((PROSE,),)), contenders, clock)
    assert outcome.figures.keys() == {"plain"}
    assert "without a schema" in outcome.left_out["more"]
    assert run(workload("tasks", ((CALL,),)), contenders, clock).left_out == {}


def test_who_is_required_may_not_fail() -> None:
    clock = Clock()
    broken = FakePeer("broken", clock, fails=RuntimeError("out of paper"))
    with pytest.raises(RuntimeError, match="out of paper"):
        measure(workload("tasks", ((CALL,),)), [broken], 1, required=[broken], clock=clock)


def test_ratios_compare_the_fastest_of_each_side_in_the_workloads_unit() -> None:
    clock = Clock()
    spaced = json.dumps({"a": 1}, indent=8)
    contenders: list[Peer] = [
        FakePeer("slow mode", clock, seconds=4.0, family="ours", text='{"a":1}'),
        FakePeer("fast mode", clock, seconds=2.0, family="ours", text='{"a":1}'),
        FakePeer("verbose", clock, seconds=3.0, text=spaced),
        FakePeer("generate", clock, seconds=10.0, family="transformers"),
    ]
    outcome = measure(workload("tasks", ((CALL,),)), contenders, 2, clock=clock)
    report = workload_report(outcome, contenders, {"absent": "why; pip install it"})
    assert report["ours"] == {"slow mode": 7 / 4, "fast mode": 7 / 2}
    assert report["peers"] == {"verbose": len(spaced) / 3, "generate": 8 / 10}
    # More tokens a second, and yet fewer calls: tasks decide.
    assert report["peers"]["verbose"] > report["ours"]["fast mode"]
    assert (report["best_ours"], report["best_peer"]) == ("fast mode", "verbose")
    assert report["ratio_to_best_peer"] == pytest.approx(3 / 2)
    assert report["ratio_to_transformers"] == pytest.approx(10 / 2)
    assert report["ratio_to_families"] == pytest.approx({"fake": 3 / 2, "transformers": 5})
    by_mode = report["ratio_to_best_peer_by_mode"]
    assert by_mode == pytest.approx({"slow mode": 3 / 4, "fast mode": 3 / 2})
    assert report["left_out"] == {"absent": "why; pip install it"}


def test_without_a_rival_there_is_no_ratio() -> None:
    clock = Clock()
    ours = FakePeer("mode", clock, family="ours")
    never = FakePeer("never", clock, text="{")
    for contenders in ([ours], [ours, never]):
        outcome = measure(workload("tasks", ((CALL,),)), contenders, 1, clock=clock)
        report = workload_report(outcome, contenders, {})
        assert report["ratio_to_best_peer"] is None
        assert report["ratio_to_transformers"] is None
