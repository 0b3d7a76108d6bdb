"""What the agent loop itself costs per turn, with a model that answers at once.

    python -m benchmarks.loop_overhead [--json]

Prints milliseconds per turn (best and median of several runs) for turns that call an async
tool, a sync tool in its thread, four tools at once, and none. The model streams each answer in
a few pieces, which is part of the time.
"""

import argparse
import gc
import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import anyio

from agentkit import Agent, ToolCall, UsageLimits
from agentkit.models import ScriptedModel

_TURNS = 50
_REPEATS = 15
_NO_LIMIT = UsageLimits(turns=None)


async def double(n: int) -> int:
    """Doubles a number."""
    return 2 * n


def double_in_thread(n: int) -> int:
    """Doubles a number."""
    return 2 * n


async def run_calls(calls: Sequence[ToolCall]) -> float:
    """Seconds per turn of one run whose every turn but the last makes these calls."""
    model = ScriptedModel([*[calls] * (_TURNS - 1), "done"])
    agent = Agent(model, tools=[double, double_in_thread])
    start = perf_counter()
    await agent.run("go", usage_limits=_NO_LIMIT)
    return (perf_counter() - start) / _TURNS


async def run_answers(calls: Sequence[ToolCall]) -> float:
    """Seconds per run of one turn."""
    agent = Agent(ScriptedModel(["done"] * _TURNS))
    start = perf_counter()
    for _ in range(_TURNS):
        await agent.run("go")
    return (perf_counter() - start) / _TURNS


def measure(backend: str) -> dict[str, dict[str, float]]:
    """Milliseconds per turn by kind of turn."""
    one = ToolCall("c1", "double", '{"n":2}')
    kinds: dict[str, tuple[Callable[..., Any], Sequence[ToolCall]]] = {
        "answer only": (run_answers, ()),
        "async tool": (run_calls, [one]),
        "sync tool": (run_calls, [ToolCall("c1", "double_in_thread", '{"n":2}')]),
        "four async tools": (run_calls, [one] * 4),
    }
    times: dict[str, dict[str, float]] = {}
    for name, (work, calls) in kinds.items():
        gc.collect()
        seconds = [anyio.run(work, calls, backend=backend) for _ in range(_REPEATS)]
        times[name] = {"best": 1e3 * min(seconds), "median": 1e3 * median(seconds)}
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Milliseconds per turn of the agent loop.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args().json
    results = {backend: measure(backend) for backend in ("asyncio", "trio")}
    if as_json:
        print(json.dumps(results, indent=2))
        return
    for backend, times in results.items():
        for name, figures in times.items():
            print(
                f"{backend:8} {name:17} {figures['best']:6.3f} ms best "
                f"{figures['median']:6.3f} ms median"
            )


if __name__ == "__main__":
    main()
