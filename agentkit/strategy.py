"""Which step the loop takes next: small generators that yield steps and are sent turns.

A strategy never touches a model or a tool, so it can be read and tested without either.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from pydantic import Field

from agentkit.events import StepKind
from agentkit.step import Review, Step, Turn


class Strategy(Protocol):
    """Decides which steps a run takes."""

    def steps(self) -> Generator[Step, Turn, None]:
        """One run: yields a step, is sent the turn it became, and returns when the run is over.

        The output of the last ANSWER is the run's; there has to be one. Answers that do not
        validate are taken again by the loop and never reach the strategy. The generator is
        closed when the run ends, however it ends.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planning step writes: the steps to take, in order."""

    steps: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
        Field(min_length=1, max_length=8),
    ]


def until_final(step: Step) -> Generator[Step, Turn, tuple[Turn, ...]]:
    """Takes `step`, then again without its prompt, until a turn calls no tool. Returns the
    turns: for a strategy to `yield from`."""
    turns = [(yield step)]
    again = replace(step, prompt="")
    while not turns[-1].is_final:
        turns.append((yield again))
    return tuple(turns)


def planning(step: Step, review: Review | None = None) -> Step:
    """`step` as one that writes a `Plan`."""
    return replace(
        step,
        kind=StepKind.PLAN,
        output_type=Plan,
        allow_calls=False,
        allow_final=True,
        review=review or step.review,
        prompt=step.prompt or "First write a plan: the steps that lead to the answer.",
    )


def acting(step: Step) -> Step:
    """`step` as the one that carries out a plan."""
    return replace(step, prompt=step.prompt or "Now carry out the plan.")


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
        if not turn.is_final:
            yield from until_final(replace(self.act, prompt=""))


@dataclass(frozen=True, slots=True)
class PlanAct:
    """Write a typed `Plan` first, without tools, then act on it until the model answers.

    `plan` and `act` say how to decode either part; their `prompt` replaces the standard one.
    `review(context, plan)` approves the plan by giving it back, edits it by giving another, or
    raises `ModelRetry` to have it written again.
    """

    plan: Step = Step()
    act: Step = Step()
    review: Review | None = None

    def steps(self) -> Generator[Step, Turn, None]:
        yield from until_final(planning(self.plan, self.review))
        yield from until_final(acting(self.act))
