"""The loop: which events, which messages, which requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from agentkit import (
    Agent,
    AssistantMessage,
    ModelAnswered,
    ModelError,
    ModelRetry,
    ModelUsage,
    OutputRetriesExceeded,
    RetryRequested,
    RunFinished,
    RunStarted,
    StepFinished,
    StepKind,
    StepStarted,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolFinished,
    ToolMessage,
    ToolRetriesExceeded,
    ToolStarted,
    UserMessage,
)
from agentkit.models import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    ScriptedModel,
    TextPart,
)
from tests.agentkit.support import add, call_add, events_of, kinds, shout

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Point:
    x: int
    y: int


async def test_every_event_in_order() -> None:
    call = ToolCall("c1", "shout", '{"text":"ho"}')
    with ScriptedModel([AssistantMessage("Let me.", (call,)), "done"]) as model:
        events = await events_of(Agent(model, tools=[shout]), "hi")
    texts = "".join(event.text for event in events[:8] if isinstance(event, TextDelta))
    arguments = [event for event in events if isinstance(event, ToolCallDelta)]
    rest = [event for event in events if not isinstance(event, TextDelta | ToolCallDelta)]
    finished = rest.pop(5)
    assert texts == "Let me."
    assert "".join(event.arguments for event in arguments) == call.arguments
    assert len(arguments) > 1
    assert isinstance(finished, ToolFinished)
    assert (finished.call, finished.content, finished.is_error) == (call, "HO!", False)
    assert rest == [
        RunStarted("", "hi"),
        StepStarted(0, StepKind.ACT),
        ToolCallStarted("c1", "shout"),
        ModelAnswered(0, "Let me.", (call,), ModelUsage()),
        ToolStarted(call),
        StepFinished(0, StepKind.ACT, "Let me.", (call,), ModelUsage()),
        StepStarted(1, StepKind.ACT),
        ModelAnswered(1, "done", (), ModelUsage()),
        StepFinished(1, StepKind.ANSWER, "done", (), ModelUsage(), "done"),
        RunFinished("done"),
    ]


async def test_messages_and_requests_of_a_run() -> None:
    call = call_add("c1", 1, 2)
    with ScriptedModel([call, "3"]) as model:
        result = await Agent(model, tools=[add], instructions="Be brief.").run("1+2?")
    expected = (
        SystemMessage("Be brief."),
        UserMessage("1+2?"),
        AssistantMessage(tool_calls=(call,)),
        ToolMessage("c1", "add", "3"),
        AssistantMessage("3"),
    )
    assert result.messages == expected
    assert result.new_messages == expected[1:]
    assert [request.messages for request in model.requests] == [expected[:2], expected[:4]]
    assert [tool.name for tool in model.requests[0].tools] == ["add"]
    assert result.output == "3"
    assert [step.kind for step in result.trace] == [StepKind.ACT, StepKind.ANSWER]


async def test_typed_output_round_trip() -> None:
    with ScriptedModel(['{"x":1,"y":2}']) as model:
        result = await Agent(model, output_type=Point).run("where?")
    assert result.output == Point(1, 2)
    assert model.requests[0].output.json_schema is not None


async def test_a_second_run_goes_on_from_the_first() -> None:
    with ScriptedModel(["one", "two"]) as model:
        agent = Agent(model, instructions="Count.")
        first = await agent.run("first")
        second = await agent.run("second", message_history=first.messages)
    assert second.messages[: len(first.messages)] == first.messages
    assert second.new_messages == (UserMessage("second"), AssistantMessage("two"))
    assert sum(isinstance(message, SystemMessage) for message in second.messages) == 1


async def test_instructions_replace_those_of_the_history() -> None:
    with ScriptedModel(["a"]) as model:
        history = (SystemMessage("old"), UserMessage("x"), AssistantMessage("y"))
        result = await Agent(model, instructions="new").run("z", message_history=history)
    assert result.messages[0] == SystemMessage("new")
    assert result.messages[1:3] == history[1:]
    assert result.new_messages == (UserMessage("z"), AssistantMessage("a"))


async def test_invalid_output_is_asked_for_again() -> None:
    with ScriptedModel(["nonsense", '{"x":1,"y":2}']) as model:
        agent = Agent(model, output_type=Point)
        events = await events_of(agent)
    [retry] = [event for event in events if isinstance(event, RetryRequested)]
    position = events.index(retry)
    assert events[position - 1] == StepFinished(
        0, StepKind.ANSWER, "nonsense", (), ModelUsage(), None
    )
    assert events[position + 1] == StepStarted(1, StepKind.ACT)
    assert model.requests[1].messages[-2:] == (
        AssistantMessage("nonsense"),
        UserMessage(retry.reason),
    )
    assert events[-1] == RunFinished(Point(1, 2))


async def test_output_retries_end() -> None:
    with ScriptedModel(["no", "nay", "never"]) as model:
        agent = Agent(model, output_type=Point, output_retries=2)
        with pytest.raises(OutputRetriesExceeded) as caught:
            await agent.run("go")
    assert caught.value.retries == 2
    assert isinstance(caught.value.__cause__, ModelRetry)


async def test_a_cut_typed_answer_is_invalid_even_if_it_parses() -> None:
    cut = ModelResponse(AssistantMessage("12"), finish_reason="length")
    with ScriptedModel([cut, "123"]) as model:
        result = await Agent(model, output_type=int).run("go")
    assert result.output == 123
    assert result.finish_reason == "stop"


async def test_a_cut_free_text_is_kept_and_marked() -> None:
    cut = ModelResponse(AssistantMessage("Once upon a"), finish_reason="length")
    with ScriptedModel([cut]) as model:
        result = await Agent(model).run("tell")
    assert (result.output, result.finish_reason) == ("Once upon a", "length")


async def test_a_cut_call_tells_the_model_why() -> None:
    call = ToolCall("c1", "add", '{"a":1,"b"')
    cut = ModelResponse(AssistantMessage(tool_calls=(call,)), finish_reason="length")
    with ScriptedModel([cut, "sorry"]) as model:
        result = await Agent(model, tools=[add]).run("go")
    answer = result.messages[2]
    assert isinstance(answer, ToolMessage)
    assert answer.is_error
    assert "cut off at the token limit" in answer.content


async def test_unknown_tool_goes_back_to_the_model() -> None:
    call = ToolCall("c1", "divide", "{}")
    with ScriptedModel([call, "sorry"]) as model:
        events = await events_of(Agent(model, tools=[add]))
    [finished] = [event for event in events if isinstance(event, ToolFinished)]
    assert finished.is_error
    assert "divide" in finished.content
    assert "add" in finished.content
    assert "ToolStarted" not in kinds(events)


async def test_unknown_tools_are_not_forgiven_for_ever() -> None:
    model = ScriptedModel([ToolCall("c", "divide", "{}")] * 2)
    with model, pytest.raises(ToolRetriesExceeded, match="divide"):
        await Agent(model, tools=[add]).run("go")


async def test_bad_arguments_go_back_to_the_model_without_a_call() -> None:
    bad = ToolCall("c1", "add", '{"a":"one","b":2}')
    with ScriptedModel([bad, call_add("c2", 1, 2), "3"]) as model:
        events = await events_of(Agent(model, tools=[add]))
    assert [event.call.call_id for event in events if isinstance(event, ToolStarted)] == ["c2"]
    finished = [event for event in events if isinstance(event, ToolFinished)]
    assert [(event.call.call_id, event.is_error) for event in finished] == [
        ("c1", True),
        ("c2", False),
    ]


async def test_tool_retries_end() -> None:
    bad = ToolCall("c1", "add", "{")
    model = ScriptedModel([bad, bad, bad])
    with model, pytest.raises(ToolRetriesExceeded, match="'add' failed after 2 retries"):
        await Agent(model, tools=[add], retries=2).run("go")


async def test_a_good_call_clears_the_failures() -> None:
    bad, good = ToolCall("c1", "add", "{"), call_add("c2", 1, 2)
    with ScriptedModel([bad, good, bad, good, "done"]) as model:
        assert (await Agent(model, tools=[add]).run("go")).output == "done"


async def test_several_bad_calls_in_one_turn_count_once() -> None:
    bad = ToolCall("c1", "add", "{")
    with ScriptedModel([[bad, bad, bad], "done"]) as model:
        assert (await Agent(model, tools=[add]).run("go")).output == "done"


async def test_failures_of_one_run_are_not_those_of_another() -> None:
    bad = ToolCall("c1", "add", "{")
    with ScriptedModel([bad, "a", bad, "b"]) as model:
        agent = Agent(model, tools=[add])
        assert (await agent.run("go")).output == "a"
        assert (await agent.run("go")).output == "b"


async def test_settings_of_the_run_go_before_those_of_the_agent() -> None:
    with ScriptedModel(["a"]) as model:
        agent = Agent(model, settings=ModelSettings(temperature=0.5, max_tokens=10))
        await agent.run("go", settings=ModelSettings(max_tokens=20))
    assert model.requests[0].settings == ModelSettings(temperature=0.5, max_tokens=20)


class Silent:
    """A model that ends its stream without an answer."""

    name = "silent"

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        yield self._parts()

    async def _parts(self) -> AsyncIterator[ModelEvent]:
        yield TextPart("well")


async def test_a_model_that_just_stops() -> None:
    with pytest.raises(ModelError, match="'silent' ended without a ModelResponse"):
        await Agent(Silent()).run("go")


async def test_the_model_s_error_is_raised_as_it_is() -> None:
    error = ModelError("unreachable")
    with ScriptedModel([error]) as model, pytest.raises(ModelError) as caught:
        await Agent(model).run("go")
    assert caught.value is error
