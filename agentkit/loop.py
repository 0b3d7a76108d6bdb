"""The loop: one model answer after another, with the tool calls in between."""

import math
from collections.abc import Generator
from contextlib import ExitStack, closing
from typing import Any

import anyio

from agentkit.calls import run_calls
from agentkit.eager import EarlyCalls, early_calls
from agentkit.errors import ModelError, ModelRetry, StrategyError
from agentkit.events import RunFinished, RunStarted, StepKind
from agentkit.handoff import receiver_of
from agentkit.listener import Listener
from agentkit.messages import UserMessage
from agentkit.models.base import ModelResponse
from agentkit.output import OutputSpec
from agentkit.output_call import call_output
from agentkit.output_function import OutputCall
from agentkit.partial import PartialReader
from agentkit.result import RunResult
from agentkit.run import Run
from agentkit.step import Step, Turn


async def drive(run: Run) -> RunResult[Any]:
    """Runs the strategy's steps to their end. Every event is told through `run.emit`.

    Raises `RunCancelled` or `RunTimeout` where the run is stopped by its tokens or its time.
    """
    deadline = math.inf if run.timeout is None else anyio.current_time() + run.timeout
    with ExitStack() as stack, anyio.CancelScope(deadline=deadline) as scope:
        for token in run.tokens:
            stack.enter_context(token.bound(scope))
        return await _steps(run)
    raise run.interrupted()


async def _steps(run: Run) -> RunResult[Any]:
    num_turns = await run.recall()
    run.emit(RunStarted(run.run_id, run.prompt, run.definition.model.name, num_turns))
    async with run.journal.kept():
        answer = await _agents(run)
        await run.journal.finishes(run.messages)
    run.emit(RunFinished(answer.output))
    return run.result(answer)


async def _agents(run: Run) -> Turn:
    """Lets the agent work, and those to which it hands over; gives the answer."""
    agent = answer = None
    while run.definition is not agent:
        agent = run.definition
        await run.instruct()
        answer = await _follow(run)
    if answer is None:
        raise StrategyError(f"{run.definition.strategy!r} ended the run without an answer")
    return answer


async def _follow(run: Run) -> Turn | None:
    """Takes the steps of the agent's strategy, until they end or another agent is to go on.
    The last answer of them, if there is one."""
    agent, answer = run.definition, None
    with closing(agent.strategy.steps()) as steps:
        step = next(steps, None)
        while step is not None:
            turn = await _take(run, step)
            receiver = receiver_of(turn.message.tool_calls, turn.results, agent)
            if receiver is not None and receiver is not agent:
                run.hand_over(receiver)
                return None
            answer = turn if turn.kind is StepKind.ANSWER else answer
            step = _following(steps, turn)
    return answer


async def _take(run: Run, step: Step) -> Turn:
    """Asks until the model's answer is valid, or its retries are used up."""
    output = run.output_of(step)
    if step.prompt:
        run.messages.append(UserMessage(step.prompt))
    while True:
        run.begin_turn(step)
        partials = PartialReader(len(run.trace), output, is_heard=run.is_watched)
        tools = run.tools_of(step)
        async with early_calls(run, tools) as early:
            response = await _ask(run, step, output, partials, early)
            run.add_response(response)
            if response.message.tool_calls:
                results = await run_calls(run, response, tools, early)
                return run.finish_turn(step.kind, response, results)
        kind = StepKind.ANSWER if step.kind is StepKind.ACT else step.kind
        try:
            answer = _checked(step, output, response)
            run.emit_all(partials.finish(response.message.text))
            answer = await run.reviewed(step, output, answer)
            if isinstance(answer, OutputCall):
                answer = await call_output(run, output.functions[answer.name], answer)
        except ModelRetry as error:
            run.finish_turn(kind, response)
            run.request_retry(error)
        else:
            run.output_failures = 0
            return run.finish_turn(kind, response, output=answer)


async def _ask(
    run: Run, step: Step, output: OutputSpec, partials: PartialReader, early: EarlyCalls
) -> ModelResponse:
    """One answer of the model, asked for again where it failed before it said anything."""
    request, failures = run.request(step, output), 0
    while True:
        listener = Listener(run, partials, early)
        try:
            return await listener.hear(request, step.budget.seconds)
        except ModelError as error:
            failures += 1
            await listener.recover(error, failures)


def _checked(step: Step, output: OutputSpec, response: ModelResponse) -> Any:
    """The answer as a value. Raises `ModelRetry` for one that is not valid."""
    if not step.allow_final:
        raise ModelRetry("It is too early to answer. Call one of the tools.")
    if response.finish_reason == "length" and not output.format.is_text:
        raise ModelRetry("The answer was cut off at its token limit. Answer again, shorter.")
    return output.validate(response.message.text)


def _following(steps: Generator[Step, Turn, None], turn: Turn) -> Step | None:
    try:
        return steps.send(turn)
    except StopIteration:
        return None
