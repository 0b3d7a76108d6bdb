"""Trains the draft adapter: step after step over blocks of the model's own answers."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch.utils.data import DataLoader, Dataset

from decoding.errors import UnsupportedMode
from decoding.network.transformer import Transformer
from decoding.training.answers import Answer
from decoding.training.blocks import draw_blocks
from decoding.training.config import CONFIG, AdapterTraining
from decoding.training.draft_adapter import DraftAdapter
from decoding.training.judge import Reach, forced_positions, judge
from decoding.training.objective import accepted
from decoding.training.streams import Example, Packed, read_blocks, read_text
from decoding.training.tasks import Kind

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
    seconds_left: float
    reaches: tuple[Reach, ...] = ()


class Draws(Dataset[Packed]):
    """What each step looks at, by its number, the same whenever it is taken and by whomever.

    Answers are drawn evenly from each kind, or kinds of short answers would hardly be seen.
    """

    def __init__(self, answers: Sequence[Answer], config: AdapterTraining) -> None:
        kinds: dict[Kind, list[Answer]] = {}
        for answer in answers:
            if len(answer.tokens) > 1:
                kinds.setdefault(answer.kind, []).append(answer)
        if not kinds:
            raise ValueError("no answers to learn from: none has two tokens or more")
        self._kinds, self._config = list(kinds.values()), config

    def __getitem__(self, step: int) -> Packed:
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


class Trainer:
    """Owns the adapter and its optimiser. `folder` holds what is needed to go on after a stop:
    adapter, optimiser, learning curve and configuration.

    With `seconds` training ends, its learning rate fallen, after so many of this process if not
    before. `workers` processes draw what the next steps look at, so that a GPU does not wait for
    it. Raises `UnsupportedMode` for a network with sliding windows.
    """

    def __init__(
        self,
        network: Transformer,
        config: AdapterTraining,
        answers: Sequence[Answer],
        held_out: Sequence[Answer],
        folder: Path,
        *,
        seconds: float | None = None,
        workers: int = 0,
    ) -> None:
        if network.windows != {None}:
            raise UnsupportedMode("training", network.name, "sliding windows are not supported")
        torch.manual_seed(config.seed)
        self.network, self.config, self.folder = network, config, folder
        self._draws, self._workers = Draws(answers, config), workers
        self._held_out = held_out
        self._seconds = seconds
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

    def start_from(self, adapter: Path) -> None:
        """Begins with an adapter that was trained before, as `save` wrote it."""
        self.adapter.load(adapter)

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
        """Trains to the end; judges and saves every so many steps."""
        began, first = time.monotonic(), self.step
        for packed in self._drawn():
            done = self._done(time.monotonic() - began)
            loss, right = self._learn(packed, done)
            self.step += 1
            seconds = time.monotonic() - began
            is_last = self._done(seconds) >= 1.0
            reaches: tuple[Reach, ...] = ()
            if self.step % self.config.evaluate_every == 0 or is_last:
                reaches = tuple(self.judge())
                self.save()
                self._note(loss, reaches)
            left = seconds / (self.step - first) * (self.config.steps - self.step)
            if self._seconds is not None:
                left = min(left, self._seconds - seconds)
            report(Progress(self.step, self.config.steps, self.rows, loss, right, left, reaches))
            if is_last:
                return

    def _drawn(self) -> Iterator[Packed]:
        return iter(
            DataLoader(
                self._draws,
                sampler=range(self.step, self.config.steps),
                batch_size=None,
                num_workers=self._workers,
            )
        )

    def _done(self, seconds: float) -> float:
        """The share of the training that is over, by steps or by time."""
        by_steps = self.step / self.config.steps
        return by_steps if self._seconds is None else max(by_steps, seconds / self._seconds)

    def judge(self) -> list[Reach]:
        mask_E = self.adapter.mask_E.detach()
        return judge(self._adapted(), mask_E, self._held_out, _JUDGED_LENGTH)

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

    def _learn(self, packed: Packed, done: float) -> tuple[float, float]:
        """One step. The loss, and the right guesses per block."""
        packed = packed.on(self.network.device)
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
            group["lr"] = config.learning_rate_at(self.step, done)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.rows += len(packed.tokens_N)
        right_B = accepted(logits_RV.detach(), packed.targets_R, packed.block_R)
        return loss.item(), right_B.mean().item()
