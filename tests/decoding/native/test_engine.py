"""Self-speculation on the compiled forward is autoregressive decoding, to the last bit of a
log-probability, in both precisions, and where improbable tokens are scored roughly."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding import (
    Autoregressive,
    BlockDiffusion,
    CombinedDrafter,
    Completion,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    Finished,
    Grammar,
    LookupDrafter,
    Request,
    Sampling,
    SelfSpeculation,
)
from decoding.engine import Profile
from decoding.native.transformer import NativeTransformer, Precision
from decoding.tokenizer import Tokenizer
from decoding.weights.checkpoint import read_network
from tests.decoding.branching import Sure, assert_branches_pay
from tests.decoding.embedded import embedded_engine
from tests.decoding.modes.scripted import JSON
from tests.decoding.native.networks import packable
from tests.decoding.nemotron import ADAPTER, FIRST_BYTE, write_nemotron
from tests.decoding.soundness import assert_all_pages_back, without_times

LETTERS = Grammar.regex(r"[abc ]+(,[abc ]+)*")
PROMPT = list(range(FIRST_BYTE, FIRST_BYTE + 21))
SPECULATION = SelfSpeculation(8, DiffusionDrafter())


@pytest.fixture(scope="module", params=[*Precision, None], ids=["coarse", "fine", "rough"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param is None:  # even for a head and logits as small as here
            patch.setattr("decoding.native.transformer._LARGE_HEAD", 1)
            patch.setattr("decoding.sequence._GREEDY_REACH", 0.2)
            patch.setattr("decoding.sequence._REACH", 0.5)
        for engine in engines(request.param or Precision.COARSE, tmp_path_factory):
            assert isinstance(engine.network, NativeTransformer)
            assert engine.network.has_rough_head == (request.param is None)
            yield engine


def engines(precision: Precision, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = write_nemotron(tmp_path_factory.mktemp("nemotron"))
    plain = packable(
        read_network(
            directory,
            dtype=torch.float32,
            device=torch.device("cpu"),
            name="tiny",
            adapter=directory / ADAPTER,
        )
    )
    network = NativeTransformer(plain.config, plain.parameters, "tiny", plain.adapter, precision)
    assert network.is_exact
    with Engine(network, Tokenizer.from_directory(directory), cache_tokens=1024) as engine:
        yield engine


def fresh(engine: Engine) -> Engine:
    """The same network behind an empty cache."""
    return Engine(engine.network, engine.tokenizer, cache_tokens=1024)


def autoregressive(engine: Engine, request: Request) -> Completion:
    return fresh(engine).generate(
        request.prompt,
        grammar=request.grammar,
        sampling=request.sampling,
        max_new_tokens=request.max_new_tokens,
    )


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
    st.sampled_from([2, 5, 16]),
    drafters,
    draft_threshold=st.sampled_from([0.0, 0.5]),
    side_guesses=st.sampled_from([0, 1, 6, 20]),
)
lossless: st.SearchStrategy[DecodeMode] = st.one_of(st.just(Autoregressive()), speculations)
diffusions = st.builds(BlockDiffusion, st.sampled_from([2, 8]), st.sampled_from([None, 0.4]))
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.sampled_from([0, 0, 4]),
    seed=st.integers(0, 9),
)


@st.composite
def requests(draw: st.DrawFn, modes: st.SearchStrategy[DecodeMode]) -> Request:
    return Request(
        draw(st.lists(st.integers(FIRST_BYTE, 511), min_size=1, max_size=30)),
        mode=draw(modes),
        sampling=draw(samplings),
        grammar=draw(st.sampled_from([None, JSON, LETTERS])),
        max_new_tokens=draw(st.integers(1, 40)),
    )


@settings(max_examples=15, deadline=None)
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


@settings(max_examples=8, deadline=None)
@given(
    sampling=samplings,
    steps=st.lists(st.integers(1, 6), min_size=3, max_size=3),
    mode=lossless,
)
def test_forks_aborts_and_switches_change_nothing(
    engine: Engine, sampling: Sampling, steps: list[int], mode: DecodeMode
) -> None:
    request = Request(PROMPT, mode=SPECULATION, sampling=sampling, max_new_tokens=30)
    right = without_times(autoregressive(engine, request))
    own = fresh(engine)
    finished: dict[int, Completion] = {}

    def run(count: int) -> None:
        for _ in range(count):
            for event in own.step():
                if isinstance(event, Finished):
                    finished[event.request_id] = event.completion

    first, doomed = own.add(request), own.add(Request(PROMPT[:7], mode=SPECULATION))
    run(steps[0])
    child = own.fork(first) if first not in finished else None
    run(steps[1])
    own.abort(doomed)
    own.switch(first, mode)
    run(steps[2])
    while not own.is_idle:
        run(1)
    assert without_times(finished[first]) == right
    if child is not None:
        begun = len(finished[first].token_ids) - len(finished[child].token_ids)
        assert finished[child].token_ids == finished[first].token_ids[begun:]
        assert finished[child].logprobs == finished[first].logprobs[begun:]
    assert_all_pages_back(own)


@pytest.mark.parametrize("mode", [Autoregressive(), SPECULATION])
def test_a_cached_prompt_gives_the_same_text(engine: Engine, mode: DecodeMode) -> None:
    own = fresh(engine)
    for prompt in (PROMPT, [*PROMPT, 300, 301], PROMPT[:18]):
        cold = fresh(engine).generate(prompt, mode=mode, max_new_tokens=20)
        own.generate(prompt, mode=mode, max_new_tokens=3)
        warm = own.generate(prompt, mode=mode, max_new_tokens=20)
        assert warm.stats.cached_prompt_tokens == len(prompt) - 1
        assert without_times(warm) == without_times(cold)


def test_drafts_are_sometimes_right(engine: Engine) -> None:
    """Else the tests above would prove little."""
    out = fresh(engine).generate(PROMPT, mode=SPECULATION, max_new_tokens=60)
    assert 0 < out.stats.accepted < out.stats.drafted


@pytest.mark.parametrize("page_size", [16, 32])
@pytest.mark.parametrize("length", [3, 15, 21])
def test_branches_at_any_place_of_a_page(engine: Engine, length: int, page_size: int) -> None:
    own = Engine(engine.network, engine.tokenizer, cache_tokens=1024, page_size=page_size)
    assert_branches_pay(fresh(engine), own, PROMPT[:length])
    assert_all_pages_back(own)


@pytest.mark.parametrize("page_size", [1, 4, 24])
def test_pages_that_do_not_fit_are_refused(engine: Engine, page_size: int) -> None:
    with pytest.raises(ValueError, match=f"page_size that 16 divides, not {page_size}"):
        Engine(engine.network, engine.tokenizer, cache_tokens=1024, page_size=page_size)


def test_larger_pages_fit(engine: Engine) -> None:
    large = Engine(engine.network, engine.tokenizer, cache_tokens=1024, page_size=32)
    right = fresh(engine).generate(PROMPT, max_new_tokens=20)
    assert without_times(large.generate(PROMPT, max_new_tokens=20)) == without_times(right)


@pytest.mark.embedded
@pytest.mark.timeout(180)
@pytest.mark.parametrize("profile", ["exact", "fast"])
def test_profiles_on_the_embedded_model(profile: Profile) -> None:
    """Both run compiled, and in both of them modes and batches agree to the bit."""
    prompts = ["red, green, blue, " * 4, "The capital of Italy is"]
    sampled = Sampling(temperature=0.8, seed=3)
    with embedded_engine(profile, cache_tokens=2048) as loaded:
        network = loaded.network
        assert isinstance(network, NativeTransformer)
        assert network.is_exact
        assert (network.precision is Precision.FINE) == (profile == "exact")

        def ask(mode: DecodeMode) -> list[Request]:
            return [
                Request(prompt, mode=mode, sampling=sampling, max_new_tokens=12)
                for prompt in prompts
                for sampling in (Sampling(), sampled)
            ]

        right = [loaded.generate_many([request])[0] for request in ask(Autoregressive())]
        speculation = SelfSpeculation(8, LookupDrafter())
        alone = [loaded.generate_many([request])[0] for request in ask(speculation)]
        together = loaded.generate_many([*ask(speculation), *ask(Autoregressive())])
    expected = [without_times(out) for out in right]
    assert [without_times(out) for out in alone] == expected
    assert [without_times(out) for out in together] == [*expected, *expected]
    assert sum(out.stats.accepted for out in alone) > 0
