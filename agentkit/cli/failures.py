"""Errors as sentences, with exit codes: 1 for what failed, 2 for what cannot be asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from agentkit.cli.show import shown
from agentkit.errors import AgentError

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class UsageError(Exception):
    """The command line asks for what cannot be: says what to write instead."""


@contextmanager
def sentences(errors: Console, *, debug: bool) -> Iterator[None]:
    """Turns what is raised inside into one line on `errors` and an exit code.

    `debug` lets every error but `UsageError` through, for its traceback.
    """
    try:
        yield
    except UsageError as error:
        say(errors, error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except (typer.Exit, BrokenPipeError):
        raise
    except AgentError as error:
        if debug:
            raise
        say(errors, error)
        raise typer.Exit(1) from None
    except Exception as error:
        if debug:
            raise
        reason = f"{type(error).__name__}: {error}; --debug shows where it was raised"
        say(errors, reason)
        raise typer.Exit(1) from None


def say(errors: Console, reason: object) -> None:
    """One error, on one line."""
    line = " ".join(shown(str(reason)).split())
    errors.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
