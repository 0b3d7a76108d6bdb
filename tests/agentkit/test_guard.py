"""Where remote models are forbidden none is asked, whatever the task or thread."""

import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from agentkit import Agent, AgentError, ModelError
from agentkit.models import ModelEvent, ModelRequest, TestModel
from agentkit.testing import (
    RemoteModelForbidden,
    allow_remote_models,
    check_remote_allowed,
    forbid_remote_models,
)


class RemoteModel:
    """What an author of a model over the network writes."""

    name = "far-away"

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        check_remote_allowed(self.name)
        return TestModel(text="from far away").stream(request)


def test_allowed_unless_forbidden_and_the_innermost_counts() -> None:
    check_remote_allowed("m")
    with forbid_remote_models():
        with pytest.raises(RemoteModelForbidden, match=r"'m' was about to use the network"):
            check_remote_allowed("m")
        with allow_remote_models():
            check_remote_allowed("m")
            with forbid_remote_models(), pytest.raises(RemoteModelForbidden):
                check_remote_allowed("m")
            check_remote_allowed("m")
        with pytest.raises(RemoteModelForbidden):
            check_remote_allowed("m")
    check_remote_allowed("m")


def test_a_context_that_fails_is_closed_too() -> None:
    with pytest.raises(KeyError), forbid_remote_models():
        raise KeyError
    check_remote_allowed("m")


def test_a_run_ends_with_the_refusal_itself() -> None:
    agent = Agent(RemoteModel())
    with forbid_remote_models():
        with pytest.raises(RemoteModelForbidden) as caught:
            agent.run_sync("go")
        assert caught.value.model == "far-away"
        with agent.override(model=TestModel()):
            assert agent.run_sync("go").output == "done"
    assert agent.run_sync("go").output == "from far away"


def test_the_refusal_is_no_failure_of_a_model() -> None:
    assert issubclass(RemoteModelForbidden, AgentError)
    assert not issubclass(RemoteModelForbidden, ModelError)


@pytest.mark.anyio
async def test_tasks_and_threads_that_began_before_are_forbidden_too() -> None:
    refused: list[str] = []
    go = anyio.Event()
    go_thread = threading.Event()

    def ask(who: str) -> None:
        try:
            check_remote_allowed("m")
        except RemoteModelForbidden:
            refused.append(who)

    async def task() -> None:
        await go.wait()
        ask("task")

    thread = threading.Thread(target=lambda: (go_thread.wait(), ask("thread")))
    thread.start()
    async with anyio.create_task_group() as group:
        group.start_soon(task)
        await anyio.wait_all_tasks_blocked()
        with forbid_remote_models():
            go.set()
            go_thread.set()
            await anyio.to_thread.run_sync(thread.join)
            await anyio.wait_all_tasks_blocked()
    assert sorted(refused) == ["task", "thread"]
