"""An agent's run under the run of another, whose tool it is."""

from typing import Any

from agentkit.context import RunContext
from agentkit.errors import (
    OutputRetriesExceeded,
    ToolError,
    ToolRetriesExceeded,
    UsageLimitExceeded,
)
from agentkit.events import RunEvent, SubAgentEvent
from agentkit.result import SubRun
from agentkit.run import Run
from agentkit.watch import watched


async def ask_under(run: Run, context: RunContext[Any]) -> Any:
    """The output of `run`, which serves the call of `context`.

    Raises `ToolError` where the run failed by its model's doing or reached a limit.
    """
    host, name = context.host, run.definition.name
    if host is None:  # a context that was made by hand
        return (await watched(run)).output

    def tell(event: RunEvent) -> None:
        host.tell(SubAgentEvent(context.call_id, name, event))

    run.depth, run.limits, run.emit = context.depth + 1, context.limits, tell
    try:
        return (await watched(run)).output
    except (UsageLimitExceeded, OutputRetriesExceeded, ToolRetriesExceeded) as error:
        raise ToolError(f"{name} gave no answer: {error}") from error
    finally:
        steps = SubRun(context.call_id, name, tuple(run.trace), tuple(run.sub_runs))
        host.charge(steps, run.usage)
