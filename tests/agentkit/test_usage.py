"""What runs cost and what they may cost."""

import pytest

from agentkit import (
    Agent,
    AssistantMessage,
    ModelUsage,
    ToolMessage,
    Usage,
    UsageLimitExceeded,
    UsageLimits,
    UserMessage,
)
from agentkit.models import FunctionModel, ModelResponse, ScriptedModel
from tests.agentkit.support import add, call_add


def test_a_run_s_usage_is_the_sum_of_its_turns() -> None:
    calls = AssistantMessage(tool_calls=(call_add("1", 1, 1), call_add("2", 2, 2)))
    one = ModelUsage(10, 4, 6, 2, 3, 0.5, {"ar": 4, "diffusion": 2})
    two = ModelUsage(20, 9, 4, 1, 2, 0.25, {"ar": 4})
    with ScriptedModel(
        [ModelResponse(calls, one), ModelResponse(AssistantMessage("done"), two)]
    ) as model:
        result = Agent(model, tools=[add]).run_sync("go")
    assert result.usage == Usage(2, 2, 30, 13, 10, 3, 5, 0.75, {"ar": 8, "diffusion": 2})
    assert result.usage.tokens_per_forward == 2.0
    assert [step.usage for step in result.trace] == [one, two]


def test_tokens_per_forward_without_forwards() -> None:
    assert Usage(output_tokens=5).tokens_per_forward == 0.0


@pytest.mark.parametrize("name", ["turns", "tool_calls", "input_tokens", "output_tokens"])
def test_limits_below_zero(name: str) -> None:
    with pytest.raises(ValueError, match=f"UsageLimits.{name} is -1"):
        UsageLimits(**{name: -1})


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (UsageLimits(turns=1), "turns"),
        (UsageLimits(tool_calls=1), "tool_calls"),
        (UsageLimits(input_tokens=10), "input_tokens"),
        (UsageLimits(output_tokens=5), "output_tokens"),
        (UsageLimits(forwards=3), "forwards"),
    ],
)
def test_a_reached_limit_stops_the_tools_and_keeps_the_history(
    limits: UsageLimits, name: str
) -> None:
    ran = False

    def act() -> str:
        """Acts."""
        nonlocal ran
        ran = True
        return ""

    calls = AssistantMessage(tool_calls=(call_add("1", 1, 1), call_add("2", 2, 2)))
    model = ScriptedModel([ModelResponse(calls, ModelUsage(10, 0, 5, 0, 3))])
    with model, pytest.raises(UsageLimitExceeded, match=name) as caught:
        Agent(model, tools=[act]).run_sync("go", usage_limits=limits)
    assert not ran
    assert caught.value.limit == name
    assert caught.value.messages[:2] == (UserMessage("go"), calls)
    assert [
        (message.call_id, message.is_error)
        for message in caught.value.messages[2:]
        if isinstance(message, ToolMessage)
    ] == [("1", True), ("2", True)]


def test_a_run_can_go_on_from_the_history_of_a_limit() -> None:
    with ScriptedModel([call_add("1", 1, 1), "done"]) as model:
        agent = Agent(model, tools=[add])
        with pytest.raises(UsageLimitExceeded) as caught:
            agent.run_sync("go", usage_limits=UsageLimits(turns=1))
        result = agent.run_sync("go on", message_history=caught.value.messages)
    assert result.output == "done"


def test_an_answer_that_overruns_is_delivered() -> None:
    answer = ModelResponse(AssistantMessage("long"), ModelUsage(output_tokens=1000))
    with ScriptedModel([answer]) as model:
        limits = UsageLimits(output_tokens=10)
        assert Agent(model).run_sync("go", usage_limits=limits).output == "long"


def test_limits_allow_exactly_what_they_say() -> None:
    pair = (call_add("1", 1, 1), call_add("2", 2, 2))
    with ScriptedModel([pair, call_add("3", 3, 3), "done"]) as model:
        limits = UsageLimits(turns=3, tool_calls=3)
        result = Agent(model, tools=[add]).run_sync("go", usage_limits=limits)
    assert (result.usage.turns, result.usage.tool_calls) == (3, 3)


def test_a_model_that_never_answers_is_stopped_after_25_turns() -> None:
    model = FunctionModel(lambda request: AssistantMessage(tool_calls=(call_add("1", 1, 1),)))
    with pytest.raises(UsageLimitExceeded, match="turns=25"):
        Agent(model, tools=[add]).run_sync("go")


def test_no_turn_at_all() -> None:
    model = ScriptedModel([])
    with pytest.raises(UsageLimitExceeded, match="turns=0"):
        Agent(model).run_sync("go", usage_limits=UsageLimits(turns=0))
    assert model.requests == ()
