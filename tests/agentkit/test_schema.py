"""Signatures and docstrings become descriptions that say what the function takes, no more."""

import functools
import inspect
import json
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from agentkit.context import RunContext
from agentkit.docstring import parse_docstring
from agentkit.errors import ModelRetry, ToolDefinitionError
from agentkit.schema import describe
from tests.agentkit.typed_cases import Case, Colour, Tree, cases, json_values


class Line(BaseModel):
    """One line of an order."""

    sku: str
    amount: int = 1


class Open(BaseModel, extra="allow"):
    name: str


@dataclass
class Point:
    x: float
    y: float


def parameters(function: Any) -> dict[str, Any]:
    schema = describe(function).parameters
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


# --- docstrings -------------------------------------------------------------------------


def google(order_id: int, when: str = "now") -> str:
    """Fetch one order.

    The newest: by date.

    Args:
        order_id: numeric id
            from the mail
        when (str, optional): a day, e.g. "today: noon".

    Returns:
        The order.
    """
    return f"{order_id} {when}"


def numpy(order_id: int, when: str = "now") -> str:
    """Fetch one order.

    The newest: by date.

    Parameters
    ----------
    order_id : int
        numeric id
        from the mail
    when : str, optional
        a day, e.g. "today: noon".

    Returns
    -------
    str
        The order.
    """
    return f"{order_id} {when}"


def sphinx(order_id: int, when: str = "now") -> str:
    """Fetch one order.

    The newest: by date.

    :param order_id: numeric id
        from the mail
    :param str when: a day, e.g. "today: noon".
    :returns: The order.
    """
    return f"{order_id} {when}"


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_every_style_tells_the_same(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        schema = describe(function)
    assert schema.description == "Fetch one order.\n\nThe newest: by date."
    properties = schema.parameters["properties"]
    assert properties["order_id"]["description"] == "numeric id from the mail"
    assert properties["when"]["description"] == 'a day, e.g. "today: noon".'
    assert caplog.records == []


@pytest.mark.parametrize("text", [None, "", "  \n "])
def test_no_docstring_is_an_empty_description(text: str | None) -> None:
    assert parse_docstring(text).description == ""


def test_prose_that_looks_like_sections_is_kept() -> None:
    text = "Just text.\n\nNote: be careful. Args are nice:\nyes."
    assert parse_docstring(text).description == text


def test_text_after_the_parameters_and_notes_are_kept() -> None:
    doc = parse_docstring("Do it.\n\nArgs:\n    a: one\n\nNote:\n    Slow.\n\nAt night.")
    assert doc.description == "Do it.\n\nNote: Slow.\n\nAt night."
    assert doc.parameters == {"a": "one"}


@given(st.text())
def test_any_docstring_is_read(text: str) -> None:
    assert isinstance(parse_docstring(text).description, str)


def test_own_words_win_over_the_docstring() -> None:
    def f(n: Annotated[int, Field(ge=1, description="own")], line: Line) -> None:
        """Do.

        Args:
            n: from the docstring
            line: what to order
        """

    properties = parameters(f)["properties"]
    assert properties["n"] == {"type": "integer", "minimum": 1, "description": "own"}
    assert properties["line"]["description"] == "what to order"
    assert describe(f, description="  Other\n  words. ").description == "Other\nwords."


# --- types ------------------------------------------------------------------------------


def test_the_schema_is_closed_and_has_no_noise() -> None:
    def f(title: str, properties: list[int], line: Line, colour: Colour) -> None: ...

    assert parameters(f) == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "properties": {"type": "array", "items": {"type": "integer"}},
            "line": {
                "type": "object",
                "description": "One line of an order.",
                "properties": {
                    "sku": {"type": "string"},
                    "amount": {"type": "integer", "default": 1},
                },
                "required": ["sku"],
                "additionalProperties": False,
            },
            "colour": {"type": "string", "enum": ["red", "blue"]},
        },
        "required": ["title", "properties", "line", "colour"],
        "additionalProperties": False,
    }


