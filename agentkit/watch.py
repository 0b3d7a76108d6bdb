"""A run, from before its first event until after its last, under the eyes of a watcher."""

from typing import Any

from agentkit.loop import drive
from agentkit.result import RunResult
from agentkit.run import Run


async def watched(run: Run) -> RunResult[Any]:
    """Drives `run` to its end while its agent's watcher, if there is one, looks on."""
    watcher = run.definition.telemetry
    if watcher is None:
        return await drive(run)
    with watcher.watch(run.definition, run.run_id, lambda: run.usage) as look:
        run.look = look
        return await drive(run)
