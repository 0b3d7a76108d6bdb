"""Tools: made from functions and schemas, called on the loop or off it, failing by name."""

import contextvars
import dataclasses
import enum
import functools
import gc
import json
import math
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import anyio
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel

from agentkit.context import RunContext
from agentkit.errors import (
    ModelRetry,
    ToolCrashed,
    ToolDefinitionError,
    ToolError,
    ToolResultError,
    ToolTimeout,
)
from agentkit.models.base import ToolDefinition
from agentkit.tool import Tool, tool
from agentkit.tool_result import result_text
from agentkit.usage import Usage
from tests.agentkit.typed_cases import json_values

CONTEXT = RunContext(deps="deps", run_id="run", usage=Usage(), messages=())

both = pytest.mark.anyio


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def object_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


async def call(made: Tool, text: str = "{}") -> str:
    return await made.call(made.validate(text), CONTEXT)


# --- making -----------------------------------------------------------------------------


def test_a_tool_is_still_the_function() -> None:
    assert add(2, b=3) == 5
    assert add.definition == ToolDefinition("add", "Add two numbers.", add.parameters)
    assert (add.timeout, add.retries, add.takes_context) == (None, None, False)


def test_options_of_the_decorator() -> None:
    @tool(name="plus", description="Sum.", timeout=2.5, retries=0)
    def f(a: int) -> int:
        return a

    g = tool(add.function, name="sum")
    assert (f.name, f.description, f.timeout, f.retries) == ("plus", "Sum.", 2.5, 0)
    assert g.name == "sum"
    assert dataclasses.replace(f, name="other").name == "other"


def test_tools_are_immutable_and_hashable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        add.name = "x"  # type: ignore[misc]
    assert {add, add} == {add}


def test_a_tool_is_no_function_to_make_a_tool_of() -> None:
    with pytest.raises(ToolDefinitionError, match=r"dataclasses\.replace"):
        tool(add)


