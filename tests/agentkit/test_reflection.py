"""Reflection: judged drafts, gates, bounds; plans that are reviewed; what a step decides."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, field_serializer

from agentkit import (
    Accept,
    Act,
    Agent,
    AssistantMessage,
    Budget,
    Confidence,
    ModelRetry,
    ModelSettings,
    OutputRetriesExceeded,
    Plan,
    PlanAct,
    PlanActReflect,
    PlanMade,
    Reflected,
    Revise,
    RunContext,
    Step,
    StepKind,
    StrategyError,
    ToolMessage,
    Turn,
    UserMessage,
    always,
    confidence_below,
)
from agentkit.models import ModelResponse, ScriptedModel
from decoding import Autoregressive, Grammar, Sampling
from tests.agentkit.support import add, call_add, events_of
from tests.agentkit.test_local import local

ACCEPT = '{"decision":"accept"}'
REVISE = '{"decision":"revise","reasons":["too short"]}'
PLAN_TEXT = '{"steps":["add the numbers"]}'
pytestmark = pytest.mark.anyio


def kinds_of(result_trace: Sequence[object]) -> list[StepKind]:
    return [step.kind for step in result_trace]  # type: ignore[attr-defined]


async def test_plan_act_reflect_in_the_loop() -> None:
    script = [PLAN_TEXT, call_add("c1", 1, 2), "3", REVISE, "The sum is 3", ACCEPT]
    with ScriptedModel(script) as model:
        agent = Agent(model, tools=[add], strategy=PlanActReflect())
        events = await events_of(agent, "1+2?")
        result = None
    assert result is None
    judging, revising = model.requests[3], model.requests[4]
    assert judging.callable_tools == ()
    assert AssistantMessage("3") in judging.messages
    assert any(isinstance(m, ToolMessage) and m.content == "3" for m in judging.messages)
    assert revising.messages[-1] == UserMessage("Revise the answer:\n- too short")
    assert [event.verdict for event in events if isinstance(event, Reflected)] == [
        Revise("revise", ("too short",)),
        Accept("accept"),
    ]
    [plan] = [event for event in events if isinstance(event, PlanMade)]
    assert plan == PlanMade(0, Plan(("add the numbers",)))


async def test_an_accepted_draft_is_the_output() -> None:
    with ScriptedModel(["3", ACCEPT]) as model:
        result = await Agent(model, strategy=PlanActReflect(plan=None)).run("1+2?")
    assert result.output == "3"
    assert kinds_of(result.trace) == [StepKind.ANSWER, StepKind.REFLECT]


async def test_a_verdict_is_typed() -> None:
    vague = '{"decision":"revise","reasons":[]}'
    with ScriptedModel(["3", vague, ACCEPT]) as model:
        result = await Agent(model, strategy=PlanActReflect(plan=None)).run("1+2?")
    assert result.output == "3"
    assert "reasons" in str(result.messages[-2])


@given(st.lists(st.booleans(), max_size=6), st.integers(0, 4))
@settings(max_examples=30)
def test_rounds_are_bounded_and_the_last_draft_counts(accepts: list[bool], rounds: int) -> None:
    script, judged = ["draft 0"], 0
    for accepted in accepts[:rounds]:
        judged += 1
        script += [ACCEPT] if accepted else [REVISE, f"draft {judged}"]
        if accepted:
            break
    script += [ACCEPT] if judged < rounds and not any(accepts[:rounds]) else []
    with ScriptedModel(script) as model:
        strategy = PlanActReflect(plan=None, max_rounds=rounds)
        result = Agent(model, strategy=strategy).run_sync("go")
    drafts = [text for text in script if text.startswith("draft")]
    assert result.output == drafts[-1]
    assert kinds_of(result.trace).count(StepKind.REFLECT) <= rounds


def turn(answer: float | None, *, known: bool = True, **arguments: float) -> Turn:
    confidence = Confidence(answer, arguments) if known else None
    return Turn(StepKind.ANSWER, AssistantMessage("a"), confidence=confidence)


@pytest.mark.parametrize(
    ("turns", "reflects"),
    [
        ([turn(0.9)], False),
        ([turn(0.6)], False),
        ([turn(0.59)], True),
        ([turn(None, c1=0.7), turn(0.9)], False),
        ([turn(None, c1=0.9, c2=0.1), turn(0.9)], True),
        ([turn(None, known=False), turn(0.9)], True),
        ([turn(None)], True),
    ],
)
def test_the_gate(turns: list[Turn], reflects: bool) -> None:
    assert confidence_below(0.6)(turns) is reflects
    assert always(turns)


@pytest.mark.parametrize("threshold", [0.0, 1.5, -1.0])
def test_a_threshold_that_is_no_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0, at most 1"):
        confidence_below(threshold)


def test_rounds_below_zero() -> None:
    with pytest.raises(ValueError, match="max_rounds is -1"):
        PlanActReflect(max_rounds=-1)


@pytest.mark.parametrize(("sure", "turns"), [(0.95, 2), (0.2, 3)])
async def test_a_gate_in_the_loop(sure: float, turns: int) -> None:
    call = ModelResponse(
        AssistantMessage(tool_calls=(call_add("c1", 1, 2),)),
        confidence=Confidence(arguments={"c1": sure}),
    )
    answer = ModelResponse(AssistantMessage("3"), confidence=Confidence(0.9))
    with ScriptedModel([call, answer, ACCEPT][:turns]) as model:
        strategy = PlanActReflect(plan=None, when=confidence_below(0.5))
        result = await Agent(model, tools=[add], strategy=strategy).run("1+2?")
    assert result.output == "3"


async def test_a_plan_can_be_edited() -> None:
    async def edit(context: RunContext, plan: Plan) -> Plan:
        assert context.messages[-1] == AssistantMessage(PLAN_TEXT)
        return Plan((*plan.steps, "check"))

    with ScriptedModel([PLAN_TEXT, "3"]) as model:
        events = await events_of(Agent(model, strategy=PlanAct(review=edit)))
    assert PlanMade(0, Plan(("add the numbers", "check"))) in events
    told = model.requests[1].messages[-2]
    assert told == UserMessage('Replaced by: {"steps":["add the numbers","check"]}')


async def test_a_plan_can_be_refused() -> None:
    def refuse(context: RunContext, plan: Plan) -> Plan:
        if "look" not in plan.steps:
            raise ModelRetry("Look first.")
        return plan

    better = '{"steps":["look"]}'
    with ScriptedModel([PLAN_TEXT, better, "3"]) as model:
        result = await Agent(model, strategy=PlanAct(review=refuse)).run("go")
    assert model.requests[1].messages[-1] == UserMessage("Look first.")
    assert result.trace[1].output == Plan(("look",))


@pytest.mark.parametrize("given", ["x", None, 2.5])
async def test_what_a_review_lets_pass_has_to_be_valid(given: object) -> None:
    strategy = Act(Step(review=lambda context, number: given))
    agent = Agent(ScriptedModel(["7"]), output_type=int, strategy=strategy)
    with pytest.raises(StrategyError, match="a review let pass what is no valid output"):
        await agent.run("go")


async def test_an_answer_that_is_another_is_what_its_text_stands_for() -> None:
    def edit(context: RunContext, plan: Plan) -> Plan:
        return Plan([*plan.steps, "check"])  # type: ignore[arg-type]

    with ScriptedModel([PLAN_TEXT, "3"]) as model:
        result = await Agent(model, strategy=PlanAct(review=edit)).run("go")
    assert result.trace[0].output == Plan(("add the numbers", "check"))


class Unreadable(BaseModel):
    """Is not written as it is read."""

    share: float

    @field_serializer("share")
    def percent(self, share: float) -> str:
        return f"{share:.0%}"


async def test_an_answer_that_stays_is_not_read_again() -> None:
    strategy = Act(Step(review=lambda context, answer: answer))
    agent = Agent(ScriptedModel(['{"share":0.5}']), output_type=Unreadable, strategy=strategy)
    assert (await agent.run("go")).output == Unreadable(share=0.5)


@dataclass(eq=False)
class Draft:
    """Equals nothing but itself."""

    text: str


async def test_an_answer_that_stays_is_not_replaced() -> None:
    strategy = Act(Step(review=lambda context, answer: answer))
    agent = Agent(ScriptedModel(['{"text":"a"}']), output_type=Draft, strategy=strategy)
    result = await agent.run("go")
    assert result.output.text == "a"
    assert result.messages == (UserMessage("go"), AssistantMessage('{"text":"a"}'))


async def test_failures_count_in_a_row() -> None:
    with ScriptedModel(["no plan", PLAN_TEXT, "no number", "3"]) as model:
        result = await Agent(model, output_type=int, strategy=PlanAct()).run("go")
    assert result.output == 3
    with ScriptedModel(["no", "no"]) as model, pytest.raises(OutputRetriesExceeded):
        await Agent(model, output_type=int).run("go")


def test_what_a_step_decides() -> None:
    step = Step(
        mode=Autoregressive(), sampling=ModelSettings(temperature=0.5), budget=Budget(tokens=9)
    )
    assert step.settings == ModelSettings(max_tokens=9, temperature=0.5, mode=Autoregressive())
    assert Step(sampling=Sampling(top_k=3)).settings.sampling == Sampling(top_k=3)
    assert Step(max_tokens=7).settings == ModelSettings(max_tokens=7)


def test_steps_that_contradict_themselves() -> None:
    with pytest.raises(ValueError, match="not both"):
        Step(max_tokens=5, budget=Budget(tokens=5))
    with pytest.raises(ValueError, match="allow_calls=False"):
        Step(grammar=Grammar.choice(["a"]))
    with pytest.raises(ValueError, match=r"Budget\.tokens is 0"):
        Budget(tokens=0)
    with pytest.raises(ValueError, match=r"Budget\.seconds is 0"):
        Budget(seconds=0)


async def test_a_step_has_its_own_grammar_and_sampling() -> None:
    model, outputs = local(7), set()
    for seed in range(8):
        step = Step(
            grammar=Grammar.choice(["yes", "no"]),
            sampling=Sampling(temperature=9.0, seed=seed),
            allow_calls=False,
        )
        outputs.add((await Agent(model, strategy=Act(step)).run("well?")).output)
    await model._engine.aclose()
    assert outputs == {"yes", "no"}  # the grammar holds, and so does the sampling
