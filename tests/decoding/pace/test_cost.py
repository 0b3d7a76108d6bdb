"""Curves, their correction, the measurement of a network, and what is kept of it."""

import json
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from decoding import Auto, Curve, Engine, ForwardCost, KeptCost, calibrate
from decoding.cache.storage import KVStorage
from decoding.engine import _named
from decoding.pace import Pace, RunningCost
from decoding.span import ForwardBatch
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import COST, TOKENIZER, VOCAB

points = st.lists(
    st.tuples(st.integers(1, 300), st.floats(1e-6, 1e3)),
    min_size=1,
    max_size=8,
    unique_by=lambda point: point[0],
).map(sorted)


def through(some: list[tuple[int, float]]) -> Curve:
    return Curve.through([rows for rows, _ in some], [seconds for _, seconds in some])


@given(points, st.lists(st.floats(0, 1000), min_size=2, max_size=20))
def test_more_rows_never_take_less_time(some: list[tuple[int, float]], rows: list[float]) -> None:
    curve = through(some)
    times = [curve(each) for each in sorted(rows)]
    assert all(b >= a * (1 - 1e-9) > 0 for a, b in pairwise(times))
    for at, seconds in zip(curve.rows, curve.seconds, strict=True):
        assert curve(at) == pytest.approx(seconds)


def test_a_curve_interpolates_and_goes_on_straight() -> None:
    curve = Curve((2, 4, 8), (1.0, 2.0, 3.0))
    assert [curve(rows) for rows in (0, 1, 2, 3, 6, 8, 12)] == [1, 1, 1, 1.5, 2.5, 3, 4]
    assert Curve((4,), (2.0,))(100) == 2.0
    assert Curve.through((1, 2, 3), (1.0, 0.5, 2.0)).seconds == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        *[((), ()), ((1, 2), (1.0,)), ((0,), (1.0,)), ((2, 1), (1.0, 2.0))],
        *[((1,), (0.0,)), ((1,), (float("nan"),)), ((1, 2), (2.0, 1.0))],
    ],
)
def test_a_curve_must_make_sense(rows: tuple[int, ...], seconds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"curve|row counts|seconds|rows"):
        Curve(rows, seconds)


def test_draft_rows_cost_their_adapter_on_top() -> None:
    cost = ForwardCost(Curve((1, 11), (1.0, 2.0)), Curve((1, 11), (1.5, 3.0)))
    assert cost.seconds(11) == 2.0
    assert cost.seconds(0, 11) == 3.0
    assert cost.seconds(10, 1) == 2.5
    assert replace(cost, draft=None).seconds(10, 1) == 2.0


def test_a_machine_that_slows_down_moves_the_curve_and_not_its_shape() -> None:
    running = RunningCost(ForwardCost(Curve((1, 8, 64), (1.0, 2.0, 8.0)), Curve((8,), (3.0,))))
    for _ in range(200):
        running.follow(1, 3.0)
    cost = running.now()
    assert cost.causal(1) == pytest.approx(3.0, rel=0.02)
    assert cost.causal(8) == pytest.approx(6.0, rel=0.1)
    assert cost.causal(64) == pytest.approx(24.0, rel=0.1)
    assert cost.draft is not None
    assert cost.draft(8) == pytest.approx(9.0, rel=0.1)


