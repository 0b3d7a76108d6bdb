"""Everything a run can refuse, by whose fault it is.

AgentError
  ToolDefinitionError    the developer's: a tool that cannot be described (also a TypeError)
  ToolCrashed            the developer's: a tool raised something unexpected
  ToolResultError        the developer's: a tool returned something JSON cannot carry
  OutputTypeError        the developer's: an output type without a JSON Schema (a TypeError)
  StrategyError          the developer's: a strategy yields a step that cannot be taken
  ModelError             the model cannot be reached, loaded or used
    ModelTimeout         the model's answer took too long
    RemoteModelError     a model behind HTTP gave no answer (carries the status)
    ModelBroken          the model itself does not work, whatever it is asked
  OutputRetriesExceeded  the model's: no valid output within the allowed retries
  ToolRetriesExceeded    the model's: no valid call of a tool within its retries
  UsageLimitExceeded     a limit of this run was reached (carries the history so far)
  RunPaused              the run waits for its owner (carries the pending calls)
    ApprovalRequired     for an approval
    ResultRequired       for the result of a deferred tool
    ReviewRequired       for a word on a plan or an answer
    UnknownOutcome       for a word on calls that may have taken effect before a crash
  LogError               the log of runs cannot be read or written
  UnknownRun             the log has no such run (also a LookupError)
  SessionBusy            the session is in another run
  RunTaken               another owner goes on with this run
  DecisionError          the caller's: a decision that fits no pending call (a ValueError)
  ReplayDiverged         the developer's: the agent no longer does what its log says
  RunInterrupted         the run was stopped from outside (carries what there was of it)
    RunCancelled         by its CancelToken
    RunTimeout           by its time-out
  ToolError              goes back to the model: this call failed, carry on
    ModelRetry           goes back to the model: try again, like this
    UnknownTool          goes back to the model: no such tool
    ToolTimeout          goes back to the model: the tool took too long
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentkit.decisions import PendingCall
    from agentkit.messages import Message
    from agentkit.usage import Usage


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


class ModelTimeout(ModelError):
    """The model did not finish its answer in the time of `model_timeout` or of the step."""

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(
            f"model {model!r} did not answer within {seconds:g} seconds", retryable=True
        )
        self.seconds = seconds


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


class ModelBroken(ModelError):
    """The model itself does not work, whatever it is asked: its weights, or what runs them."""


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


class RunPaused(AgentError):
    """The run waits for its owner; `agent.resume(run_id, approvals=...)` goes on with it."""

    _waits_for = "decisions"

    def __init__(self, run_id: str, pending: Sequence["PendingCall"]) -> None:
        calls = ", ".join(f"{each.call.call_id!r} of {each.call.name!r}" for each in pending)
        super().__init__(
            f"run {run_id} waits for {self._waits_for} on the calls {calls}; go on with "
            f"agent.resume({run_id!r}, approvals={{call_id: ...}})"
        )
        self.run_id = run_id
        self.pending = tuple(pending)


class ApprovalRequired(RunPaused):
    """A call needs an approval. Other pending calls may wait for results."""

    _waits_for = "approval"


class ResultRequired(RunPaused):
    """Calls of deferred tools need their results."""

    _waits_for = "results"


class ReviewRequired(RunPaused):
    """A plan or an answer, `output`, waits for its owner's word. No call is pending."""

    def __init__(self, run_id: str, output: object) -> None:
        AgentError.__init__(
            self,
            f"run {run_id} waits for a review of {output!r}; an agent with sessions goes on with "
            f"agent.resume({run_id!r}, review=...)",
        )
        self.run_id = run_id
        self.pending = ()
        self.output = output


class UnknownOutcome(RunPaused):
    """Calls began before the process ended, and nobody knows whether they took effect. Nothing
    was done since. Decide on each, or choose another `OnUnknown`."""

    _waits_for = "a word (they may have taken effect before)"


class UnknownOutput(UnknownOutcome):
    """The same of the output function that `output`, the run's answer, calls: decide with
    `review=...`, True to call it again, `Returned` where it did take effect, False or `Denied` to
    have another answer written."""

    def __init__(self, run_id: str, output: object) -> None:
        AgentError.__init__(
            self,
            f"run {run_id}: {output!r} may have taken effect before the process ended; go on with "
            f"agent.resume({run_id!r}, review=...) or on_unknown=...",
        )
        self.run_id = run_id
        self.pending = ()
        self.output = output


class LogError(AgentError):
    """The log of runs cannot be read or written."""


class UnknownRun(AgentError, LookupError):
    """The log has no such run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the log has no run {run_id!r}")
        self.run_id = run_id


class SessionBusy(AgentError):
    """A session's runs come one after the other, and `run_id` is or was in between."""

    def __init__(self, session: str, run_id: str) -> None:
        super().__init__(
            f"session {session!r} is in run {run_id!r}, or has gone on with it meanwhile; "
            "wait for it, resume it, or give it up with sessions.abandon(run_id)"
        )
        self.session = session
        self.run_id = run_id


class RunTaken(AgentError):
    """Another owner goes on with this run, so this one stops here."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} was begun, resumed or abandoned by somebody else")
        self.run_id = run_id


class DecisionError(AgentError, ValueError):
    """A decision names no call that waits, or cannot be carried out. The run is as it was."""


class ReplayDiverged(AgentError):
    """The agent does not do again what the log says it did, so its run cannot go on."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(
            f"run {run_id!r} cannot be resumed: {reason}; resume with the agent that began it, "
            "with the same strategy, tools and output type"
        )
        self.run_id = run_id


class RunInterrupted(AgentError):
    """A run was stopped from outside, and this is what there was of it.

    `messages` is the history up to there, fit to be the `message_history` of a next run: calls
    that had ended have their results, the others say that they have none. `partial_text` is
    what there was of the answer being written, which is not in the history. `usage` is that of
    the answers that were complete.
    """

    def __init__(
        self,
        reason: str,
        messages: Sequence["Message"] = (),
        usage: "Usage | None" = None,
        partial_text: str = "",
    ) -> None:
        super().__init__(reason)
        self.messages = tuple(messages)
        self.usage = usage
        self.partial_text = partial_text


class RunCancelled(RunInterrupted):
    """The run was cancelled by a `CancelToken`, or by `RunStream.cancel`."""


class RunTimeout(RunInterrupted):
    """The run did not end within its `timeout`."""


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
