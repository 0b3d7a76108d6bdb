"""Run tool-using agents on a model inside your own process.

Define an `Agent` once, then `await agent.run(...)`, `agent.run_sync(...)` or
`async with agent.run_stream(...)`. Models are in `agentkit.models`.
"""

from agentkit.agent import Agent
from agentkit.context import RunContext
from agentkit.errors import (
    AgentError,
    ModelError,
    ModelRetry,
    OutputRetriesExceeded,
    OutputTypeError,
    RemoteModelError,
    StrategyError,
    ToolCrashed,
    ToolDefinitionError,
    ToolError,
    ToolResultError,
    ToolRetriesExceeded,
    ToolTimeout,
    UnknownTool,
    UsageLimitExceeded,
)
from agentkit.events import (
    ModelAnswered,
    RetryRequested,
    RunEvent,
    RunFinished,
    RunStarted,
    StepFinished,
    StepKind,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
)
from agentkit.messages import (
    AssistantMessage,
    Message,
    ModelUsage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentkit.models.base import ModelSettings
from agentkit.result import RunResult
from agentkit.strategy import Act, Plan, PlanAct, Step, Strategy, Turn
from agentkit.stream import RunStream
from agentkit.tool import Tool, tool
from agentkit.usage import Usage, UsageLimits

__all__ = [
    "Act",
    "Agent",
    "AgentError",
    "AssistantMessage",
    "Message",
    "ModelAnswered",
    "ModelError",
    "ModelRetry",
    "ModelSettings",
    "ModelUsage",
    "OutputRetriesExceeded",
    "OutputTypeError",
    "Plan",
    "PlanAct",
    "RemoteModelError",
    "RetryRequested",
    "RunContext",
    "RunEvent",
    "RunFinished",
    "RunResult",
    "RunStarted",
    "RunStream",
    "Step",
    "StepFinished",
    "StepKind",
    "StepStarted",
    "Strategy",
    "StrategyError",
    "SystemMessage",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolCrashed",
    "ToolDefinitionError",
    "ToolError",
    "ToolFinished",
    "ToolMessage",
    "ToolResultError",
    "ToolRetriesExceeded",
    "ToolStarted",
    "ToolTimeout",
    "Turn",
    "UnknownTool",
    "Usage",
    "UsageLimitExceeded",
    "UsageLimits",
    "UserMessage",
    "tool",
]
