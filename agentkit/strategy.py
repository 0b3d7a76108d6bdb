"""Which step the loop takes next: small generators that yield steps and are sent turns.

A strategy never touches a model or a tool, so it can be read and tested without either.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from agentkit.events import StepKind
from agentkit.messages import AssistantMessage, ModelUsage, ToolMessage


@dataclass(frozen=True, slots=True)
class Step:
    """How to take one turn.

    `mode` is a decoding mode record of the in-process decoder; together with `max_tokens` it
    goes before the settings of the run and of the agent. `prompt` is said to the model on the
    user's behalf before the turn. `output_type` None means the agent's. With `allow_calls`
    False the turn has to be an answer, with `allow_final` False it has to be a tool call.
    """

    kind: StepKind = StepKind.ACT
    mode: Any = None
    max_tokens: int | None = None
    prompt: str = ""
    output_type: Any = None
    allow_calls: bool = True
    allow_final: bool = True

    def __post_init__(self) -> None:
        if not (self.allow_calls or self.allow_final):
            raise ValueError("a Step must allow tools, a final answer, or both")


@dataclass(frozen=True, slots=True)
class Turn:
    """One valid model answer and what came of it: tool results, or an output.

    `kind` is the step's, except that an ACT turn without tool calls is an ANSWER.
    `finish_reason` is "length" where a free-text answer was cut at its token limit.
    """

    kind: StepKind
    message: AssistantMessage
    results: tuple[ToolMessage, ...] = ()
    usage: ModelUsage = field(default_factory=ModelUsage)
    output: Any = None
    finish_reason: Literal["stop", "length"] = "stop"

    @property
    def is_final(self) -> bool:
        """No tool was called: `output` is a plan or an answer."""
        return not self.message.tool_calls


class Strategy(Protocol):
    """Decides which steps a run takes."""

    def steps(self) -> Generator[Step, Turn, None]:
        """One run: yields a step, is sent the turn it became, and returns when the run is over.

        The last turn has to be an ANSWER; its output is the run's. Answers that do not
        validate are taken again by the loop and never reach the strategy.
        """
        ...


@dataclass(frozen=True, slots=True)
class Act:
    """Call tools until the model answers.

    With `call_first` the first turn has to be a tool call. Very small models need that: they
    know the form of a call from the grammar, but seldom decide to make one.
    """

    act: Step = Step()
    call_first: bool = False

    def steps(self) -> Generator[Step, Turn, None]:
        turn = yield replace(self.act, allow_final=False) if self.call_first else self.act
        while not turn.is_final:
            turn = yield self.act


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planning step writes: the steps to take, in order."""

    steps: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
        Field(min_length=1, max_length=8),
    ]


@dataclass(frozen=True, slots=True)
class PlanAct:
    """Write a typed `Plan` first, without tools, then act on it until the model answers.

    `plan` and `act` say how to decode either part; their `prompt` replaces the standard one.
    """

    plan: Step = Step()
    act: Step = Step()

    def steps(self) -> Generator[Step, Turn, None]:
        plan = replace(
            self.plan,
            kind=StepKind.PLAN,
            output_type=Plan,
            allow_calls=False,
            allow_final=True,
            prompt=self.plan.prompt or "First write a plan: the steps that lead to the answer.",
        )
        turn = yield plan
        while not turn.is_final:
            turn = yield replace(plan, prompt="")
        turn = yield replace(self.act, prompt=self.act.prompt or "Now carry out the plan.")
        while not turn.is_final:
            turn = yield replace(self.act, prompt="")