@pytest.mark.parametrize("timeout", [0, -1, math.nan])
def test_bad_timeouts(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        tool(timeout=timeout)(add.function)


def test_bad_retries() -> None:
    with pytest.raises(ValueError, match="retries"):
        tool(retries=-1)(add.function)


# --- calling ----------------------------------------------------------------------------


@both
async def test_defaults_survive() -> None:
    assert await call(add, '{"a": 2}') == "3"
    assert await call(add, '{"a": 2, "b": 5}') == "7"


@both
async def test_async_tools_run_on_the_event_loop_and_others_off_it() -> None:
    @tool
    async def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    @tool
    def elsewhere() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await call(where) == "true"
    assert await call(elsewhere) == "false"


@both
async def test_a_blocking_tool_does_not_block_the_event_loop() -> None:
    released = threading.Event()

    @tool
    def wait() -> bool:
        return released.wait(10)

    async with anyio.create_task_group() as group:
        results: list[str] = []

        async def run() -> None:
            results.append(await call(wait))

        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        released.set()  # never reached in time if the loop were blocked
    assert results == ["true"]


@both
async def test_the_context_comes_first_and_context_variables_follow() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    @tool
    def sync(ctx: RunContext[str], suffix: str) -> str:
        return ctx.deps + suffix + variable.get()

    @tool
    async def asynchronous(ctx: RunContext[str], suffix: str) -> str:
        return ctx.deps + suffix + variable.get()

    variable.set("?")
    assert sync.takes_context
    assert await call(sync, '{"suffix": "!"}') == "deps!?"
    assert await call(asynchronous, '{"suffix": "!"}') == "deps!?"


class Shop:
    def __init__(self) -> None:
        self.name = "shop"

    def sync(self, a: int) -> str:
        return f"{self.name}{a}"

    async def asynchronous(self, a: int) -> str:
        return f"{self.name}{a}"

    async def __call__(self, a: int) -> str:
        return f"{self.name}{a}"


def _plain(a: int) -> str:
    return f"shop{a}"


def _gives_awaitable(a: int) -> Awaitable[str]:
    return Shop().asynchronous(a)


@both
@pytest.mark.parametrize(
    "function",
    [
        Shop().sync,
        Shop().asynchronous,
        Shop(),
        functools.partial(Shop().asynchronous),
        functools.lru_cache(_plain),
        _gives_awaitable,
    ],
)
async def test_everything_callable_is_called_the_right_way(function: Any) -> None:
    assert await call(tool(function, name="shop"), '{"a": 1}') == "shop1"


@both
async def test_a_timeout_of_an_async_tool_cancels_it() -> None:
    cancelled = False

    @tool(timeout=0.01)
    async def forever() -> None:
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        finally:
            cancelled = True

    with pytest.raises(ToolTimeout, match=r"'forever'.*0\.01 seconds"):
        await call(forever)
    assert cancelled


@both
async def test_a_timeout_of_a_blocking_tool_abandons_its_thread() -> None:
    released = threading.Event()
    ended = threading.Event()

    @tool(timeout=0.01)
    def forever() -> None:
        released.wait(30)
        ended.set()

    with pytest.raises(ToolTimeout):
        await call(forever)
    assert not ended.is_set()
    released.set()
    assert ended.wait(30)


@both
async def test_a_timeout_error_of_the_tool_is_not_our_timeout() -> None:
    @tool(timeout=60)
    async def fails() -> None:
        raise TimeoutError("the server took too long")

    with pytest.raises(ToolCrashed, match="the server took too long"):
        await call(fails)


@both
async def test_outer_cancellation_passes_through() -> None:
    @tool(timeout=60)
    async def forever() -> None:
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await call(forever)
    assert scope.cancelled_caught


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_tool_that_never_returns_does_not_keep_the_process(backend: str) -> None:
    program = f"""
import threading, anyio
from agentkit.tool import tool
from agentkit.errors import ToolTimeout

@tool(timeout=0.01)
def forever() -> None:
    threading.Event().wait()

async def main():
    try:
        await forever.call({{}}, None)
    except ToolTimeout as error:
        print(error)

anyio.run(main, backend={backend!r})
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "tool 'forever' did not finish within 0.01 seconds\n"
    assert done.stderr == ""


# --- failing ----------------------------------------------------------------------------


def _raising(error: BaseException) -> list[Tool]:
    async def asynchronous() -> None:
        raise error

    def sync() -> None:
        raise error

    return [tool(asynchronous), tool(sync)]


@both
@pytest.mark.parametrize("error", [ModelRetry("again"), ToolError("no"), ToolTimeout("x", 1)])
async def test_tool_errors_pass_unchanged(error: ToolError) -> None:
    for made in _raising(error):
        with pytest.raises(ToolError) as caught:
            await call(made)
        assert caught.value is error


@both
@pytest.mark.parametrize(
    "kind", [KeyError, StopIteration, TimeoutError, RecursionError, SystemExit]
)
async def test_other_errors_are_crashes_with_their_cause(kind: type[BaseException]) -> None:
    for made in _raising(kind("boom")):
        with pytest.raises(ToolCrashed, match=r"boom|StopIteration") as caught:
            await call(made)
        assert caught.value.tool == made.name
        assert isinstance(caught.value.__cause__, kind | RuntimeError)


def test_a_crashing_validator_is_a_crash_of_the_tool() -> None:
    def divide(value: int) -> float:
        return 1 / value

    @tool
    def f(a: Annotated[int, AfterValidator(divide)]) -> None: ...

    with pytest.raises(ToolCrashed) as caught:
        f.validate('{"a": 0}')
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@both
async def test_nothing_of_a_failed_call_is_kept() -> None:
    class Payload:
        pass

    def fails() -> None:
        payload = Payload()
        seen.append(weakref.ref(payload))
        raise KeyError(payload)

    seen: list[weakref.ref[Payload]] = []
    with pytest.raises(ToolCrashed):
        await call(tool(fails))
    gc.collect()
    assert seen[0]() is None


# --- results ----------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    label: str


class Model(BaseModel):
    day: date
    price: Decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is, \u00e9 \n", "as it is, \u00e9 \n"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        ({"\u00e9": [1, 2.5]}, '{"\u00e9":[1,2.5]}'),
        ((1, "a"), '[1,"a"]'),
        ({1}, "[1]"),
        (Point(1, "a"), '{"x":1,"label":"a"}'),
        (Model(day=date(2024, 1, 2), price=Decimal("1.50")), '{"day":"2024-01-02","price":"1.50"}'),
        (Colour.RED, '"red"'),
        (timedelta(days=1), '"P1D"'),
        (Path("a/b"), '"a/b"'),
        (b"\xc3\xa9", '"\u00e9"'),
        ([math.nan, math.inf, -math.inf], '["NaN","Infinity","-Infinity"]'),
        ({1: "a", None: "b"}, '{"1":"a","None":"b"}'),
    ],
)
def test_results_as_text(value: Any, text: str) -> None:
    assert result_text("f", value) == text


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize("value", [object(), Point, b"\xff", _cycle(), "\ud800", ["\ud800"], open])
def test_results_without_a_json_form_are_refused(value: Any) -> None:
    with pytest.raises(ToolResultError, match="'f' returned"):
        result_text("f", value)


@both
async def test_a_bad_result_ends_a_call_of_either_kind() -> None:
    async def asynchronous() -> Any:
        return object()

    def sync() -> Any:
        return object()

    for function in (asynchronous, sync):
        with pytest.raises(ToolResultError, match=f"'{function.__name__}' returned object"):
            await call(tool(function))


# --- raw schemas ------------------------------------------------------------------------


def raw(parameters: Any, function: Callable[..., Any] = lambda arguments: arguments) -> Tool:
    return Tool.from_schema("raw", "Raw.", parameters, function)


@both
async def test_a_raw_tool_gets_the_arguments_object() -> None:
    schema = object_schema(self={"type": "integer"}, **{"a-b": {"type": "string"}})
    made = raw(schema)
    assert await call(made, '{"self": 1, "a-b": "x"}') == '{"self":1,"a-b":"x"}'
    assert made.definition == ToolDefinition("raw", "Raw.", schema)
    assert made({"any": 1}) == {"any": 1}


def test_a_raw_schema_is_detached_from_its_source() -> None:
    schema = object_schema(a={"type": "integer"})
    made = raw(schema)
    schema["properties"]["a"]["type"] = "string"
    assert made.parameters["properties"]["a"]["type"] == "integer"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["not JSON"]),
        ('{"n": NaN}', ["not JSON"]),
        ("[]", ["object"]),
        ("{}", ["'n' is a required property"]),
        ('{"n": "x", "z": 1}', ["n: 'x' is not of type 'integer'", "'z' was unexpected"]),
        ('{"n": 1, "tree": {"kids": [{"kids": 3}]}}', ["tree.kids[0].kids"]),
        ('{"n": 1, "tree": ' + '{"kids": [' * 80 + "]}" * 80 + "}", ["too deeply"]),
    ],
)
def test_bad_raw_arguments_are_named(text: str, words: list[str]) -> None:
    subtree: dict[str, Any] = {"$ref": "#/$defs/tree"}
    for _ in range(4):
        subtree = {"allOf": [subtree]}
    kids = {"type": "array", "items": subtree}
    tree = {"type": "object", "properties": {"kids": kids}, "additionalProperties": False}
    schema = object_schema(n={"type": "integer"}, tree={"$ref": "#/$defs/tree"})
    made = raw(schema | {"required": ["n"], "additionalProperties": False, "$defs": {"tree": tree}})
    with pytest.raises(ModelRetry) as caught:
        made.validate(text)
    assert all(word in str(caught.value) for word in words)


def test_the_named_draft_is_honoured() -> None:
    items = {"type": "array", "items": [{"type": "integer"}]}
    old = raw({"$schema": "http://json-schema.org/draft-07/schema#"} | object_schema(a=items))
    with pytest.raises(ModelRetry):
        old.validate('{"a": ["x"]}')
    with pytest.raises(ToolDefinitionError, match=r"properties\.a\.items"):
        raw(object_schema(a=items))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, '"type": "object"'),
        ({"type": "array"}, '"type": "object"'),
        (None, '"type": "object"'),
        (True, '"type": "object"'),
        ({"type": "object", "x": object()}, "not JSON"),
        ({"type": "object", "x": math.nan}, "not JSON"),
        (object_schema(a={"type": "objec"}), "properties.a.type"),
        (object_schema(a={"pattern": "("}), "properties.a.pattern"),
        (object_schema(a={"$ref": "#/$defs/no"}), "/$defs/no"),
        (object_schema(a={"items": {"$ref": "http://example.org/x"}}), "http://example.org/x"),
        (object_schema() | {"allOf": [{"$ref": "#"}]}, "without end"),
        ({"$schema": "http://example.org/draft"} | object_schema(), "no draft"),
        ({"$schema": 3} | object_schema(), "no draft"),
    ],
)
def test_bad_raw_schemas_are_refused(schema: Any, words: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        raw(schema)
    assert words in str(caught.value)
    assert "'raw'" in str(caught.value)


def test_raw_tools_check_their_name_and_function() -> None:
    with pytest.raises(ToolDefinitionError, match="no tool name"):
        Tool.from_schema("a b", "", object_schema(), print)
    with pytest.raises(ToolDefinitionError, match="not callable"):
        raw(object_schema(), 3)  # type: ignore[arg-type]


def test_references_named_in_data_are_no_references() -> None:
    schema = object_schema(a={"enum": [{"$ref": "#/nowhere"}], "default": {"$ref": "#/nowhere"}})
    assert raw(schema).validate('{"a": {"$ref": "#/nowhere"}}') == {"a": {"$ref": "#/nowhere"}}


@given(st.dictionaries(st.sampled_from(["a", "b"]), json_values) | json_values)
def test_raw_validation_is_jsonschemas(value: Any) -> None:
    schema = object_schema(a={"type": ["integer", "null"]}) | {"maxProperties": 1}
    text = json.dumps(value)
    if jsonschema.Draft202012Validator(schema).is_valid(value):
        assert raw(schema).validate(text) == value
    else:
        with pytest.raises(ModelRetry):
            raw(schema).validate(text)
