"""The lesson of drafts: guessing the model's own answers, block by block."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from decoding.network.transformer import Transformer
from decoding.training.answers import Answer
from decoding.training.blocks import draw_blocks, starts
from decoding.training.config import AdapterTraining
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.judge import forced_positions, judge
from decoding.training.objective import accepted
from decoding.training.streams import Example, Packed, read_blocks, read_text
from decoding.training.tasks import Kind
from decoding.training.trainer import Trainer

_JUDGED_LENGTH = 8


class Drafting:
    """Answers are drawn evenly from each kind, or kinds of short answers would hardly be seen.

    What is judged is tokens per cycle by kind. Raises `ValueError` where there is nothing to guess.
    """

    def __init__(
        self,
        adapter: DraftAdapter,
        config: AdapterTraining,
        answers: Sequence[Answer],
        held_out: Sequence[Answer],
    ) -> None:
        kinds: dict[Kind, list[Answer]] = {}
        for answer in answers:
            if starts(answer):
                kinds.setdefault(answer.kind, []).append(answer)
        if not kinds:
            raise ValueError(
                "no answers to learn from: none has a second token that no grammar forces"
            )
        self._kinds, self._held_out = list(kinds.values()), held_out
        self._adapter, self._config = adapter, config

    def draw(self, step: int) -> Packed:
        random = Random(self._config.seed * 1_000_003 + step)
        examples: list[Example] = []
        rows = 0
        while rows < self._config.rows_per_step:
            answer = random.choice(random.choice(self._kinds))
            blocks = tuple(draw_blocks(answer, self._config.blocks, random))
            if blocks:
                examples.append(Example(answer.text, blocks, forced_positions(answer)))
                rows += sum(block.num_rows for block in blocks)
        return Packed.of(examples, torch.device("cpu"))

    def loss(self, network: Transformer, packed: Packed) -> tuple[Tensor, Tensor]:
        """The loss, and right guesses per block."""
        text = read_text(network, packed)
        blocks_NE = read_blocks(network, packed, text, self._adapter.mask_E)
        logits_RV = network.read(blocks_NE, packed.rows_R)
        with torch.no_grad():
            teacher_RV = network.read(text.text_CE, packed.text_rows_R)
        given = (logits_RV, teacher_RV, packed.targets_R, packed.block_R)
        loss = self._config.objective.loss(*given)
        return loss, accepted(logits_RV.detach(), packed.targets_R, packed.block_R).mean()

    def judge(self, network: Transformer) -> Mapping[str, float]:
        mask_E = self._adapter.mask_E.detach()
        reaches = judge(network, mask_E, self._held_out, _JUDGED_LENGTH)
        return {each.kind.value: each.tokens_per_cycle for each in reaches}


def draft_trainer(
    network: Transformer,
    config: AdapterTraining,
    answers: Sequence[Answer],
    held_out: Sequence[Answer],
    folder: Path,
    *,
    seconds: float | None = None,
    workers: int = 0,
) -> Trainer:
    """A trainer of a new draft adapter."""
    torch.manual_seed(config.seed)
    mean_E = network.parameters.embedding_VE.float().mean(0)
    adapter = DraftAdapter(network.config, config.rank, config.alpha, mean_E)
    lesson = Drafting(adapter, config, answers, held_out)
    return Trainer(network, config, adapter, lesson, folder, seconds=seconds, workers=workers)
