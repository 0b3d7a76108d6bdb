"""A model that says what a script tells it to; for tests and examples."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType

from agentkit.errors import ModelError
from agentkit.messages import AssistantMessage, ToolCall
from agentkit.models.base import ModelEvent, ModelRequest, ModelResponse
from agentkit.models.replay import as_response, replay

ScriptedTurn = str | ToolCall | Sequence[ToolCall] | AssistantMessage | ModelResponse | Exception


class ScriptedModel:
    """Answers its requests with the turns of a script, in order.

    A turn is an answer's text, one or several tool calls, a whole message or response, or an
    exception to raise. As a context manager it checks, where no other error is on its way, that
    the whole script was used. `requests` are those seen so far. Raises `TypeError` for a script
    that is bare text, and for what is no turn.
    """

    def __init__(self, turns: Sequence[ScriptedTurn], *, name: str = "scripted") -> None:
        if isinstance(turns, str):
            raise TypeError(f"the script is {turns!r}; give its turns in a list: [{turns!r}]")
        self._turns = [turn if isinstance(turn, Exception) else _response(turn) for turn in turns]
        self._name = name
        self._requests: list[ModelRequest] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        return tuple(self._requests)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        """The next turn. Raises `ModelError` after the last."""
        index = len(self._requests)
        self._requests.append(request)
        if index >= len(self._turns):
            raise ModelError(
                f"the script has {len(self._turns)} turns and was asked for one more; "
                f"the last message is {request.messages[-1]!r}"
            )
        turn = self._turns[index]
        if isinstance(turn, Exception):
            raise turn
        async with replay(turn) as parts:
            yield parts

    def assert_consumed(self) -> None:
        """Raises `AssertionError` where turns are left over."""
        left = self._turns[len(self._requests) :]
        if left:
            raise AssertionError(
                f"{len(left)} of {len(self._turns)} scripted turns were not asked for; "
                f"the first of them is {left[0]!r}"
            )

    def __enter__(self) -> "ScriptedModel":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.assert_consumed()


def _response(
    turn: str | ToolCall | Sequence[ToolCall] | AssistantMessage | ModelResponse,
) -> ModelResponse:
    if isinstance(turn, str | AssistantMessage | ModelResponse):
        return as_response(turn)
    calls = (turn,) if isinstance(turn, ToolCall) else turn
    if not (isinstance(calls, Sequence) and calls) or any(
        not isinstance(call, ToolCall) for call in calls
    ):
        raise TypeError(
            f"{turn!r} is no turn of a script; give text, ToolCalls, an AssistantMessage, a "
            "ModelResponse or an exception"
        )
    return as_response(AssistantMessage(tool_calls=tuple(calls)))
