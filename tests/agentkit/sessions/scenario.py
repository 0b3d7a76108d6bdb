"""A run with everything in it, the same each time: a plan, calls that may and may not be repeated,
a bad call, an answer that does not validate. Its effects are lines in a file."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit import (
    Agent,
    AssistantMessage,
    ModelUsage,
    PendingReason,
    PlanAct,
    Returned,
    RunResult,
    Sessions,
    ToolCall,
    UnknownOutcome,
    tool,
)
from agentkit.models import FunctionModel, ModelRequest, ModelResponse

PAYMENTS = Counter({2: 1, 4: 1, 5: 1})


@dataclass(frozen=True, slots=True)
class Effects:
    """What the tools did, in a file that outlives their process."""

    path: Path

    def add(self, effect: str) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{effect}\n".encode())
        os.close(file)

    def payments(self) -> Counter[int]:
        return self._of("pay")

    def notes(self) -> Counter[int]:
        return self._of("note")

    def _of(self, kind: str) -> Counter[int]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return Counter(int(line.split()[1]) for line in lines if line.startswith(kind))


def call(call_id: str, name: str, n: object) -> ToolCall:
    return ToolCall(call_id, name, f'{{"n":{n}}}')


SCRIPT = (
    AssistantMessage('{"steps":["note it","pay"]}'),
    AssistantMessage("Let me.", (call("c1", "note", 1), call("c2", "pay", 2)), "m", (7, 8)),
    AssistantMessage(tool_calls=(call("c3", "pay", '"x"'), call("c4", "note", 3))),
    AssistantMessage("no number"),
    AssistantMessage(tool_calls=(call("c5", "pay", 4), call("c6", "pay", 5))),
    AssistantMessage("42"),
)


def answer(request: ModelRequest) -> ModelResponse:
    turn = sum(isinstance(message, AssistantMessage) for message in request.messages)
    return ModelResponse(SCRIPT[turn], ModelUsage(10 * turn, turn, 2, modes={"ar": 2}))


def agent(
    sessions: Sessions, effects: Effects, point: Callable[[], None] = lambda: None
) -> Agent[None, int]:
    """`point` is called before and after each effect."""

    @tool(idempotent=True)
    async def note(n: int) -> str:
        """Writes it down."""
        point()
        effects.add(f"note {n}")
        point()
        return f"noted {n}"

    @tool
    async def pay(n: int) -> str:
        """Pays."""
        point()
        effects.add(f"pay {n}")
        point()
        return f"paid {n}"

    return Agent(
        FunctionModel(answer),
        tools=[note, pay],
        output_type=int,
        strategy=PlanAct(),
        instructions="Pay.",
        sessions=sessions,
    )


async def settle(payer: Agent[None, int], run_id: str, effects: Effects) -> RunResult[int]:
    """Resumes as an owner who looks at what was paid before deciding on an unknown outcome."""
    try:
        return await payer.resume(run_id)
    except UnknownOutcome as unknown:
        approvals: dict[str, Any] = {}
        paid = effects.payments()
        for each in unknown.pending:
            assert each.call.name == "pay"
            assert each.reason is PendingReason.UNKNOWN
            n = each.call.parsed()["n"]
            approvals[each.call.call_id] = Returned(f"paid {n}") if paid[n] else True
        assert effects.payments() == paid
        return await payer.resume(run_id, approvals=approvals)
