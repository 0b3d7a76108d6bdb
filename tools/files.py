"""Reading the text files under one folder, and writing them if allowed. POSIX only."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import Field

from agentkit import ModelRetry, Tool, ToolError, tool
from tools.file_changes import Approve, Writer
from tools.rooted import (
    MAX_FILE_BYTES,
    is_regular,
    opened_folder,
    opened_root,
    parts_of,
    read_bytes,
)

_MAX_LISTED = 200
_MAX_FOUND = 50
_MAX_PAGE = 8_000
_MAX_LINE = 200


def files(
    root: str | Path,
    *,
    writable: bool = False,
    approve: Approve | None = None,
    requires_approval: bool = False,
) -> tuple[Tool, ...]:
    """The tools `list_files`, `read_file` and `search_files` for the folder `root`, and if
    `writable` also `write_file`, `append_to_file` and `replace_in_file`.

    Nothing outside `root` can be reached: absolute paths and `..` are refused, links are never
    followed, inside or out (each component of a path is opened on its own and must not be a
    link, so swapping one in at the last moment gains nothing), and only regular files are
    opened. Text is read as UTF-8, other bytes become the replacement character. Results come
    in a fixed order and are cut to what a model can read, with a note. Names with control
    characters, or that are not UTF-8, are left out.

    A file is written as a whole, to the disk, under a name of its own that then takes the old
    one's place; who reads sees the old text or the new. Existing files are changed only if
    they are UTF-8 text; none grows beyond 1 MiB, but their number is not limited. Hidden
    files can be written like others: do not give a folder from which something is run.

    `approve` is asked before each change, with a `FileChange`, and may be sync (it runs in a
    thread, and may wait) or async; all but True refuses, which the model is told. A change
    is written only if the file is still as it was shown. None approves everything.
    With `requires_approval` the run itself waits before each change, in its log, for a decision
    on the call; see `Agent.resume`. With both, `approve` is asked afterwards.

    Raises `FileNotFoundError` or `NotADirectoryError` unless `root` is a folder, and
    `ValueError` for `approve` or `requires_approval` without `writable`.
    """
    if (approve is not None or requires_approval) and not writable:
        raise ValueError("only changes are approved, and there are none: add writable=True")
    path = Path(root).resolve(strict=True)
    folder = _Folder(path)
    with opened_root(path):  # shows now, not at the first call, whether it can be read
        reading = (
            tool(folder.list_files, idempotent=True),
            tool(folder.read_file, idempotent=True),
            tool(folder.search_files, idempotent=True),
        )
    if not writable:
        return reading
    writer = Writer(path, approve)
    write = (writer.write_file, writer.append_to_file, writer.replace_in_file)
    return *reading, *(tool(each, requires_approval=requires_approval) for each in write)


class _Entry(NamedTuple):
    """A regular file: its path under the root, and its name in an open folder. The descriptor
    is valid until the next entry is asked for."""

    path: str
    folder: int
    name: str


class _Text(NamedTuple):
    """The lines of a file, ends kept. `is_whole` False: it is longer than may be read."""

    lines: list[str]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class _Folder:
    """Holds nothing open between calls, so any number of calls may run at once."""

    root: Path

    def list_files(self, pattern: str = "*") -> str:
        """List the files, one path on each line.

        Args:
            pattern: which ones, for example *.txt or notes/*; * matches subfolders too
        """
        with self._opened() as root:
            paths = [entry.path for entry in islice(_entries(root, pattern), _MAX_LISTED + 1)]
        if not paths:
            return f"no file matches {pattern}"
        return _listing(paths, _MAX_LISTED, "files; use a narrower pattern")

    def read_file(self, path: str, first_line: Annotated[int, Field(ge=1)] = 1) -> str:
        """Read a text file.

        Args:
            path: as list_files gives it
            first_line: where to start, to read on in a long file
        """
        parts = parts_of(path)
        try:
            with (
                opened_root(self.root) as root,
                opened_folder(root, parts[:-1]) as folder,
            ):
                text = _read(parts[-1], folder)
        except OSError as error:
            raise ModelRetry(f"{path}: {error.strerror}; list_files tells what is there") from error
        if first_line > max(1, len(text.lines)):
            raise ModelRetry(f"{path} has only {len(text.lines)} lines")
        return _page(text, first_line)

    def search_files(self, text: str, pattern: str = "*") -> str:
        """Find the lines that contain a text, upper or lower case.

        Args:
            text: what to look for, word for word
            pattern: in which files, for example *.txt
        """
        if not text.strip():
            raise ModelRetry("text is empty; give the words to look for")
        with self._opened() as root:
            found = list(islice(_found(root, text.casefold(), pattern), _MAX_FOUND + 1))
        if not found:
            return f"no line contains {text}"
        return _listing(found, _MAX_FOUND, "lines; use a longer text or a narrower pattern")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The root. What the system refuses leaves as `ToolError`: no other call helps."""
        try:
            with opened_root(self.root) as root:
                yield root
        except OSError as error:
            raise ToolError(f"the folder cannot be read: {error.strerror or error}") from error


def _entries(root: int, pattern: str) -> Iterator[_Entry]:
    anywhere = pattern.removeprefix("**/")
    for folder, subfolders, names, descriptor in os.fwalk(".", dir_fd=root):
        subfolders[:] = sorted(filter(str.isprintable, subfolders))
        for name in sorted(filter(str.isprintable, names)):
            path = str(PurePosixPath(folder, name))
            is_match = fnmatchcase(path, pattern) or fnmatchcase(path, anywhere)
            if is_match and is_regular(name, descriptor):
                yield _Entry(path, descriptor, name)


def _read(name: str, folder: int) -> _Text:
    """Raises `OSError` for what is missing, a link, not a regular file or not text."""
    content, is_whole, _ = read_bytes(name, folder)
    text = content.decode("utf-8-sig", errors="replace")
    return _Text(text.splitlines(keepends=True), is_whole)


def _found(root: int, needle: str, pattern: str) -> Iterator[str]:
    for entry in _entries(root, pattern):
        try:
            lines = _read(entry.name, entry.folder).lines
        except OSError:
            continue  # binary, unreadable or gone: nothing in it to find
        for number, line in enumerate(lines, start=1):
            if needle in line.casefold():
                yield f"{entry.path}:{number}: {_cut(line.strip(), _MAX_LINE)}"


def _page(text: _Text, first_line: int) -> str:
    """As many lines as fit, at least the beginning of one, and how to read on."""
    shown: list[str] = []
    room = _MAX_PAGE
    for number, line in enumerate(text.lines[first_line - 1 :], start=first_line):
        if shown and len(line) > room:
            return "".join([*shown, f"[cut here; read on with first_line={number}]"])
        shown.append(_cut(line, room))
        room -= len(line)
    if not text.is_whole:
        shown.append(f"[cut here; only the first {MAX_FILE_BYTES} bytes can be read]")
    return "".join(shown) or "(the file is empty)"


def _cut(line: str, length: int) -> str:
    return line if len(line) <= length else f"{line[:length]} [line cut]\n"


def _listing(items: Iterable[str], most: int, what: str) -> str:
    lines = list(items)
    note = [f"[more than {most} {what}]"] if len(lines) > most else []
    return "\n".join([*lines[:most], *note])
