"""`agentkit run`: one question, one answer."""

from typing import Any

import anyio
from pydantic_core import to_json, to_jsonable_python
from rich.console import Console

from agentkit.agent import Agent
from agentkit.cli.show import EventPrinter
from agentkit.result import RunResult


def answer(agent: Agent[None, str], question: str, errors: Console) -> RunResult[str]:
    """Runs to the answer, with every step shown on `errors` as it happens."""
    printer = EventPrinter(errors, answers=False)

    async def watch() -> RunResult[str]:
        async with agent.run_stream(question) as run:
            async for event in run:
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
