"""One answer of the model, told part by part."""

import anyio

from agentkit.errors import ModelError, ModelTimeout
from agentkit.events import ToolCallDelta, ToolCallStarted
from agentkit.models.base import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolCallStart,
)
from agentkit.partial import PartialReader
from agentkit.run import Run


class Listener:
    """Asks the run's model once. `said_something` once a part of the answer was told."""

    def __init__(self, run: Run, partials: PartialReader) -> None:
        self._run = run
        self._partials = partials
        self.said_something = False

    async def hear(self, request: ModelRequest, seconds: float | None) -> ModelResponse:
        """The whole answer. Raises `ModelTimeout` after `seconds`, or where they are None after
        the agent's `model_timeout`, and the model's own errors."""
        definition = self._run.definition
        seconds = definition.model_timeout if seconds is None else seconds
        with anyio.move_on_after(seconds):
            return await self._listen(request)
        assert seconds is not None
        raise ModelTimeout(definition.model.name, seconds)

    async def _listen(self, request: ModelRequest) -> ModelResponse:
        model, response = self._run.definition.model, None
        async with self._run.journal.stream(model, request) as parts:
            async for part in parts:
                if isinstance(part, ModelResponse):
                    response = part
                else:
                    self.said_something = True
                    self._tell(part)
        if response is None:
            raise ModelError(f"model {model.name!r} ended without a ModelResponse")
        return response

    def _tell(self, part: ModelEvent) -> None:
        run = self._run
        match part:
            case TextPart(text):
                run.hear(text)
                run.emit_all(self._partials.push(text))
            case ToolCallStart(call_id, name):
                run.emit(ToolCallStarted(call_id, name))
            case ToolCallPart(call_id, arguments):
                run.emit(ToolCallDelta(call_id, arguments))
