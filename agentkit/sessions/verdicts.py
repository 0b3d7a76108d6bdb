"""What the owner of a run decided on its open calls, as records."""

from collections.abc import Mapping

from agentkit.decisions import Decision, Denied, Returned, decision_json
from agentkit.errors import DecisionError, ModelRetry, ToolResultError
from agentkit.messages import ToolCall
from agentkit.sessions.records import CallApproved, CallEnded
from agentkit.tool import Tool
from agentkit.tool_result import capped, result_text
from agentkit.unicode import as_unicode

Verdict = CallApproved | CallEnded


def check_known(open_calls: Mapping[int, ToolCall], decisions: Mapping[str, Decision]) -> None:
    """Raises `DecisionError` for a decision that names no open call."""
    known = {call.call_id for call in open_calls.values()}
    for call_id in decisions:
        if call_id not in known:
            raise DecisionError(
                f"no call {call_id!r} waits for a decision; those that do: {sorted(known)}"
            )


def verdicts_on(
    open_calls: Mapping[int, ToolCall],
    decisions: Mapping[str, Decision],
    tools: Mapping[str, Tool],
) -> list[Verdict]:
    """One record for each decided call. Raises `DecisionError` for a decision that its tool
    cannot carry out."""
    return [
        _verdict(index, call, decisions[call.call_id], tools.get(call.name))
        for index, call in open_calls.items()
        if call.call_id in decisions
    ]


def _verdict(index: int, call: ToolCall, decision: Decision, tool: Tool | None) -> Verdict:
    match decision:
        case False:
            return _verdict(index, call, Denied(), tool)
        case Denied(reason):
            return CallEnded(index, as_unicode(f"Not run: {reason}"), is_error=True)
        case Returned(value):
            try:
                text = result_text(call.name, value)
                most = None if tool is None else tool.max_result_chars
                return CallEnded(index, capped(text, most))
            except ToolResultError as error:
                raise DecisionError(f"call {call.call_id!r}: {error}") from error
        case _ if tool is None:
            raise DecisionError(f"call {call.call_id!r}: the agent has no tool {call.name!r}")
        case True:
            return _approved(index, call, tool)
        case Mapping():
            arguments = decision_json(f"call {call.call_id!r}", decision)
            return _edited(index, call, tool, arguments)
        case _:
            raise DecisionError(
                f"call {call.call_id!r}: {decision!r} is no decision; give True, False, Denied, "
                "Returned, or a mapping of arguments"
            )


def _approved(index: int, call: ToolCall, tool: Tool) -> CallApproved:
    if tool.deferred and not tool.requires_approval:
        raise DecisionError(
            f"call {call.call_id!r}: {tool.name!r} is deferred; give its result as Returned(...)"
        )
    return CallApproved(index)


def _edited(index: int, call: ToolCall, tool: Tool, arguments: str) -> CallApproved:
    try:
        tool.validate(arguments)
    except ModelRetry as error:
        raise DecisionError(f"call {call.call_id!r} of {tool.name!r}: {error}") from error
    return CallApproved(index, arguments)
