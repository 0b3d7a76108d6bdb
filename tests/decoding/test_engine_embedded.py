"""The engine on real weights: what is re-used from the cache gives what a cold run gives."""

from collections.abc import Iterator

import pytest

from decoding import Completion, Engine, Grammar, Request
from tests.decoding.embedded import embedded_engine

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(180)]
SYSTEM = {"role": "system", "content": "You answer briefly and never mention the weather."}
FIRST = [SYSTEM, {"role": "user", "content": "Name a river in Europe."}]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with embedded_engine() as engine:
        yield engine


def cold(prompt: list[int], **kwargs: int) -> Completion:
    with embedded_engine(cache_tokens=2048) as engine:
        out = engine.generate(prompt, **kwargs)
    assert out.stats.cached_prompt_tokens == 0
    return out


def assert_same(warm: Completion, reference: Completion) -> None:
    assert warm.token_ids == reference.token_ids
    assert warm.logprobs == pytest.approx(reference.logprobs, abs=1e-4)


def test_a_second_turn_equals_a_cold_run(engine: Engine) -> None:
    first = engine.generate(FIRST, max_new_tokens=12)
    follow_up = engine.tokenizer.encode(
        "\n<|im_start|>user\nAnother one?<|im_end|>\n<|im_start|>assistant\n"
    )
    history = [*first.prompt_token_ids, *first.token_ids, *follow_up]
    second = engine.generate(history, max_new_tokens=12)
    encoded = len(first.prompt_token_ids) + len(first.token_ids) - 1
    assert second.stats.cached_prompt_tokens == encoded
    assert engine.stats().profile == "exact"
    assert_same(second, cold(history, max_new_tokens=12))


def test_a_second_conversation_shares_the_system_prompt(engine: Engine) -> None:
    engine.generate(FIRST, max_new_tokens=4)
    other = engine.generate(
        [SYSTEM, {"role": "user", "content": "What is 2 plus 2?"}], max_new_tokens=12
    )
    system = len(engine.tokenizer.encode_chat([SYSTEM], add_generation_prompt=False))
    assert other.stats.cached_prompt_tokens >= system
    assert_same(other, cold(list(other.prompt_token_ids), max_new_tokens=12))


def test_a_batch_decodes_what_each_decodes_alone(engine: Engine) -> None:
    grammar = Grammar.json_schema({"enum": ["red", "green", "blue"]})
    requests = [
        Request("The capital of Italy is", max_new_tokens=8),
        Request("My favourite colour, as JSON: ", grammar=grammar, max_new_tokens=8),
        Request("Once upon a time", max_new_tokens=8),
    ]
    together = engine.generate_many(requests)
    alone = [engine.generate_many([request])[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other)
    assert together[1].text in {'"red"', '"green"', '"blue"'}
