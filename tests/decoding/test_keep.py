"""Conversations whose pages wait for their next turn."""

import pytest

from decoding import AsyncEngine, Completion, Engine, Request
from decoding.testing import ScriptedNetwork
from tests.decoding.modes.scripted import TOKENIZER, VOCAB
from tests.decoding.soundness import assert_sound


def new_engine(**limits: int) -> Engine:
    network = ScriptedNetwork(VOCAB, max_positions=3000)
    return Engine(network, TOKENIZER, **{"cache_tokens": 512, "page_size": 8, **limits})


def turn(engine: Engine, prompt: list[int], keep: str | None) -> Completion:
    [done] = engine.generate_many([Request(prompt, max_new_tokens=16, keep=keep)])
    assert_sound(engine)
    return done


def crowd(engine: Engine) -> None:
    """Others, who need more than the whole cache."""
    for start in range(12):
        engine.generate([start, *range(60)], max_new_tokens=16)
        assert_sound(engine)


@pytest.mark.parametrize("keep", ["talk", None])
def test_a_crowd_pushes_out_what_nobody_keeps(keep: str | None) -> None:
    engine = new_engine()
    prompt = [200, *range(90, 150)]
    first = turn(engine, prompt, keep)
    crowd(engine)
    second = turn(engine, [*prompt, *first.token_ids, 7, 8], keep)
    told = len(prompt) + len(first.token_ids)
    assert second.stats.cached_prompt_tokens == (told - 1 if keep else 0)


def test_forgotten_conversations_make_room_like_all_others() -> None:
    engine = new_engine()
    prompt = [200, *range(90, 150)]
    first = turn(engine, prompt, "talk")
    assert engine.stats().kept_pages == -(-(len(prompt) + len(first.token_ids) - 1) // 8)
    assert engine.forget("talk")
    assert not engine.forget("talk")
    assert engine.stats().kept_pages == 0
    crowd(engine)
    assert turn(engine, prompt, None).stats.cached_prompt_tokens == 0


def test_the_budget_is_half_the_cache_unless_given() -> None:
    for engine, most in ((new_engine(), 32), (new_engine(kept_tokens=64), 8)):
        for number in range(9):
            turn(engine, [number, *range(60)], f"talk {number}")
            assert 0 < engine.stats().kept_pages <= most
    with pytest.raises(ValueError, match="kept_tokens"):
        new_engine(kept_tokens=-1)


def test_a_request_for_the_whole_cache_is_not_refused_for_what_is_kept() -> None:
    engine = new_engine(kept_tokens=512)
    for number in range(5):
        turn(engine, [number, *range(60)], f"talk {number}")
    done = engine.generate(list(range(3, 250)), max_new_tokens=512 - 247)
    assert done.finish_reason in ("stop", "length")


def test_a_fork_keeps_nothing_of_its_own() -> None:
    engine = new_engine()
    parent = engine.add(Request([5, 6, 7], max_new_tokens=30, keep="talk"))
    engine.step()
    child = engine.fork(parent)
    done: dict[int, Completion] = {}
    while not engine.is_idle:
        done |= {
            each.request_id: each.completion
            for each in engine.step()
            if hasattr(each, "completion")
        }
    assert set(done) == {parent, child}
    assert engine.forget("talk")
    assert engine.stats().kept_pages == 0


@pytest.mark.parametrize("bad", ["", 3, b"x"])
def test_a_name_is_text(bad: object) -> None:
    with pytest.raises(ValueError, match="keep"):
        Request([1], keep=bad)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_an_async_engine_forgets_too() -> None:
    engine = AsyncEngine(new_engine)
    engine.forget("nobody")
    async with engine:
        async with engine.stream(Request([5, 6, 7], max_new_tokens=9, keep="talk")) as events:
            async for _ in events:
                pass
        assert engine.stats().kept_pages > 0
        engine.forget("talk")
        await engine.generate([9, 9], max_new_tokens=2)
        assert engine.stats().kept_pages == 0
