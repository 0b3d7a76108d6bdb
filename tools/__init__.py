"""Ready-made tools for agents. Each is a `Tool`, or a function that gives some for a resource.

Agent(model, tools=[calculator, *files("docs"), *sqlite("shop.db"), *python()])
"""

from tools.calculator import calculator
from tools.file_changes import FileChange
from tools.files import files
from tools.http import http
from tools.mcp import HttpServer, McpServerError, StdioServer, mcp_tools
from tools.python import ConfinementUnavailable, python
from tools.sqlite import sqlite

__all__ = [
    "ConfinementUnavailable",
    "FileChange",
    "HttpServer",
    "McpServerError",
    "StdioServer",
    "calculator",
    "files",
    "http",
    "mcp_tools",
    "python",
    "sqlite",
]
