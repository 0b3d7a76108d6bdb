"""What a CUDA graph demands of a captured forward, shown without a GPU.

The device "meta" stands for the GPU: its tensors have shapes and no numbers, so whatever would
read a number back fails, and every operation that touches host memory is seen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from decoding.network.adapter import Adapter, LayerAdapter, LowRank
from decoding.network.buckets import Buckets
from decoding.network.captured import CapturedNetwork
from decoding.network.config import NetworkConfig
from decoding.network.padded_attention import VARIANTS
from decoding.network.replay import GraphRecorder, Run, Staging
from decoding.network.rope import QueryScaling, Rope, YarnScaling
from decoding.network.transformer import LayerParameters, Parameters, Transformer
from decoding.span import Attention, ForwardBatch
from tests.decoding.batches import Part, forward_batch

META = torch.device("meta")
CONFIG = NetworkConfig(
    model_type="ministral3",
    vocab_size=64,
    hidden_size=32,
    feed_forward_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    norm_eps=1e-5,
    max_positions=128,
    rope=Rope(1e4, YarnScaling(16.0, 16, 32.0, 1.0, True, 1.0), QueryScaling(0.1, 16)),
    windows=(None, 5),
    qk_norm=True,
)
PARTS = [
    Part([1, 2, 3], range(20), 4),
    Part([4, 5], [30, 33, 36, 39, 42], 3, attention=Attention.BLOCK, adapter=True),
]


def empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, device=META)


def transformer() -> Transformer:
    layer = LayerParameters(
        attention_norm_E=empty(32),
        qkv=empty(64, 32),
        output=empty(32, 32),
        mlp_norm_E=empty(32),
        gate_up=empty(96, 32),
        down=empty(32, 48),
        qkv_bias=empty(64),
        qk_norm_XD=empty(6, 8),
    )
    extra = LayerAdapter(output=LowRank(empty(4, 32), empty(32, 4)))
    parameters = Parameters(empty(64, 32), (layer, layer), empty(32), empty(64, 32))
    return Transformer(CONFIG, parameters, "meta", Adapter((extra, extra)))


class Watch(TorchDispatchMode):
    """Collects the operations that move numbers between host and device, with `strict` also
    those on the host alone."""

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__()
        self._strict = strict
        self.from_host: list[str] = []
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += 1
        every = [each for each in tree_leaves((args, kwargs, out)) if isinstance(each, Tensor)]
        devices = {each.device.type for each in every}
        if devices == {"cpu", "meta"} or (devices == {"cpu"} and self._strict):
            self.from_host.append(str(func))
        return out


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_recorded_stays_on_the_device(name: str, adapter: bool) -> None:
    watch = Watch(strict=True)

    def record(run: Run) -> Run:
        with watch:
            run()
        return run

    captured = CapturedNetwork(transformer(), attention=VARIANTS[name], record=record)
    parts = [replace(part, adapter=part.adapter and adapter) for part in PARTS]
    logits_RV = captured.forward(forward_batch(parts), captured.allocate_cache(64))
    assert watch.from_host == []
    assert watch.count > 50, "the layers ran under watch"
    assert logits_RV.shape == (5, 64)
    assert (logits_RV.device, captured.num_replayed) == (META, 1)


def test_a_forward_takes_one_copy_to_the_device() -> None:
    captured = CapturedNetwork(transformer())
    storage = captured.allocate_cache(64)
    for _ in range(2):  # recorded, then replayed
        with Watch() as watch:
            captured.forward(forward_batch(PARTS), storage)
        assert watch.from_host == ["aten.copy_.default"]


def test_a_plain_forward_takes_one_copy_too() -> None:
    captured = CapturedNetwork(transformer(), buckets=Buckets(num_rows=(1,)))
    with Watch() as watch:
        captured.forward(forward_batch(PARTS), captured.allocate_cache(64))
    assert captured.num_plain == 1
    assert watch.from_host == ["aten.to.dtype_layout"]


# --- the lines that are CUDA's own, against stand-ins with CUDA's signatures


class FakeCuda:
    """Notes what is asked of it, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.graph_options: list[dict[str, Any]] = []
        make = self._stand_in
        monkeypatch.setattr(torch.cuda, "device", self._within("on its device"))
        monkeypatch.setattr(torch.cuda, "Stream", lambda: make("side"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: make("current"))
        monkeypatch.setattr(torch.cuda, "stream", self._within("on side stream"))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 7))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", self._graph)
        spec = create_autospec(torch.cuda.graph, side_effect=self._capture)
        monkeypatch.setattr(torch.cuda, "graph", spec)

    def _stand_in(self, name: str) -> Any:
        stream = create_autospec(torch.Stream, instance=True)
        stream.wait_stream.side_effect = lambda other: self.log.append(f"{name} waits")
        return stream

    def _within(self, what: str) -> Callable[[Any], Any]:
        @contextmanager
        def within(_: Any) -> Iterator[None]:
            self.log.append(what)
            yield
            self.log.append(f"left: {what}")

        return within

    def _graph(self) -> Any:
        return SimpleNamespace(replay=lambda: self.log.append("replay"))

    def _capture(self, graph: Any, **options: Any) -> Any:
        self.graph_options.append(options)
        return self._within("captured")(graph)


