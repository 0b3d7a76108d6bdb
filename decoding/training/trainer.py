"""Trains the draft adapter: step after step over blocks of the model's own answers."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from decoding.errors import UnsupportedMode
from decoding.network.transformer import Transformer
from decoding.training.answers import Answer
from decoding.training.blocks import draw_blocks
from decoding.training.config import CONFIG, AdapterTraining
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.judge import Reach, forced_positions, judge
from decoding.training.objective import accepted
from decoding.training.streams import Example, Packed, read_blocks, read_text

_STATE = "state.pt"
_CURVE = "curve.jsonl"
_JUDGED_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands after a step. `accepted` counts right guesses per block of the step;
    `reaches` are judged on held-out answers now and then, else empty."""

    step: int
    steps: int
    rows: int
    loss: float
    accepted: float
    seconds: float
    reaches: tuple[Reach, ...] = ()

    @property
    def seconds_left(self) -> float:
        """Of this process, from the mean of its steps."""
        return self.seconds * (self.steps - self.step)


class Trainer:
    """Owns the adapter and its optimiser. `folder` holds what is needed to go on after a stop:
    adapter, optimiser, learning curve and configuration. Raises `UnsupportedMode` for a network
    with sliding windows."""

    def __init__(
        self,
        network: Transformer,
        config: AdapterTraining,
        answers: Sequence[Answer],
        held_out: Sequence[Answer],
        folder: Path,
    ) -> None:
        if network.windows != {None}:
            raise UnsupportedMode("training", network.name, "sliding windows are not supported")
        torch.manual_seed(config.seed)
        self.network, self.config, self.folder = network, config, folder
        self._answers = [each for each in answers if len(each.tokens) > 1]
        self._held_out = held_out
        mean_E = network.parameters.embedding_VE.float().mean(0)
        self.adapter = DraftAdapter(network.config, config.rank, config.alpha, mean_E).to(
            network.device
        )
        self._optimiser = torch.optim.AdamW(
            self.adapter.parameters(), lr=config.learning_rate, weight_decay=0.0
        )
        self.step, self.rows = 0, 0

    def resume(self) -> bool:
        """Goes on from the folder's state, where there is one."""
        file = self.folder / _STATE
        if not file.exists():
            return False
        state = torch.load(file, map_location=self.network.device, weights_only=True)
        self.adapter.load_state_dict(state["adapter"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.rows = state["step"], state["rows"]
        return True

    def save(self) -> None:
        """Keeps the state for `resume`, and the adapter as PEFT lays it out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write(self.folder / CONFIG)
        state = {
            "adapter": self.adapter.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "rows": self.rows,
        }
        draft = self.folder / f"{_STATE}.new"
        torch.save(state, draft)
        draft.replace(self.folder / _STATE)
        self.adapter.save(self.folder / "adapter")

    def run(self, report: Callable[[Progress], None]) -> None:
        """Trains to the last step; judges and saves every so many."""
        began, first = time.monotonic(), self.step
        while self.step < self.config.steps:
            loss, right = self._learn()
            self.step += 1
            is_last = self.step == self.config.steps
            reaches: tuple[Reach, ...] = ()
            if self.step % self.config.evaluate_every == 0 or is_last:
                reaches = tuple(self.judge())
                self.save()
                self._note(loss, reaches)
            seconds = (time.monotonic() - began) / (self.step - first)
            report(Progress(self.step, self.config.steps, self.rows, loss, right, seconds, reaches))

    def judge(self) -> list[Reach]:
        return judge(self._adapted(), self.adapter.mask_E.detach(), self._held_out, _JUDGED_LENGTH)

    def _note(self, loss: float, reaches: Sequence[Reach]) -> None:
        """Adds a point to the learning curve."""
        reached = {each.kind.value: round(each.tokens_per_cycle, 4) for each in reaches}
        point = {"step": self.step, "rows": self.rows, "loss": round(loss, 4), **reached}
        with (self.folder / _CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")

    def _adapted(self) -> Transformer:
        return Transformer(
            self.network.config,
            self.network.parameters,
            self.network.name,
            self.adapter.adapter(self.network.dtype),
        )

    def _learn(self) -> tuple[float, float]:
        """One step. The loss, and the right guesses per block."""
        packed = Packed.of(self._draw(), self.network.device)
        network, config = self._adapted(), self.config
        text = read_text(network, packed)
        blocks_NE = read_blocks(network, packed, text, self.adapter.mask_E)
        logits_RV = network.read(blocks_NE, packed.rows_R)
        with torch.no_grad():
            teacher_RV = network.read(text.text_CE, packed.text_rows_R)
        loss = config.objective.loss(logits_RV, teacher_RV, packed.targets_R, packed.block_R)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adapter.parameters(), config.max_gradient)
        for group in self._optimiser.param_groups:
            group["lr"] = config.learning_rate_at(self.step)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.rows += len(packed.tokens_N)
        right_B = accepted(logits_RV.detach(), packed.targets_R, packed.block_R)
        return loss.item(), right_B.mean().item()

    def _draw(self) -> list[Example]:
        """The examples of a step, the same for a step whenever it is taken."""
        random = Random(self.config.seed * 1_000_003 + self.step)
        examples: list[Example] = []
        rows = 0
        while rows < self.config.rows_per_step:
            answer = random.choice(self._answers)
            blocks = tuple(draw_blocks(answer, self.config.blocks, random))
            if blocks:
                examples.append(Example(answer.text, blocks, forced_positions(answer)))
                rows += sum(block.num_rows for block in blocks)
        return examples
