"""A strategy of your own: `python -m examples.double_check`.

The model has to look something up. Where the decoder was unsure of the arguments it wrote, the
model has to look again before it answers; the answer has a small budget.
"""

from collections.abc import Generator
from dataclasses import dataclass

from agentkit import Agent, Budget, Step, Turn, confidence_below
from agentkit.models import LocalModel
from tools import calculator


@dataclass(frozen=True)
class DoubleCheck:
    """Call a tool, call again while unsure, answer. A strategy yields steps and is sent turns."""

    threshold: float = 0.5
    max_checks: int = 2

    def steps(self) -> Generator[Step, Turn, None]:
        turn = yield Step(allow_final=False)
        unsure = confidence_below(self.threshold)
        for _ in range(self.max_checks):
            if not unsure([turn]):
                break
            turn = yield Step(allow_final=False, prompt="Check that with one more call.")
        yield Step(allow_calls=False, budget=Budget(tokens=60), prompt="Now answer in short.")


def main() -> None:
    agent = Agent(LocalModel("smollm2-135m"), tools=[calculator], strategy=DoubleCheck())
    result = agent.run_sync("What is 12 times 34?")
    for step in result.trace:
        calls = ", ".join(f"{call.name} {call.arguments}" for call in step.tool_calls)
        print(f"{step.kind.value}: {calls or step.text}")


if __name__ == "__main__":
    main()
