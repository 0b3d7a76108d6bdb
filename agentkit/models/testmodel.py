"""A model that tries everything an agent offers once; for tests."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from agentkit.messages import AssistantMessage, ToolCall, UserMessage
from agentkit.models.base import ModelEvent, ModelRequest, ModelResponse
from agentkit.models.replay import as_response, replay
from agentkit.models.sample import sample


class TestModel:
    """Calls every tool once, all in one turn, then answers.

    Arguments and typed answers are made up to satisfy their schemas, the same ones every time;
    a free-text answer is `text`. `call_tools` names the tools to call, None for all. It keeps
    no state: what is still to be called it reads from the messages behind the last user
    message.
    """

    __test__ = False  # no test class, though pytest would take it for one by its name

    def __init__(
        self,
        *,
        call_tools: Collection[str] | None = None,
        text: str = "done",
        name: str = "test",
    ) -> None:
        self._call_tools = call_tools
        self._text = text
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        """Raises `ModelError` for a schema it cannot make up a value for."""
        async with replay(self._answer(request)) as parts:
            yield parts

    def _answer(self, request: ModelRequest) -> ModelResponse:
        called = _called(request)
        start = len(request.messages)
        calls = [
            ToolCall(f"call-{start}-{index}", tool.name, json.dumps(sample(tool.parameters)))
            for index, tool in enumerate(request.callable_tools)
            if (self._call_tools is None or tool.name in self._call_tools)
            and (tool.name not in called or not request.allow_final)
        ]
        if calls:
            return as_response(AssistantMessage(tool_calls=tuple(calls)))
        if request.output.json_schema is None:
            return as_response(self._text)
        return as_response(json.dumps(sample(request.output.json_schema)))


def _called(request: ModelRequest) -> set[str]:
    """The tools called since the user last spoke."""
    names: set[str] = set()
    for message in reversed(request.messages):
        if isinstance(message, UserMessage):
            break
        if isinstance(message, AssistantMessage):
            names.update(call.name for call in message.tool_calls)
    return names
