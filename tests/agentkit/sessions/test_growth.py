"""A log grows by what happens, and a run leaves nothing behind but its records."""

import gc
import itertools
import threading
import time
import weakref
from pathlib import Path

import anyio
import pytest

from agentkit import (
    Agent,
    AssistantMessage,
    ModelSettings,
    ModelUsage,
    RunState,
    SQLiteSessions,
    UsageLimits,
)
from agentkit.messages import ToolCall
from agentkit.models import FunctionModel, ModelRequest, ModelResponse, TestModel
from agentkit.sessions.records import Answered, Began, CallBegan, CallEnded
from tests.agentkit.support import add, no_new_tasks
from tests.agentkit.test_local import local

pytestmark = pytest.mark.anyio
CALL = ToolCall("call-1", "add", '{"a":1,"b":2}')


def num_handles() -> int:
    """Of this process; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def held() -> tuple[int, int, int]:
    """Objects, threads and handles, without the threads that anyio lends out.

    Of those there are as many as work at once by chance, and they end when they have been idle.
    """
    gc.collect()
    threads = [one for one in threading.enumerate() if one.name != "AnyIO worker thread"]
    return len(gc.get_objects()), len(threads), num_handles()


def size(path: Path) -> int:
    """Of the log, what waits beside it to be moved into it included."""
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_ten_thousand_turns_grow_a_file_linearly(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    turn = [Answered(AssistantMessage("x" * 100, (CALL,))), CallBegan(0), CallEnded(0, "y" * 100)]
    sizes = []
    async with SQLiteSessions(path, fsync=False) as sessions:
        await sessions.log.begin("a", [Began("agent", "go")], "agent", None, None)
    for tenth in range(10):
        async with SQLiteSessions(path, fsync=False) as sessions:
            for hundred in range(10):
                number = 1 + 3 * (1000 * tenth + 100 * hundred)
                await sessions.log.append("a", number, turn * 100)
        sizes.append(size(path))
    growth = [later - before for before, later in itertools.pairwise(sizes)]
    assert max(growth) < 1.1 * min(growth)
    assert max(growth) < 1000 * 1000  # under a kilobyte for a turn that says 200 characters


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_long_run_writes_each_turn_once(tmp_path: Path) -> None:
    """The same of a real run, by its records."""

    def answer(request: ModelRequest) -> ModelResponse:
        turns = (len(request.messages) - 1) // 2
        message = AssistantMessage(tool_calls=(CALL,)) if turns < 300 else AssistantMessage("end")
        return ModelResponse(message, ModelUsage(10))

    async with SQLiteSessions(tmp_path / "runs.db", fsync=False) as sessions:
        agent = Agent(FunctionModel(answer), tools=[add], sessions=sessions)
        result = await agent.run("go", usage_limits=UsageLimits(turns=None), session="s")
        run = await sessions.log.read(result.run_id)
        assert run.info.state is RunState.FINISHED
        assert len(run.records) == 2 + 300 * 3 + 2  # its beginning, turns and end
        assert await sessions.messages("s") == result.messages


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_long_run_grows_its_file_linearly(tmp_path: Path) -> None:
    """The same through the loop, whose own work for a turn must not grow with the turns before."""
    path, sizes = tmp_path / "runs.db", []
    numbers = itertools.count(1)

    def answer(request: ModelRequest) -> ModelResponse:
        number = next(numbers)
        if number % 400 == 0:
            sizes.append(size(path))
        if number > 1600:
            return ModelResponse(AssistantMessage("end"), ModelUsage(10))
        call = ToolCall(f"call-{number:04}", "add", CALL.arguments)
        return ModelResponse(AssistantMessage(tool_calls=(call,)), ModelUsage(10))

    async with SQLiteSessions(path, fsync=False) as sessions:
        agent = Agent(FunctionModel(answer), tools=[add], sessions=sessions)
        await agent.run("go", usage_limits=UsageLimits(turns=None))
    # By the first of these, what waits to be moved into the file has its full size.
    growth = [later - before for before, later in itertools.pairwise(sizes)]
    assert growth[-1] < 1.5 * growth[0]
    assert max(growth) < 400 * 1000


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thousand_decoded_runs_leave_nothing() -> None:
    model = local(3)
    agent = Agent(model, settings=ModelSettings(max_tokens=4))

    async def run_all() -> tuple[int, int, int]:
        """The same questions each time, since the double of a network keeps its answers."""
        for ten in range(0, 500, 10):
            async with anyio.create_task_group() as group:
                for number in range(ten, ten + 10):
                    group.start_soon(agent.run, f"question {number:03}")
        return held()

    async with model:
        async with no_new_tasks():
            before = await run_all()
            after = await run_all()
        stats = model.stats()
    await model._engine.aclose()
    assert after[0] - before[0] < 500
    assert after[1] <= before[1]  # those of earlier tests may end meanwhile
    assert after[2] <= before[2]
    assert stats.live_sequences == stats.waiting_requests == stats.shared_pages == 0
    assert stats.evicted_pages > 0  # the cache was full, and went on to serve


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thousand_runs_leave_nothing(tmp_path: Path) -> None:
    async with SQLiteSessions(tmp_path / "runs.db", fsync=False) as sessions:
        agent = Agent(TestModel(), sessions=sessions)

        async def run(times: int) -> tuple[int, int, int]:
            for _ in range(times):
                await agent.run("go")
            return held()

        objects, threads, handles = await run(100)
        after_objects, after_threads, after_handles = await run(1000)
        assert after_objects - objects < 500  # not one more for every other run
        assert after_threads <= threads  # those of earlier tests may end meanwhile
        assert after_handles <= handles


def test_a_log_that_nobody_closes(tmp_path: Path) -> None:
    sessions = SQLiteSessions(tmp_path / "runs.db", fsync=False)
    anyio.run(sessions.runs)
    before = num_handles()
    log = weakref.ref(sessions)
    del sessions
    deadline = time.monotonic() + 20
    while num_handles() >= before > 0:  # the thread of the last transaction may be ending
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.01)
    gc.collect()
    assert log() is None
