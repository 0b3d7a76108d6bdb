"""Trains an adapter: step after step of a lesson."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from decoding.errors import UnsupportedMode
from decoding.network.transformer import Transformer
from decoding.training.config import CONFIG, Training
from decoding.training.draft_adapter import LowRankAdapter
from decoding.training.lesson import Lesson
from decoding.training.streams import Packed

_STATE = "state.pt"
_CURVE = "curve.jsonl"
_Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands after a step. `right` says how much of the step was right, as its
    lesson counts it; `judged` is what the lesson's judge finds now and then, else empty."""

    step: int
    steps: int
    rows: int
    loss: float
    right: float
    seconds_left: float
    judged: Mapping[str, float] = field(default_factory=dict)


class _Draws(Dataset[Packed]):
    """A lesson's steps, for worker processes."""

    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson

    def __getitem__(self, step: int) -> Packed:
        return self._lesson.draw(step)


def _running_mean(most: int) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Of all so far, until there are `most`; from then on older ones fade."""

    @torch.no_grad()
    def add(mean: _Tensors, learned: _Tensors, num_before: Tensor | int) -> None:
        weight = 1.0 / min(int(num_before) + 1, most)
        for kept, new in zip(mean, learned, strict=True):
            kept.lerp_(new, weight)

    return add


class Trainer:
    """Owns the optimiser of an adapter. `folder` holds what is needed to go on after a stop:
    adapter, optimiser, learning curve and configuration. The adapter that is judged and kept is
    the running mean of the one that learns.

    With `seconds` training ends, its learning rate fallen, after so many of this process if not
    before. `workers` processes draw what the next steps look at, so that a GPU does not wait for
    it. Raises `UnsupportedMode` for a network with sliding windows.
    """

    def __init__(
        self,
        network: Transformer,
        config: Training,
        adapter: LowRankAdapter,
        lesson: Lesson,
        folder: Path,
        *,
        seconds: float | None = None,
        workers: int = 0,
    ) -> None:
        if network.windows != {None}:
            raise UnsupportedMode("training", network.name, "sliding windows are not supported")
        self.network, self.config, self.folder = network, config, folder
        self.adapter = adapter.to(network.device)
        self._lesson, self._seconds, self._workers = lesson, seconds, workers
        self._optimiser = torch.optim.AdamW(
            self.adapter.parameters(), lr=config.learning_rate, weight_decay=0.0
        )
        self._mean = AveragedModel(self.adapter, multi_avg_fn=_running_mean(config.average))
        self.step, self.rows = 0, 0

    def resume(self) -> bool:
        """Goes on from the folder's state, where there is one."""
        file = self.folder / _STATE
        if not file.exists():
            return False
        state = torch.load(file, map_location=self.network.device, weights_only=True)
        self.adapter.load_state_dict(state["adapter"])
        if "mean" in state:
            self._mean.load_state_dict(state["mean"])
        else:  # of a training from before there was one
            self._mean.module.load_state_dict(state["adapter"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.rows = state["step"], state["rows"]
        return True

    def start_from(self, adapter: Path) -> None:
        """Begins with an adapter that was trained before, as `save` wrote it."""
        self.adapter.load(adapter)
        self._mean.module.load_state_dict(self.adapter.state_dict())

    def save(self) -> None:
        """Keeps the state for `resume`, and the mean adapter as PEFT lays it out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write(self.folder / CONFIG)
        state = {
            "adapter": self.adapter.state_dict(),
            "mean": self._mean.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "rows": self.rows,
        }
        draft = self.folder / f"{_STATE}.new"
        torch.save(state, draft)
        draft.replace(self.folder / _STATE)
        with self._averaged():
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
            judged: Mapping[str, float] = {}
            if self.step % self.config.evaluate_every == 0 or is_last:
                judged = self.judge()
                self.save()
                self._note(loss, judged)
            left = seconds / (self.step - first) * (self.config.steps - self.step)
            if self._seconds is not None:
                left = min(left, self._seconds - seconds)
            report(Progress(self.step, self.config.steps, self.rows, loss, right, left, judged))
            if is_last:
                return

    def _drawn(self) -> Iterator[Packed]:
        return iter(
            DataLoader(
                _Draws(self._lesson),
                sampler=range(self.step, self.config.steps),
                batch_size=None,
                num_workers=self._workers,
            )
        )

    def _done(self, seconds: float) -> float:
        """The share of the training that is over, by steps or by time."""
        by_steps = self.step / self.config.steps
        return by_steps if self._seconds is None else max(by_steps, seconds / self._seconds)

    def judge(self) -> Mapping[str, float]:
        with self._averaged():
            return self._lesson.judge(self.adapted())

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The adapter with its mean weights for a while."""
        learned = {name: each.clone() for name, each in self.adapter.state_dict().items()}
        self.adapter.load_state_dict(self._mean.module.state_dict())
        try:
            yield
        finally:
            self.adapter.load_state_dict(learned)

    def adapted(self) -> Transformer:
        """The network with the adapter as it is now."""
        return Transformer(
            self.network.config,
            self.network.parameters,
            self.network.name,
            self.adapter.adapter(self.network.dtype),
            self.network.numerics,
        )

    def _note(self, loss: float, judged: Mapping[str, float]) -> None:
        """Adds a point to the learning curve."""
        found = {kind: round(each, 4) for kind, each in judged.items()}
        point = {"step": self.step, "rows": self.rows, "loss": round(loss, 4), **found}
        with (self.folder / _CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")

    def _learn(self, packed: Packed, done: float) -> tuple[float, float]:
        """One step. The loss, and how much was right."""
        loss, right = self._lesson.loss(self.adapted(), packed.on(self.network.device))
        loss.backward()
        parameters = self.adapter.parameters()
        size = torch.nn.utils.clip_grad_norm_(parameters, self.config.max_gradient)
        if not torch.isfinite(size + loss.detach()):
            raise ValueError(
                f"step {self.step}: the loss or its gradient is not finite; {self.folder} keeps "
                "what was saved last: go on from there with a lower learning rate"
            )
        for group in self._optimiser.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step, done)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._mean.update_parameters(self.adapter)
        self.rows += packed.num_rows
        return loss.item(), right.item()
