"""Whatever a model says, a run's records agree with each other."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import (
    Agent,
    AgentError,
    AssistantMessage,
    Message,
    ModelError,
    ModelRetry,
    ModelUsage,
    RunEvent,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolError,
    ToolFinished,
    ToolMessage,
    ToolStarted,
    Usage,
    UsageLimits,
    UserMessage,
)
from agentkit.models import ModelResponse, ScriptedModel


async def echo(n: int) -> int:
    """Gives it back."""
    await anyio.lowlevel.checkpoint()
    return n


def grumble(n: int) -> int:
    """Does not like it."""
    if n % 2:
        raise ModelRetry("an even one")
    raise ToolError("closed")


def calls() -> st.SearchStrategy[tuple[ToolCall, ...]]:
    arguments = st.one_of(
        st.integers(-9, 9).map(lambda n: json.dumps({"n": n})),
        st.sampled_from(["", "{", "[]", '{"n":"x"}', '{"n":1,"m":2}']),
    )
    call = st.tuples(st.sampled_from(["echo", "grumble", "unknown"]), arguments)
    return st.lists(call, min_size=1, max_size=4).map(
        lambda made: tuple(ToolCall(f"c{i}", name, text) for i, (name, text) in enumerate(made))
    )


def responses(answers: st.SearchStrategy[str]) -> st.SearchStrategy[ModelResponse]:
    counts = st.integers(0, 50)
    message = st.one_of(
        st.builds(AssistantMessage, answers),
        st.builds(AssistantMessage, st.text(max_size=5), calls()),
    )
    usage = st.builds(
        ModelUsage, counts, counts, counts, counts, counts, modes=st.just({"ar": 1, "sd": 2})
    )
    return st.builds(ModelResponse, message, usage, st.sampled_from(["stop", "length"]))


texts = st.text(max_size=12)
numbers = st.one_of(st.integers(0, 99).map(str), st.sampled_from(["", "x", "1.5", "null"]))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("output_type", "answers"), [(str, texts), (int, numbers)])
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_script(
    backend: str, output_type: Any, answers: st.SearchStrategy[str], data: st.DataObject
) -> None:
    script = data.draw(st.lists(responses(answers), max_size=8))
    limits = data.draw(
        st.sampled_from([UsageLimits(), UsageLimits(tool_calls=3), UsageLimits(output_tokens=60)])
    )
    model = ScriptedModel(script)
    agent: Agent[None, Any] = Agent(
        model,
        tools=[echo, grumble],
        output_type=output_type,
        instructions="Go.",
        retries=2,
        output_retries=2,
        max_concurrent_tools=data.draw(st.sampled_from([None, 1, 2])),
    )
    events: list[RunEvent] = []
    messages: list[Message] = []
    failed = beyond_script = False

    async def watch() -> None:
        nonlocal failed, beyond_script
        async with agent.run_stream("go", usage_limits=limits) as run:
            try:
                async for event in run:
                    events.append(event)
            except AgentError as error:
                failed = True
                beyond_script = isinstance(error, ModelError)
            messages.extend(run.messages)
            if not failed:
                check_result(run.result.output, run.result.usage, events)

    anyio.run(watch, backend=backend)
    assert beyond_script is (len(model.requests) > len(script))
    check_events(events, failed=failed)
    check_messages(messages, failed=failed)
    for before, after in zip(model.requests, model.requests[1:], strict=False):
        assert after.messages[: len(before.messages)] == before.messages


def check_result(output: Any, usage: Usage, events: list[RunEvent]) -> None:
    assert events[-1] == RunFinished(output)
    turns = [event.usage for event in events if isinstance(event, StepFinished)]
    assert usage.turns == len(turns)
    assert usage.tool_calls == sum(isinstance(event, ToolFinished) for event in events)
    for count in ("input_tokens", "cached_input_tokens", "output_tokens", "forced_tokens"):
        assert getattr(usage, count) == sum(getattr(turn, count) for turn in turns)
    assert usage.forwards == sum(turn.forwards for turn in turns)
    assert usage.modes == {"ar": len(turns), "sd": 2 * len(turns)}


def check_events(events: list[RunEvent], *, failed: bool) -> None:
    assert isinstance(events[0], RunStarted)
    assert any(isinstance(event, RunFinished) for event in events) is not failed
    turns = list(turns_of(events))
    for index, turn in enumerate(turns):
        assert turn[0].index == index
        finished = turn[-1]
        if not isinstance(finished, StepFinished):
            assert failed
            assert index == len(turns) - 1
            continue
        check_turn(turn, finished)


def turns_of(events: list[RunEvent]) -> Iterator[list[Any]]:
    """The events of each turn, from its `StepStarted` to its `StepFinished`."""
    turn: list[RunEvent] = []
    for event in events:
        if isinstance(event, StepStarted):
            turn = [event]
        elif turn:
            turn.append(event)
        if isinstance(event, StepFinished):
            yield turn
            turn = []
    if turn:
        yield turn


def check_turn(turn: list[RunEvent], finished: StepFinished) -> None:
    assert finished.text == "".join(event.text for event in turn if isinstance(event, TextDelta))
    written: dict[str, list[str]] = {}
    for event in turn:
        if isinstance(event, ToolCallStarted):
            written[event.call_id] = [event.name, ""]
        elif isinstance(event, ToolCallDelta):
            written[event.call_id][1] += event.arguments
    assert [ToolCall(key, *value) for key, value in written.items()] == list(finished.tool_calls)
    results = Counter(event.call for event in turn if isinstance(event, ToolFinished))
    assert results == Counter(finished.tool_calls)
    for index, event in enumerate(turn):
        if isinstance(event, ToolStarted):
            assert any(
                isinstance(later, ToolFinished) and later.call == event.call
                for later in turn[index:]
            )


def check_messages(messages: list[Message], *, failed: bool) -> None:
    assert isinstance(messages[0], SystemMessage)
    assert isinstance(messages[1], UserMessage)
    rest = messages[2:]
    while rest:
        answer, *rest = rest
        assert isinstance(answer, AssistantMessage)
        results, rest = rest[: len(answer.tool_calls)], rest[len(answer.tool_calls) :]
        if failed and not rest and not results:
            return  # the run ended before the calls were served
        for call, result in zip(answer.tool_calls, results, strict=True):
            assert isinstance(result, ToolMessage)
            assert (result.call_id, result.name) == (call.call_id, call.name)
        if not answer.tool_calls and rest:
            retry, *rest = rest
            assert isinstance(retry, UserMessage)
