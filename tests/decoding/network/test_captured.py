"""Padded, recorded forwards compute what the plain network computes, and touch nothing else.

On a CPU a replay runs the recorded function again over the same buffers: everything but the
recording itself is the same as on a GPU.
"""

import gc
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from decoding import (
    Autoregressive,
    BlockDiffusion,
    DiffusionDrafter,
    Engine,
    KeptCost,
    Request,
    SelfSpeculation,
)
from decoding.cache.storage import KVStorage
from decoding.network.buckets import Bucket, Buckets
from decoding.network.captured import CapturedNetwork, captured_on_gpu
from decoding.network.padded_attention import VARIANTS
from decoding.network.replay import Run
from decoding.network.transformer import Transformer
from decoding.span import Attention, ForwardBatch
from decoding.tokenizer import Tokenizer
from decoding.weights.checkpoint import read_network
from tests.decoding.batches import Part, forward_batch
from tests.decoding.branching import assert_branches_pay
from tests.decoding.checkpoints import save_checkpoint
from tests.decoding.nemotron import ALL_TARGETS, MASK, write_adapter, write_nemotron

CPU = torch.device("cpu")
BUCKETS = Buckets((1, 2, 4), (1, 4, 8), (16, 32, 64))
MOST_SEQUENCES, MOST_ROWS, MOST_KEYS = 4, 8, 64


def test_what_is_captured_tells_its_shape(tmp_path: Path) -> None:
    """By which costs that were measured are kept."""
    plain = llama(tmp_path)
    network = CapturedNetwork(plain, buckets=BUCKETS)
    assert network.config is plain.config
    path = KeptCost((), tmp_path).path(network)
    plain.config = replace(plain.config, num_layers=plain.config.num_layers + 1)
    assert KeptCost((), tmp_path).path(network) != path


def llama(path: Path) -> Transformer:
    save_checkpoint("llama", path)
    return read_network(path, dtype=torch.float32, device=CPU, name="llama")


def windowed(path: Path) -> Transformer:
    save_checkpoint("qwen2-windows", path)
    return read_network(path, dtype=torch.float32, device=CPU, name="windowed")


def nemotron(path: Path) -> Transformer:
    write_nemotron(path, quiet_head_rows=None)
    adapter = write_adapter(path / "full", targets=ALL_TARGETS)
    return read_network(path, dtype=torch.float32, device=CPU, name="nemotron", adapter=adapter)


