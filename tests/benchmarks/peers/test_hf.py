"""transformers goes on with what it has read, alone and in a batch, and answers the same."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.peers.base import Answer, Ask, Conversation, Model, Schema, Setting
from benchmarks.peers.hf import Networks, Transformers
from decoding import Tokenizer
from tests.decoding.checkpoints import save_checkpoint

SYSTEM = tuple(range(3, 33))
TOKENS = 4
NETWORKS = Networks()


def conversation(number: int) -> Conversation:
    """Two turns; other numbers have prompts of other lengths behind the same beginning."""
    first = (*SYSTEM, *range(40 + number, 43 + 3 * number))
    return Ask(first, TOKENS), Ask((*first, *range(90, 97 - number)), TOKENS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    save_checkpoint("llama", path)
    return path


class Ending:
    """Ends each row of a batch behind another number of tokens."""

    name = "ending"

    def missing(self) -> str:
        return ""

    def start(self, network: Any, tokenizer: Any) -> None:
        self.end = tokenizer.eos_token_id

    def processor(self, schema: Schema) -> Any:
        taken = count()

        def process(ids: Tensor, scores_BV: Tensor) -> Tensor:
            done = next(taken)
            scores_BV[: done // 2] = -torch.inf
            scores_BV[: done // 2, self.end] = 0.0
            return scores_BV

        return process


def opened(directory: Path, constrainer: Ending | None = None) -> Transformers:
    peer = Transformers("fp32", NETWORKS, constrainer)
    tokenizer = Tokenizer.from_directory(directory)
    model = Model("tiny", directory, None, tokenizer, directory)
    peer.open(model, Setting(threads=1, agents=2, room=64))
    return peer


def alone(directory: Path, asks: Sequence[Ask]) -> list[Answer]:
    """Each from an empty cache."""
    return [opened(directory).generate(ask) for ask in asks]


@contextmanager
def counted(peer: Transformers) -> Iterator[list[int]]:
    """Columns of every forward meanwhile. The first of `TOKENS` reads the prompt."""
    columns: list[int] = []

    def note(module: torch.nn.Module, args: Any, options: dict[str, Any]) -> None:
        columns.append(options["input_ids"].shape[1])

    hook = peer._network.register_forward_pre_hook(note, with_kwargs=True)
    yield columns
    hook.remove()


def test_a_batch_goes_on_with_its_cache_and_answers_as_each_would_alone(directory: Path) -> None:
    peer = opened(directory)
    known = 0
    for numbers in ((0, 1, 2), (2, 3, 0)):
        conversations = [conversation(number) for number in numbers]
        with counted(peer) as columns:
            answers = peer.concurrent(conversations)
        first, second = columns[::TOKENS]
        assert first <= max(len(asks[0].prompt) for asks in conversations) - known
        assert second <= 7
        assert answers == [alone(directory, asks) for asks in conversations]
        known = len(SYSTEM) - 6  # but for what pads the shorter rows


def test_rows_that_end_early_do_not_spoil_the_next_turn(directory: Path) -> None:
    peer = opened(directory, Ending())
    turns = [
        (Ask(each, 40, {}), Ask((*each, *range(40, 50 - number)), TOKENS))
        for number, each in enumerate((SYSTEM, SYSTEM[:9], SYSTEM[3:]))
    ]
    answers = peer.concurrent(turns)
    assert [given.tokens for given, _ in answers] == [3, 5, 7]
    assert [given for _, given in answers] == alone(directory, [asks[1] for asks in turns])


def test_a_conversation_goes_on_with_the_system_prompt_of_the_last(directory: Path) -> None:
    peer = opened(directory)
    peer.converse(conversation(1))
    with counted(peer) as columns:
        answers = peer.converse(conversation(2))
    # The answers were no part of the next prompts.
    assert columns[::TOKENS] == [len(conversation(2)[0].prompt) - len(SYSTEM), 5]
    assert answers == alone(directory, conversation(2))


def test_a_run_that_fails_leaves_nothing_behind(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("out of paper")

    peer = opened(directory)
    first, second = conversation(1)
    peer.generate(first)
    with monkeypatch.context() as broken:
        broken.setattr(peer._network, "generate", fail)
        with pytest.raises(RuntimeError, match="paper"):
            peer.generate(second)
    with counted(peer) as columns:
        assert [peer.generate(second)] == alone(directory, [second])
    assert columns[0] == len(second.prompt)


def test_a_cache_that_cannot_be_cut_back_is_not_kept(tmp_path: Path) -> None:
    save_checkpoint("mistral", tmp_path)
    peer = Transformers("fp32", Networks())
    peer.open(
        Model("tiny", tmp_path, None, Tokenizer.from_directory(tmp_path), tmp_path),
        Setting(threads=1, agents=2, room=64),
    )
    with counted(peer) as columns:
        peer.converse(conversation(1))
    assert columns[::TOKENS] == [len(ask.prompt) for ask in conversation(1)]
