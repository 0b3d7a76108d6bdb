"""What tests of agents need: models that follow a script, and a guard against real ones.

`agentkit.pytest_plugin` offers the same as fixtures.
"""

from agentkit.models.function import FunctionModel
from agentkit.models.guard import (
    RemoteModelForbidden,
    allow_remote_models,
    check_remote_allowed,
    forbid_remote_models,
)
from agentkit.models.scripted import ScriptedModel
from agentkit.models.testmodel import TestModel

__all__ = [
    "FunctionModel",
    "RemoteModelForbidden",
    "ScriptedModel",
    "TestModel",
    "allow_remote_models",
    "check_remote_allowed",
    "forbid_remote_models",
]
