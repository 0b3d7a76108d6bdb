"""The modes on a real network in the layout of Nemotron-Labs-Diffusion, weights random.

Keys and values are compared at every layer: those of the first are the same under both kinds
of attention, so that a forgotten causal pass shows only behind it.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Ministral3ForCausalLM

from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    CombinedDrafter,
    Completion,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    Grammar,
    LookupDrafter,
    Request,
    Sampling,
    SelfSpeculation,
)
from decoding.network.transformer import Transformer
from decoding.sampling import apply_masks
from decoding.span import Attention
from tests.decoding.batches import Part, forward_batch
from tests.decoding.branching import Sure, assert_branches_pay
from tests.decoding.modes.scripted import JSON, block_lengths
from tests.decoding.nemotron import EOS, FIRST_BYTE, MASK, reference, write_nemotron
from tests.decoding.soundness import assert_all_pages_back, without_times

LETTERS = Grammar.regex(r"[abc ]+(,[abc ]+)*")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemotron(tmp_path_factory.mktemp("nemotron"))


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Iterator[Engine]:
    with Engine.load(checkpoint, cache_tokens=1024) as engine:
        yield engine


@pytest.fixture(scope="module")
def oracle(checkpoint: Path) -> Ministral3ForCausalLM:
    return reference(checkpoint)


def fresh(engine: Engine) -> Engine:
    """The same network behind an empty cache."""
    return Engine(engine.network, engine.tokenizer, cache_tokens=1024, page_size=4)


drafters = st.sampled_from(
    [
        DiffusionDrafter(),
        DiffusionDrafter(adapter=False),
        LookupDrafter(),
        CombinedDrafter(),
        Sure(DiffusionDrafter()),
    ]
)
speculations = st.builds(
    SelfSpeculation,
    block_lengths,
    drafters,
    draft_threshold=st.sampled_from([0.0, 0.5]),
    side_guesses=st.sampled_from([0, 1, 6, 20]),
)
lossless: st.SearchStrategy[DecodeMode] = st.one_of(st.just(Autoregressive()), speculations)
diffusions = st.builds(BlockDiffusion, block_lengths, st.sampled_from([None, 0.4, 0.9]))
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.sampled_from([0, 4]),
    top_p=st.sampled_from([1.0, 0.9]),
    seed=st.integers(0, 9),
)
prompts = st.lists(st.integers(FIRST_BYTE, 511), min_size=1, max_size=30)


@st.composite
def requests(draw: st.DrawFn, modes: st.SearchStrategy[DecodeMode]) -> Request:
    return Request(
        draw(prompts),
        mode=draw(modes),
        sampling=draw(samplings),
        grammar=draw(st.sampled_from([None, JSON, LETTERS])),
        max_new_tokens=draw(st.integers(1, 40)),
    )


def autoregressive(engine: Engine, request: Request) -> Completion:
    return fresh(engine).generate(
        request.prompt,
        grammar=request.grammar,
        sampling=request.sampling,
        max_new_tokens=request.max_new_tokens,
    )


@settings(max_examples=25, deadline=None)
@given(
    st.lists(requests(lossless), min_size=1, max_size=4), st.lists(requests(diffusions), max_size=1)
)
def test_self_speculation_equals_autoregressive_in_any_batch(
    engine: Engine, exact: list[Request], others: list[Request]
) -> None:
    mixed = fresh(engine)
    together = mixed.generate_many([*exact, *others])
    for request, out in zip(exact, together, strict=False):
        assert without_times(out) == without_times(autoregressive(engine, request))
    assert_all_pages_back(mixed)


def test_greedy_decoding_equals_the_native_network(
    engine: Engine, oracle: Ministral3ForCausalLM
) -> None:
    """Beyond the position from which on queries grow."""
    prompt = list(range(FIRST_BYTE, FIRST_BYTE + 20))
    ids = torch.tensor([prompt])
    settings = {"do_sample": False, "max_new_tokens": 40, "eos_token_id": EOS}
    expected = oracle.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **settings)
    for mode in (Autoregressive(), SelfSpeculation(8, DiffusionDrafter()), BlockDiffusion(1)):
        out = fresh(engine).generate(prompt, mode=mode, max_new_tokens=40)
        assert list(out.token_ids) == expected[0, len(prompt) :].tolist()


def test_drafts_commit_several_tokens_per_cycle(engine: Engine) -> None:
    outs = [
        fresh(engine).generate(
            [FIRST_BYTE + seed, 300], mode=SelfSpeculation(8, DiffusionDrafter()), max_new_tokens=60
        )
        for seed in range(4)
    ]
    accepted = sum(out.stats.accepted for out in outs)
    assert accepted > 0.2 * sum(out.stats.drafted for out in outs)


def test_the_adapter_reaches_the_drafts(engine: Engine) -> None:
    def drafted(adapter: bool) -> list[tuple[int, ...]]:
        own = fresh(engine)
        mode = SelfSpeculation(16, DiffusionDrafter(adapter))
        own.add(Request([300, 301], mode=mode, max_new_tokens=40, sampling=SHARP))
        seen = []
        while not own.is_idle:
            own.step()
            seen += [live.span.tokens for live in own._live.values() if len(live.span.tokens) > 8]
        return seen

    assert drafted(adapter=True) != drafted(adapter=False)


SHARP = Sampling(temperature=1.0, seed=3)


def keys_and_values(engine: Engine, slots: slice | torch.Tensor) -> torch.Tensor:
    storage = engine._cache.storage
    return torch.stack([store[slots] for store in (*storage.keys_SGD, *storage.values_SGD)])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(requests(st.one_of(lossless, diffusions)), min_size=1, max_size=3),
    st.lists(st.one_of(lossless, diffusions), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_the_cache_is_a_causal_prefill_of_what_is_committed(
    engine: Engine, many: list[Request], modes: list[DecodeMode], dice: random.Random
) -> None:
    """After any history of modes, forks and cancels, bit for bit at every layer."""
    own = fresh(engine)
    for request in many:
        own.add(request)
    for _ in range(12):
        own.step()
        if own._live and dice.random() < 0.4:
            request_id = dice.choice(list(own._live))
            action = dice.choice([own.abort, own.fork, lambda i: own.switch(i, dice.choice(modes))])
            action(request_id)
        for live in own._live.values():
            sequence = live.sequence
            assert sequence.lease is not None
            if sequence.num_cached:
                got = keys_and_values(own, sequence.lease.slots(sequence.num_cached))
                assert torch.equal(got, prefill(engine, sequence.encoded))
    own.close()


def prefill(engine: Engine, tokens: list[int]) -> torch.Tensor:
    """Keys and values of all layers from one causal forward over an empty cache."""
    storage = engine.network.allocate_cache(len(tokens))
    part = Part(tokens, slots=range(len(tokens)), read=[])
    engine.network.forward(forward_batch([part]), storage)
    return torch.stack([*storage.keys_SGD, *storage.values_SGD])


def test_what_a_block_forward_writes_is_not_a_causal_prefill(engine: Engine) -> None:
    """So that the test above can fail: only from the second layer on."""
    tokens = list(range(FIRST_BYTE, FIRST_BYTE + 8))
    storage = engine.network.allocate_cache(8)
    part = Part(tokens, slots=range(8), read=[], attention=Attention.BLOCK)
    engine.network.forward(forward_batch([part]), storage)
    causal = prefill(engine, tokens)
    block = torch.stack([*storage.keys_SGD, *storage.values_SGD])
    layers = len(storage.keys_SGD)
    same = [torch.equal(causal[i], block[i]) for i in range(2 * layers)]
    assert same == [i % layers == 0 for i in range(2 * layers)]


def test_a_fork_continues_as_a_cold_run(engine: Engine) -> None:
    for mode in (Autoregressive(), SelfSpeculation(8), BlockDiffusion(4), Auto()):
        own = fresh(engine)
        parent = own.add(Request([300, 301, 302], mode=mode, max_new_tokens=40, sampling=SHARP))
        for _ in range(7):
            own.step()
        so_far = tuple(own._live[parent].sequence.tokens)
        child = own.fork(parent, sampling=Sampling(temperature=1.0, seed=8))
        done = {}
        while not own.is_idle:
            for event in own.step():
                if hasattr(event, "completion"):
                    done[event.request_id] = event.completion
        cold = fresh(engine).generate(
            so_far,
            mode=mode,
            sampling=Sampling(temperature=1.0, seed=8),
            max_new_tokens=40 + 3 - len(so_far),
        )
        assert done[child].token_ids == cold.token_ids
        assert done[child].stats.cached_prompt_tokens > 0
        assert_all_pages_back(own)


def quadratic(
    network: Transformer, prompt: list[int], count: int, block: int
) -> tuple[list[int], int]:
    """Quadratic self-speculation as in arXiv 2607.05722, appendix C, on bare forwards.

    One forward verifies the draft and prepares the next one for every length that may be
    accepted: behind each draft token stands a block of masks of its own. Returns the new
    tokens and how many forwards they took.
    """
    capacity = len(prompt) + count + block
    scratch = [range(capacity + i * block, capacity + (i + 1) * block) for i in range(block)]
    storage = network.allocate_cache(capacity + block * block)
    own = list(range(capacity))
    masks = [MASK] * block

    def best(logits_RV: torch.Tensor) -> list[int]:
        chosen: list[int] = apply_masks(logits_RV, [None], never=MASK).argmax(-1).tolist()
        return chosen

    n = len(prompt)
    head = Part(prompt, slots=own, read=[n - 1])
    tail = Part(masks, slots=[*own[:n], *scratch[0]], start=n, attention=Attention.BLOCK)
    answers = best(network.forward(forward_batch([head, tail]), storage))
    draft, tokens, forwards = [answers[0], *answers[2:]], list(prompt), 1
    while len(tokens) - n < count:
        start = len(tokens)
        heads = Part(draft, slots=own, start=start)
        rows = [
            Part(
                masks,
                slots=[*own[: start + i + 1], *scratch[i]],
                start=start + i + 1,
                attention=Attention.BLOCK,
            )
            for i in range(len(draft))
        ]
        answers = best(network.forward(forward_batch([heads, *rows], gather=True), storage))
        forwards += 1
        verified, blocks = answers[: len(draft)], answers[len(draft) :]
        agreed = 1
        while agreed < len(draft) and verified[agreed - 1] == draft[agreed]:
            agreed += 1
        tokens += draft[:agreed]
        own_block = blocks[(agreed - 1) * block : agreed * block]
        draft = [verified[agreed - 1], *own_block[1:]]
    return tokens[n : n + count], forwards


@pytest.mark.parametrize("block", [1, 2, 5])
def test_quadratic_self_speculation_equals_autoregressive(engine: Engine, block: int) -> None:
    """The seams carry the other scheme of the family, too: spans of one sequence side by side."""
    network = engine.network
    assert isinstance(network, Transformer)
    for seed in range(3):
        prompt = [FIRST_BYTE + seed, 300, 301]
        expected = fresh(engine).generate(prompt, max_new_tokens=30)
        tokens, forwards = quadratic(network, prompt, 30, block)
        assert tokens[: len(expected.token_ids)] == list(expected.token_ids)
        assert forwards <= 31


def test_branches_that_are_right_are_committed(engine: Engine) -> None:
    own = fresh(engine)
    assert_branches_pay(fresh(engine), own, list(range(FIRST_BYTE, FIRST_BYTE + 6)))
    assert_all_pages_back(own)
