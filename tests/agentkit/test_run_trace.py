"""The trace of a run: what it says of its steps adds up to what the engine counted."""

import itertools
from collections import Counter

import pytest

from agentkit import (
    Agent,
    ModelSettings,
    PlanActReflect,
    RunResult,
    Step,
    StepKind,
    UsageLimits,
)
from agentkit.decoding_trace import DecodingStats
from agentkit.models import ScriptedModel
from decoding import Autoregressive, EngineStats, LookupDrafter, SelfSpeculation
from tests.agentkit.test_local import local, weather

pytestmark = pytest.mark.anyio
COUNTS = ("prompt_tokens", "cached_prompt_tokens", "new_tokens", "drafted", "accepted", "forced")


def check(result: RunResult[str], before: EngineStats, after: EngineStats) -> None:
    steps = [step.decoding for step in result.all_steps if step.decoding is not None]
    assert len(steps) == len(result.all_steps) == result.usage.turns
    for name in COUNTS:
        told = sum(getattr(step, name) for step in steps)
        assert told == getattr(after, name) - getattr(before, name), name
    masks = sum(step.mask_microseconds for step in steps)
    assert masks == pytest.approx(after.mask_microseconds - before.mask_microseconds)
    forwards = sum(step.forwards + step.prefill_forwards for step in steps)
    assert forwards == after.forwards - before.forwards
    modes: Counter[str] = Counter()
    for step in steps:
        modes.update(step.modes)
    assert modes == Counter(after.modes) - Counter(before.modes)
    assert result.usage.forwards == sum(step.forwards for step in steps)
    assert result.usage.output_tokens == sum(step.new_tokens for step in steps)


async def test_the_steps_add_up_to_the_engine_s_counters() -> None:
    model = local(5)
    settings = ModelSettings(max_tokens=250)
    strategy = PlanActReflect(
        plan=Step(mode=SelfSpeculation(block_length=6, drafter=LookupDrafter())),
        act=Step(mode=Autoregressive()),
        reflect=Step(mode=SelfSpeculation(block_length=4, drafter=LookupDrafter())),
        max_rounds=1,
    )
    agent = Agent(model, tools=[weather], strategy=strategy, settings=settings)
    limits = UsageLimits(turns=20)
    await agent.run("hello", usage_limits=limits)  # so that the difference is one
    before = model.stats()
    result = await agent.run("hi", usage_limits=limits)
    after = model.stats()
    await model._engine.aclose()
    check(result, before, after)
    plan = result.trace[0]
    assert plan.decoding is not None
    assert plan.kind is StepKind.PLAN
    assert set(plan.decoding.modes) == {"self-speculation"}
    assert plan.decoding.drafted > 0
    assert plan.decoding.mask_microseconds > 0.0
    assert 0.0 < plan.decoding.hit_rate < 1.0
    assert plan.confidence is not None
    assert any(step.kind is StepKind.REFLECT for step in result.trace)


async def test_agents_under_the_run_are_counted_with_it() -> None:
    model = local(6)
    settings = ModelSettings(max_tokens=250, seed=1)
    expert = Agent(model, settings=settings, name="expert")

    class AskOnce:
        def steps(self):  # type: ignore[no-untyped-def]
            yield Step(allow_final=False)
            yield Step(allow_calls=False)

    agent = Agent(
        model,
        tools=[expert.as_tool()],
        strategy=AskOnce(),
        settings=settings,
        max_concurrent_tools=1,  # else they share forwards, which the engine counts once
    )
    await model.start()
    before = model.stats()
    result = await agent.run("hi")
    after = model.stats()
    await model._engine.aclose()
    assert result.sub_runs
    check(result, before, after)


async def test_models_that_do_not_tell() -> None:
    with ScriptedModel(["a"]) as model:
        [step] = (await Agent(model).run("go")).trace
    assert step.decoding is None
    assert step.confidence is None


def test_rates_of_nothing() -> None:
    assert DecodingStats().hit_rate == 0.0
    assert DecodingStats(prompt_tokens=4, cached_prompt_tokens=1).hit_rate == 0.25


async def test_no_turn_encodes_again_what_an_earlier_one_did() -> None:
    """Plan, calls, verdicts and the answer are in one cache: what a run encodes grows with its
    length, and not with the length of every turn."""
    model = local(5, positions=8000)
    strategy = PlanActReflect(
        plan=Step(mode=SelfSpeculation(block_length=6, drafter=LookupDrafter())),
        reflect=Step(mode=SelfSpeculation(block_length=4, drafter=LookupDrafter())),
        max_rounds=2,
    )
    settings = ModelSettings(max_tokens=120)
    agent = Agent(model, tools=[weather], strategy=strategy, settings=settings)
    result = await agent.run("hello", usage_limits=UsageLimits(turns=40))
    stats = model.stats()
    await model._engine.aclose()
    assert len(result.trace) > 3
    tail = 8  # at most so many tokens at an answer's end were forced or guessed, and not read yet
    for before, step in itertools.pairwise(result.trace):
        known = before.usage.input_tokens + before.usage.output_tokens
        assert step.usage.cached_input_tokens >= known - tail
    last, num_turns = result.trace[-1].usage, len(result.trace)
    encoded = stats.prompt_tokens - stats.cached_prompt_tokens
    assert encoded <= last.input_tokens + tail * num_turns
