"""Logits, keys and values of a row are the same bits in whatever forward it is computed."""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.native.storage import PAGE, PagedStorage
from decoding.native.transformer import NativeTransformer, Precision
from decoding.network.config import NetworkConfig
from decoding.span import Attention
from tests.decoding.batches import Part, forward_batch
from tests.decoding.native.networks import (
    CONFIGS,
    Alone,
    by_slot,
    nan_cache,
    random_network,
    row_by_row,
    slots_of,
)

LENGTH = 48
PAGES = LENGTH // PAGE
NAMES = ["llama-odd", "llama-even", "llama-sharing", "mistral", "ministral3", "qwen2", "qwen3"]
ADAPTERS = (False, True, False)


class Subject:
    """A network, and a few sequences computed by it one row at a time."""

    def __init__(
        self,
        config: NetworkConfig,
        precision: Precision,
        build: ctypes.CDLL,
        length: int = LENGTH,
        adapters: Sequence[bool] = ADAPTERS,
    ) -> None:
        plain = random_network(config, rank=5)
        self.network = NativeTransformer(
            plain.config, plain.parameters, "", plain.adapter, precision, build
        )
        torch.set_num_threads(1)
        self.sequences = [
            row_by_row(self.network, length, seed, adapter) for seed, adapter in enumerate(adapters)
        ]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[(n, p) for n in NAMES for p in Precision], ids=str)
def subject(request: pytest.FixtureRequest, build: ctypes.CDLL) -> Subject:
    name, precision = request.param
    return Subject(CONFIGS[name], precision, build)


def assert_stored(
    storage: PagedStorage, owned: Sequence[Sequence[int]], alone: Sequence[Alone]
) -> None:
    """What was written is right, and nothing else was."""
    written = torch.tensor([slot for slots in owned for slot in slots[:LENGTH]])
    rest = torch.ones(storage.num_slots, dtype=torch.bool)
    rest[written] = False
    for index, store in enumerate(by_slot(storage)):
        assert store[rest].isnan().all()
        for slots, sequence in zip(owned, alone, strict=True):
            assert torch.equal(store[list(slots)], sequence.stored[index])


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_any_grouping_gives_what_single_rows_give(subject: Subject, data: st.DataObject) -> None:
    """Sequences cut anywhere, in any order, in shared forwards, over pages in any order."""
    chosen = data.draw(st.lists(st.integers(0, len(ADAPTERS) - 1), min_size=1, max_size=4))
    pages = list(range(PAGES * len(chosen) + 2))
    if data.draw(st.booleans(), label="scattered"):
        data.draw(st.randoms(use_true_random=False)).shuffle(pages)
    owned = [slots_of(pages[i * PAGES : (i + 1) * PAGES]) for i in range(len(chosen))]
    storage = nan_cache(subject.network, len(pages) * PAGE)
    done = [0] * len(chosen)
    while waiting := [i for i, count in enumerate(done) if count < LENGTH]:
        order = data.draw(st.permutations(waiting), label="order")
        order = order[: data.draw(st.integers(1, len(order)), label="sequences")]
        longest = data.draw(st.sampled_from([1, 2, 9, 40]), label="longest")
        steps = [
            data.draw(st.integers(1, min(longest, LENGTH - done[i])), label="rows") for i in order
        ]
        parts = []
        for i, step in zip(order, steps, strict=True):
            alone = subject.sequences[chosen[i]]
            tokens = alone.tokens[done[i] : done[i] + step]
            parts.append(Part(tokens, owned[i], done[i], adapter=alone.adapter))
        torch.set_num_threads(data.draw(st.sampled_from([1, 2, 3]), label="threads"))
        gather = data.draw(st.booleans(), label="gather")
        logits_RV = subject.network.forward(forward_batch(parts, gather=gather), storage).clone()
        for i, step, found_RV in zip(order, steps, logits_RV.split(steps), strict=True):
            alone = subject.sequences[chosen[i]]
            assert torch.equal(found_RV, alone.logits_RV[done[i] : done[i] + step])
            done[i] += step
    assert_stored(storage, owned, [subject.sequences[which] for which in chosen])