def test_no_parameters_is_an_empty_closed_object() -> None:
    def f() -> None: ...

    schema = parameters(f)
    assert schema["properties"] == {}
    assert schema["additionalProperties"] is False


def test_definitions_stay_only_where_they_are_needed() -> None:
    def f(tree: Tree, first: Line, second: Line, red: Colour, blue: Colour) -> None: ...

    schema = parameters(f)
    assert schema["$defs"].keys() == {"Tree", "Line"}
    assert schema["properties"]["red"] == {"type": "string", "enum": ["red", "blue"]}
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}


def test_constraints_beside_a_reference_keep_both() -> None:
    def f(colour: Annotated[Colour, Field(json_schema_extra={"maxLength": 3})]) -> None: ...

    schema = parameters(f)
    jsonschema.validate({"colour": "red"}, schema)
    for bad in ("blue", "no"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"colour": bad}, schema)


class Husband(BaseModel):
    wife: "Wife | None" = None


class Wife(BaseModel):
    husband: Husband | None = None


def test_types_that_refer_to_each_other_end() -> None:
    def f(husband: Husband) -> None: ...

    schema = parameters(f)
    assert len(schema["$defs"]) == 1
    pair = {"husband": {"wife": {"husband": {"wife": None}}}}
    jsonschema.validate(pair, schema)
    assert describe(f).arguments.validate(json.dumps(pair))["husband"].wife.husband.wife is None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"husband": {"wife": {"husband": 3}}}, schema)


def test_a_shared_definition_does_not_multiply() -> None:
    model: Any = Line
    for level in range(12):
        model = type(f"L{level}", (BaseModel,), {"__annotations__": {"a": model, "b": model}})

    def f(deep) -> None: ...  # type: ignore[no-untyped-def]

    f.__annotations__["deep"] = model
    assert len(json.dumps(parameters(f))) < 5_000


def test_tagged_unions_are_plain_json_schema() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    def f(pet: Annotated[Cat | Dog, Field(discriminator="kind")]) -> None: ...

    pet = parameters(f)["properties"]["pet"]
    assert len(pet["anyOf"]) == 2
    assert not {"oneOf", "discriminator"} & pet.keys()


def test_defaults_that_a_model_could_write_are_told() -> None:
    def f(
        n: int = 3,
        colour: Colour = Colour.RED,
        day: date = date(2024, 1, 2),
        nothing: int | None = None,
        wrong: int = "three",  # type: ignore[assignment]
        point: Point = Point(1, 2),  # noqa: B008
        secret: Any = object(),  # noqa: B008
    ) -> None: ...

    schema = parameters(f)
    told = {k: v["default"] for k, v in schema["properties"].items() if "default" in v}
    assert told == {
        "n": 3,
        "colour": "red",
        "day": "2024-01-02",
        "nothing": None,
        "point": {"x": 1, "y": 2},
    }
    assert "required" not in schema


@dataclass
class Band:
    low: float
    high: float = math.inf


class Limits(BaseModel):
    most: float = math.inf
    bands: dict[str, float] = {"any": -math.inf}


def test_defaults_that_json_cannot_spell_are_not_told() -> None:
    def f(
        band: Band,
        limits: Limits,
        max_price: float | None = math.inf,
        worst: float | None = math.nan,
        prices: dict[str, float | None] = {"any": math.inf},  # noqa: B006
        whole: Band = Band(1.0),  # noqa: B008
    ) -> None: ...

    schema = parameters(f)
    assert '"default"' not in json.dumps(schema, allow_nan=False)
    assert schema["required"] == ["band", "limits"]


