"""Reading the text files under one folder, and nothing else. POSIX only."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import Field

from agentkit import ModelRetry, Tool, tool

_MAX_LISTED = 200
_MAX_FOUND = 50
_MAX_FILE_BYTES = 1 << 20
_MAX_PAGE = 8_000
_MAX_LINE = 200

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def files(root: str | Path) -> tuple[Tool, ...]:
    """The tools `list_files`, `read_file` and `search_files` for the folder `root`.

    Nothing outside `root` can be reached: absolute paths and `..` are refused, links are never
    followed, inside or out (each component of a path is opened on its own and must not be a
    link, so swapping one in at the last moment gains nothing), and only regular files are
    opened. Text is read as UTF-8, other bytes become the replacement character. Results come
    in a fixed order and are cut to what a model can read, with a note. Names with control
    characters, or that are not UTF-8, are left out.

    Raises `FileNotFoundError` or `NotADirectoryError` unless `root` is a folder.
    """
    folder = _Folder(Path(root).resolve(strict=True))
    with folder.opened():  # shows now, not at the first call, whether it can be read
        return (
            tool(folder.list_files, idempotent=True),
            tool(folder.read_file, idempotent=True),
            tool(folder.search_files, idempotent=True),
        )


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
        with self.opened() as root:
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
        parts = _parts(path)
        try:
            with self.opened() as root:
                text = _read(root, parts)
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
        with self.opened() as root:
            found = list(islice(_found(root, text.casefold(), pattern), _MAX_FOUND + 1))
        if not found:
            return f"no line contains {text}"
        return _listing(found, _MAX_FOUND, "lines; use a longer text or a narrower pattern")

    @contextmanager
    def opened(self) -> Iterator[int]:
        descriptor = os.open(self.root, _OPEN_FOLDER)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _parts(path: str) -> Sequence[str]:
    """The components of a path that a model gave. Raises `ModelRetry` for one that could lead
    out of the root."""
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path:
        raise ModelRetry(f"{path!r} names no file; give a path as list_files does")
    if path.startswith("/") or ".." in parts:
        raise ModelRetry(f"{path}: only paths inside the folder, without / in front and ..")
    return parts


def _entries(root: int, pattern: str) -> Iterator[_Entry]:
    anywhere = pattern.removeprefix("**/")
    for folder, subfolders, names, descriptor in os.fwalk(".", dir_fd=root):
        subfolders[:] = sorted(filter(str.isprintable, subfolders))
        for name in sorted(filter(str.isprintable, names)):
            path = str(PurePosixPath(folder, name))
            is_match = fnmatchcase(path, pattern) or fnmatchcase(path, anywhere)
            if is_match and _is_regular(name, descriptor):
                yield _Entry(path, descriptor, name)


def _is_regular(name: str, folder: int) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False  # gone since the folder was listed
    return stat.S_ISREG(status.st_mode)


def _read(folder: int, parts: Sequence[str]) -> _Text:
    """Raises `OSError` for what is missing, behind a link, not a regular file or not text."""
    with ExitStack() as stack:
        for name in parts[:-1]:
            folder = os.open(name, _OPEN_FOLDER, dir_fd=folder)
            stack.callback(os.close, folder)
        status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):  # asked before opening, since devices react to that
            raise OSError(errno.EINVAL, "Not a file but a link, a folder or a device")
        descriptor = os.open(parts[-1], _OPEN_FILE, dir_fd=folder)
        handle = stack.enter_context(os.fdopen(descriptor, "rb"))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a file any more")
        content = handle.read(_MAX_FILE_BYTES + 1)
    if b"\0" in content:
        raise OSError(errno.EILSEQ, "Not a text file")
    text = content[:_MAX_FILE_BYTES].decode("utf-8-sig", errors="replace")
    return _Text(text.splitlines(keepends=True), len(content) <= _MAX_FILE_BYTES)


def _found(root: int, needle: str, pattern: str) -> Iterator[str]:
    for entry in _entries(root, pattern):
        try:
            lines = _read(entry.folder, [entry.name]).lines
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
        shown.append(f"[cut here; only the first {_MAX_FILE_BYTES} bytes can be read]")
    return "".join(shown) or "(the file is empty)"


def _cut(line: str, length: int) -> str:
    return line if len(line) <= length else f"{line[:length]} [line cut]\n"


def _listing(items: Iterable[str], most: int, what: str) -> str:
    lines = list(items)
    note = [f"[more than {most} {what}]"] if len(lines) > most else []
    return "\n".join([*lines[:most], *note])
