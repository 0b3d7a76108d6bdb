"""The example strategy: how often it checks, with scripted confidences and on real weights."""

import pytest

from agentkit import Agent, AssistantMessage, Confidence, ToolCall
from agentkit.models import ModelResponse, ScriptedModel
from examples.double_check import DoubleCheck, main
from tools import calculator


def call(confidence: float) -> ModelResponse:
    message = AssistantMessage(tool_calls=(ToolCall("c1", "calculate", '{"expression":"12*34"}'),))
    return ModelResponse(message, confidence=Confidence(arguments={"c1": confidence}))


@pytest.mark.parametrize("confidences", [[0.9], [0.1, 0.9], [0.1, 0.2, 0.3], [0.1, 0.2, 0.9]])
def test_it_checks_while_it_is_unsure(confidences: list[float]) -> None:
    with ScriptedModel([*map(call, confidences), "408"]) as model:
        result = Agent(model, tools=[calculator], strategy=DoubleCheck()).run_sync("12*34?")
    assert result.output == "408"
    assert result.usage.tool_calls == len(confidences)


@pytest.mark.embedded
def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("act: calculate {")
    assert lines[-1].startswith("answer: ")