def test_a_graph_is_recorded_behind_a_warm_up_and_only_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    out = torch.zeros(1)

    def run() -> Tensor:
        cuda.log.append("run")
        return out

    record = GraphRecorder(torch.device("cuda", 1))
    replay = record(run)
    assert cuda.log == [
        "on its device",
        "side waits",
        "on side stream",
        "run",
        "left: on side stream",
        "current waits",
        "captured",
        "run",
        "left: captured",
        "left: on its device",
    ]
    cuda.log.clear()
    assert replay() is out
    assert replay() is out
    assert cuda.log == ["replay", "replay"]
    record(run)
    assert [options["pool"] for options in cuda.graph_options] == [(0, 7), (0, 7)]


def test_staged_numbers_are_not_overwritten_while_they_travel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    staging = Staging(3, torch.device("cpu"))
    event = create_autospec(torch.cuda.Event, instance=True)
    monkeypatch.setattr(staging, "_copied", event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "the device's stream")
    staging.host_X[:] = torch.tensor([1, 2, 3])
    staging.send()
    event.record.assert_called_once_with("the device's stream")
    assert staging.device_X.tolist() == [1, 2, 3]
    staging.wait()
    event.synchronize.assert_called_once_with()


def test_numbers_are_written_between_the_wait_and_the_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, list[int]]] = []
    send = Staging.send

    def note_wait(staging: Staging) -> None:
        seen.append(("wait", staging.host_X.tolist()))

    def note_send(staging: Staging) -> None:
        seen.append(("send", staging.host_X.tolist()))
        send(staging)

    monkeypatch.setattr(Staging, "wait", note_wait)
    monkeypatch.setattr(Staging, "send", note_send)
    captured = CapturedNetwork(transformer())
    storage = captured.allocate_cache(64)
    for start in (3, 4):
        captured.forward(forward_batch([Part([1], range(20), start)]), storage)
    assert [name for name, _ in seen] == ["wait", "send"] * 2
    assert seen[1][1] == seen[2][1], "nothing is written before the second wait"
    assert seen[2][1] != seen[3][1]


def test_numbers_that_do_not_belong_together_make_no_batch() -> None:
    for positions, slots in (([0], [0, 1]), ([0], [0, 1, 2]), ([0, 1], [])):
        with pytest.raises(ValueError, match=f"2 token ids, {len(positions)} positions"):
            ForwardBatch.of([1, 2], positions, slots, [1], ())
    with pytest.raises(ValueError, match="2 reaches for the 1 rows"):
        ForwardBatch.of([1], [0], [0], [0], (), [1.0, 2.0])


def test_a_batch_moves_whole() -> None:
    batch = forward_batch([*PARTS, Part([6, 7], [9, 3, 5])])
    moved = batch.on(torch.device("cpu"))
    assert moved.slots_T.data_ptr() != batch.on(torch.device("cpu")).slots_T.data_ptr()
    for name in ("token_ids_T", "positions_T", "slots_T", "rows_R"):
        assert getattr(moved, name).tolist() == getattr(batch, name).tolist(), name
    for ours, theirs in zip(moved.segments, batch.segments, strict=True):
        assert replace(ours, slots_L=slice(0)) == replace(theirs, slots_L=slice(0))
        if isinstance(theirs.slots_L, slice):
            assert ours.slots_L == theirs.slots_L
        else:
            assert isinstance(ours.slots_L, Tensor)
            assert torch.equal(ours.slots_L, theirs.slots_L)
