"""Functions that a model calls with its final answer."""

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import anyio
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import (
    Act,
    Agent,
    CancelToken,
    ModelRetry,
    OnUnknown,
    OutputCall,
    OutputRetriesExceeded,
    OutputTypeError,
    PartialOutput,
    PlanAct,
    Returned,
    RunCancelled,
    RunContext,
    RunFinished,
    Sessions,
    SQLiteSessions,
    Step,
    StrategyError,
    ToolCall,
    ToolCrashed,
    ToolDefinitionError,
    ToolError,
    UnknownOutput,
    ask_owner,
    handoff,
    tool,
)
from agentkit.errors import ReviewRequired
from agentkit.models import ScriptedModel, TestModel
from agentkit.output import OutputSpec
from agentkit.sessions.records import Answered, Began, OutputBegan, Record
from tests.agentkit.support import add, call_add, events_of

pytestmark = pytest.mark.anyio
BOOKED = '{"name":"book","arguments":{"room":"blue","nights":2}}'
TOO_LONG = '{"name":"book","arguments":{"room":"blue","nights":9}}'


@dataclass(frozen=True)
class Booking:
    room: str
    nights: int


class Hotel:
    """Counts what it books."""

    def __init__(self) -> None:
        self.num_booked = 0

    def book(self, room: Literal["blue", "red"], nights: int) -> Booking:
        """Books a room.

        Args:
            room: the colour of its door
        """
        if nights > 5:
            raise ModelRetry("at most 5 nights")
        self.num_booked += 1
        return Booking(room, nights)


async def cancel(context: RunContext[str], reason: str) -> Booking:
    """Cancels."""
    return Booking(f"{context.deps}: {reason}", 0)


@pytest.fixture
async def sessions(anyio_backend: str) -> AsyncIterator[Sessions]:
    async with SQLiteSessions(":memory:") as opened:
        yield opened


async def test_what_the_function_returns_is_the_output() -> None:
    hotel = Hotel()
    agent = Agent(ScriptedModel([BOOKED]), output=hotel.book)
    result = await agent.run("go")
    assert result.output == Booking("blue", 2)
    assert result.trace[-1].output == result.output
    assert hotel.num_booked == 1


async def test_one_of_several_functions_and_types() -> None:
    model = ScriptedModel(['{"name":"cancel","arguments":{"reason":"rain"}}', "3"])
    agent: Agent[str, Booking | int] = Agent(
        model, output=[Hotel().book, cancel, int], deps_type=str
    )
    assert (await agent.run("go", deps="Ann")).output == Booking("Ann: rain", 0)
    assert (await agent.run("go", deps="Ann")).output == 3


async def test_the_schema_describes_the_functions() -> None:
    model = TestModel()
    schema = OutputSpec.of([Hotel().book, cancel]).format.json_schema
    assert schema is not None
    book = schema["anyOf"][0]
    assert book["description"].startswith("Books a room.")
    room = book["properties"]["arguments"]["properties"]["room"]
    assert room == {
        "type": "string",
        "enum": ["blue", "red"],
        "description": "the colour of its door",
    }
    assert isinstance((await Agent(model, output=Hotel().book).run("go")).output, Booking)


async def test_an_answer_that_the_function_refuses_is_written_again() -> None:
    hotel, model = Hotel(), ScriptedModel([TOO_LONG, BOOKED])
    assert (await Agent(model, output=hotel.book).run("go")).output == Booking("blue", 2)
    assert model.requests[1].messages[-1].content == "at most 5 nights"
    assert hotel.num_booked == 1
    with pytest.raises(OutputRetriesExceeded, match="at most 5 nights"):
        await Agent(ScriptedModel([TOO_LONG] * 2), output=hotel.book).run("go")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"name":"book","arguments":{"room":"green","nights":1}}', "arguments.room"),
        ('{"name":"burn","arguments":{}}', "name"),
        ('{"name":"book","arguments":{"room":"red","nights":1,"x":1}}', "arguments.x: not known"),
        ("plain words", "not JSON"),
    ],
)
async def test_a_call_that_is_not_valid_is_not_made(answer: str, words: str) -> None:
    hotel, model = Hotel(), ScriptedModel([answer, BOOKED])
    await Agent(model, output=hotel.book).run("go")
    assert words in model.requests[1].messages[-1].content
    assert hotel.num_booked == 1


