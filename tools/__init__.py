"""Ready-made tools for agents. Each is a `Tool`, or a function that gives some for a resource.

Agent(model, tools=[calculator, *files("docs"), *sqlite("shop.db")])
"""

from tools.calculator import calculator
from tools.files import files
from tools.sqlite import sqlite

__all__ = ["calculator", "files", "sqlite"]
