"""The workloads. Each round has work of its own, so that nothing is answered from memory.

A prefix cache, and still more a drafter that remembers what was generated, would otherwise
find the last round's answers. Only the agents' system prompt is the same in all rounds, as it
is in use; after the warm-up round a contender may hold it encoded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import calls
from benchmarks.peers.agents import CONCURRENT_TURNS, TURNS, Case, conversation
from benchmarks.peers.base import Ask, Conversation
from benchmarks.workloads import MORE, WORKLOADS, Task, tool_schema
from decoding import Tokenizer

Job = tuple[Conversation, ...]
"""What is timed as one: conversations that begin together."""

CALL_TOKENS = 128
_PER_ROUND = {"tool_json": 4, "code": 2, "prose": 2}


@dataclass(frozen=True, slots=True)
class Workload:
    """`unit` is what its ratios compare per second: "tasks" where contenders may write
    different texts for the same work, "tokens" where all write equally many. A task is a
    conversation. `source` says where its questions are from."""

    name: str
    unit: str
    source: str
    jobs: Callable[[int], list[Job]]
    has_schemas: bool


@dataclass(frozen=True, slots=True)
class Amount:
    """How much work a round is. `most_questions` bounds tool_json, code and prose;
    `answer_tokens` are those of code and prose."""

    answer_tokens: int = 96
    most_questions: int = 4
    agents: int = 8
    turns: int = TURNS
    concurrent_turns: int = CONCURRENT_TURNS


Question = tuple[Task, dict[str, Any] | None]


def workloads(
    tokenizer: Tokenizer, amount: Amount, wheel: Path | None = None
) -> dict[str, Workload]:
    def per_round(name: str) -> int:
        return min(_PER_ROUND[name], amount.most_questions)

    asked, source = _tool_questions(wheel)
    free: dict[str, list[Question]] = {
        name: [(each, None) for each in (*WORKLOADS[name], *MORE[name])] for name in MORE
    }
    found = [
        Workload(
            "tool_json",
            "tasks",
            source,
            _single(asked, tokenizer, per_round("tool_json"), CALL_TOKENS),
            True,
        )
    ]
    for name, questions in free.items():
        jobs = _single(questions, tokenizer, per_round(name), amount.answer_tokens)
        found.append(Workload(name, "tokens", "benchmarks.workloads", jobs, False))

    def alone(number: int) -> list[Job]:
        return [(conversation(Case(1000 + number), amount.turns, tokenizer),)]

    def together(number: int) -> list[Job]:
        cases = (Case(amount.agents * number + agent) for agent in range(amount.agents))
        return [tuple(conversation(each, amount.concurrent_turns, tokenizer) for each in cases)]

    script = "benchmarks.peers.agents"
    found.append(Workload("agent_conversation", "tasks", script, alone, amount.turns > 1))
    found.append(Workload("concurrent_agents", "tasks", script, together, amount.turns > 1))
    return {each.name: each for each in found}


def _tool_questions(wheel: Path | None) -> tuple[list[Question], str]:
    """Those of BFCL; where it is not there, our own tool tasks."""
    try:
        return [*map(calls.task, calls.entries(wheel))], "bfcl-eval"
    except FileNotFoundError as absent:
        if wheel is not None:
            raise
        own: list[Question] = [(task, tool_schema()) for task in WORKLOADS["tool"]]
        return own, f"benchmarks.workloads, because {absent}"


def _single(
    questions: Sequence[Question], tokenizer: Tokenizer, per_round: int, max_tokens: int
) -> Callable[[int], list[Job]]:
    """Rounds of single questions that come one after another. When all have been asked they
    come again, marked, so that the prompts still differ from their first token of the question
    on; what was generated is then no longer new to a drafter that remembers."""
    count = min(per_round, len(questions))

    def jobs(number: int) -> list[Job]:
        jobs: list[Job] = []
        for place in range(number * count, (number + 1) * count):
            again, index = divmod(place, len(questions))
            task, schema = questions[index]
            mark = f"({again + 1}) " if again else ""
            messages = [
                {"role": "system", "content": mark + task.system},
                {"role": "user", "content": task.question},
            ]
            ask = Ask(tuple(tokenizer.encode_chat(messages)), max_tokens, schema)
            jobs.append(((ask,),))
        return jobs

    return jobs
