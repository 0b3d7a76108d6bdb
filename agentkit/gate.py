"""Which calls of a turn run now, which are settled already, and which wait for the owner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import anyio

from agentkit.context import RunContext
from agentkit.decisions import OnUnknown, PendingCall, PendingReason
from agentkit.errors import (
    ApprovalRequired,
    ModelRetry,
    ResultRequired,
    RunPaused,
    ToolCrashed,
    ToolError,
    UnknownOutcome,
    UnknownTool,
)
from agentkit.journal import CallOutcome, CallState, Journal
from agentkit.messages import ToolCall
from agentkit.tool import Tool
from agentkit.tool_result import capped
from agentkit.unicode import as_unicode

_UNKNOWN = (
    "The process stopped while this call ran. It may have taken effect or not: find out before "
    "you repeat it."
)


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """A valid call that may run. `note` goes before its result."""

    tool: Tool
    arguments: dict[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of running a tool, and the seconds it took."""

    outcome: CallOutcome
    seconds: float


@dataclass(frozen=True, slots=True)
class SortedCalls:
    """The calls of a turn by what happens to them, by index."""

    settled: Mapping[int, CallOutcome]
    ready: Mapping[int, ReadyCall]
    pending: Mapping[int, PendingReason]


def sort_calls(
    calls: Sequence[ToolCall], tools: Mapping[str, Tool], journal: Journal, *, was_cut: bool
) -> SortedCalls:
    """`was_cut` tells that the answer ended at its token limit. Raises `ToolCrashed` from what
    a validator or an approval rule of the developer's raises."""
    settled: dict[int, CallOutcome] = {}
    ready: dict[int, ReadyCall] = {}
    pending: dict[int, PendingReason] = {}
    for index, call in enumerate(calls):
        state = journal.state_of(index)
        try:
            sorted_call = state.outcome or sort_call(call, tools, state, journal.on_unknown)
        except ToolError as error:
            sorted_call = outcome_of(_explained(error, was_cut=was_cut))
        match sorted_call:
            case CallOutcome():
                settled[index] = sorted_call
            case ReadyCall():
                ready[index] = sorted_call
            case PendingReason():
                pending[index] = sorted_call
    return SortedCalls(settled, ready, pending)


def paused(run_id: str, pending: Sequence[PendingCall]) -> RunPaused:
    """What a run that meets these calls ends with."""
    reasons = {each.reason for each in pending}
    if PendingReason.UNKNOWN in reasons:
        return UnknownOutcome(run_id, pending)
    if PendingReason.APPROVAL in reasons:
        return ApprovalRequired(run_id, pending)
    return ResultRequired(run_id, pending)


def outcome_of(error: ToolError) -> CallOutcome:
    """What the model is told of a failed call."""
    return CallOutcome(as_unicode(str(error)), True, isinstance(error, ModelRetry | UnknownTool))


def sort_call(
    call: ToolCall, tools: Mapping[str, Tool], state: CallState, on_unknown: OnUnknown
) -> CallOutcome | ReadyCall | PendingReason:
    """What happens to one call. Raises `ToolError` where it is not valid, and `ToolCrashed` as
    `sort_calls`."""
    if call.name not in tools:
        raise UnknownTool(call.name, tools)
    tool = tools[call.name]
    arguments = tool.validate(call.arguments if state.arguments is None else state.arguments)
    if state.has_begun and not tool.idempotent and on_unknown is not OnUnknown.REPEAT:
        if on_unknown is OnUnknown.TELL_MODEL:
            return CallOutcome(_UNKNOWN, is_error=True)
        return PendingReason.UNKNOWN
    if not (state.is_approved or state.has_begun) and tool.needs_approval(arguments):
        return PendingReason.APPROVAL
    if tool.deferred:
        return PendingReason.RESULT
    if state.arguments is None:
        return ReadyCall(tool, arguments)
    return ReadyCall(tool, arguments, f"Ran with other arguments: {state.arguments}\n")


async def attempt(ready: ReadyCall, context: RunContext[Any]) -> Attempt:
    """Runs the tool once, in a task of its own. Raises what it crashes with."""
    started, most = perf_counter(), ready.tool.max_result_chars
    try:
        content = await ready.tool.call(ready.arguments, context)
    except ToolError as error:
        outcome = outcome_of(error)
        outcome = replace(outcome, content=capped(outcome.content, most))
    except anyio.get_cancelled_exc_class() as error:
        if anyio.current_effective_deadline() == -math.inf:
            raise
        # Nobody cancelled the call: it waited for what somebody else cancelled.
        raise ToolCrashed(ready.tool.name, error) from error
    else:
        outcome = CallOutcome(ready.note + capped(content, most))
    return Attempt(outcome, perf_counter() - started)


def _explained(error: ToolError, *, was_cut: bool) -> ToolError:
    """Tells a model whose call was cut off that this is why the call is not valid."""
    if isinstance(error, ModelRetry) and was_cut:
        return ModelRetry(f"The call was cut off at the token limit. {error}")
    return error
