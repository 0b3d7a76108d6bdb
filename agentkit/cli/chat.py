"""`agentkit chat`: one question after another."""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import anyio
from rich.console import Console

from agentkit.agent import Agent
from agentkit.cli.failures import say
from agentkit.cli.show import EventPrinter
from agentkit.errors import AgentError
from agentkit.messages import Message

with contextlib.suppress(ImportError):  # not on every platform; gives `input` its line editing
    import readline  # noqa: F401

CUT = "the answer was cut at its token limit; --max-tokens raises it"


@dataclass(slots=True)
class Chat:
    """A conversation. `history` grows with every answer that came to its end."""

    agent: Agent[None, str]
    console: Console
    errors: Console
    debug: bool = False
    history: Sequence[Message] = ()

    def run(self, questions: Iterator[str]) -> None:
        """Answers until there are no more questions, or until /exit."""
        for line in questions:
            match line.strip():
                case "":
                    continue
                case "/exit":
                    return
                case "/clear":
                    self.history = ()
                    self._note("cleared")
                case command if re.fullmatch(r"/\w+", command):
                    self._note(f"there is no command {command}; there are /clear and /exit")
                case question:
                    self._answer(question)

    def _answer(self, question: str) -> None:
        """One answer. An event loop of its own per answer makes Ctrl-C cancel just that."""
        printer = EventPrinter(self.console)
        try:
            anyio.run(self._converse, question, printer)
        except KeyboardInterrupt:
            printer.end_line()
            self._note("cancelled")
        except AgentError as error:
            printer.end_line()
            if self.debug:
                raise
            say(self.errors, error)

    async def _converse(self, question: str, printer: EventPrinter) -> None:
        async with self.agent.run_stream(question, message_history=self.history) as run:
            async for event in run:
                printer.show(event)
        self.history = run.result.messages
        if run.result.finish_reason == "length":
            self._note(CUT)

    def _note(self, text: str) -> None:
        self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def typed_lines(console: Console) -> Iterator[str]:
    """Lines from a terminal, until Ctrl-D. Ctrl-C drops the line."""
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            console.print()
        except EOFError:
            console.print()
            return


def piped_lines() -> Iterator[str]:
    """Lines from a file or pipe, each as soon as it is there."""
    yield from iter(sys.stdin.readline, "")