@pytest.mark.parametrize("error", [ModelRetry("too small"), KeyError("too small")])
def test_defaults_that_a_check_refuses_are_not_told(error: Exception) -> None:
    def refuse(value: int) -> int:
        raise error

    def f(a: Annotated[int, AfterValidator(refuse)] = 0) -> None: ...

    assert parameters(f)["properties"] == {"a": {"type": "integer"}}


def test_omitted_arguments_stay_away() -> None:
    def f(a: int, b: list[int] | None = None) -> None: ...

    assert describe(f).arguments.validate('{"a": 1}') == {"a": 1}


def test_a_leading_context_is_hidden() -> None:
    def f(ctx: RunContext[int], a: int) -> None: ...
    def g(ctx: RunContext, /, a: int) -> None: ...  # type: ignore[type-arg]
    def h(ctx: "RunContext[int]") -> None: ...

    for function, names in ((f, ["a"]), (g, ["a"]), (h, [])):
        schema = describe(function)
        assert schema.takes_context
        assert list(schema.parameters["properties"]) == names


def test_awkward_parameter_names_work() -> None:
    def f(json: int, copy: int, _hidden: int, model_config: int, schema: int) -> None: ...

    text = '{"json": 1, "copy": 2, "_hidden": 3, "model_config": 4, "schema": 5}'
    assert describe(f).arguments.validate(text) == {
        "json": 1,
        "copy": 2,
        "_hidden": 3,
        "model_config": 4,
        "schema": 5,
    }


def test_partials_offer_what_is_left() -> None:
    schema = describe(functools.partial(google, when="noon"))
    assert schema.name == "google"
    assert list(schema.parameters["properties"]) == ["order_id"]
    assert schema.description.startswith("Fetch one order.")
    assert list(describe(functools.partial(google, 1)).parameters["properties"]) == ["when"]


def test_bound_methods_callable_objects_and_wrappers() -> None:
    class Shop:
        def order(self, a: int) -> None:
            """Order."""

        def __call__(self, b: int) -> None:
            """Call."""

    @functools.wraps(google)
    def wrapper(*args: Any, **kwargs: Any) -> str:
        return google(*args, **kwargs)

    assert list(parameters(Shop().order)["properties"]) == ["a"]
    assert list(parameters(functools.lru_cache(google))["properties"]) == ["order_id", "when"]
    assert list(parameters(wrapper)["properties"]) == ["order_id", "when"]
    called = describe(Shop(), name="shop")
    assert (called.name, called.description) == ("shop", "Call.")
    assert list(called.parameters["properties"]) == ["b"]


def test_the_signature_of_a_data_class_is_no_description() -> None:
    @dataclass
    class Scale:
        factor: int

        def __call__(self, a: int) -> int:
            return self.factor * a

    @dataclass
    class Documented(Scale):
        """Scales."""

    assert describe(Scale(2)).description == ""
    assert describe(functools.partial(Scale(2), a=1)).description == ""
    assert describe(Documented(2)).description == "Scales."


# --- refusals ---------------------------------------------------------------------------


def _bare(x) -> None: ...  # type: ignore[no-untyped-def]
def _args(*rest: int) -> None: ...
def _kwargs(**rest: int) -> None: ...
def _positional(x: int, /) -> None: ...
def _late_context(a: int, ctx: RunContext[None]) -> None: ...
def _keyword_context(*, ctx: RunContext[None]) -> None: ...
def _no_schema(ok: int, x: logging.Logger) -> None: ...
def _callback(x: "functools.partial[int]") -> None: ...
def _iterable(x: Iterable[int]) -> None: ...
def _optional_iterable(x: Iterable[int] | None = None) -> None: ...
def _unknown(x: "Missing") -> None: ...  # type: ignore[name-defined] # noqa: F821
def _broken(x: "list[") -> None: ...  # type: ignore[valid-type] # noqa: F722
def _field(x: int = Field(default=3)) -> None: ...
def _inner_default(x: Annotated[int, Field(default=3)]) -> None: ...
def _alias(x: Annotated[int, Field(alias="y")]) -> None: ...
def _generator(x: int) -> Any:
    yield x


