"""Strategies: by hand, without a model, and in the loop."""

from collections.abc import Generator
from dataclasses import dataclass

import pytest

from agentkit import (
    Act,
    Agent,
    AssistantMessage,
    ModelSettings,
    Plan,
    PlanAct,
    RunEvent,
    Step,
    StepFinished,
    StepKind,
    StepStarted,
    StrategyError,
    ToolMessage,
    Turn,
    UserMessage,
)
from agentkit.models import ScriptedModel
from tests.agentkit.support import add, call_add, events_of

CALLED = Turn(StepKind.ACT, AssistantMessage(tool_calls=(call_add("1", 1, 1),)))
ANSWERED = Turn(StepKind.ANSWER, AssistantMessage("done"), output="done")
PLANNED = Turn(StepKind.PLAN, AssistantMessage("{}"), output=Plan(("look",)))
PLAN_TEXT = '{"steps":["add the numbers"]}'


def test_act_by_hand() -> None:
    step = Step(max_tokens=5)
    steps = Act(step).steps()
    assert next(steps) == step
    assert steps.send(CALLED) == step
    with pytest.raises(StopIteration):
        steps.send(ANSWERED)


def test_act_may_ask_for_a_call_first() -> None:
    steps = Act(call_first=True).steps()
    assert not next(steps).allow_final
    assert steps.send(CALLED).allow_final
    with pytest.raises(StopIteration):
        steps.send(ANSWERED)


def test_the_prompt_of_a_first_call_is_said_once() -> None:
    steps = Act(Step(prompt="Look it up."), call_first=True).steps()
    assert next(steps).prompt == "Look it up."
    assert steps.send(CALLED).prompt == ""


def test_plan_act_by_hand() -> None:
    steps = PlanAct(plan=Step(mode="diffusion"), act=Step(mode="ar")).steps()
    plan = next(steps)
    assert (plan.kind, plan.mode, plan.output_type) == (StepKind.PLAN, "diffusion", Plan)
    assert not plan.allow_calls
    again = steps.send(CALLED)
    assert again.kind is StepKind.PLAN
    assert again.prompt == ""
    act = steps.send(PLANNED)
    assert (act.kind, act.mode, act.allow_calls) == (StepKind.ACT, "ar", True)
    assert act.prompt
    assert steps.send(CALLED).prompt == ""
    with pytest.raises(StopIteration):
        steps.send(ANSWERED)


def test_a_step_that_allows_nothing() -> None:
    with pytest.raises(ValueError, match="must allow"):
        Step(allow_calls=False, allow_final=False)


@pytest.mark.anyio
async def test_plan_act_in_the_loop() -> None:
    strategy = PlanAct(plan=Step(mode="fast", max_tokens=64, prompt="Plan!"))
    settings = ModelSettings(temperature=0.0, mode="slow")
    with ScriptedModel([PLAN_TEXT, call_add("c1", 1, 2), "3"]) as model:
        agent = Agent(model, tools=[add], strategy=strategy, settings=settings)
        events = await events_of(agent, "1+2?")
    planning, acting, answering = model.requests
    assert (len(planning.tools), planning.callable_tools) == (1, ())
    assert planning.output.python_type is Plan
    assert planning.settings == ModelSettings(temperature=0.0, mode="fast", max_tokens=64)
    assert planning.messages == (UserMessage("1+2?"), UserMessage("Plan!"))
    assert acting.settings == settings
    assert [tool.name for tool in acting.tools] == ["add"]
    assert acting.output.is_text
    assert acting.messages[:3] == (*planning.messages, AssistantMessage(PLAN_TEXT))
    assert isinstance(acting.messages[3], UserMessage)
    assert answering.messages[:4] == acting.messages
    assert step_kinds(events) == [
        (StepKind.PLAN, StepKind.PLAN),
        (StepKind.ACT, StepKind.ACT),
        (StepKind.ACT, StepKind.ANSWER),
    ]
    finished = [event for event in events if isinstance(event, StepFinished)]
    assert finished[0].output == Plan(("add the numbers",))


