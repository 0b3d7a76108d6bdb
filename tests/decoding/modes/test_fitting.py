"""Modes and networks that do not go together are refused before any work, by name."""

from collections.abc import Callable

import pytest
import torch

from decoding import (
    Auto,
    Autoregressive,
    BlockDiffusion,
    DecodeMode,
    DiffusionDrafter,
    Engine,
    Failed,
    Finished,
    Grammar,
    GrammarDeadEnd,
    LookupDrafter,
    Request,
    SelfSpeculation,
    UnsupportedMode,
)
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import JSON, TOKENIZER, VOCAB, scripted_engine
from tests.decoding.soundness import assert_all_pages_back, without_times


def plain_engine(*, mask_token_id: int | None = None) -> Engine:
    """A causal language model without draft adapter, by default without mask token."""
    network = ScriptedNetwork(VOCAB, max_positions=100, mask_token_id=mask_token_id)
    return Engine(network, TOKENIZER, cache_tokens=512)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (BlockDiffusion(), "diffusion"),
        (SelfSpeculation(drafter=DiffusionDrafter()), "self-speculation"),
    ],
)
def test_without_a_mask_token_nothing_is_denoised(mode: DecodeMode, name: str) -> None:
    with pytest.raises(UnsupportedMode, match=f"scripted cannot decode in mode {name}: .*mask"):
        plain_engine().generate([1], mode=mode)


def test_without_an_adapter_drafts_are_the_weights_own() -> None:
    engine = plain_engine(mask_token_id=TOKENIZER.mask_token_id)
    wanted = SelfSpeculation(drafter=DiffusionDrafter(adapter=True))
    for mode in (wanted, BlockDiffusion(adapter=True)):
        with pytest.raises(UnsupportedMode, match="no draft adapter"):
            engine.generate([1], mode=mode)
    out = engine.generate([1], mode=SelfSpeculation(drafter=DiffusionDrafter()), max_new_tokens=9)
    assert out.token_ids == plain_engine().generate([1], max_new_tokens=9).token_ids


def test_every_causal_model_speculates_by_lookup() -> None:
    expected = plain_engine().generate([1, 2, 1, 2], max_new_tokens=20)
    for mode in (SelfSpeculation(), SelfSpeculation(drafter=LookupDrafter())):
        out = plain_engine().generate([1, 2, 1, 2], mode=mode, max_new_tokens=20)
        assert without_times(out) == without_times(expected)


def test_auto_falls_back_to_autoregressive() -> None:
    for mode in (Auto(), Auto(free=BlockDiffusion(), constrained=BlockDiffusion())):
        out = plain_engine().generate([1], mode=mode, max_new_tokens=5)
        assert out.stats.modes == {"autoregressive": 5}


def test_auto_switches_where_the_text_becomes_free() -> None:
    mode = Auto(constrained=SelfSpeculation(4), free=BlockDiffusion(4))
    grammar = Grammar.regex("[ab]{3}[a-d]*z")
    endless = Grammar.regex("[ab]{3}[a-d]*")
    out = scripted_engine().generate([1], mode=mode, grammar=endless, max_new_tokens=20)
    first, rest = out.records[:3], out.records[3:]
    assert {record.region.value for record in first} == {"constrained"}
    assert {record.region.value for record in rest} == {"free"}
    assert first[0].mode == "self-speculation"
    assert "diffusion" in {record.mode for record in rest}
    out = scripted_engine().generate([1], mode=mode, grammar=grammar, max_new_tokens=20)
    assert set(out.stats.modes) == {"self-speculation"}
    constrained = scripted_engine().generate([1], mode=mode, grammar=JSON)
    assert set(constrained.stats.modes) == {"self-speculation"}
    assert set(scripted_engine().generate([1], mode=mode).stats.modes) == {"diffusion"}


@pytest.mark.parametrize("make", [BlockDiffusion, SelfSpeculation])
@pytest.mark.parametrize("block_length", [0, -3])
def test_a_block_holds_at_least_one_token(make: type[BlockDiffusion], block_length: int) -> None:
    with pytest.raises(
        ValueError, match=f"block_length must be a whole number of at least 1, not {block_length}"
    ):
        make(block_length)


@pytest.mark.parametrize("make", [BlockDiffusion, SelfSpeculation])
def test_a_block_beyond_the_context_is_refused(make: type[BlockDiffusion]) -> None:
    engine = scripted_engine()
    with pytest.raises(ValueError, match="block_length 401 is beyond the context of scripted, 400"):
        engine.generate([1], mode=make(401))
    assert engine.generate([1], mode=make(400), max_new_tokens=4).stats.new_tokens == 4


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold must be a probability"):
        BlockDiffusion(threshold=1.5)
    with pytest.raises(ValueError, match="max_denoise_steps must be a whole number"):
        BlockDiffusion(max_denoise_steps=0)
    with pytest.raises(ValueError, match="draft_threshold must be a probability"):
        SelfSpeculation(draft_threshold=-0.1)


def test_a_prompt_with_the_mask_token_is_refused() -> None:
    mask = TOKENIZER.mask_token_id
    assert mask is not None
    with pytest.raises(ValueError, match=rf"the mask token \(id {mask}\) at place 1"):
        scripted_engine().generate([1, mask])


def test_the_mask_token_is_never_picked() -> None:
    mask = TOKENIZER.mask_token_id
    for mode in (Autoregressive(), SelfSpeculation(), BlockDiffusion(8)):
        engine = scripted_engine()
        script = engine.network._script  # type: ignore[attr-defined]

        engine.network._script = lambda tokens, script=script: script(tokens).index_fill(  # type: ignore[attr-defined]
            0, torch.tensor([mask]), 100.0
        )
        out = engine.generate([1], mode=mode, max_new_tokens=30)
        assert mask not in out.token_ids


@pytest.mark.parametrize("mode", [SelfSpeculation(), BlockDiffusion(), Auto(), Autoregressive()])
def test_a_dead_end_fails_its_request_only(mode: DecodeMode) -> None:
    engine = scripted_engine()
    stuck = Grammar.lark('start: "ab" NEVER\nNEVER: /a/ & /b/\n')
    good = engine.add(Request([1], max_new_tokens=5))
    bad = engine.add(Request([1], grammar=stuck, mode=mode, max_new_tokens=5))
    events = []
    while not engine.is_idle:
        events += engine.step()
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.request_id for event in failed] == [bad]
    assert isinstance(failed[0].error, GrammarDeadEnd)
    assert [event.request_id for event in events if isinstance(event, Finished)] == [good]
    assert_all_pages_back(engine)


def test_a_dead_end_that_is_only_drafted_fails_nothing() -> None:
    """One branch of the grammar cannot be finished; the network does not take it."""
    grammar = Grammar.lark('start: "x" (GOOD | "b" NEVER)\nGOOD: /a{30}/\nNEVER: /c/ & /d/\n')
    a, b = TOKENIZER.encode("a")[0], TOKENIZER.encode("b")[0]

    def only(token: int) -> Callable[[tuple[int, ...]], torch.Tensor]:
        return lambda _: torch.nn.functional.one_hot(torch.tensor(token), VOCAB) * 50.0

    for mode in (Autoregressive(), SelfSpeculation(8, DiffusionDrafter())):
        engine = scripted_engine(skill=0.0)
        engine.network._script = only(a)  # type: ignore[attr-defined]
        engine.network._noise = only(b)  # type: ignore[attr-defined]
        out = engine.generate([1], mode=mode, grammar=grammar, max_new_tokens=40)
        assert out.text == "x" + "a" * 30