MAKERS = {"llama": llama, "windowed": windowed, "nemotron": nemotron}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    make: Callable[[Path], Transformer] = MAKERS[request.param]
    return make(tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def diffusing(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return nemotron(tmp_path_factory.mktemp("diffusing"))


def stores(storage: KVStorage) -> Tensor:
    """All keys and values of the slots that belong to pages."""
    return torch.stack([*storage.keys_SGD, *storage.values_SGD])[:, : storage.num_slots]


def tokens_of(seed: int, count: int) -> list[int]:
    return random.Random(seed).choices(range(270), k=count)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


class Both:
    """A plain and a captured network over storages that hold the same numbers."""

    def __init__(self, plain: Transformer, num_slots: int, captured: CapturedNetwork | None = None):
        self.plain, self.captured = plain, captured or CapturedNetwork(plain, buckets=BUCKETS)
        self.plain_storage = plain.allocate_cache(num_slots)
        self.storage = self.captured.allocate_cache(num_slots)
        for storage in (self.plain_storage, self.storage):
            for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
                store_SGD[: storage.num_slots] = torch.nan  # read before written shows

    def prefill(self, parts: Sequence[Part]) -> None:
        """The same bits in both."""
        for part in parts:
            if part.start:
                before = Part(tokens_of(1, part.start), part.slots[: part.start], read=[])
                self.plain.forward(forward_batch([before]), self.plain_storage)
        for ours, theirs in zip(
            (*self.storage.keys_SGD, *self.storage.values_SGD),
            (*self.plain_storage.keys_SGD, *self.plain_storage.values_SGD),
            strict=True,
        ):
            ours[: self.storage.num_slots] = theirs

    def forward(self, batch: ForwardBatch) -> tuple[Tensor, Tensor]:
        ours = self.captured.forward(batch, self.storage)
        return ours, self.plain.forward(batch, self.plain_storage)

    def check(self, batch: ForwardBatch) -> None:
        """Logits and the rows' own slots are close, all other slots equal to the bit."""
        before = stores(self.storage).clone()
        ours, theirs = self.forward(batch)
        close(ours, theirs)
        written, expected = stores(self.storage), stores(self.plain_storage)
        close(written[:, batch.slots_T], expected[:, batch.slots_T])
        others = torch.ones(self.storage.num_slots, dtype=torch.bool)
        others[batch.slots_T] = False
        assert torch.equal(
            written[:, others].view(torch.int32), before[:, others].view(torch.int32)
        )


@st.composite
def batches(draw: st.DrawFn, adapter: bool) -> tuple[list[Part], int]:
    """Any forward that fits the buckets; some sequences share the slots of a prefix."""
    num_sequences = draw(st.integers(1, MOST_SEQUENCES))
    sizes = [
        (draw(st.integers(1, MOST_ROWS)), draw(st.integers(0, MOST_KEYS - MOST_ROWS)))
        for _ in range(num_sequences)
    ]
    num_slots = sum(map(sum, sizes)) + 5
    slots = list(range(num_slots))
    if draw(st.booleans()):
        draw(st.randoms(use_true_random=False)).shuffle(slots)
    parts: list[Part] = []
    for rows, start in sizes:
        owned = [slots.pop(0) for _ in range(start + rows)]
        if parts and draw(st.booleans()):  # a fork: what both have encoded is stored once
            shared = draw(st.integers(0, min(start, parts[-1].start)))
            owned[:shared] = parts[-1].slots[:shared]
        parts.append(
            Part(
                tokens_of(len(parts), rows),
                owned,
                start,
                attention=draw(st.sampled_from(Attention)),
                adapter=adapter and draw(st.booleans()),
                read=draw(st.none() | st.lists(st.integers(0, rows - 1), max_size=rows)),
            )
        )
    return parts, num_slots


@settings(max_examples=40)
@given(data=st.data())
def test_any_forward_equals_the_plain_one(plain: Transformer, data: st.DataObject) -> None:
    parts, num_slots = data.draw(batches(plain.has_adapter))
    both = Both(plain, num_slots)
    both.prefill(parts)
    both.check(forward_batch(parts, gather=data.draw(st.booleans())))
    assert (both.captured.num_replayed, both.captured.num_plain) == (1, 0)


def test_a_bucket_forgets_what_it_held_before(diffusing: Transformer) -> None:
    """A large forward, then smaller ones in the same buffers, then the large one again."""
    both = Both(diffusing, 200)
    slots = [range(first, first + 50) for first in (0, 50, 100, 150)]
    large = [
        Part(tokens_of(seed, 8), each, 30, attention=Attention.BLOCK, adapter=True)
        for seed, each in enumerate(slots)
    ]
    small = [
        Part(tokens_of(7, 5), slots[2], 12, adapter=True),
        Part(tokens_of(8, 1), slots[0], 17),
        Part(tokens_of(9, 1), slots[3], 0),
    ]
    both.prefill(large)
    for parts in (large, small, large):
        both.check(forward_batch(parts))
    assert both.captured.recorded(both.storage) == (Bucket(4, 8, 64, True), Bucket(4, 8, 32, True))
    assert both.captured.num_replayed == 3


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_attention(name: str, diffusing: Transformer) -> None:
    captured = CapturedNetwork(diffusing, buckets=BUCKETS, attention=VARIANTS[name])
    both = Both(diffusing, 100, captured)
    parts = [
        Part(tokens_of(1, 6), range(50), 20),
        Part(tokens_of(2, 3), range(50, 100), 40, attention=Attention.BLOCK),
    ]
    both.prefill(parts)
    both.check(forward_batch(parts))


def test_a_compiled_layer(diffusing: Transformer) -> None:
    """The whole layer is one graph, and one for all layers: nothing in it runs as Python."""
    graphs: list[int] = []

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(len(module.graph.nodes))
        return module.forward

    layer = torch.compile(diffusing.layer, fullgraph=True, backend=backend)
    captured = CapturedNetwork(diffusing, buckets=BUCKETS, run_layer=layer)
    both = Both(diffusing, 50, captured)
    parts = [
        Part(tokens_of(1, 6), range(25), 12),
        Part(tokens_of(2, 8), range(25, 50), 17, attention=Attention.BLOCK, adapter=True),
    ]
    both.prefill(parts)
    both.check(forward_batch(parts))
    assert len(graphs) == 1


# --- the adapter


def draft(adapter: bool, first: int = 0) -> Part:
    slots = range(first, first + 8)
    return Part([5, *[MASK] * 7], slots, attention=Attention.BLOCK, adapter=adapter)


def test_the_adapter_is_active_in_a_captured_draft(diffusing: Transformer) -> None:
    on, off = (Both(diffusing, 8).forward(forward_batch([draft(each)])) for each in (True, False))
    close(on[0], on[1])
    close(off[0], off[1])
    assert float((on[0] - off[0]).abs().max() / on[0].abs().max()) > 0.1


def test_the_adapter_stays_with_its_rows(diffusing: Transformer) -> None:
    """One draft beside one verification, in one recorded forward."""
    both = Both(diffusing, 16)
    ours, _ = both.forward(forward_batch([draft(True), draft(False, first=8)]))
    close(ours[:8], diffusing.forward(forward_batch([draft(True)]), diffusing.allocate_cache(8)))
    close(ours[8:], diffusing.forward(forward_batch([draft(False)]), diffusing.allocate_cache(8)))
    assert both.captured.recorded(both.storage) == (Bucket(2, 8, 16, True),)


def test_an_adapter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    both = Both(llama(tmp_path), 8)
    with pytest.raises(ValueError, match="has no draft adapter"):
        both.captured.forward(forward_batch([replace(draft(True), tokens=[1])]), both.storage)
    assert both.captured.recorded(both.storage) == ()


# --- what is recorded, and when


class Recorder:
    """Counts what the seam to CUDA is asked for, and checks how it is used."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def __call__(self, run: Run) -> Run:
        self.recorded += 1
        out = run()  # the warm-up: it must find real inputs
        assert torch.isfinite(out).all()

        def replay() -> Tensor:
            self.replayed += 1
            return out.copy_(run())  # a replay fills the same memory again

        return replay


def test_each_bucket_is_recorded_once_and_replayed_into_the_same_memory(
    diffusing: Transformer,
) -> None:
    recorder = Recorder()
    captured = CapturedNetwork(diffusing, buckets=BUCKETS, record=recorder)
    both = Both(diffusing, 64, captured)
    logits = []
    for start in range(20):
        part = Part(tokens_of(start, 1), range(64), start)
        logits.append(both.forward(forward_batch([part])))
    assert (recorder.recorded, recorder.replayed) == (2, 20)  # 16 keys, then 32
    for ours, theirs in logits:  # none was overwritten by a later replay
        close(ours, theirs)


def test_what_is_recorded_belongs_to_its_storage(diffusing: Transformer) -> None:
    """Two engines may share a network; what one leaves behind is not kept."""
    recorder = Recorder()
    captured = CapturedNetwork(diffusing, buckets=BUCKETS, record=recorder)
    batch = forward_batch([Part([1, 2], range(8))])
    first, second = Both(diffusing, 8, captured), Both(diffusing, 8, captured)
    for both in (first, second, first, second):
        both.check(batch)
    assert recorder.recorded == 2
    keys = ref(first.storage.keys_SGD[0])
    del first, both
    gc.collect()
    assert keys() is None
    assert captured.recorded(second.storage) == (Bucket(1, 4, 16, False),)


def test_what_fits_no_bucket_is_the_plain_forward(plain: Transformer) -> None:
    both = Both(plain, 80)
    batch = forward_batch([Part(tokens_of(3, 9), range(80)), Part([4], range(70, 80))])
    ours, theirs = both.forward(batch)
    assert torch.equal(ours, theirs)
    assert (both.captured.num_replayed, both.captured.num_plain) == (0, 1)
    assert both.captured.recorded(both.storage) == ()


def test_a_storage_without_scratch_slots_is_refused(plain: Transformer) -> None:
    captured = CapturedNetwork(plain, buckets=BUCKETS)
    with pytest.raises(ValueError, match="scratch slots"):
        captured.forward(forward_batch([Part([1], range(1))]), plain.allocate_cache(4))


def test_scratch_slots_belong_to_no_page(diffusing: Transformer) -> None:
    captured = CapturedNetwork(diffusing, buckets=BUCKETS)
    storage = captured.allocate_cache(32)
    assert (storage.num_slots, storage.keys_SGD[0].shape[0]) == (32, 34)
    captured.forward(forward_batch([Part([1, 2, 3], range(32))]), storage)
    for store_SGD in (*storage.keys_SGD, *storage.values_SGD):
        assert store_SGD[33].count_nonzero() == 0, "what stands for missing keys was written"
        assert store_SGD[32].count_nonzero() > 0, "padding rows go to the sink"


def test_no_row_reads_the_sink(diffusing: Transformer) -> None:
    both = Both(diffusing, 32)
    for store_SGD in (*both.storage.keys_SGD, *both.storage.values_SGD):
        store_SGD[32] = torch.nan
    both.check(forward_batch([Part([1, 2, 3, 4], range(32))]))  # missing keys, no padding rows


# --- in an engine


def answers(network: Transformer | CapturedNetwork, tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    modes = (
        Autoregressive(),
        SelfSpeculation(block_length=8, drafter=DiffusionDrafter()),
        BlockDiffusion(block_length=8),
    )
    prompts = [[200 + 3 * index + place for place in range(9)] for index in range(len(modes))]
    with Engine(network, tokenizer, cache_tokens=256) as engine:
        done = engine.generate_many(
            [
                Request(prompt, mode=mode, max_new_tokens=24)
                for prompt, mode in zip(prompts, modes, strict=True)
            ]
        )
        return [each.token_ids for each in done]


def test_an_engine_answers_the_same(tmp_path: Path) -> None:
    """Drafts, verifications and single steps of different sequences share replayed forwards."""
    directory = write_nemotron(tmp_path)
    network = nemotron_like(directory)
    tokenizer = Tokenizer.from_directory(directory)
    recorder = Recorder()
    captured = CapturedNetwork(network, buckets=Buckets((4,), (16,), (64,)), record=recorder)
    assert answers(captured, tokenizer) == answers(network, tokenizer)
    assert captured.num_replayed > 10
    assert captured.num_plain == 0
    assert recorder.recorded == 2  # with the adapter and without


def test_branches_are_replayed(tmp_path: Path) -> None:
    directory = write_nemotron(tmp_path)
    tokenizer = Tokenizer.from_directory(directory)
    network = nemotron_like(directory)
    captured = CapturedNetwork(network, buckets=Buckets((8,), (16,), (64,)), record=Recorder())
    plain, replaying = (Engine(each, tokenizer, cache_tokens=512) for each in (network, captured))
    assert_branches_pay(plain, replaying, [20, 30, 40], exact=False)
    assert captured.num_plain == 0


def nemotron_like(directory: Path) -> Transformer:
    adapter = directory / "linear_spec_lora"
    return read_network(directory, dtype=torch.float32, device=CPU, name="tiny", adapter=adapter)


def test_only_a_gpu_replays(plain: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert captured_on_gpu(plain) is plain
    monkeypatch.setattr(Transformer, "device", torch.device("cuda"))
    wrapped = captured_on_gpu(plain)
    assert isinstance(wrapped, CapturedNetwork)
    assert wrapped.name == plain.name
    assert (wrapped.vocab_size, wrapped.max_positions) == (plain.vocab_size, plain.max_positions)
    assert (wrapped.mask_token_id, wrapped.has_adapter) == (plain.mask_token_id, plain.has_adapter)