@settings(max_examples=4, deadline=None)
@given(start=st.integers(0, LENGTH - 9), accepted=st.integers(0, 8), threads=st.integers(1, 3))
def test_a_draft_and_its_verification_leave_what_single_rows_leave(
    subject: Subject, start: int, accepted: int, threads: int
) -> None:
    """A block of drafts, their verification with wrong ones at its end, and going on from there."""
    alone, network = subject.sequences[0], subject.network
    torch.set_num_threads(threads)
    storage, slots = nan_cache(network, LENGTH), range(LENGTH)
    if start:
        network.forward(forward_batch([Part(alone.tokens[:start], slots, read=[])]), storage)
    draft = Part([70] * 9, slots, start, Attention.BLOCK, adapter=True)
    network.forward(forward_batch([draft]), storage)
    right = alone.tokens[start : start + accepted + 1]
    verify = Part([*right, *[70] * (8 - accepted)], slots, start)
    found_RV = network.forward(forward_batch([verify]), storage).clone()
    kept = start + accepted + 1
    assert torch.equal(found_RV[: accepted + 1], alone.logits_RV[start:kept])
    if kept < LENGTH:
        rest_RV = network.forward(forward_batch([Part(alone.tokens[kept:], slots, kept)]), storage)
        assert torch.equal(rest_RV, alone.logits_RV[kept:])
    assert_stored(storage, [slots], [alone])


@settings(max_examples=4, deadline=None)
@given(
    start=st.integers(0, LENGTH - 20),
    shared=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    count=st.integers(1, 10),
    threads=st.integers(1, 3),
)
def test_a_branch_gives_what_its_path_gives_alone(
    subject: Subject, start: int, shared: list[int], count: int, threads: int
) -> None:
    """Branches off a verified draft, at any place of a page, beside each other."""
    alone, network = subject.sequences[0], subject.network
    torch.set_num_threads(threads)
    storage, slots = nan_cache(network, (1 + len(shared)) * LENGTH), list(range(LENGTH))
    if start:
        network.forward(forward_batch([Part(alone.tokens[:start], slots, read=[])]), storage)
    right = alone.tokens[start : start + max(shared)]
    parts = [Part([*right, 70, 70], slots, start)]
    for number, before in enumerate(shared, 1):
        at = start + before
        own = [*slots[:at], *(slot + number * LENGTH for slot in slots[at:])]
        parts.append(Part(alone.tokens[at : at + count], own, at, is_branch=True))
    found_RV = network.forward(forward_batch(parts), storage)
    found = found_RV.split([len(part.tokens) for part in parts])
    for part, logits_RV in zip(parts[1:], found[1:], strict=True):
        assert torch.equal(logits_RV, alone.logits_RV[part.start : part.start + count])
    for index, store in enumerate(by_slot(storage)):
        kept = start + max(shared)
        assert torch.equal(store[:kept], alone.stored[index][:kept])


LONG = 300  # attention cuts positions into stretches of 128
LONG_CONFIGS = {
    "all": replace(CONFIGS["llama-even"], num_layers=1, windows=(None,)),
    "windows": replace(CONFIGS["llama-odd"], windows=(140, 7)),
    "sharing": replace(CONFIGS["llama-sharing"], windows=(129,)),
    "alone": CONFIGS["qwen3"],  # a query of each key head
}


@pytest.fixture(scope="module", params=[(n, p) for n in LONG_CONFIGS for p in Precision], ids=str)
def long_subject(request: pytest.FixtureRequest, build: ctypes.CDLL) -> Subject:
    name, precision = request.param
    return Subject(LONG_CONFIGS[name], precision, build, LONG, (False,))


