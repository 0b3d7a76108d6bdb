"""What an agent cannot be given is refused where it is given, in words that help."""

from typing import Any

import pytest

from agentkit import Agent, ModelSettings, PlanAct, UsageLimits
from agentkit.models import TestModel


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"retries": "a"}, "retries is 'a'"),
        ({"retries": True}, "retries is True"),
        ({"output_retries": 1.5}, "output_retries is 1.5"),
        ({"model_timeout": "a"}, "model_timeout is 'a'"),
        ({"tool_timeout": True}, "tool_timeout is True"),
        ({"strategy": "act"}, "strategy is 'act'; give a strategy"),
        ({"strategy": PlanAct}, "strategy is the class PlanAct; give an instance"),
        ({"settings": {}}, "settings is {}; give ModelSettings"),
        ({"compaction": 3}, "compaction is 3; give DropMiddle"),
        ({"sessions": "runs.db"}, "sessions is 'runs.db'; give sessions, such as SQLiteSessions"),
        ({"telemetry": True}, "telemetry is True; give Telemetry"),
        ({"instructions": 3}, "instructions are 3"),
        ({"name": ""}, "name is ''"),
        ({"name": 3}, "name is 3"),
    ],
)
def test_an_agent_refuses(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Agent(TestModel(), **arguments)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"usage_limits": 5}, "usage_limits is 5; give UsageLimits"),
        ({"settings": 5}, "settings is 5"),
        ({"message_history": "abc"}, "message_history is 'abc'; give messages"),
        ({"message_history": ["abc"]}, "message_history[0] is 'abc'; give messages"),
        ({"timeout": "a"}, "timeout is 'a'; give seconds"),
        ({"timeout": 0}, "timeout is 0"),
        ({"cancel": True}, "cancel is True"),
        ({"session": 3}, "session is 3"),
    ],
)
def test_a_run_refuses(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Agent(TestModel()).run_sync("hi", **arguments)
    assert told in str(caught.value)


def test_approvals_are_by_call() -> None:
    with pytest.raises(TypeError, match="approvals is"):
        Agent(TestModel()).resume_sync("run", approvals=[True])  # type: ignore[arg-type]


def test_what_is_right_is_taken() -> None:
    agent = Agent(TestModel(), strategy=PlanAct(), settings=ModelSettings(), name="a", retries=0)
    first = agent.run_sync("hi", usage_limits=UsageLimits(), timeout=60)
    again = agent.run_sync("and?", message_history=list(first.messages))
    assert len(again.messages) > len(first.messages)
