"""Everything a run can refuse, by whose fault it is.

AgentError
  ToolDefinitionError    the developer's: a tool that cannot be described (also a TypeError)
  ToolCrashed            the developer's: a tool raised something unexpected
  ToolResultError        the developer's: a tool returned something JSON cannot carry
  OutputTypeError        the developer's: an output type without a JSON Schema (a TypeError)
  StrategyError          the developer's: a strategy yields a step that cannot be taken
  ModelError             the model cannot be reached, loaded or used
    RemoteModelError     a model behind HTTP gave no answer (carries the status)
  OutputRetriesExceeded  the model's: no valid output within the allowed retries
  ToolRetriesExceeded    the model's: no valid call of a tool within its retries
  UsageLimitExceeded     a limit of this run was reached (carries the history so far)
  ToolError              goes back to the model: this call failed, carry on
    ModelRetry           goes back to the model: try again, like this
    UnknownTool          goes back to the model: no such tool
    ToolTimeout          goes back to the model: the tool took too long
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentkit.messages import Message


class AgentError(Exception):
    """Base of every error this package raises on purpose."""


class ToolDefinitionError(AgentError, TypeError):
    """A function cannot become a tool: says which parameter and what to write."""


class OutputTypeError(AgentError, TypeError):
    """A type cannot be an output type, since it has no JSON Schema."""

    def __init__(self, output_type: object, reason: str) -> None:
        super().__init__(
            f"output_type {output_type!r} has no JSON Schema ({reason}); use str, numbers, list, "
            "dict, Literal, Enum, dataclasses, TypedDict, pydantic models or unions of them"
        )
        self.output_type = output_type


class ToolCrashed(AgentError):
    """A tool raised an error that is not a `ToolError`; the original is the `__cause__`."""

    def __init__(self, tool: str, error: BaseException) -> None:
        super().__init__(
            f"tool {tool!r} raised {type(error).__name__}: {error}; raise ModelRetry or "
            "ToolError for failures that the model should see"
        )
        self.tool = tool


class ToolResultError(AgentError):
    """A tool returned a value that cannot be shown to a model as JSON."""

    def __init__(self, tool: str, value: object, reason: str) -> None:
        super().__init__(
            f"tool {tool!r} returned {type(value).__name__}, which JSON cannot carry ({reason}); "
            "return str, numbers, lists, dicts, dataclasses or pydantic models"
        )
        self.tool = tool


class StrategyError(AgentError):
    """A strategy asked for a step that cannot be taken, or ended a run without an answer."""


class ModelError(AgentError):
    """The model cannot answer: not loadable, unreachable, or its answer was cut short.

    `retryable` where asking again may help, after `retry_after` seconds where they are given.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class RemoteModelError(ModelError):
    """A model behind HTTP gave no whole answer.

    `status` is that of the response; None where none came, or where it broke off. `retryable`
    where the same request may succeed later; `retry_after` is what the server asks for.
    """

    def __init__(
        self,
        model: str,
        reason: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        answered = "gave no whole answer" if status is None else f"answered with status {status}"
        super().__init__(
            f"{model} {answered}: {reason}", retryable=retryable, retry_after=retry_after
        )
        self.model = model
        self.status = status


class OutputRetriesExceeded(AgentError):
    """The model gave no valid output within the allowed retries; `reason` is the last failure."""

    def __init__(self, retries: int, reason: str) -> None:
        super().__init__(f"no valid output after {retries} retries; the last failure: {reason}")
        self.retries = retries
        self.reason = reason


class ToolRetriesExceeded(AgentError):
    """The model could not call a tool correctly within its retries."""

    def __init__(self, tool: str, retries: int, reason: str) -> None:
        super().__init__(
            f"tool {tool!r} failed after {retries} retries; the last failure: {reason}"
        )
        self.tool = tool
        self.retries = retries
        self.reason = reason


class UsageLimitExceeded(AgentError):
    """A usage limit was reached. `messages` is the history up to there."""

    def __init__(self, limit: str, allowed: float, messages: Sequence["Message"] = ()) -> None:
        super().__init__(
            f"the run reached its limit {limit}={allowed}; raise it in UsageLimits, or ask for less"
        )
        self.limit = limit
        self.allowed = allowed
        self.messages = tuple(messages)


class ToolError(AgentError):
    """Raise it in a tool: the call failed, the model is told why and carries on."""


class ModelRetry(ToolError):
    """Raise it in a tool or an output validator: the model is asked to try again."""


class UnknownTool(ToolError):
    """The model named a tool that this agent does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no tool {name!r}; the tools are: {', '.join(sorted(known))}")
        self.name = name


class ToolTimeout(ToolError):
    """A tool did not finish in its time."""

    def __init__(self, tool: str, seconds: float) -> None:
        super().__init__(f"tool {tool!r} did not finish within {seconds:g} seconds")
        self.tool = tool
        self.seconds = seconds
