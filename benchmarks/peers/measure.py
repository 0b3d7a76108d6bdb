"""Times contenders in turn, and reduces what was timed to medians."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import jsonschema

from benchmarks.peers.base import Answer, Ask, Peer
from benchmarks.peers.tasks import Job, Workload

# Threads of the contender before may still spin for a moment.
_PAUSE_SECONDS = 0.05
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Sample:
    """A round of one contender. `finished` counts the tasks whose every answer is complete and,
    where there is a schema, valid under it."""

    seconds: float
    processor_seconds: float
    tasks: int
    finished: int
    tokens: int
    characters: int
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds. Seconds are wall time and include reading the prompts.

    Processor seconds are those of all threads. Where they are well below the wall time times
    the threads, the contender waited, for others on the machine or for itself.
    """

    tokens_per_second: float
    tasks_per_second: float
    characters_per_second: float
    seconds_per_task: float
    processor_seconds_per_task: float
    tokens_per_task: float
    characters_per_task: float
    prompt_tokens_per_task: float
    finished: int
    tasks: int
    seconds_per_task_by_round: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """Figures by contender, and why others have none."""

    workload: Workload
    figures: dict[str, Figures] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def measure(
    workload: Workload,
    contenders: Sequence[Peer],
    repeats: int,
    *,
    required: Sequence[Peer] = (),
    clock: Clock = time.perf_counter,
) -> Outcome:
    """Every contender does every job of a round before the next job comes. The first round warms
    up and is not counted. A schema is met once before it is timed, so that who keeps compiled
    grammars has it. A contender that fails is left out with its error, unless it is `required`.
    """
    outcome = Outcome(workload)
    able: list[Peer] = []
    for peer in contenders:
        if reason := _unfit(workload, peer):
            outcome.left_out[peer.name] = reason
        else:
            able.append(peer)
    rounds: dict[str, list[Sample]] = {peer.name: [] for peer in able}
    met: set[str] = set()
    for number in range(repeats + 1):
        jobs = workload.jobs(number)
        new = _new_schemas(jobs, met)
        samples: dict[str, list[Sample]] = {peer.name: [] for peer in able}
        for turn, job in enumerate(jobs):
            for peer in _in_turn(able, number + turn):
                if peer.name in outcome.left_out:
                    continue
                try:
                    if turn == 0:
                        _meet(peer, new)
                    samples[peer.name].append(_timed(peer, job, clock))
                except Exception as error:
                    if peer in required:
                        raise
                    outcome.left_out[peer.name] = f"it failed: {error!r}"[:300]
        if number:
            for peer in able:
                rounds[peer.name].append(_sum(samples[peer.name]))
        print(f"{workload.name}: round {number} of {repeats} done", file=sys.stderr)
    outcome.figures = {
        name: figures(each) for name, each in rounds.items() if name not in outcome.left_out
    }
    return outcome


def _unfit(workload: Workload, peer: Peer) -> str:
    if workload.has_schemas and not peer.has_grammar:
        return "it has no grammars, and this workload needs them"
    if not workload.has_schemas and peer.is_for_schemas_only:
        return "without a schema it is the same as the contender without grammars"
    return ""


def _in_turn(contenders: Sequence[Peer], number: int) -> Sequence[Peer]:
    """Another begins each time."""
    start = number % max(len(contenders), 1)
    return [*contenders[start:], *contenders[:start]]


def _new_schemas(jobs: Sequence[Job], met: set[str]) -> list[Ask]:
    """One ask for each schema that was not met before."""
    found: list[Ask] = []
    for ask in (ask for job in jobs for asks in job for ask in asks if ask.schema is not None):
        key = json.dumps(ask.schema)
        if key not in met:
            met.add(key)
            found.append(ask)
    return found


def _meet(peer: Peer, asks: Sequence[Ask]) -> None:
    # From the prompt's end, so that no prefix cache knows the prompt afterwards.
    for ask in asks:
        peer.generate(Ask(ask.prompt[-1:], 2, ask.schema))


def _timed(peer: Peer, job: Job, clock: Clock) -> Sample:
    time.sleep(_PAUSE_SECONDS)
    started, processor = clock(), time.process_time()
    if len(job) > 1:
        answers = peer.concurrent(job)
    elif len(job[0]) > 1:
        answers = [peer.converse(job[0])]
    else:
        answers = [[peer.generate(job[0][0])]]
    seconds, processor = clock() - started, time.process_time() - processor
    for asks, given in zip(job, answers, strict=True):
        for ask, answer in zip(asks, given, strict=True):
            _check_prompt(ask, answer)
    flat = [answer for given in answers for answer in given]
    done = (
        all(is_finished(ask, answer) for ask, answer in zip(asks, given, strict=True))
        for asks, given in zip(job, answers, strict=True)
    )
    return Sample(
        seconds=seconds,
        processor_seconds=processor,
        tasks=len(job),
        finished=sum(done),
        tokens=sum(answer.tokens for answer in flat),
        characters=sum(len(answer.text) for answer in flat),
        prompt_tokens=sum(len(ask.prompt) for asks in job for ask in asks),
    )


def _check_prompt(ask: Ask, answer: Answer) -> None:
    if answer.prompt_tokens != len(ask.prompt):
        raise ValueError(
            f"it read a prompt of {len(ask.prompt)} tokens as {answer.prompt_tokens}: "
            "contenders must see the same prompt"
        )


def is_finished(ask: Ask, answer: Answer) -> bool:
    if ask.schema is None:
        return answer.tokens == ask.max_tokens
    try:
        jsonschema.validate(json.loads(answer.text), dict(ask.schema))
    except (json.JSONDecodeError, jsonschema.ValidationError):
        return False
    return True


def _sum(samples: Sequence[Sample]) -> Sample:
    names = [field.name for field in fields(Sample)]
    return Sample(**{name: sum(getattr(each, name) for each in samples) for name in names})


def figures(rounds: Sequence[Sample]) -> Figures:
    def median(value: Callable[[Sample], float]) -> float:
        return statistics.median(value(each) for each in rounds)

    # A median of finished tasks per second would pass over rounds that finished none.
    share = sum(each.finished for each in rounds) / sum(each.tasks for each in rounds)
    return Figures(
        tokens_per_second=median(lambda each: each.tokens / each.seconds),
        tasks_per_second=share * median(lambda each: each.tasks / each.seconds),
        characters_per_second=median(lambda each: each.characters / each.seconds),
        seconds_per_task=median(lambda each: each.seconds / each.tasks),
        processor_seconds_per_task=median(lambda each: each.processor_seconds / each.tasks),
        tokens_per_task=median(lambda each: each.tokens / each.tasks),
        characters_per_task=median(lambda each: each.characters / each.tasks),
        prompt_tokens_per_task=median(lambda each: each.prompt_tokens / each.tasks),
        finished=sum(each.finished for each in rounds),
        tasks=sum(each.tasks for each in rounds),
        seconds_per_task_by_round=[each.seconds / each.tasks for each in rounds],
    )


def speed(unit: str, found: Figures) -> float:
    """What the ratios of a workload compare."""
    return found.tasks_per_second if unit == "tasks" else found.tokens_per_second


def fastest(unit: str, found: Mapping[str, Figures]) -> tuple[str, float] | None:
    if not found:
        return None
    name = max(found, key=lambda each: speed(unit, found[each]))
    return name, speed(unit, found[name])


def as_dict(found: Mapping[str, Figures]) -> dict[str, Any]:
    return {name: asdict(each) for name, each in found.items()}
