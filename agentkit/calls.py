"""One turn's tool calls: checked, run concurrently, answered in call order."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import anyio

from agentkit.errors import ModelRetry, ToolError, UnknownTool
from agentkit.events import ToolFinished, ToolStarted
from agentkit.messages import ToolCall, ToolMessage
from agentkit.models.base import ModelResponse
from agentkit.run import Run
from agentkit.tool import Tool
from agentkit.tool_result import capped


@dataclass(frozen=True, slots=True)
class _Outcome:
    """`retry` tells that the model called wrongly and may try again."""

    content: str
    is_error: bool = False
    retry: bool = False

    @classmethod
    def of(cls, error: ToolError) -> "_Outcome":
        return cls(str(error), is_error=True, retry=isinstance(error, ModelRetry | UnknownTool))


async def run_calls(
    run: Run, response: ModelResponse, tools: Mapping[str, Tool]
) -> tuple[ToolMessage, ...]:
    """Runs the calls of `response` and gives one message per call, in call order.

    A call the model may mend becomes an error message. The first error it may not mend cancels
    the other calls and is raised as it is.
    """
    calls = response.message.tool_calls
    run.begin_calls(calls)
    outcomes: dict[int, _Outcome] = {}
    failures: list[Exception] = []
    slots = anyio.Semaphore(run.definition.max_concurrent_tools or len(calls))

    def finish(index: int, outcome: _Outcome, seconds: float = 0.0) -> None:
        call = calls[index]
        outcomes[index] = outcome
        run.served[index] = ToolMessage(call.call_id, call.name, outcome.content, outcome.is_error)
        run.emit(ToolFinished(call, outcome.content, outcome.is_error, seconds))

    async def serve(index: int, tool: Tool, arguments: dict[str, Any]) -> None:
        started = perf_counter()
        try:
            content = await tool.call(arguments, run.context(tool.name, calls[index].call_id))
        except ToolError as error:
            finish(index, _Outcome.of(error), perf_counter() - started)
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            failures.append(error)
            group.cancel_scope.cancel()
        else:
            finish(
                index, _Outcome(capped(content, tool.max_result_chars)), perf_counter() - started
            )
        finally:
            slots.release()

    good: list[tuple[int, Tool, dict[str, Any]]] = []
    for index, call in enumerate(calls):
        try:
            tool = _found(call, tools)
            good.append((index, tool, tool.validate(call.arguments)))
        except ToolError as error:
            finish(index, _Outcome.of(_explained(error, response)))
    async with anyio.create_task_group() as group:
        for index, tool, arguments in good:
            await slots.acquire()
            run.emit(ToolStarted(calls[index]))
            group.start_soon(serve, index, tool, arguments)
    if failures:
        raise failures[0]
    run.count_tool_failures(_reasons(calls, outcomes))
    return tuple(run.served[index] for index in range(len(calls)))


def _found(call: ToolCall, tools: Mapping[str, Tool]) -> Tool:
    if call.name not in tools:
        raise UnknownTool(call.name, tools)
    return tools[call.name]


def _explained(error: ToolError, response: ModelResponse) -> ToolError:
    """Tells a model whose call was cut off that this is why the call is not valid."""
    if isinstance(error, ModelRetry) and response.finish_reason == "length":
        return ModelRetry(f"The call was cut off at the token limit. {error}")
    return error


def _reasons(
    calls: tuple[ToolCall, ...], outcomes: Mapping[int, _Outcome]
) -> Mapping[str, str | None]:
    """By tool, why the turn's last bad call of it was bad; None where all were good."""
    reasons: dict[str, str | None] = {}
    for index, call in enumerate(calls):
        outcome = outcomes[index]
        reasons[call.name] = outcome.content if outcome.retry else reasons.get(call.name)
    return reasons
