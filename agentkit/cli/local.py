"""The model behind the commands, and the decoding modes by name."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

import agentkit.models
from agentkit.cli.failures import UsageError
from agentkit.models import Model

DEFAULT_MODEL = "smollm2-135m"
TOOLS_MODEL = "smollm2-135m-tools"

MODES = {
    "autoregressive": "Autoregressive",
    "diffusion": "BlockDiffusion",
    "self-speculation": "SelfSpeculation",
    "auto": "Auto",
}
"""What `--mode` takes, and the record of `decoding` that it means."""


class Stage(Protocol):
    """Word from slow work, as `decoding.Progress`."""

    @property
    def stage(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


def check_mode(name: str) -> None:
    """Raises `UsageError` for a mode that there is not."""
    if name not in MODES:
        raise UsageError(f"there is no mode {name!r}; the modes are: {', '.join(MODES)}")


@contextmanager
def opened(source: str, mode: str, errors: Console) -> Iterator[Model]:
    """The model, loaded and ready; freed at the end. `errors` shows how loading gets on.

    Raises `ModelError` where it cannot be loaded.
    """
    with _loading(source, errors) as report:
        # Both load torch, which takes seconds that only a command with a model should cost.
        record: Any = getattr(importlib.import_module("decoding"), MODES[mode])
        model = agentkit.models.LocalModel(source, mode=record(), progress=report)
        anyio.run(model.start)
    try:
        yield model
    finally:
        anyio.run(model.aclose)


@contextmanager
def _loading(source: str, errors: Console) -> Iterator[Callable[[Stage], None]]:
    """Gives a function to report to, from any thread."""
    if not errors.is_terminal:
        yield lambda stage: errors.print(f"{stage.stage}: {stage.done} of {stage.total}")
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    # The conversion redirects stderr for a while; the display must not do so as well.
    with Progress(
        *columns, console=errors, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as display:
        task = display.add_task(f"loading {source}", total=None)

        def report(stage: Stage) -> None:
            display.update(task, description=stage.stage, completed=stage.done, total=stage.total)

        yield report
