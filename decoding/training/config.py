"""Everything that decides what training gives, in one file beside what it gave."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from decoding.training.blocks import BlockChoice
from decoding.training.objective import Objective

CONFIG = "training.json"


@dataclass(frozen=True, slots=True)
class Training:
    """How an adapter is trained.

    A step looks at about `rows_per_step` rows. The learning rate rises over `warmup_steps`, stays,
    and falls to nothing over the last `decay` of the training, so that it may be prolonged from
    before the fall. What is judged and kept is a mean of the weights in which the last `average`
    steps count most.
    """

    rank: int = 32
    alpha: float = 64.0
    learning_rate: float = 1e-3
    warmup_steps: int = 40
    steps: int = 2000
    decay: float = 0.25
    rows_per_step: int = 1536
    max_gradient: float = 1.0
    average: int = 1
    evaluate_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "steps", "rows_per_step", "average", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0.0 <= self.decay <= 1.0:
            raise ValueError(f"decay must be a share of the training, not {self.decay}")

    def learning_rate_at(self, step: int, done: float) -> float:
        """For steps numbered from 0; `done` is the share of the training that is over."""
        rising = (step + 1) / max(self.warmup_steps, 1)
        falling = (1.0 - done) / max(self.decay, 1.0 / self.steps)
        return self.learning_rate * max(min(rising, 1.0, falling), 0.0)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Raises `ValueError` naming what is wrong."""
        try:
            return TypeAdapter(cls).validate_json(file.read_bytes(), strict=False)
        except ValidationError as error:
            raise ValueError(f"{file}: {error}") from None

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class AdapterTraining(Training):
    """How the draft adapter is trained; the rows are those of blocks."""

    blocks: BlockChoice = BlockChoice()
    objective: Objective = Objective()


@dataclass(frozen=True, slots=True)
class ToolTraining(Training):
    """How the adapter for calling tools is trained; the rows are those of prompts and answers."""

    rank: int = 4
    alpha: float = 16.0
    learning_rate: float = 2e-3
    steps: int = 600
    rows_per_step: int = 4096