async def _async_generator(x: int) -> Any:
    yield x


class _Shop:
    def order(self, x: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameter", "fix"),
    [
        (_bare, "x", "x: str"),
        (_args, "rest", "named parameters"),
        (_kwargs, "rest", "named parameters"),
        (_positional, "x", "remove the /"),
        (_late_context, "ctx", "move it to the front"),
        (_keyword_context, "ctx", "move it to the front"),
        (_no_schema, "x", "dataclass"),
        (_callback, "x", "dataclass"),
        (_iterable, "x", "write list or Sequence"),
        (_optional_iterable, "x", "write list or Sequence"),
        (_unknown, "x", "module level"),
        (_broken, "x", "module level"),
        (_field, "x", "Annotated"),
        (_inner_default, "x", "in the signature"),
        (_alias, "x", "rename"),
        (_Shop.order, "self", "tool(thing.method)"),
        (_generator, "", "return a list"),
        (_async_generator, "", "return a list"),
        (_Shop, "", "write a function"),
        (3, "", "give a function"),
        (lambda: None, "", "write a def"),
        (len, "obj", "it is positional-only"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_fix(
    function: Any, parameter: str, fix: str
) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        describe(function)
    name = "int" if function == 3 else function.__name__
    assert repr(name) in str(caught.value)
    assert fix in str(caught.value)
    if parameter:
        assert f"parameter {parameter!r}" in str(caught.value)


@pytest.mark.parametrize("name", ["", "1a", "a b", "é", "a.b", "-a", "a" * 65, "a\n"])
def test_names_that_models_do_not_take_are_refused(name: str) -> None:
    with pytest.raises(ToolDefinitionError, match="no tool name"):
        describe(google, name=name)


# --- validation -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["not JSON"]),
        ("", ["not JSON"]),
        ("[1]", ["object"]),
        ("null", ["object"]),
        ("```json\n{}\n```", ["not JSON", "code fence"]),
        ('{"order_id": NaN}', ["not JSON"]),
        ('{"order_id": 1e999}', ["too large"]),
        ('{"order_id": 1, "when": "\ud800"}', ["surrogate"]),
        ('{"order_id": 1, "when": "\\ud800"}', ["not JSON"]),
        ("[" * 100_000, ["not JSON"]),
        ("9" * 5_000, ["not JSON"]),
        ("{}", ["order_id: missing"]),
        ('{"order_id": "1"}', ["order_id", "integer", '"1"']),
        ('{"order_id": true, "when": 3}', ["order_id", "when", "string"]),
        ('{"order_id": 1, "whn": "x"}', ["whn", "not known"]),
    ],
)
def test_bad_arguments_are_named(text: str, words: list[str]) -> None:
    with pytest.raises(ModelRetry) as caught:
        describe(google).arguments.validate(text)
    assert all(word in str(caught.value) for word in words)
    str(caught.value).encode()


def test_nested_problems_have_a_path_without_union_branches() -> None:
    def f(lines: list[Line | Point], deep: Tree) -> None: ...

    text = '{"lines": [{"sku": "a"}, {"sku": 1}], "deep": {"value": 1, "children": [{}]}}'
    with pytest.raises(ModelRetry) as caught:
        describe(f).arguments.validate(text)
    message = str(caught.value)
    assert "- lines[1].sku: Input should be a valid string, got 1\n" in message
    assert "- lines[1].x: missing\n" in message
    assert message.endswith("- deep.children[0].value: missing")


def test_long_lists_of_problems_are_cut() -> None:
    def f(numbers: list[int]) -> None: ...

    with pytest.raises(ModelRetry, match="and 92 more"):
        describe(f).arguments.validate(json.dumps({"numbers": ["x" * 500] * 100}))


def test_long_messages_of_problems_are_cut() -> None:
    codes = Literal.__getitem__(tuple(f"code-{number}" for number in range(2000)))
    schema = describe(_function({"codes": list[codes]}, set()))
    with pytest.raises(ModelRetry, match=r"codes\[7\]: Input should be 'code-0'") as caught:
        schema.arguments.validate(json.dumps({"codes": [f"kode-{n}" for n in range(8)]}))
    assert 'got "kode-7"' in str(caught.value)
    assert len(str(caught.value)) < 4_000


def test_nested_unknown_fields_are_refused_unless_asked_for() -> None:
    def closed(line: Line) -> None: ...
    def opened(thing: Open) -> None: ...

    with pytest.raises(ModelRetry, match=r"line\.colour"):
        describe(closed).arguments.validate('{"line": {"sku": "a", "colour": 1}}')
    thing = describe(opened).arguments.validate('{"thing": {"name": "a", "colour": 1}}')["thing"]
    assert thing.model_extra == {"colour": 1}
    with pytest.raises(ModelRetry, match="other"):
        describe(opened).arguments.validate('{"thing": {"name": "a"}, "other": 1}')


@given(st.text())
def test_any_text_gives_arguments_or_a_retry(text: str) -> None:
    with pytest.raises(ModelRetry):
        describe(google).arguments.validate(text)


def _function(types: dict[str, Any], optional: set[str]) -> Any:
    """A function with these parameters that returns what it was called with."""

    def function(**arguments: Any) -> dict[str, Any]:
        return arguments

    keyword = inspect.Parameter.KEYWORD_ONLY
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                keyword,
                annotation=t,
                default="unset" if name in optional else inspect.Parameter.empty,
            )
            for name, t in types.items()
        ]
    )
    return function


