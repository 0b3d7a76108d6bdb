"""The commands and their options."""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agentkit.agent import Agent
from agentkit.cli import local, once, picture
from agentkit.cli.catalogue import catalogue
from agentkit.cli.chat import CUT, Chat, piped_lines, typed_lines
from agentkit.cli.failures import UsageError, sentences
from agentkit.cli.served import check_serving, serve_model
from agentkit.cli.served import serve as serve_tools
from agentkit.cli.show import shown
from agentkit.cli.tool_names import load_tools
from agentkit.models import Model, ModelSettings
from agentkit.strategy import Act
from agentkit.tool import Tool
from agentkit.trace import Recorder

_EXAMPLES = """\b
Examples:
  agentkit chat
  agentkit chat --tools my_tools:search --tools my_tools:calendar
  agentkit run "What is 17 * 23?" --tools tools:calculator --call-first
  agentkit run "Which day is it?" --tools my_tools:tools --json
  agentkit trace "What is 17 * 23?" -o trace.html
  agentkit mcp my_tools:search
  agentkit serve --port 8000
"""
_CHAT_EXAMPLES = """\b
Examples:
  agentkit chat --temperature 0.7
  agentkit chat --tools my_tools:add --instructions "Answer in one sentence."
  agentkit chat < questions.txt
"""
_RUN_EXAMPLES = """\b
Examples:
  agentkit run "What is 17 * 23?" --tools my_tools:multiply
  agentkit run "Hello" --model ./my-model --max-tokens 64
  agentkit run "Hello" --json | jq .usage
"""
_TRACE_EXAMPLES = """\b
Examples:
  agentkit trace "Tell me about tides." --max-tokens 80
  agentkit trace "What is 17 * 23?" --tools tools:calculator --call-first --mode auto -o run.html
"""
_SERVE_EXAMPLES = """\b
Examples:
  agentkit serve
  agentkit serve --model ./my-model --mode auto --host 0.0.0.0 --port 9000
"""
_MCP_EXAMPLES = """\b
Examples:
  agentkit mcp tools:calculator
  agentkit mcp my_agent:agent my_tools:search --name helper
"""