async def test_other_errors_for_the_model_have_it_written_again(sessions: Sessions) -> None:
    async def search(words: str) -> str:
        if words == "slow":
            await anyio.sleep_forever()
        if words == "bad":
            raise ToolError("only caf\udce9")
        return words

    turns = [f'{{"name":"search","arguments":{{"words":"{each}"}}}}' for each in ("slow", "bad")]
    good = '{"name":"search","arguments":{"words":"good"}}'
    model = ScriptedModel([*turns, good])
    agent: Agent[None, str] = Agent(
        model, output=tool(search, timeout=0.01), output_retries=2, sessions=sessions
    )
    result = await agent.run("go")
    assert result.output == "good"
    assert "did not finish within 0.01 seconds" in model.requests[1].messages[-1].content
    assert model.requests[2].messages[-1].content == "only caf\\udce9"
    assert await agent.resume(result.run_id) == result


async def test_a_crash_ends_the_run() -> None:
    def burn(x: int) -> int:
        return x // 0

    model = ScriptedModel(['{"name":"burn","arguments":{"x":1}}'])
    with pytest.raises(ToolCrashed, match="burn") as caught:
        await Agent(model, output=burn).run("go")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_any_object_may_be_an_output_and_blocking_functions_run_in_a_thread() -> None:
    def where(x: int) -> object:
        return threading.current_thread()

    result = await Agent(TestModel(), output=where).run("go")
    assert isinstance(result.output, threading.Thread)
    assert result.output is not threading.current_thread()


async def test_the_call_is_told_while_it_is_written() -> None:
    agent = Agent(ScriptedModel([BOOKED]), output=Hotel().book)
    events = await events_of(agent)
    partials = [event for event in events if isinstance(event, PartialOutput)]
    assert partials[0].value["name"] == "book"
    assert partials[-1].value == {"name": "book", "arguments": {"room": "blue", "nights": 2}}
    assert partials[-1].open_path is None
    assert events[-1] == RunFinished(Booking("blue", 2))


async def test_tools_and_plans_come_before_it() -> None:
    model = ScriptedModel(['{"steps":["add"]}', [call_add("c1", 1, 2)], BOOKED])
    agent = Agent(model, tools=[add], output=Hotel().book, strategy=PlanAct())
    result = await agent.run("go")
    assert result.output == Booking("blue", 2)
    assert result.usage.tool_calls == 1


async def test_a_review_sees_the_call_before_it_is_made() -> None:
    hotel = Hotel()

    def look(context: RunContext[None], call: Any) -> Any:
        assert hotel.num_booked == 0
        assert isinstance(call, OutputCall)
        assert (call.name, call.arguments["nights"]) == ("book", 2)
        return call

    agent = Agent(ScriptedModel([BOOKED]), output=hotel.book, strategy=Act(Step(review=look)))
    assert (await agent.run("go")).output == Booking("blue", 2)


async def test_a_review_gives_another_call() -> None:
    def shorten(context: RunContext[None], call: Any) -> Any:
        return replace(call, arguments={**call.arguments, "nights": nights})

    hotel, strategy, nights = Hotel(), Act(Step(review=shorten)), 1
    agent = Agent(ScriptedModel([BOOKED] * 2), output=hotel.book, strategy=strategy)
    assert (await agent.run("go")).output == Booking("blue", 1)
    nights = "one"  # type: ignore[assignment]
    with pytest.raises(StrategyError, match=r"arguments\.nights"):
        await agent.run("go")
    assert hotel.num_booked == 1


async def test_a_run_that_was_cancelled_in_its_review_makes_no_call() -> None:
    def look(context: RunContext[None], call: Any) -> Any:
        token.cancel()
        return call

    hotel, token = Hotel(), CancelToken()
    agent = Agent(ScriptedModel([BOOKED]), output=hotel.book, strategy=Act(Step(review=look)))
    with pytest.raises(RunCancelled):
        await agent.run("go", cancel=token)
    assert hotel.num_booked == 0


async def test_an_owner_may_let_the_call_pass_later(sessions: Sessions) -> None:
    hotel, model = Hotel(), ScriptedModel([BOOKED])
    strategy = Act(Step(review=ask_owner))
    agent = Agent(model, output=hotel.book, strategy=strategy, sessions=sessions)
    with pytest.raises(ReviewRequired) as paused:
        await agent.run("go")
    assert hotel.num_booked == 0
    result = await agent.resume(paused.value.run_id, review=True)
    assert result.output == Booking("blue", 2)
    assert hotel.num_booked == 1


async def test_a_finished_run_told_again_does_not_call_again(sessions: Sessions) -> None:
    hotel, model = Hotel(), ScriptedModel([TOO_LONG, BOOKED])
    agent = Agent(model, output=hotel.book, sessions=sessions)
    result = await agent.run("go")
    again = await agent.resume(result.run_id)
    assert again.output == result.output == Booking("blue", 2)
    assert hotel.num_booked == 1


async def killed(sessions: Sessions, *records: Record) -> str:
    """A run whose process ended after these."""
    await sessions.log.begin("r", [Began("agent", "go"), *records], "agent", None, None)
    return "r"


