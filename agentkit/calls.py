"""One turn's tool calls: sorted, run concurrently, answered in call order."""

from collections.abc import Mapping, Sequence

import anyio
from anyio.lowlevel import checkpoint

from agentkit.decisions import PendingCall, PendingReason
from agentkit.eager import EarlyCall, EarlyCalls
from agentkit.events import CallsPending, ToolFinished, ToolStarted
from agentkit.gate import ReadyCall, attempt, paused, sort_calls
from agentkit.journal import CallOutcome
from agentkit.messages import ToolCall, ToolMessage
from agentkit.models.base import ModelResponse
from agentkit.run import Run
from agentkit.tool import Tool


async def run_calls(
    run: Run, response: ModelResponse, tools: Mapping[str, Tool], early: EarlyCalls
) -> tuple[ToolMessage, ...]:
    """Runs the calls of `response` and gives one message per call, in call order.
    Those that were started early are waited for instead.

    A call the model may mend becomes an error message. The first error it may not mend cancels
    the other calls and is raised as it is. Raises `RunPaused` where calls wait for a decision,
    after the others are done; at once where the outcome of a call is unknown.
    """
    calls = response.message.tool_calls
    run.begin_calls(calls)
    was_cut = response.finish_reason == "length"
    await run.journal.decide(calls, tools)
    sorted_calls = sort_calls(calls, tools, run.journal, was_cut=was_cut)
    pending = sorted_calls.pending
    unknown = {i: why for i, why in pending.items() if why is PendingReason.UNKNOWN}
    if unknown:
        await _pause(run, calls, unknown)
    outcomes = dict(sorted_calls.settled)
    for index, outcome in sorted_calls.settled.items():
        await _finish(run, calls, index, outcome)
    outcomes |= await _run_ready(run, calls, sorted_calls.ready, early)
    if pending:
        await _pause(run, calls, pending)
    run.count_tool_failures(_reasons(calls, outcomes))
    return tuple(run.served[index] for index in range(len(calls)))


async def _run_ready(
    run: Run, calls: Sequence[ToolCall], ready: Mapping[int, ReadyCall], early: EarlyCalls
) -> dict[int, CallOutcome]:
    outcomes: dict[int, CallOutcome] = {}
    failures: list[Exception] = []

    async def serve(index: int, call: ReadyCall, begun: EarlyCall | None) -> None:
        try:
            outcomes[index] = await _serve(run, calls, index, call, begun)
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            failures.append(error)
            group.cancel_scope.cancel()
        finally:
            if begun is None:
                early.slots.release()

    async with anyio.create_task_group() as group:
        for index, call in ready.items():
            begun = early.take(calls[index])
            if begun is None:
                await early.slots.acquire()
                run.emit(ToolStarted(calls[index]))
            group.start_soon(serve, index, call, begun)
    if failures:
        raise failures[0]
    return outcomes


async def _serve(
    run: Run, calls: Sequence[ToolCall], index: int, ready: ReadyCall, begun: EarlyCall | None
) -> CallOutcome:
    if begun is None:
        await checkpoint()  # a run that is cancelled begins no call
    await run.journal.call_begins(index)
    if begun is None:
        call = calls[index]
        came = await attempt(ready, run.context(call.name, call.call_id))
    else:
        came = await begun.came()
    await _finish(run, calls, index, came.outcome, came.seconds)
    return came.outcome


async def _finish(
    run: Run, calls: Sequence[ToolCall], index: int, outcome: CallOutcome, seconds: float = 0.0
) -> None:
    await run.journal.call_ended(index, outcome)
    call = calls[index]
    run.served[index] = ToolMessage(call.call_id, call.name, outcome.content, outcome.is_error)
    run.emit(ToolFinished(call, outcome.content, outcome.is_error, seconds))


async def _pause(run: Run, calls: Sequence[ToolCall], pending: Mapping[int, PendingReason]) -> None:
    """Ends the run for now, by raising `RunPaused`."""
    await run.journal.pauses(pending)
    waiting = tuple(PendingCall(calls[index], reason) for index, reason in pending.items())
    run.emit(CallsPending(waiting))
    raise paused(run.run_id, waiting)


def _reasons(
    calls: Sequence[ToolCall], outcomes: Mapping[int, CallOutcome]
) -> Mapping[str, str | None]:
    """By tool, why the turn's last bad call of it was bad; None where all were good."""
    reasons: dict[str, str | None] = {}
    for index, call in enumerate(calls):
        outcome = outcomes[index]
        reasons[call.name] = outcome.content if outcome.retry else reasons.get(call.name)
    return reasons