@given(st.data(), st.lists(cases, min_size=1, max_size=3))
def test_valid_json_reaches_the_function_with_its_python_types(
    data: st.DataObject, drawn: list[Case]
) -> None:
    named = {f"p{index}": case for index, case in enumerate(drawn)}
    optional = data.draw(st.sets(st.sampled_from(sorted(named))))
    given_names = sorted(named.keys() - (optional if data.draw(st.booleans()) else set()))
    function = _function({name: case.type for name, case in named.items()}, optional)
    value = {name: data.draw(named[name].valid) for name in given_names}
    schema = describe(function)
    jsonschema.Draft202012Validator.check_schema(schema.parameters)
    jsonschema.validate(value, schema.parameters)
    arguments = schema.arguments.validate(json.dumps(value))
    received = schema.arguments.bind(function, arguments)()
    assert received.keys() == set(given_names)
    assert all(named[name].arrived(received[name]) for name in given_names)


def _mangled(value: Any) -> st.SearchStrategy[Any]:
    """`value` with one place changed, at any depth."""
    anything = json_values
    if isinstance(value, list) and value:
        return anything | st.integers(0, len(value) - 1).flatmap(
            lambda i: _mangled(value[i]).map(lambda new: [*value[:i], new, *value[i + 1 :]])
        )
    if isinstance(value, dict) and value:
        key = st.sampled_from(sorted(value))
        dropped = key.map(lambda k: {n: v for n, v in value.items() if n != k})
        added = anything.map(lambda new: value | {"added": new})
        changed = key.flatmap(lambda k: _mangled(value[k]).map(lambda new: value | {k: new}))
        return anything | dropped | added | changed
    return anything


@given(st.data(), cases)
def test_schema_and_validation_accept_the_same(data: st.DataObject, case: Case) -> None:
    schema = describe(_function({"p": case.type}, set()))
    valid = {"p": data.draw(case.valid)}
    value = data.draw(_mangled(valid))
    expected = jsonschema.Draft202012Validator(schema.parameters).is_valid(value)
    try:
        schema.arguments.validate(json.dumps(value))
        accepted = True
    except ModelRetry:
        accepted = False
    assert accepted == expected