async def killed_in_its_call(sessions: Sessions) -> str:
    message = (await Agent(ScriptedModel([BOOKED])).run("go")).new_messages[-1]
    assert message.role == "assistant"
    return await killed(sessions, Answered(message), OutputBegan())


async def test_a_call_of_unknown_outcome_is_not_repeated(sessions: Sessions) -> None:
    hotel, model = Hotel(), ScriptedModel([])
    run_id = await killed_in_its_call(sessions)
    agent = Agent(model, output=hotel.book, sessions=sessions)
    for _ in range(2):
        with pytest.raises(UnknownOutput, match="may have taken effect") as paused:
            await agent.resume(run_id)
        assert isinstance(paused.value.output, OutputCall)
    result = await agent.resume(run_id, review=Returned(Booking("red", 1)))
    assert result.output == Booking("red", 1)
    assert hotel.num_booked == 0


@pytest.mark.parametrize("choice", ["rule", "word", "idempotent"])
async def test_a_call_of_unknown_outcome_is_repeated_where_it_may_be(
    sessions: Sessions, choice: str
) -> None:
    hotel = Hotel()
    run_id = await killed_in_its_call(sessions)
    output = tool(hotel.book, idempotent=choice == "idempotent")
    agent = Agent(ScriptedModel([]), output=output, sessions=sessions)
    result = await agent.resume(
        run_id,
        review=True if choice == "word" else None,
        on_unknown=OnUnknown.REPEAT if choice == "rule" else OnUnknown.RAISE,
    )
    assert result.output == Booking("blue", 2)
    assert hotel.num_booked == 1


@pytest.mark.parametrize("by_rule", [True, False])
async def test_the_model_is_told_of_an_unknown_outcome(sessions: Sessions, by_rule: bool) -> None:
    hotel, model = Hotel(), ScriptedModel([BOOKED])
    run_id = await killed_in_its_call(sessions)
    agent = Agent(model, output=hotel.book, sessions=sessions)
    if by_rule:
        await agent.resume(run_id, on_unknown=OnUnknown.TELL_MODEL)
        assert "It may have done so or not" in model.requests[0].messages[-1].content
    else:
        await agent.resume(run_id, review=False)
        assert "does not allow" in model.requests[0].messages[-1].content
    assert hotel.num_booked == 1


class Opaque:
    """Not for JSON."""


def give(x: int) -> Opaque:
    return Opaque()


def test_what_cannot_be_an_output_is_refused(tmp_path: Any) -> None:
    model = TestModel()
    with pytest.raises(ValueError, match="output is empty"):
        Agent(model, output=[])
    with pytest.raises(ValueError, match="two output functions are named 'add'"):
        Agent(model, output=[add, add])
    with pytest.raises(ValueError, match="not both"):
        Agent(model, output=add, output_type=int)
    with pytest.raises(ValueError, match="a tool that waits"):
        Agent(model, output=tool(add, requires_approval=True))
    with pytest.raises(ToolDefinitionError, match="lambda"):
        Agent(model, output=lambda x: 3)
    with pytest.raises(OutputTypeError, match="what 'give' returns"):
        Agent(model, output=give, sessions=SQLiteSessions(tmp_path / "runs.db"))


@pytest.mark.parametrize("place", ["handoff", "step"])
async def test_what_a_log_could_not_keep_is_refused_where_it_comes_up(
    sessions: Sessions, place: str
) -> None:
    answer = '{"name":"give","arguments":{"x":1}}'

    def agent(sessions: Sessions | None) -> Agent[None, Any]:
        if place == "step":
            strategy = Act(Step(output_type=[give]))
            return Agent(ScriptedModel([answer]), strategy=strategy, sessions=sessions)
        receiver = Agent(ScriptedModel([answer]), output=give, name="giver")
        transfer = ToolCall("c1", "handoff_to_giver", "{}")
        return Agent(ScriptedModel([transfer]), tools=[handoff(receiver)], sessions=sessions)

    assert isinstance((await agent(None).run("go")).output, Opaque)
    with pytest.raises(OutputTypeError, match="what 'give' returns"):
        await agent(sessions).run("go")


@given(st.sampled_from(["blue", "red"]), st.integers(0, 5), st.text(max_size=5))
def test_calls_are_taken_as_they_were_written(room: str, nights: int, reason: str) -> None:
    spec = OutputSpec.of([Hotel().book, cancel])
    for call in (
        {"name": "book", "arguments": {"room": room, "nights": nights}},
        {"name": "cancel", "arguments": {"reason": reason}},
    ):
        jsonschema.validate(call, spec.format.json_schema or {})
        read = spec.validate(spec.written(spec.validate(OutputSpec.of(dict).written(call))))
        assert isinstance(read, OutputCall)
        assert {"name": read.name, "arguments": read.arguments} == call
