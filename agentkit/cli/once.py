"""`agentkit run`: one question, one answer."""

from collections.abc import Callable
from typing import Any

import anyio
from pydantic_core import to_json, to_jsonable_python
from rich.console import Console

from agentkit.agent import Agent
from agentkit.cli.show import EventPrinter
from agentkit.events import RunEvent
from agentkit.result import RunResult


def _ignore(event: RunEvent) -> None:
    """Nobody else watches the run."""


def answer(
    agent: Agent[None, str],
    question: str,
    errors: Console,
    *,
    shows_answer: bool = False,
    watcher: Callable[[RunEvent], None] = _ignore,
) -> RunResult[str]:
    """Runs to the answer, with every step shown on `errors` as it happens, the answer itself
    only with `shows_answer`. `watcher` is told every event."""
    printer = EventPrinter(errors, answers=shows_answer)

    async def watch() -> RunResult[str]:
        async with agent.run_stream(question) as run:
            async for event in run:
                watcher(event)
                printer.show(event)
        return run.result

    try:
        return anyio.run(watch)
    finally:
        printer.end_line()


def as_json(result: RunResult[Any]) -> str:
    """The result as one JSON object on one line."""
    usage = to_jsonable_python(result.usage, fallback=dict)
    return to_json(
        {
            "output": result.output,
            "finish_reason": result.finish_reason,
            "usage": {**usage, "tokens_per_forward": result.usage.tokens_per_forward},
            "messages": result.messages,
        }
    ).decode()
