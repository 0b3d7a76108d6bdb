"""Models: in this process, remote, scripted, or a function. `Model` is the seam they share."""

from typing import TYPE_CHECKING, Any

from agentkit.models.base import (
    Model,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    OutputFormat,
    TextPart,
    ToolCallPart,
    ToolCallStart,
    ToolDefinition,
)
from agentkit.models.function import FunctionModel
from agentkit.models.guard import RemoteModelForbidden, check_remote_allowed
from agentkit.models.scripted import ScriptedModel
from agentkit.models.shortlist import ShortlistModel
from agentkit.models.testmodel import TestModel

if TYPE_CHECKING:
    from agentkit.models.local import LocalModel
    from agentkit.models.openai import OpenAIModel

__all__ = [
    "FunctionModel",
    "LocalModel",
    "Model",
    "ModelEvent",
    "ModelRequest",
    "ModelResponse",
    "ModelSettings",
    "OpenAIModel",
    "OutputFormat",
    "RemoteModelForbidden",
    "ScriptedModel",
    "ShortlistModel",
    "TestModel",
    "TextPart",
    "ToolCallPart",
    "ToolCallStart",
    "ToolDefinition",
    "check_remote_allowed",
]


def __getattr__(name: str) -> Any:
    """Loads `LocalModel`, and with it torch, only when it is asked for; `OpenAIModel`, and with
    it an HTTP client that may not be installed, likewise."""
    if name == "LocalModel":
        from agentkit.models.local import LocalModel

        return LocalModel
    if name == "OpenAIModel":
        from agentkit.models.openai import OpenAIModel

        return OpenAIModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
