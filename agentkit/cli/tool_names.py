"""From `module:variable` to tools."""

import functools
import importlib
import logging
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from agentkit.agent import Agent
from agentkit.cli.failures import UsageError
from agentkit.definition import toolbox
from agentkit.tool import Tool

_LOG = logging.getLogger(__name__)
_EXAMPLE = "for example my_tools:add"


def load_tools(names: Sequence[str], *, without_waiting: bool = False) -> list[Tool]:
    """The tools that `names` name, in their order; the current directory is importable, as
    with `python -m`. An agent's that wait for somebody are left out `without_waiting`, which is
    logged. Raises `UsageError`, and `ToolDefinitionError` for a function that
    cannot be described and for two tools of one name."""
    directory = str(Path.cwd())
    if names and directory not in sys.path:
        sys.path.insert(0, directory)
    tools = [tool for name in names for tool in _tools_named(name, without_waiting)]
    toolbox(tools, retries=0, timeout=None)  # refuses two of one name
    return tools


def _tools_named(name: str, without_waiting: bool) -> list[Tool]:
    module_name, _, variable = name.partition(":")
    if not module_name or not variable:
        raise UsageError(f"{name!r} names no variable; write module:variable, {_EXAMPLE}")
    module = _module(module_name, variable)
    value = _variable(module, variable)
    if isinstance(value, Agent):
        return [tool for tool in value.tools if not (without_waiting and _waits(tool))]
    if isinstance(value, Tool) or _is_function(value):
        return [_tool(name, value)]
    if isinstance(value, type | str | bytes) or not isinstance(value, Iterable):
        raise _no_tools(name, value)
    tools = [_tool(name, item) for item in value]
    if not tools:
        raise UsageError(f"{name!r} is empty; name a variable that holds tools")
    return tools


def _waits(tool: Tool) -> bool:
    if tool.may_wait:
        _LOG.warning("tool %r is left out: it waits for an approval or a result", tool.name)
    return tool.may_wait


def _module(name: str, variable: str) -> types.ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"{name!r} is not the name of a module; write it as in an import, {_EXAMPLE}"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(name, error) from error
        stem = name.removesuffix(".py")
        hint = f"write {stem}:{variable}" if stem != name else "check the name, or change directory"
        raise UsageError(
            f"there is no module {name!r} in {Path.cwd()} or among the installed packages; {hint}"
        ) from None
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> UsageError:
    return UsageError(
        f"module {name!r} cannot be imported, it raises {type(error).__name__}: {error}; "
        f"mend it until `python -c 'import {name}'` works"
    )


def _variable(module: types.ModuleType, variable: str) -> Any:
    try:
        return functools.reduce(getattr, variable.split("."), module)
    except AttributeError:
        known = [name for name, value in vars(module).items() if _offers(module, name, value)]
        there = f"it offers {', '.join(known)}" if known else "and it defines no tools"
        raise UsageError(f"module {module.__name__!r} has no {variable!r}; {there}") from None


def _offers(module: types.ModuleType, name: str, value: Any) -> bool:
    if name.startswith("_"):
        return False
    return isinstance(value, Tool) or (
        isinstance(value, types.FunctionType) and value.__module__ == module.__name__
    )


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type | Iterable)


def _tool(name: str, value: Tool | Callable[..., Any]) -> Tool:
    if isinstance(value, Tool):
        return value
    if not _is_function(value):
        raise _no_tools(name, value)
    return Tool.from_function(value)


def _no_tools(name: str, value: object) -> UsageError:
    kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return UsageError(f"{name!r} holds {kind}; name a function, a Tool, a list of them or an Agent")
