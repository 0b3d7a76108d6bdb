"""A model that is a function; for tests and for answers that need no language model."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable

from agentkit.messages import AssistantMessage
from agentkit.models.base import ModelEvent, ModelRequest, ModelResponse
from agentkit.models.replay import as_response, replay

Answer = str | AssistantMessage | ModelResponse


class FunctionModel:
    """Answers every request with `function(request)`, which may be sync or async and gives
    text, a message, or a whole response. A sync function runs on the event loop: keep it short.
    """

    def __init__(
        self,
        function: Callable[[ModelRequest], Answer | Awaitable[Answer]],
        *,
        name: str = "function",
    ) -> None:
        self._function = function
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        given = self._function(request)
        answer = await given if isawaitable(given) else given
        if not isinstance(answer, str | AssistantMessage | ModelResponse):
            raise TypeError(
                f"the function of model {self._name!r} gave {type(answer).__name__}; "
                "give str, AssistantMessage or ModelResponse"
            )
        async with replay(as_response(answer)) as parts:
            yield parts
