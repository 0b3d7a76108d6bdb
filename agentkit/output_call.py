"""The call of an output function: made once, and remembered."""

from typing import Any, NoReturn

from anyio.lowlevel import checkpoint

from agentkit.decisions import Decision, Denied, OnUnknown, Returned
from agentkit.errors import DecisionError, ModelRetry, ToolError, ToolResultError, UnknownOutput
from agentkit.journal import CallOutcome
from agentkit.output_function import OutputCall, OutputFunction
from agentkit.run import Run
from agentkit.unicode import as_unicode

_UNKNOWN = (
    "The process stopped while this answer took effect. It may have done so or not: find out "
    "before you repeat it."
)


async def call_output(run: Run, function: OutputFunction, call: OutputCall) -> Any:
    """What the function returned: now, or when the run was here before.

    Raises `ModelRetry` where the answer has to be written again, `UnknownOutcome` where the call
    may have taken effect before, and what the function crashed with.
    """
    state = run.journal.output_state()
    if state.outcome is not None:
        if state.outcome.retry:
            raise ModelRetry(state.outcome.content)
        return function.read(state.outcome.content)
    if state.has_begun and not function.tool.idempotent:
        decision = run.journal.decided_review()
        if decision is None:
            decision = await _by_rule(run, call)
        if isinstance(decision, Returned):
            try:
                text = function.written(decision.value)
            except ToolResultError as error:
                raise DecisionError(f"review: {error}") from error
            await run.journal.output_ended(CallOutcome(text))
            return function.read(text)
        if decision is not True:
            await _refuse(run, decision)
    await checkpoint()  # a run that is cancelled begins no call
    await run.journal.output_begins()
    try:
        value = await function.call(call.arguments, run.context(call.name))
    except ToolError as error:
        reason = as_unicode(str(error))
        await run.journal.output_ended(CallOutcome(reason, is_error=True, retry=True))
        raise ModelRetry(reason) from error
    if run.journal.is_kept:
        await run.journal.output_ended(CallOutcome(function.written(value)))
    return value


async def _by_rule(run: Run, call: OutputCall) -> Decision:
    """What `OnUnknown` makes of a call whose outcome is not known."""
    match run.journal.on_unknown:
        case OnUnknown.REPEAT:
            return True
        case OnUnknown.TELL_MODEL:
            return Denied(_UNKNOWN)
        case OnUnknown.RAISE:
            await run.journal.pauses({})
            raise UnknownOutput(run.run_id, call)


async def _refuse(run: Run, decision: Decision) -> NoReturn:
    """Has the answer written again."""
    if decision is False:
        decision = Denied()
    if not isinstance(decision, Denied):
        raise DecisionError(
            f"review: {decision!r} is no decision on an output function that began; give True, "
            "False, Denied or Returned"
        )
    reason = as_unicode(decision.reason)
    await run.journal.output_ended(CallOutcome(reason, is_error=True, retry=True))
    raise ModelRetry(reason)
