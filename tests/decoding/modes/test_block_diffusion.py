"""Block diffusion: always a valid answer, any budget, and autoregressive at block length 1."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from decoding import (
    MASK,
    Autoregressive,
    Block,
    BlockDiffusion,
    Completion,
    DecodeMode,
    Engine,
    FixedSchedule,
    Grammar,
    Origin,
    Purpose,
    Request,
    Sampling,
)
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import (
    JSON,
    PROSE,
    SCHEMA,
    TOKENIZER,
    VOCAB,
    diffusions,
    requests,
    scripted_engine,
)
from tests.decoding.soundness import assert_all_pages_back, assert_sound, without_times

END = TOKENIZER.eos_token_ids[0]


@settings(max_examples=100, deadline=None)
@given(requests(st.just(Autoregressive())), st.sampled_from([None, 0.5]))
def test_block_length_one_is_autoregressive(request_: Request, threshold: float | None) -> None:
    blockwise = replace(request_, mode=BlockDiffusion(block_length=1, threshold=threshold))
    one = scripted_engine().generate_many([blockwise])[0]
    assert without_times(one) == without_times(scripted_engine().generate_many([request_])[0])


@settings(max_examples=100, deadline=None)
@given(
    diffusions,
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, 3.0]),
    st.integers(35, 80),
    st.sampled_from([0.0, 0.8]),
)
def test_under_a_schema_it_writes_valid_json(
    mode: DecodeMode, seed: int, temperature: float, count: int, skill: float
) -> None:
    engine = scripted_engine(seed=seed, skill=skill)
    out = engine.generate(
        [1, 2],
        mode=mode,
        grammar=JSON,
        sampling=Sampling(temperature=temperature, seed=seed),
        max_new_tokens=count,
        close_at_budget=True,
    )
    assert out.finish_reason == "stop"
    Draft202012Validator(SCHEMA).validate(json.loads(out.text))
    assert out.stats.new_tokens <= count
    assert_all_pages_back(engine)


@settings(max_examples=100, deadline=None)
@given(requests(diffusions))
def test_between_any_two_forwards_it_is_sound(request_: Request) -> None:
    engine = scripted_engine(page_size=4)
    engine.add(request_)
    while not engine.is_idle:
        engine.step()
        assert_sound(engine)
    assert_all_pages_back(engine)


@settings(max_examples=40, deadline=None)
@given(st.lists(requests(diffusions), min_size=2, max_size=5))
def test_a_batch_gives_what_each_gives_alone(many: list[Request]) -> None:
    alone = [scripted_engine().generate_many([each])[0] for each in many]
    together = scripted_engine(page_size=4, max_live=3).generate_many(many)
    assert list(map(without_times, together)) == list(map(without_times, alone))


@pytest.mark.parametrize("count", range(1, 20))
@pytest.mark.parametrize("block_length", [2, 4, 8])
def test_any_budget_is_used_to_the_last_token(count: int, block_length: int) -> None:
    out = decode_text(BlockDiffusion(block_length), "long" * 10, max_new_tokens=count)
    assert out.text == ("long" * 10)[:count]
    assert out.finish_reason == "length"


def decode_text(
    mode: DecodeMode,
    text: str = "hello there",
    *,
    max_new_tokens: int = 50,
    stop: tuple[str, ...] = (),
) -> Completion:
    """Decodes a network whose every row knows what `text` has at its place, then the end."""
    ids = [*TOKENIZER.encode(text), END]

    def script(tokens: tuple[int, ...]) -> torch.Tensor:
        logits_V = torch.zeros(VOCAB)
        logits_V[ids[min(len(tokens) - 1, len(ids) - 1)]] = 20.0
        return logits_V

    network = ScriptedNetwork(
        VOCAB, mask_token_id=TOKENIZER.mask_token_id, script=script, skill=1.0
    )
    engine = Engine(network, TOKENIZER, cache_tokens=512)
    out = engine.generate([1], mode=mode, max_new_tokens=max_new_tokens, stop=stop)
    assert_all_pages_back(engine)
    return out


def test_sure_blocks_cost_two_forwards_each() -> None:
    out = decode_text(BlockDiffusion(block_length=4))
    assert out.text == "hello there"
    block = [Purpose.DENOISE, Purpose.NEXT]
    assert [each.purpose for each in out.forwards] == [Purpose.NEXT, *block, *block, block[0]]
    assert out.stats.origins == {"autoregressive": 3, "denoised": len(out.token_ids) - 3}


def test_a_fixed_schedule_spreads_the_block_over_its_steps() -> None:
    out = decode_text(BlockDiffusion(block_length=7, threshold=None, max_denoise_steps=3))
    steps = [r.denoise_step for r in out.records if r.origin is Origin.DENOISED][:6]
    assert [steps.count(step) for step in (1, 2, 3)] == [2, 2, 2]
    one_by_one = decode_text(BlockDiffusion(block_length=4, threshold=None))
    assert sorted(r.denoise_step for r in one_by_one.records[1:4]) == [1, 2, 3]


def test_a_block_stops_at_its_end_token() -> None:
    out = decode_text(BlockDiffusion(block_length=32))
    assert (out.text, out.finish_reason) == ("hello there", "stop")
    assert out.stats.forwards == 2
    assert out.token_ids[-1] == END


def test_a_stop_string_inside_a_block_cuts_it_there() -> None:
    out = decode_text(BlockDiffusion(block_length=32), stop=("o t",))
    assert (out.text, out.finish_reason) == ("hell", "stop")
    assert TOKENIZER.decode(out.token_ids).startswith("hello t")
    assert out.stats.forwards == 2


def test_a_policy_of_ones_own_decides() -> None:
    seen: list[Block] = []

    class Rightmost:
        def reveal(self, block: Block) -> frozenset[int]:
            seen.append(block)
            return frozenset({max(block.rankings)})

    out = decode_text(BlockDiffusion(block_length=4, sampler=Rightmost()))
    assert out.text == "hello there"
    assert [r.denoise_step for r in out.records][:4] == [0, 3, 2, 1]
    assert seen[1].tokens[:2] == (None, None)
    assert seen[1].tokens[2] is not None
    assert seen[0].max_steps == 3


def test_the_frontier_moves_under_a_grammar_whatever_the_policy() -> None:
    class Rightmost:
        def reveal(self, block: Block) -> frozenset[int]:
            return frozenset({max(block.rankings)})

    out = scripted_engine().generate(
        [1], mode=BlockDiffusion(8, sampler=Rightmost()), grammar=PROSE, max_new_tokens=20
    )
    assert Grammar.regex("[ab][a-d ]*").accepts(out.text, TOKENIZER)


def test_forced_tokens_stand_in_the_block_before_the_next_forward() -> None:
    """The bidirectional rows see the structure ahead."""
    grammar = Grammar.regex("[ab][ab]----[cd]{9}")
    engine = scripted_engine(skill=0.0)
    engine.add(Request([1], mode=BlockDiffusion(8, threshold=None), grammar=grammar))
    spans = []
    while not engine.is_idle:
        engine.step()
        spans += [one.span for one in engine._live.values()]
    first, second, *_ = (span for span in spans if span.purpose is Purpose.DENOISE)
    assert first.tokens[1:] == (MASK,) * 7
    assert list(second.tokens[2:6]) == TOKENIZER.encode("----")
    assert second.tokens[6:] == (MASK,) * 2


def test_free_text_after_a_schedule_matches_the_schedule_policy() -> None:
    assert BlockDiffusion(threshold=None).policy == FixedSchedule()


@pytest.mark.parametrize("seed", range(8))
def test_every_denoising_forward_decides_a_token_for_good(seed: int) -> None:
    """Also where the grammar refuses nearly everything that the block proposes."""
    engine = scripted_engine(skill=0.0, seed=seed)
    mode = BlockDiffusion(8, threshold=None)
    out = engine.generate([1], mode=mode, grammar=JSON, max_new_tokens=200)
    assert out.finish_reason == "stop"
    purposes = [each.purpose for each in out.forwards]
    assert 0 < purposes.count(Purpose.DENOISE) <= out.stats.origins["denoised"]


def test_a_policy_that_reveals_nothing_fails_its_request_by_name() -> None:
    class Shy:
        def reveal(self, block: Block) -> frozenset[int]:
            return frozenset({99})

    with pytest.raises(ValueError, match="policy Shy revealed no masked position"):
        scripted_engine().generate([1], mode=BlockDiffusion(8, sampler=Shy()))
