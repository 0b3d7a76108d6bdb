"""The lesson of tool calling: writing the right answer to a demonstration.

The adapter changes the autoregressive pathway, so what is trained with it is another model than
the one that was published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.network.adapter import ALL_ROWS
from decoding.network.transformer import Transformer
from decoding.tokenizer import Tokenizer
from decoding.training.answers import Answer
from decoding.training.config import ToolTraining
from decoding.training.draft_adapter import LowRankAdapter
from decoding.training.streams import Ending, Example, Packed, read_text
from decoding.training.tasks import Kind, Task
from decoding.training.tool_tasks import Demonstration, with_tools
from decoding.training.trainer import Trainer


def written(tokenizer: Tokenizer, shown: Iterable[Demonstration]) -> Iterator[Answer]:
    """The demonstrations as token ids. The source of each is the shape of its answer."""
    end = tokenizer.eos_token_ids[0]
    for each in shown:
        prompt = tuple(tokenizer.encode_chat(each.task.chat))
        tokens = (*tokenizer.encode(each.answer), end)
        yield Answer(prompt, tokens, "0" * len(tokens), each.shape.value, Kind.TOOL)


def kept_talk(
    tokenizer: Tokenizer, asked: Sequence[Task], answers: Iterable[Answer], seed: int
) -> Iterator[Answer]:
    """The model's own answers to questions that need no tool, as demonstrations: every other one
    with tools at hand. Without them a model that learned to call unlearns to talk.

    `answers` answer some of `asked`, in any order.
    """
    random = Random(seed)
    tasks = {tuple(tokenizer.encode_chat(task.chat)): task for task in asked}
    for answer in answers:
        prompt = answer.prompt
        if random.random() < 0.5:
            chat = with_tools(random, tasks[answer.prompt]).chat
            prompt = tuple(tokenizer.encode_chat(chat))
        yield replace(answer, prompt=prompt, source="talk")


class ToolCalling:
    """Every token of an answer counts alike, its end included.

    Neighbours whose prompts begin alike, as questions to the same tools do, are learned together,
    and what they share is read once. What is judged is the share of held-out answers whose tokens
    a greedy decoder would all get right, by shape. Raises `ValueError` where there is nothing to
    learn from.
    """

    def __init__(
        self, config: ToolTraining, shown: Sequence[Answer], held_out: Sequence[Answer]
    ) -> None:
        if not shown:
            raise ValueError("no demonstrations to learn from")
        self._config = config
        self._shown, self._held_out = _families(shown), _families(held_out)

    def draw(self, step: int) -> Packed:
        random = Random(self._config.seed * 1_000_003 + step)
        drawn: list[_Family] = []
        while sum(each.num_rows for each in drawn) < self._config.rows_per_step:
            drawn.append(random.choice(self._shown))
        return _packed(drawn)

    def loss(self, network: Transformer, packed: Packed) -> tuple[Tensor, Tensor]:
        """The loss, and the share of right tokens."""
        logits_RV = _logits(network, packed)
        is_right_R = logits_RV.detach().argmax(-1) == packed.targets_R
        return F.cross_entropy(logits_RV, packed.targets_R), is_right_R.float().mean()

    @torch.no_grad()
    def judge(self, network: Transformer) -> Mapping[str, float]:
        right: dict[str, list[bool]] = {}
        for group in _groups(self._held_out, self._config.rows_per_step):
            packed = _packed(group)
            answers = [answer for family in group for answer in family.answers]
            logits_RV = _logits(network, packed.on(network.device))
            is_right_R = (logits_RV.argmax(-1).cpu() == packed.targets_R).tolist()
            ends = list(accumulate(len(each.tokens) for each in answers))
            for answer, end in zip(answers, ends, strict=True):
                found = all(is_right_R[end - len(answer.tokens) : end])
                right.setdefault(answer.source, []).append(found)
        return {shape: sum(each) / len(each) for shape, each in sorted(right.items())}


@dataclass(frozen=True, slots=True)
class _Family:
    """Answers whose prompts have the first `num_shared` tokens in common."""

    answers: tuple[Answer, ...]
    num_shared: int

    @property
    def num_rows(self) -> int:
        own = sum(len(each.text) - self.num_shared for each in self.answers)
        return self.num_shared + own

    @property
    def example(self) -> Example:
        shared = self.num_shared
        endings = (Ending(each.text[shared:], len(each.prompt) - shared) for each in self.answers)
        return Example(self.answers[0].text[:shared], (), endings=tuple(endings))

    def with_next(self, answer: Answer) -> "_Family | None":
        """None where less than half of its prompt is shared."""
        beginning = self.answers[0].prompt[: self.num_shared]
        pairs = zip(beginning, answer.prompt, strict=False)
        num_shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if 2 * num_shared < len(answer.prompt):
            return None
        return _Family((*self.answers, answer), num_shared)


def _families(answers: Iterable[Answer]) -> list[_Family]:
    found: list[_Family] = []
    for answer in answers:
        larger = found[-1].with_next(answer) if found else None
        if larger is None:
            found.append(_Family((answer,), len(answer.prompt)))
        else:
            found[-1] = larger
    return found


def _packed(families: Iterable[_Family]) -> Packed:
    return Packed.of([each.example for each in families], torch.device("cpu"), text_learns=True)


def _logits(network: Transformer, packed: Packed) -> Tensor:
    text = read_text(network, packed, ALL_ROWS)
    return network.read(text.text_CE, packed.text_rows_R)


def _groups(families: Iterable[_Family], rows: int) -> Iterator[list[_Family]]:
    """Of similar length, so that little is padding."""
    group: list[_Family] = []
    for family in sorted(families, key=lambda each: each.num_rows):
        group.append(family)
        if sum(each.num_rows for each in group) >= rows:
            yield group
            group = []
    if group:
        yield group


def tool_trainer(
    network: Transformer,
    config: ToolTraining,
    shown: Sequence[Answer],
    held_out: Sequence[Answer],
    folder: Path,
    *,
    seconds: float | None = None,
    workers: int = 0,
) -> Trainer:
    """A trainer of a new adapter for calling tools."""
    torch.manual_seed(config.seed)
    adapter = LowRankAdapter(network.config, config.rank, config.alpha)
    lesson = ToolCalling(config, shown, held_out)
    return Trainer(network, config, adapter, lesson, folder, seconds=seconds, workers=workers)