def step_kinds(events: list[RunEvent]) -> list[tuple[StepKind, StepKind]]:
    started = [event.kind for event in events if isinstance(event, StepStarted)]
    finished = [event.kind for event in events if isinstance(event, StepFinished)]
    return list(zip(started, finished, strict=True))


@pytest.mark.parametrize("bad", ["a plan", '{"steps":[]}', '{"steps":[""]}'])
def test_a_bad_plan_is_asked_for_again(bad: str) -> None:
    with ScriptedModel([bad, PLAN_TEXT, "3"]) as model:
        result = Agent(model, tools=[add], strategy=PlanAct()).run_sync("1+2?")
    assert [step.kind for step in result.trace] == [StepKind.PLAN, StepKind.PLAN, StepKind.ANSWER]
    prompts = [message for message in result.messages if isinstance(message, UserMessage)]
    assert len(prompts) == 4  # the question, the plan's prompt, the retry, the act's prompt


def test_calls_instead_of_a_plan_are_refused() -> None:
    with ScriptedModel([call_add("c1", 1, 2), PLAN_TEXT, "3"]) as model:
        result = Agent(model, tools=[add], strategy=PlanAct()).run_sync("1+2?")
    refusal = result.messages[3]
    assert isinstance(refusal, ToolMessage)
    assert refusal.is_error
    assert result.output == "3"


@dataclass(frozen=True)
class CallFirst:
    """Asks for a tool call before an answer."""

    def steps(self) -> Generator[Step, Turn, None]:
        yield Step(allow_final=False)
        yield Step(allow_calls=False)


def test_an_answer_that_comes_too_early() -> None:
    with ScriptedModel(["3", call_add("c1", 1, 2), "3"]) as model:
        result = Agent(model, tools=[add], strategy=CallFirst()).run_sync("1+2?")
    assert [request.allow_final for request in model.requests] == [False, False, True]
    assert [len(request.callable_tools) for request in model.requests] == [1, 1, 0]
    assert result.output == "3"


def test_a_call_is_wanted_but_there_are_no_tools() -> None:
    with pytest.raises(StrategyError, match="needs an agent with tools"):
        Agent(ScriptedModel([]), strategy=CallFirst()).run_sync("go")


@dataclass(frozen=True)
class GivesUp:
    closed: list[bool]
    num_steps: int

    def steps(self) -> Generator[Step, Turn, None]:
        try:
            for _ in range(self.num_steps):
                yield Step()
        finally:
            self.closed.append(True)


@pytest.mark.parametrize("num_steps", [0, 1])
def test_a_strategy_that_ends_without_an_answer(num_steps: int) -> None:
    with ScriptedModel([call_add("c1", 1, 2)] * num_steps) as model:
        agent = Agent(model, tools=[add], strategy=GivesUp([], num_steps))
        with pytest.raises(StrategyError, match="without an answer"):
            agent.run_sync("go")


def test_a_strategy_is_closed_when_the_run_fails() -> None:
    closed: list[bool] = []
    with ScriptedModel([RuntimeError("broken")]) as model, pytest.raises(RuntimeError):
        Agent(model, strategy=GivesUp(closed, 3)).run_sync("go")
    assert closed == [True]


@dataclass(frozen=True)
class TwoAnswers:
    """Lets the model answer twice; the second counts."""

    def steps(self) -> Generator[Step, Turn, None]:
        yield Step()
        yield Step(prompt="Are you sure?", output_type=int)


def test_the_last_answer_is_the_run_s() -> None:
    with ScriptedModel(["about 3", "3"]) as model:
        result = Agent(model, strategy=TwoAnswers()).run_sync("1+2?")
    assert result.output == 3  # type: ignore[comparison-overlap]
    assert model.requests[1].messages[-1] == UserMessage("Are you sure?")
