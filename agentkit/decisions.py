"""What a run may wait for, and what its owner may decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic_core import to_json

from agentkit.errors import DecisionError
from agentkit.messages import ToolCall


class PendingReason(Enum):
    """Why a call has no result yet."""

    APPROVAL = "approval"
    """The tool requires an approval. Decide True, False, `Denied` or other arguments."""
    RESULT = "result"
    """The tool is deferred: its result comes from outside. Give `Returned`."""
    UNKNOWN = "unknown"
    """The call began and nobody recorded how it ended; it may have taken effect. Decide True to
    run it again, `Returned` where it did take effect, False or `Denied` where it shall not."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for a decision."""

    call: ToolCall
    reason: PendingReason


@dataclass(frozen=True, slots=True)
class Denied:
    """The call shall not run; the model is told `reason`."""

    reason: str = "the user does not allow it"


@dataclass(frozen=True, slots=True)
class Returned:
    """What came of the call, as its tool would have returned it. The call does not run."""

    value: Any


Decision = bool | Denied | Returned | Mapping[str, Any]
"""True lets a call run, False denies it; a mapping lets it run with these arguments instead."""


class OnUnknown(Enum):
    """What a resumed run does with calls of unknown outcome that no decision names. Calls of
    idempotent tools are never unknown: they run again."""

    RAISE = "raise"
    """Raise `UnknownOutcome` before anything else is done."""
    TELL_MODEL = "tell model"
    """Tell the model that the outcome is unknown, and carry on."""
    REPEAT = "repeat"
    """Run them again."""


def decision_json(subject: str, value: Any) -> str:
    """`value`, which was decided on `subject`, as JSON. Raises `DecisionError` for what JSON cannot
    carry."""
    try:
        return to_json(value).decode()
    except ValueError as error:
        raise DecisionError(f"{subject}: JSON cannot carry what was decided: {error}") from error
