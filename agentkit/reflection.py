"""Reflection: a step that judges the draft answer, and may send the run back to act."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from agentkit.events import StepKind
from agentkit.step import Review, Step, Turn
from agentkit.strategy import acting, planning, until_final

Gate = Callable[[Sequence[Turn]], bool]
"""Whether to reflect on the last of these turns, the draft answer. Before it come the turns
whose tool results are its evidence."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The draft is the answer."""

    decision: Literal["accept"]


@dataclass(frozen=True, slots=True)
class Revise:
    """The draft will not do; `reasons` say why."""

    decision: Literal["revise"]
    reasons: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
        Field(min_length=1, max_length=4),
    ]


Verdict = Accept | Revise
"""What a reflecting step writes about the draft answer."""


def always(turns: Sequence[Turn]) -> bool:
    """The gate that lets every draft through to reflection."""
    return True


@dataclass(frozen=True, slots=True)
class ConfidenceBelow:
    """See `confidence_below`."""

    threshold: float

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"the threshold is {self.threshold}; give one above 0, at most 1")

    def __call__(self, turns: Sequence[Turn]) -> bool:
        lowest = [None if turn.confidence is None else turn.confidence.lowest for turn in turns]
        return any(value is None or value < self.threshold for value in lowest)


def confidence_below(threshold: float) -> ConfidenceBelow:
    """A gate that reflects only where the decoder was unsure: where its confidence (see
    `Confidence`) in the draft answer, or in the arguments of a call that led to it, is below
    `threshold`. A turn whose confidence is not known counts as unsure."""
    return ConfidenceBelow(threshold)


@dataclass(frozen=True, slots=True)
class PlanActReflect:
    """Plan, act, then judge the draft answer and act again until it is accepted.

    The judging step sees the whole history: the draft and the tool results behind it. It calls
    no tools and gives a `Verdict`; what it has against the draft is told to the next acting
    step. After `max_rounds` verdicts the last draft is the answer. `when` decides whether a
    draft is judged at all. `plan` None leaves out planning; `review` is as in `PlanAct`.
    """

    plan: Step | None = Step()
    act: Step = Step()
    reflect: Step = Step()
    when: Gate = always
    max_rounds: int = 2
    review: Review | None = None

    def __post_init__(self) -> None:
        if self.max_rounds < 0:
            raise ValueError(f"max_rounds is {self.max_rounds}; give 0 or more")

    def steps(self) -> Generator[Step, Turn, None]:
        act = self.act
        if self.plan is not None:
            yield from until_final(planning(self.plan, self.review))
            act = acting(act)
        turns = yield from until_final(act)
        for _ in range(self.max_rounds):
            if not self.when(turns):
                return
            verdict = (yield from until_final(_judging(self.reflect)))[-1].output
            if not isinstance(verdict, Revise):
                return
            turns = yield from until_final(replace(self.act, prompt=_objections(verdict)))


def _judging(step: Step) -> Step:
    return replace(
        step,
        kind=StepKind.REFLECT,
        output_type=Verdict,
        allow_calls=False,
        allow_final=True,
        prompt=step.prompt
        or "Check your last answer against the question and the tool results. "
        "Accept it, or say what must be revised.",
    )


def _objections(verdict: Revise) -> str:
    return "\n".join(["Revise the answer:", *(f"- {reason}" for reason in verdict.reasons)])