def test_a_shape_that_was_measured_wrong_is_corrected_in_time() -> None:
    cost = RunningCost(ForwardCost(Curve((1, 8, 64), (1.0, 1.0, 1.0))))
    for turn in range(4000):
        cost.follow(1 if turn // 20 % 2 else 8, 1.0 if turn // 20 % 2 else 4.0)
    assert cost.seconds(8) / cost.seconds(1) == pytest.approx(4.0, rel=0.15)


def test_forwards_that_draft_correct_what_drafts_cost() -> None:
    cost = RunningCost(ForwardCost(Curve((1, 8, 9), (1.0, 2.0, 2.0)), Curve((8,), (3.0,))))
    for _ in range(20):
        cost.follow(1, 5.0, 8)
    assert cost.seconds(1, 8) == pytest.approx(5.0, rel=0.01)
    assert cost.seconds(8) == 2.0
    cost.follow(1, 5000.0, 8)
    assert 5.0 < cost.seconds(1, 8) < 6.0
    cost.follow(60, 1.0, 8)
    assert cost.seconds(1, 8) > 5.0


def test_a_cost_may_be_asked_for_while_it_falls() -> None:
    class Falling(RunningCost):
        """Another thread corrects it between any two looks."""

        @property
        def _draft_level(self) -> float:
            self._dearer -= 0.1
            return super()._draft_level

    cost = Falling(ForwardCost(Curve((1,), (1.0,)), Curve((8, 16), (3.0, 3.0)))).now()
    assert cost.draft is not None
    assert cost.draft(8) == cost.draft(16) < 3.0


def test_drafts_that_seem_to_cost_nothing_are_dear_again_at_once() -> None:
    """Nothing below the price of causal rows is learned, however often it is seen."""
    cost = RunningCost(ForwardCost(Curve((1, 16), (1.0, 2.0)), Curve((8,), (3.0,))))
    for _ in range(10_000):
        cost.follow(0, 0.01, 8)
    assert cost.seconds(0, 8) == cost.seconds(8)
    for _ in range(20):
        cost.follow(0, 3.0, 8)
    assert cost.seconds(0, 8) == pytest.approx(3.0, rel=0.01)


def test_after_the_first_forwards_every_third_corrects() -> None:
    cost = RunningCost(ForwardCost(Curve((1, 8), (1.0, 2.0))))
    for _ in range(120):
        cost.follow(8, 2.0)
    seen = []
    for _ in range(6):
        cost.follow(8, 2.2)
        seen.append(cost.seconds(8))
    assert len(set(seen)) == 3
    for _ in range(100):
        cost.follow(8, 3.0)
    assert cost.seconds(8) == pytest.approx(3.0, rel=0.03)


def test_one_outlier_changes_little() -> None:
    cost = RunningCost(ForwardCost(Curve((1, 8), (1.0, 2.0))))
    cost.follow(8, 1000.0)
    assert 2.0 < cost.seconds(8) < 2.2
    assert 1.0 < cost.seconds(1) < 1.1


def test_single_rows_count_once_they_are_among_their_kind() -> None:
    """Behind larger forwards they are slower than where nothing else is in between."""
    cost = RunningCost(ForwardCost(Curve((1, 4), (1.0, 2.0))))
    before = cost.seconds(1)
    for _ in range(20):
        for _ in range(8):
            cost.follow(1, 3.0)
        assert cost.seconds(1) == before
        cost.follow(4, 2.0)
    for _ in range(9):
        cost.follow(1, 3.0)
    assert cost.seconds(1) > before


def test_a_few_single_rows_are_wanted_behind_many_other_forwards() -> None:
    cost = RunningCost(ForwardCost(Curve((1, 4), (1.0, 2.0))))
    waits = []
    for _ in range(3):
        waits.append(0)
        while not cost.wants_single:
            cost.follow(4, 2.0)
            waits[-1] += 1
        asked = 0
        while cost.wants_single:
            cost.follow(1, 1.0)
            asked += 1
        assert asked <= 20
    assert waits[0] <= 66
    assert 500 <= waits[1] == waits[2] <= 520


def test_single_rows_that_do_not_come_are_not_waited_for() -> None:
    """Forced text comes in several rows, whatever is chosen."""
    cost = RunningCost(ForwardCost(Curve((1, 4), (1.0, 2.0))))
    wanted = []
    for turn in range(1200):
        cost.follow(1 if turn % 4 else 4, 2.0)
        wanted.append(cost.wants_single)
    assert 0 < sum(wanted) <= 3 * 34


def test_what_is_measured_now_and_then_moves_with_the_rest_in_between() -> None:
    """The machine slows down while nobody takes single rows: they are believed to be slower, too,
    and what was learned about their share stays."""
    cost = RunningCost(ForwardCost(Curve((1, 4), (1.0, 1.2))))
    for _ in range(10):
        for _ in range(100):
            cost.follow(4, 1.2)
        for _ in range(20):
            cost.follow(1, 0.8)
    assert cost.seconds(4) / cost.seconds(1) == pytest.approx(1.5, rel=0.06)
    for _ in range(200):
        cost.follow(4, 2.4)
    assert cost.seconds(4) == pytest.approx(2.4, rel=0.03)
    assert cost.seconds(1) == pytest.approx(1.6, rel=0.12)


forwards = st.tuples(st.integers(1, 300), st.floats(0, 1e4), st.sampled_from([0, 0, 1, 8]))


@given(points, st.lists(forwards, max_size=40))
def test_a_running_cost_stays_one_that_makes_sense(
    some: list[tuple[int, float]], seen: list[tuple[int, float, int]]
) -> None:
    running = RunningCost(ForwardCost(through(some), through(some)))
    for rows, seconds, draft_rows in seen:
        running.follow(rows, seconds, draft_rows)
    cost = running.now()
    for rows in (1, 2, 7, 400):
        assert running.seconds(rows) == pytest.approx(cost.seconds(rows))
        assert running.seconds(rows, rows) == pytest.approx(cost.seconds(rows, rows))


def test_forwards_correct_the_curve_where_it_was_measured() -> None:
    pace = Pace()
    pace.measured(ForwardCost(Curve((1, 8), (1.0, 2.0))))
    pace.forward_took(9, 0, 5.0)
    assert pace.seconds(1) == 1.0
    pace.forward_took(8, 0, 5.0)
    assert pace.seconds(1) > 1.0
    given_one = Pace(COST)
    given_one.forward_took(1, 0, 5.0)
    assert given_one.cost is COST


# --- measuring


class SlowNetwork(ScriptedNetwork):
    """Its clock goes by what a forward costs, and by nothing else."""

    def __init__(self, cost: ForwardCost, *, adapter: bool = False, positions: int = 4096) -> None:
        super().__init__(
            VOCAB,
            mask_token_id=TOKENIZER.mask_token_id,
            has_adapter=adapter,
            max_positions=positions,
        )
        self._cost, self.now, self.row_counts = cost, 0.0, list[int]()

    def clock(self) -> float:
        return self.now

    def forward(self, batch: ForwardBatch, storage: KVStorage) -> Tensor:
        rows = [0, 0]
        for segment in batch.segments:
            rows[segment.adapter] += segment.num_rows
        self.now += self._cost.seconds(*rows)
        self.row_counts.append(sum(rows))
        return super().forward(batch, storage)


def test_what_is_measured_is_what_forwards_cost() -> None:
    cost = ForwardCost(Curve((1, 8, 64), (0.01, 0.012, 0.05)), Curve((8, 64), (0.02, 0.08)))
    network = SlowNetwork(cost, adapter=True)
    found = calibrate(network, clock=network.clock)
    assert found.causal.rows == (1, 2, 4, 8, 16, 32, 64)
    assert found.draft is not None
    for rows in (1, 8, 20, 64):
        assert found.seconds(rows) == pytest.approx(cost.seconds(rows))
    assert found.seconds(0, 8) == pytest.approx(0.02)
    assert network.now < 2.5
    plain = SlowNetwork(cost)
    assert calibrate(plain, clock=plain.clock).draft is None


def test_a_slow_network_is_measured_at_few_row_counts() -> None:
    network = SlowNetwork(ForwardCost(Curve((1, 64), (1.0, 10.0))))
    found = calibrate(network, clock=network.clock)
    assert found.causal.rows == (1, 8)
    assert network.row_counts == [64, *[1] * 4, *[8] * 4]
    with pytest.raises(ValueError, match="most_seconds"):
        calibrate(network, most_seconds=0.0)


@pytest.mark.parametrize("positions", [1, 2, 9, 24])
def test_a_short_context_is_not_exceeded(positions: int) -> None:
    network = SlowNetwork(COST, positions=positions)
    calibrate(network, clock=network.clock)
    assert max(network.row_counts) <= positions


# --- keeping


def test_a_cost_is_measured_once_per_conditions(tmp_path: Path) -> None:
    calls = []

    def measure(network: object) -> ForwardCost:
        calls.append(network)
        return ForwardCost(Curve((1, 8), (0.1, 0.2 + 0.1 / 3)), Curve((8,), (0.7,)))

    network = SlowNetwork(COST)
    kept = KeptCost(("exact",), tmp_path, measure)
    first = kept(network)
    assert KeptCost(("exact",), tmp_path, measure)(network) == first
    assert len(calls) == 1
    KeptCost(("fast",), tmp_path, measure)(network)
    kept(SlowNetwork(COST, adapter=True))
    assert len(calls) == 3
    assert [path.suffix for path in (tmp_path / "costs").iterdir()] == [".json"] * 3


def test_another_build_of_the_compiled_forward_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, network = KeptCost((), tmp_path, lambda network: COST), SlowNetwork(COST)
    path = kept.path(network)
    monkeypatch.setattr("decoding.pace.kept.build_id", lambda: "another")
    assert kept.path(network) != path


@pytest.mark.parametrize(
    "content",
    [
        *["", "{", "[]", "null", '{"causal": [[1, 0.5]]}', '{"causal": 3, "draft": null}'],
        *['{"causal": [[1, -1.0]], "draft": null}', '{"causal": [["x", 1]], "draft": null}'],
        *['{"causal": [[1, NaN]], "draft": null}', '{"causal": [1], "draft": null}', "\ud800"],
        '{"causal": [[Infinity, 1]], "draft": null}',
        pytest.param('{"causal": [[1, 1' + "0" * 400 + ']], "draft": null}', id="a long number"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_damaged_file_is_measured_anew(tmp_path: Path, content: str) -> None:
    kept, network = KeptCost((), tmp_path, lambda network: COST), SlowNetwork(COST)
    path = kept.path(network)
    path.parent.mkdir()
    path.write_bytes(
        content.encode("utf-16", "surrogatepass") if content > "~" else content.encode()
    )
    assert kept(network) == COST
    assert json.loads(path.read_text())["causal"] == [[1, 1.0], [9, 1.8]]


def test_a_build_that_is_gone_from_the_disk_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> str:
        raise FileNotFoundError("no build")

    monkeypatch.setattr("decoding.pace.kept.build_id", gone)
    assert KeptCost((), tmp_path, lambda network: COST)(SlowNetwork(COST)) == COST
    assert not list(tmp_path.iterdir())


def test_models_of_one_name_and_two_shapes_have_two_costs(tmp_path: Path) -> None:
    kept, paths = KeptCost((), tmp_path), set()
    for shape in ({}, {"config": "2 layers"}, {"config": "3 layers"}, {"weight_bytes": 7}):
        network = SlowNetwork(COST)
        vars(network).update(shape)
        paths.add(kept.path(network))
    assert len(paths) == 4


def test_gpus_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"kind of {device}")
    assert _named(torch.device("cuda:1")) == ("cuda:1", "kind of cuda:1")
    assert _named(torch.device("cpu")) == ("cpu", "")


def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    kept, network = KeptCost((), blocked, lambda network: COST), SlowNetwork(COST)
    assert kept(network) == COST
    assert blocked.read_text() == ""


def test_writers_at_the_same_time_leave_one_whole_file(tmp_path: Path) -> None:
    kept = KeptCost((), tmp_path, lambda network: COST)
    network, found = SlowNetwork(COST), list[ForwardCost]()
    threads = [threading.Thread(target=lambda: found.append(kept(network))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [COST] * 8
    assert [path.name for path in (tmp_path / "costs").iterdir()] == [kept.path(network).name]


def test_an_engine_measures_and_corrects_what_nobody_gave_it() -> None:
    network = SlowNetwork(COST)
    engine = Engine(
        network,
        TOKENIZER,
        cache_tokens=512,
        forward_cost=lambda it: calibrate(it, clock=network.clock),
    )
    before = engine.calibrate()
    assert before.causal(9) == pytest.approx(1.8)
    engine.generate([1, 2], mode=Auto(), max_new_tokens=20)
    assert engine.calibrate() != before
