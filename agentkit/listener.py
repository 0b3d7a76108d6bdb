"""One answer of the model, told part by part."""

from anyio import move_on_after, sleep

from agentkit.eager import EarlyCalls
from agentkit.errors import ModelError, ModelTimeout
from agentkit.events import ModelFailed, ToolCallDelta, ToolCallStarted
from agentkit.models.base import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolCallStart,
)
from agentkit.models.untold import Untold
from agentkit.partial import PartialReader
from agentkit.run import Run

_FIRST_PAUSE = 0.25


class Listener:
    """Asks the run's model once. `said_something` once a part of the answer was told. Calls that
    are complete go to `early`."""

    def __init__(self, run: Run, partials: PartialReader, early: EarlyCalls) -> None:
        self._run = run
        self._early = early
        self._partials = partials
        self.said_something = False

    async def hear(self, request: ModelRequest, seconds: float | None) -> ModelResponse:
        """The whole answer. Raises `ModelTimeout` after `seconds`, or where they are None after
        the agent's `model_timeout`, and the model's own errors."""
        definition = self._run.definition
        seconds = definition.model_timeout if seconds is None else seconds
        with move_on_after(seconds):
            return await self._listen(request)
        assert seconds is not None
        raise ModelTimeout(definition.model.name, seconds)

    async def recover(self, error: ModelError, failures: int) -> None:
        """Waits, and tells it, before the model is asked again after so many failures. Raises
        `error` where it may not be: after its retries, or once some of its answer was told."""
        run = self._run
        is_last = failures > run.definition.model_retries
        if is_last or self.said_something or not error.retryable:
            raise error
        run.emit(ModelFailed(len(run.trace), failures, str(error)))
        pause = _FIRST_PAUSE * 2 ** (failures - 1)
        await sleep(pause if error.retry_after is None else error.retry_after)

    async def _listen(self, request: ModelRequest) -> ModelResponse:
        run, response = self._run, None
        model, untold = run.model, Untold()
        async with run.journal.stream(model, request, run.messages) as parts:
            async for part in parts:
                # The whole answer too: by now a log has it, so it is not asked for again.
                self.said_something = True
                for each in untold.completed(part):
                    self._tell(each)
                if isinstance(part, ModelResponse):
                    response = part
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
            case ToolCallEnd(call):
                self._early.start(call)
