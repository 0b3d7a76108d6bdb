"""`agentkit trace`: a run as one HTML page."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from agentkit.cli.failures import UsageError, say
from agentkit.trace import Recorder, RunTrace, is_page, render

DEFAULT_PATH = Path("trace.html")
STDOUT = Path("-")
_HEAD = 1000  # bytes that tell a page of ours from any other file


def check_target(path: Path, *, force: bool) -> None:
    """Raises `UsageError` where the page could not be written to `path`, or would replace a file
    that is not such a page itself."""
    if path == STDOUT:
        return
    try:
        _check_target(path, force=force)
    except OSError as error:
        raise _unusable(path, error) from None


def _check_target(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a directory; give a file: -o {path / DEFAULT_PATH}")
    if not path.parent.is_dir():
        raise UsageError(f"there is no directory {path.parent}; make it, or write elsewhere")
    if path.exists() and not force and not _is_page(path):
        raise UsageError(
            f"{path} is there and was not made by this command; "
            "write elsewhere with -o, or replace it with --force"
        )


@contextmanager
def drawn(recorder: Recorder, path: Path, errors: Console) -> Iterator[None]:
    """Writes the page of the run inside, also of one that fails. Its error is then the one that
    is raised; that the page cannot be written is told before it."""
    try:
        yield
    except BaseException:
        try:
            write(recorder.trace(), path)
        except Exception as error:  # noqa: BLE001 - why the run failed matters more
            say(errors, error)
        raise
    write(recorder.trace(), path)


def write(trace: RunTrace, path: Path) -> None:
    """Writes the page and prints where it is; for `-` prints the page itself.

    Raises `UsageError` where the file cannot be written.
    """
    page = render(trace)
    if path == STDOUT:
        sys.stdout.buffer.write(page.encode())
        sys.stdout.flush()
        return
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise _unusable(path, error) from None
    sys.stdout.write(f"{path.resolve()}\n")


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return is_page(file.read(_HEAD).decode(errors="replace"))


def _unusable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be written: {error.strerror}; write elsewhere with -o")