app = typer.Typer(
    name="agentkit",
    help="Run tool-using agents on a model inside this process.",
    epilog=_EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="A model; see `agentkit models`.")
]
ToolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tools",
        metavar="MODULE:VARIABLE",
        help="A function, a Tool, a list of them or an Agent; the current directory is importable. "
        "Repeat for more.",
    ),
]
ModeOption = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="MODE",
        help=f"How to decode: {', '.join(local.MODES)}. diffusion needs a model with a diffusion "
        "pathway: an embedded one, or Nemotron-Labs-Diffusion.",
    ),
]
InstructionsOption = Annotated[
    str, typer.Option("--instructions", metavar="TEXT", help="What the model is told beforehand.")
]
CallFirstOption = Annotated[
    bool,
    typer.Option(
        "--call-first",
        help="Answer only after a tool call; very small models seldom decide to call.",
    ),
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", min=1, help="Longest answer of one turn.")
]
TemperatureOption = Annotated[
    float | None,
    typer.Option("--temperature", metavar="T", min=0.0, help="0 decodes greedily, the default."),
]
QuestionArgument = Annotated[
    str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command(epilog=_CHAT_EXAMPLES)
def chat(
    model: ModelOption = local.DEFAULT_MODEL,
    tools: ToolsOption = None,
    call_first: CallFirstOption = False,
    mode: ModeOption = "autoregressive",
    instructions: InstructionsOption = "",
    max_tokens: MaxTokensOption = None,
    temperature: TemperatureOption = None,
    debug: DebugOption = False,
) -> None:
    """Talk with a model.

    Ctrl-C stops an answer, /clear starts over, /exit or Ctrl-D leaves.
    """
    errors = _errors()
    interactive = sys.stdin.isatty()
    console = Console(file=sys.stdout, force_terminal=None if interactive else False)
    with sentences(errors, debug=debug):
        settings = _settings(max_tokens, temperature)
        toolset = _prepare(tools, call_first, mode, instructions)
        with local.opened(model, mode, errors) as opened:
            agent = _agent(opened, toolset, call_first, instructions, settings)
            if interactive:
                _greet(console, agent, mode)
            lines = typed_lines(console) if interactive else piped_lines()
            Chat(agent, console, errors, debug).run(lines)


@app.command(epilog=_RUN_EXAMPLES)
def run(
    question: QuestionArgument,
    model: ModelOption = local.DEFAULT_MODEL,
    tools: ToolsOption = None,
    call_first: CallFirstOption = False,
    mode: ModeOption = "autoregressive",
    instructions: InstructionsOption = "",
    max_tokens: MaxTokensOption = None,
    temperature: TemperatureOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print output, usage and messages as one JSON object.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Ask one question.

    The answer goes to stdout, the steps to it go to stderr.
    """
    errors = _errors()
    with sentences(errors, debug=debug):
        settings = _settings(max_tokens, temperature)
        _check_question("run", question)
        toolset = _prepare(tools, call_first, mode, instructions)
        with local.opened(model, mode, errors) as opened:
            agent = _agent(opened, toolset, call_first, instructions, settings)
            result = once.answer(agent, question, errors)
        output = shown(result.output) if sys.stdout.isatty() else result.output
        typer.echo(once.as_json(result) if as_json else output)
        if result.finish_reason == "length":
            errors.print(CUT, style="dim", soft_wrap=True)


@app.command(epilog=_TRACE_EXAMPLES)
def trace(
    question: QuestionArgument,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Where the page goes; - for stdout."),
    ] = picture.DEFAULT_PATH,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is not such a page.")
    ] = False,
    model: ModelOption = local.DEFAULT_MODEL,
    tools: ToolsOption = None,
    call_first: CallFirstOption = False,
    mode: ModeOption = "autoregressive",
    instructions: InstructionsOption = "",
    max_tokens: MaxTokensOption = None,
    temperature: TemperatureOption = None,
    debug: DebugOption = False,
) -> None:
    """Ask one question and draw how its answer was decoded.

    Writes one HTML page, also of a run that fails or is stopped with Ctrl-C, and prints where
    it is. The steps and the answer go to stderr.
    """
    errors = _errors()
    with sentences(errors, debug=debug):
        settings = _settings(max_tokens, temperature)
        _check_question("trace", question)
        picture.check_target(output, force=force)
        toolset = _prepare(tools, call_first, mode, instructions)
        with local.opened(model, mode, errors) as opened:
            agent = _agent(opened, toolset, call_first, instructions, settings)
            recorder = Recorder()
            with picture.drawn(recorder, output, errors), recorder:
                once.answer(agent, question, errors, shows_answer=True, watcher=recorder.add)


@app.command()
def models() -> None:
    """List what can be loaded."""
    typer.echo(catalogue())


@app.command(epilog=_MCP_EXAMPLES)
def mcp(
    tools: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:VARIABLE...",
            help="A function, a Tool, a list of them or an Agent, whose tools are served; the "
            "current directory is importable.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What clients call the server.")
    ] = "agentkit",
    debug: DebugOption = False,
) -> None:
    """Serve tools to MCP clients.

    Speaks over stdin and stdout until stdin ends; a client starts it as its server.
    """
    with sentences(_errors(), debug=debug):
        with redirect_stdout(sys.stderr):  # what modules print as they are imported
            loaded = load_tools(tools, without_waiting=True)
        serve_tools(loaded, name)


@app.command(epilog=_SERVE_EXAMPLES)
def serve(
    model: ModelOption = local.DEFAULT_MODEL,
    mode: ModeOption = "autoregressive",
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 for everybody."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 for any.")
    ] = 8000,
    debug: DebugOption = False,
) -> None:
    """Serve a model to clients of the OpenAI API.

    Chat completions with tools and JSON schemas, at /v1, until Ctrl-C. Nobody is asked who they
    are.
    """
    errors = _errors()
    with sentences(errors, debug=debug):
        local.check_mode(mode)
        check_serving()
        with local.opened(model, mode, errors) as opened:
            serve_model(opened, host, port, errors)


def main() -> None:
    """The program `agentkit`."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()


def _errors() -> Console:
    # Bound to stderr as it is now: converting weights redirects it for a while.
    return Console(file=sys.stderr)


def _prepare(tools: list[str] | None, call_first: bool, mode: str, instructions: str) -> list[Tool]:
    """Finds what is wrong with the options before a model is loaded."""
    if call_first and not tools:
        raise UsageError("--call-first needs something to call; add --tools MODULE:VARIABLE")
    local.check_mode(mode)
    _check_text("--instructions", instructions)
    return load_tools(tools or [])


def _settings(max_tokens: int | None, temperature: float | None) -> ModelSettings:
    try:
        return ModelSettings(max_tokens=max_tokens, temperature=temperature)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _check_question(command: str, question: str) -> None:
    _check_text("the question", question)
    if not question.strip():
        raise UsageError(f'the question is empty; write it in quotes: agentkit {command} "Hello"')


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not text in UTF-8; write it in that encoding") from None


def _agent(
    model: Model,
    tools: list[Tool],
    call_first: bool,
    instructions: str,
    settings: ModelSettings,
) -> Agent[None, str]:
    return Agent(
        model,
        tools=tools,
        instructions=instructions,
        strategy=Act(call_first=call_first),
        settings=settings,
    )


def _greet(console: Console, agent: Agent[None, str], mode: str) -> None:
    names = ", ".join(tool.name for tool in agent.tools) or "none"
    about = f"{agent.model.name} · {mode} · tools: {names}"
    leave = "Ctrl-C stops an answer, /clear starts over, /exit or Ctrl-D leaves"
    console.print(f"{about}\n{leave}", style="dim", markup=False, highlight=False, soft_wrap=True)