@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_long_contexts_are_read_the_same_by_few_rows_and_by_many(
    long_subject: Subject, data: st.DataObject
) -> None:
    """However attention is divided over threads, with others beside or none."""
    alone, network = long_subject.sequences[0], long_subject.network
    pages = list(range(2 * LONG // PAGE + 2))
    data.draw(st.randoms(use_true_random=False)).shuffle(pages)
    slots, storage = slots_of(pages), nan_cache(network, len(pages) * PAGE)
    other = slots_of(pages[LONG // PAGE + 1 :])
    done = 0
    while done < LONG:
        step = min(data.draw(st.sampled_from([2, 8, 17, 125])), LONG - done)
        parts = [Part(alone.tokens[done : done + step], slots[:LONG], done)]
        if data.draw(st.booleans(), label="company"):
            parts.append(Part(alone.tokens[: data.draw(st.sampled_from([1, 70]))], other))
        torch.set_num_threads(data.draw(st.sampled_from([1, 2, 3]), label="threads"))
        found_RV = network.forward(forward_batch(parts), storage)[:step]
        assert torch.equal(found_RV, alone.logits_RV[done : done + step])
        done += step
    for index, store in enumerate(by_slot(storage)):
        assert torch.equal(store[slots[:LONG]], alone.stored[index])


@pytest.mark.parametrize("start", [119, 127, 130])
def test_branches_about_the_end_of_a_stretch(long_subject: Subject, start: int) -> None:
    alone, network = long_subject.sequences[0], long_subject.network
    tokens, slots = alone.tokens, list(range(LONG))
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        storage = nan_cache(network, 3 * 304)
        network.forward(forward_batch([Part(tokens[:start], slots, read=[])]), storage)
        parts = [Part([*tokens[start : start + 5], 70, 70], slots, start)]
        for number, shared in enumerate((1, 4), 1):
            at = start + shared
            own = [*slots[:at], *(slot + number * 304 for slot in slots[at:])]
            parts.append(Part(tokens[at : at + 6], own, at, is_branch=True))
        found = network.forward(forward_batch(parts), storage).split([7, 6, 6])
        assert torch.equal(found[0][:5], alone.logits_RV[start : start + 5])
        for part, logits_RV in zip(parts[1:], found[1:], strict=True):
            assert torch.equal(logits_RV, alone.logits_RV[part.start : part.start + 6])


@pytest.mark.parametrize("window", [1, 7, 128, 129])
def test_windows_that_begin_in_another_stretch(window: int, build: ctypes.CDLL) -> None:
    config = replace(CONFIGS["llama-even"], num_layers=1, windows=(window,))
    subject = Subject(config, Precision.COARSE, build, 280, (False,))
    alone, network = subject.sequences[0], subject.network
    for rows in (3, 8, 20):
        torch.set_num_threads(2)
        storage, slots = nan_cache(network, 288), range(280)
        network.forward(forward_batch([Part(alone.tokens[:120], slots, read=[])]), storage)
        for start in range(120, 280 - rows, rows):
            part = Part(alone.tokens[start : start + rows], slots, start)
            found_RV = network.forward(forward_batch([part]), storage)
            assert torch.equal(found_RV, alone.logits_RV[start : start + rows])


def test_more_threads_than_work_and_fewer_again(build: ctypes.CDLL) -> None:
    subject = Subject(CONFIGS["llama-odd"], Precision.COARSE, build, LENGTH, (False,))
    alone, network = subject.sequences[0], subject.network
    for threads in (70, 2, 70, 5):
        torch.set_num_threads(threads)
        storage = nan_cache(network, LENGTH)
        found_RV = network.forward(forward_batch([Part(alone.tokens, range(LENGTH))]), storage)
        assert torch.equal(found_RV, alone.logits_RV)


@pytest.mark.parametrize("start", [100, 128, 250])
def test_a_block_over_several_stretches(long_subject: Subject, start: int) -> None:
    alone, network = long_subject.sequences[0], long_subject.network
    found = []
    for threads, company in ((1, 0), (2, 0), (3, 70)):
        torch.set_num_threads(threads)
        storage, slots = nan_cache(network, LONG + 96), range(LONG)
        network.forward(forward_batch([Part(alone.tokens[:start], slots, read=[])]), storage)
        parts = [Part(alone.tokens[start : start + 40], slots, start, Attention.BLOCK)]
        if company:
            parts.append(Part(alone.tokens[:company], range(LONG + 4, LONG + 84)))
        found.append(network.forward(forward_batch(parts), storage)[:40].clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_more_rows_than_a_panel_holds(build: ctypes.CDLL) -> None:
    """Rows lie in panels; sums of many sequences still are those of each."""
    plain = random_network(CONFIGS["llama-odd"], rank=5)
    for precision in Precision:
        network = NativeTransformer(
            plain.config, plain.parameters, "", plain.adapter, precision, build
        )
        alone = [row_by_row(network, LENGTH, seed, seed % 2 == 1) for seed in range(5)]
        storage = nan_cache(network, 5 * LENGTH)
        owned = [range(i * LENGTH, (i + 1) * LENGTH) for i in range(5)]
        parts = [
            Part(each.tokens, slots, adapter=each.adapter)
            for each, slots in zip(alone, owned, strict=True)
        ]
        logits_RV = network.forward(forward_batch(parts), storage)
        assert torch.equal(logits_RV, torch.cat([each.logits_RV for each in alone]))
        assert_stored(storage, owned, alone)


@pytest.mark.parametrize("precision", list(Precision))
def test_blocks_are_the_same_in_any_company(precision: Precision, build: ctypes.CDLL) -> None:
    plain = random_network(CONFIGS["mistral"], rank=5)
    network = NativeTransformer(plain.config, plain.parameters, "", plain.adapter, precision, build)
    tokens = list(range(40))
    found = []
    for count, pages in ((0, [0, 1, 2]), (1, [5, 4, 3]), (30, [2, 9, 4])):
        storage = nan_cache(network, 256)
        company = [Part([7] * count, range(160, 256), adapter=True)] if count else []
        block = Part(tokens[21:], slots_of(pages), 21, Attention.BLOCK)
        network.forward(forward_batch([Part(tokens[:21], slots_of(pages), read=[])]), storage)
        found.append(network.forward(forward_batch([*company, block]), storage)[-19:].clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_networks_in_several_threads_at_once(build: ctypes.CDLL) -> None:
    """One of them has the helpers at a time, the others do without."""
    torch.set_num_threads(3)
    plain = random_network(CONFIGS["llama-odd"])
    batch = forward_batch([Part(list(range(40)), range(48))])
    networks = [
        NativeTransformer(plain.config, plain.parameters, "", None, precision, build)
        for precision in (*Precision, *Precision)
    ]
    right = [each.forward(batch, nan_cache(each, 48)).clone() for each in networks]
    equal: list[bool] = []

    def run(index: int) -> None:
        storage = nan_cache(networks[index], 48)
        for _ in range(25):
            equal.append(torch.equal(networks[index].forward(batch, storage), right[index]))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(networks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 100


_FORKED = """
import os, sys, torch
from decoding.native.transformer import NativeTransformer
from tests.decoding.batches import Part, forward_batch
from tests.decoding.native.networks import CONFIGS, random_network

torch.set_num_threads(2)
plain = random_network(CONFIGS["llama-odd"])
network = NativeTransformer(plain.config, plain.parameters, "")
batch = forward_batch([Part(list(range(40)), range(48))])
right = network.forward(batch, network.allocate_cache(48)).clone()
child = os.fork()
if not child:
    torch.set_num_threads(3)
    found = [network.forward(batch, network.allocate_cache(48)).clone() for _ in range(3)]
    os._exit(0 if all(bool((each == right).all()) for each in found) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_helpers_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
