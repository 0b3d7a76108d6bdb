"""The command line: `agentkit chat`, `agentkit run`, `agentkit trace`, `agentkit models`,
`agentkit mcp`, `agentkit serve`.

The outermost layer: nothing of the package imports it. `agentkit.cli.show.EventPrinter` shows
a run in a terminal and is for anybody's use.
"""

from agentkit.cli.app import app, main

__all__ = ["app", "main"]
