"""What ships with the embedded model: drafts change, the model itself does not."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from benchmarks.workloads import MORE, WORKLOADS
from decoding import (
    Autoregressive,
    BlockDiffusion,
    Completion,
    DecodeMode,
    Engine,
    Request,
    SelfSpeculation,
)
from decoding.engine import Profile
from decoding.modes.drafters import CombinedDrafter, DiffusionDrafter
from decoding.modes.trained_sampler import TrainedSampler
from decoding.span import Attention, Purpose
from decoding.training.tool_tasks import HELD_OUT_DOMAINS, tool_tasks
from decoding.weights.embedded import ASSETS
from tests.decoding.batches import Part, forward_batch
from tests.decoding.embedded import embedded_engine

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(180)]
_MOST_BYTES = 25_000_000
_TOKENS = 16


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with embedded_engine(cache_tokens=32768, max_live=16) as engine:
        yield engine


@pytest.fixture(scope="module")
def questions(engine: Engine) -> list[Request]:
    """Fifty, of prose and code in free text and of tools under a grammar."""
    free = [*WORKLOADS["code"], *MORE["code"], *WORKLOADS["prose"], *MORE["prose"]]
    # The shorter ones of many: reading prompts takes the most of the time.
    tools = sorted(tool_tasks(1, 150, HELD_OUT_DOMAINS), key=lambda task: len(str(task.chat)))
    tools = tools[: 50 - len(free)]
    asked = [(task.messages, task.grammar) for task in free]
    asked += [(task.chat, task.grammar) for task in tools]
    return [
        Request(engine.tokenizer.encode_chat(chat), grammar=grammar, max_new_tokens=_TOKENS)
        for chat, grammar in asked
    ]


def decoded(engine: Engine, asked: Sequence[Request], mode: DecodeMode) -> list[Completion]:
    requests = [
        Request(each.prompt, mode=mode, grammar=each.grammar, max_new_tokens=_TOKENS)
        for each in asked
    ]
    return engine.generate_many(requests)


@pytest.fixture(scope="module")
def expected(engine: Engine, questions: list[Request]) -> list[Completion]:
    return decoded(engine, questions, Autoregressive())


def test_fifty_answers_are_those_of_autoregressive_decoding(
    engine: Engine, questions: list[Request], expected: list[Completion]
) -> None:
    assert len(questions) == 50
    drafted = decoded(engine, questions, SelfSpeculation(8, DiffusionDrafter()))
    assert [each.token_ids for each in drafted] == [each.token_ids for each in expected]
    assert sum(each.stats.accepted for each in drafted) > 0


def test_so_they_are_with_copies(
    engine: Engine, questions: list[Request], expected: list[Completion]
) -> None:
    drafted = decoded(engine, questions[::4], SelfSpeculation(8, CombinedDrafter()))
    assert [each.token_ids for each in drafted] == [each.token_ids for each in expected[::4]]
    assert sum(each.stats.accepted for each in drafted) > 0


def test_branches_leave_the_answers_and_need_fewer_forwards(
    engine: Engine, questions: list[Request], expected: list[Completion]
) -> None:
    def cycles(side_guesses: int) -> int:
        mode = SelfSpeculation(8, DiffusionDrafter(), side_guesses=side_guesses)
        drafted = decoded(engine, questions[::5], mode)
        assert [each.token_ids for each in drafted] == [each.token_ids for each in expected[::5]]
        forwards = [forward for each in drafted for forward in each.forwards]
        return sum(each.purpose in (Purpose.VERIFY, Purpose.NEXT) for each in forwards)

    assert cycles(12) < 0.9 * cycles(0)


def logits(engine: Engine, tokens: Sequence[int], masks: int = 0, adapter: bool = False) -> Tensor:
    """Of the tokens read causally; with masks, of a block of the last token and so many."""
    network = engine.network
    storage = network.allocate_cache(256)
    slots = list(range(256))
    if not masks:
        return network.forward(forward_batch([Part(tokens, slots)]), storage).clone()
    network.forward(forward_batch([Part(tokens[:-1], slots, read=[])]), storage)
    mask = network.mask_token_id
    assert mask is not None
    block = Part(
        [tokens[-1], *[mask] * masks],
        slots,
        start=len(tokens) - 1,
        attention=Attention.BLOCK,
        adapter=adapter,
    )
    return network.forward(forward_batch([block]), storage).clone()


@pytest.mark.parametrize("profile", ["exact", "fast"])
def test_the_model_itself_is_the_same_to_the_bit(profile: Profile, engine: Engine) -> None:
    prompt = engine.tokenizer.encode_chat(WORKLOADS["prose"][0].messages)
    with embedded_engine(profile, cache_tokens=1024) as with_adapter:
        assert with_adapter.network.has_adapter
        found = logits(with_adapter, prompt)
    with Engine.load("smollm2-135m", profile=profile, adapter=None, cache_tokens=1024) as plain:
        assert not plain.network.has_adapter
        assert torch.equal(found, logits(plain, prompt))


def test_the_adapter_changes_drafts_and_makes_them_right(
    engine: Engine, questions: list[Request]
) -> None:
    prompt = engine.tokenizer.encode_chat(WORKLOADS["code"][0].messages)
    on, off = (logits(engine, prompt, masks=7, adapter=adapter) for adapter in (True, False))
    assert not torch.equal(on.argmax(-1), off.argmax(-1))
    adapted, bare = (
        decoded(engine, questions[:8], SelfSpeculation(8, DiffusionDrafter(adapter)))
        for adapter in (True, False)
    )
    accepted = [sum(each.stats.accepted for each in done) for done in (adapted, bare)]
    assert accepted[0] > 2 * accepted[1]


def test_the_sampler_reveals_blocks(engine: Engine) -> None:
    sampler = TrainedSampler.load("smollm2-135m")
    done = engine.generate(
        [{"role": "user", "content": "Write a short story about a fox."}],
        mode=BlockDiffusion(8, sampler=sampler),
        max_new_tokens=32,
    )
    assert done.stats.new_tokens == 32 or done.finish_reason == "stop"
    assert done.stats.modes["diffusion"] > 0


def test_what_ships_is_small_and_described() -> None:
    files = [file for file in ASSETS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= _MOST_BYTES
    card = (ASSETS / "README.md").read_text(encoding="utf-8")
    for word in ("license: apache-2.0", "## Data", "## Training", "## Results"):
        assert word in card
