"""A run made visible: record its events, render them as one HTML page.

    with Recorder() as recorder:
        async with agent.run_stream("What is 17 * 23?") as run:
            async for event in run:
                recorder.add(event)
    Path("trace.html").write_text(render(recorder.trace()), encoding="utf-8")

The page shows how every token came to be, and every forward on a time axis, for models that
tell (`LocalModel` does); turns and tool calls for all. It needs no other file and no network.
"""

from agentkit.decoding_trace import (
    DecodingStats,
    DecodingTrace,
    ForwardPurpose,
    ForwardTrace,
    TokenOrigin,
    TokenRegion,
    TokenTrace,
)
from agentkit.trace.page import is_page, render
from agentkit.trace.recorder import Recorder
from agentkit.trace.records import CallTrace, Ending, RunTrace, TurnTrace

__all__ = [
    "CallTrace",
    "DecodingStats",
    "DecodingTrace",
    "Ending",
    "ForwardPurpose",
    "ForwardTrace",
    "Recorder",
    "RunTrace",
    "TokenOrigin",
    "TokenRegion",
    "TokenTrace",
    "TurnTrace",
    "is_page",
    "render",
]
