"""Functions that a model may call."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, cast, overload

import anyio
from typing_extensions import ParamSpec, TypeVar

from agentkit.callables import is_async
from agentkit.context import RunContext
from agentkit.errors import (
    ToolCrashed,
    ToolDefinitionError,
    ToolError,
    ToolResultError,
    ToolTimeout,
)
from agentkit.models.base import ToolDefinition
from agentkit.raw_schema import own_copy, raw_arguments
from agentkit.schema import check_function, check_name, describe
from agentkit.threads import run_in_thread
from agentkit.tool_result import result_text

P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)
FunctionP = ParamSpec("FunctionP")
FunctionR = TypeVar("FunctionR")


ApprovalRule = bool | Callable[[dict[str, Any]], bool]


class Arguments(Protocol):
    """The way from a model's JSON text into a function."""

    def validate(self, text: str) -> dict[str, Any]:
        """Raises `ModelRetry` for anything the function should not see."""
        ...

    def bind(
        self, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> functools.partial[Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Tool(Generic[P, R]):
    """A function together with what a model must know to call it. Immutable; shareable by any
    number of agents and concurrent runs. Calling it calls the function.

    Make one with `tool`, `Tool.from_function` or `Tool.from_schema`; change one with
    `dataclasses.replace`. `parameters` is the JSON Schema of the arguments object. `timeout`
    is in seconds. Of a result longer than `max_result_chars` the model sees the start and the
    end. None for any of these or for `retries` leaves the choice to the agent.

    A call of an `idempotent` tool may be made twice with the effect of one, so a resumed run
    repeats it where its outcome is not known, and an agent with `eager_tools` starts it early.
    Where `requires_approval` is True, or a function of the validated arguments that gives True, a
    call waits for its approval. The function of a `deferred` tool never runs: the result comes
    from outside. An agent with tools that wait needs sessions to wait in.

    Raises `ToolDefinitionError` for a bad name, `ValueError` for a number out of its range.
    """

    name: str
    description: str
    parameters: dict[str, Any] = field(repr=False)
    function: Callable[P, R]
    arguments: Arguments = field(repr=False)
    takes_context: bool = False
    timeout: float | None = None
    retries: int | None = None
    idempotent: bool = False
    requires_approval: ApprovalRule = False
    deferred: bool = False
    max_result_chars: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"tool {self.name!r}: timeout must be above 0, not {self.timeout}")
        if self.retries is not None and self.retries < 0:
            raise ValueError(f"tool {self.name!r}: retries must be 0 or more, not {self.retries}")
        if self.max_result_chars is not None and self.max_result_chars < 1:
            raise ValueError(
                f"tool {self.name!r}: max_result_chars must be 1 or more, "
                f"not {self.max_result_chars}"
            )

    @staticmethod
    def from_function(
        function: Callable[FunctionP, FunctionR],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        idempotent: bool = False,
        requires_approval: ApprovalRule = False,
        deferred: bool = False,
        max_result_chars: int | None = None,
    ) -> "Tool[FunctionP, FunctionR]":
        """Reads everything from the signature and the docstring (Google, NumPy or Sphinx
        style); `name` and `description` replace what is found there.

        A leading `RunContext` parameter is the run's context and hidden from the model.
        Arguments that a model omits keep the function's defaults. Raises
        `ToolDefinitionError` naming the parameter and the way to mend it.
        """
        if isinstance(function, Tool):
            raise ToolDefinitionError(
                f"{function.name!r} is a tool already; change it with dataclasses.replace"
            )
        schema = describe(function, name, description)
        return Tool(
            name=schema.name,
            description=schema.description,
            parameters=schema.parameters,
            function=function,
            arguments=schema.arguments,
            takes_context=schema.takes_context,
            timeout=timeout,
            retries=retries,
            idempotent=idempotent,
            requires_approval=requires_approval,
            deferred=deferred,
            max_result_chars=max_result_chars,
        )

    @staticmethod
    def from_schema(
        name: str,
        description: str,
        parameters: dict[str, Any],
        function: Callable[[dict[str, Any]], FunctionR],
        *,
        timeout: float | None = None,
        retries: int | None = None,
        idempotent: bool = False,
        requires_approval: ApprovalRule = False,
        deferred: bool = False,
        max_result_chars: int | None = None,
    ) -> "Tool[[dict[str, Any]], FunctionR]":
        """A tool whose arguments somebody else described: `function` gets the arguments object
        as one dict, so that any property name will do.

        `parameters` is a JSON Schema with `"type": "object"`, of Draft 2020-12 unless its
        `$schema` names another draft. Raises `ToolDefinitionError` for a schema that is not
        valid or refers to anything outside itself.
        """
        check_name(name)
        check_function(name, function)
        schema = own_copy(name, parameters)
        return Tool(
            name=name,
            description=description,
            parameters=schema,
            function=function,
            arguments=raw_arguments(name, schema),
            timeout=timeout,
            retries=retries,
            idempotent=idempotent,
            requires_approval=requires_approval,
            deferred=deferred,
            max_result_chars=max_result_chars,
        )

    @property
    def may_wait(self) -> bool:
        """Whether a call may have to wait for somebody."""
        return self.deferred or self.requires_approval is not False

    def needs_approval(self, arguments: dict[str, Any]) -> bool:
        """Whether a call with these validated arguments does. Raises `ToolCrashed` from what the
        rule raises."""
        if isinstance(self.requires_approval, bool):
            return self.requires_approval
        with self._crashes_named():
            return self.requires_approval(arguments)

    @property
    def definition(self) -> ToolDefinition:
        """The tool as a model sees it."""
        return ToolDefinition(self.name, self.description, self.parameters)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def validate(self, arguments_json: str) -> dict[str, Any]:
        """The arguments in a model's JSON text, with their Python types.

        Raises `ModelRetry` naming each argument that is malformed, wrong, missing or unknown,
        and `ToolCrashed` from anything else that a validator of the developer's raises.
        """
        with self._crashes_named():
            return self.arguments.validate(arguments_json)

    async def call(self, arguments: dict[str, Any], context: RunContext[Any]) -> str:
        """Runs the function on validated arguments; gives the text to show to the model.

        An `async def` runs on the event loop; any other function in a thread, which goes on
        unseen after a time-out or a cancellation, since threads cannot be stopped. Does not
        change the tool. Raises `ToolTimeout`, `ToolResultError`, the function's own
        `ToolError`s as they are, and `ToolCrashed` from anything else it raises, `SystemExit`
        included.
        """
        return cast("str", await self._invoke(arguments, context, self._text))

    async def invoke(self, arguments: dict[str, Any], context: RunContext[Any]) -> Any:
        """As `call`, but gives what the function returned, as it is."""
        return await self._invoke(arguments, context, _as_it_is)

    def _text(self, result: Any) -> str:
        return result_text(self.name, result)

    async def _invoke(
        self, arguments: dict[str, Any], context: RunContext[Any], shape: Callable[[Any], Any]
    ) -> Any:
        function: Callable[..., Any] = self.function
        if self.takes_context:
            function = functools.partial(function, context)
        with anyio.move_on_after(self.timeout):
            return await self._run(self.arguments.bind(function, arguments), shape)
        raise ToolTimeout(self.name, cast("float", self.timeout))

    async def _run(self, function: Callable[[], Any], shape: Callable[[Any], Any]) -> Any:
        with self._crashes_named():
            if is_async(self.function):
                return shape(await function())
            result = await run_in_thread(functools.partial(_run_blocking, function, shape))
            return shape(await result) if inspect.isawaitable(result) else result

    @contextmanager
    def _crashes_named(self) -> Iterator[None]:
        try:
            yield
        except (ToolError, ToolResultError):
            raise
        except (Exception, SystemExit) as error:  # a tool may not end the program around it
            raise ToolCrashed(self.name, error) from error


def _as_it_is(result: Any) -> Any:
    return result


def _run_blocking(function: Callable[[], Any], shape: Callable[[Any], Any]) -> Any:
    """The result in its shape, made in the thread as well; or an awaitable, which a plain
    function may return and only the event loop can run."""
    result = function()
    return result if inspect.isawaitable(result) else shape(result)


@overload
def tool(
    function: Callable[FunctionP, FunctionR],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    idempotent: bool = False,
    requires_approval: ApprovalRule = False,
    deferred: bool = False,
    max_result_chars: int | None = None,
) -> Tool[FunctionP, FunctionR]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    idempotent: bool = False,
    requires_approval: ApprovalRule = False,
    deferred: bool = False,
    max_result_chars: int | None = None,
) -> Callable[[Callable[FunctionP, FunctionR]], Tool[FunctionP, FunctionR]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    idempotent: bool = False,
    requires_approval: ApprovalRule = False,
    deferred: bool = False,
    max_result_chars: int | None = None,
) -> Any:
    """Makes a function a `Tool`; see `Tool.from_function`.

    Use it bare (`@tool`), with options (`@tool(timeout=5)`), or on something that exists
    (`tool(thing.method)`).
    """

    def make(given: Callable[FunctionP, FunctionR]) -> Tool[FunctionP, FunctionR]:
        return Tool.from_function(
            given,
            name=name,
            description=description,
            timeout=timeout,
            retries=retries,
            idempotent=idempotent,
            requires_approval=requires_approval,
            deferred=deferred,
            max_result_chars=max_result_chars,
        )

    return make if function is None else make(function)
