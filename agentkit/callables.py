"""What lies behind a callable: its `def`, name, docstring and namespace."""

import functools
import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

Function = Callable[..., Any]


def python_function(function: Function) -> Function:
    """The `def` that runs when `function` is called: without partials, binding, and the object
    around a `__call__`. A decorator's wrapper is the `def` that runs, so it stays."""
    inner = _without_partials(function)
    if isinstance(inner, types.MethodType):
        return _without_partials(inner.__func__)
    call = inspect.getattr_static(type(inner), "__call__")
    return call if isinstance(call, types.FunctionType) else inner


def is_async(function: Function) -> bool:
    """Whether calling `function` gives a coroutine."""
    return inspect.iscoroutinefunction(python_function(function))


def is_generator(function: Function) -> bool:
    definition = python_function(function)
    return inspect.isgeneratorfunction(definition) or inspect.isasyncgenfunction(definition)


def is_lambda(function: Function) -> bool:
    return name_of(function) == "<lambda>"


def name_of(function: Function) -> str:
    """The function's own name; the class's for a callable object."""
    inner = _without_partials(function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def documentation_of(function: Function) -> str | None:
    """The docstring of the function, or of a callable object's `__call__`, or of its class, where
    somebody wrote one: that of a data class is its signature by default."""
    inner = _without_partials(function)
    written = inner.__doc__ or ""
    if is_dataclass(inner) and written.startswith(f"{type(inner).__name__}("):
        written = ""
    return python_function(function).__doc__ or written or None


def namespace_of(function: Function) -> dict[str, Any]:
    """The globals that annotations of `function` refer to."""
    definition = inspect.unwrap(python_function(function))
    if isinstance(definition, types.FunctionType):
        return definition.__globals__
    module = sys.modules.get(getattr(definition, "__module__", None) or "")
    return vars(module) if module else {}


def bound_keywords(function: Function) -> frozenset[str]:
    """The arguments that `functools.partial` has fixed by keyword."""
    bound: frozenset[str] = frozenset()
    while isinstance(function, functools.partial):
        bound |= function.keywords.keys()
        function = function.func
    return bound


def _without_partials(function: Function) -> Function:
    while isinstance(function, functools.partial):
        function = function.func
    return function
