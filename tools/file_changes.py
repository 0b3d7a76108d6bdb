"""Writing text files under one folder, after approval. POSIX only."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from anyio import to_thread

from agentkit import ModelRetry, ToolError
from tools.rooted import (
    MAX_FILE_BYTES,
    opened_folder,
    opened_root,
    parts_of,
    read_bytes,
    replace_bytes,
)


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a model wants to write: the whole text of `path` (under the root) before and after.
    `before` is None for a new file."""

    path: str
    before: str | None
    after: str


Approve = Callable[[FileChange], bool | Awaitable[bool]]
_Edit = Callable[[str | None], str]


class _Current(NamedTuple):
    text: str | None
    mode: int | None


@dataclass(frozen=True, slots=True)
class Writer:
    """The functions behind the writing tools. Of several calls at once each sees what the one
    before has written."""

    root: Path
    approve: Approve | None
    _turn: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def write_file(self, path: str, text: str) -> str | Awaitable[str]:
        """Write a text file, in place of the one that is there.

        Args:
            path: under the folder; folders that are missing are made
            text: all that the file shall hold
        """
        return self._change(path, lambda before: text)

    def append_to_file(self, path: str, text: str) -> str | Awaitable[str]:
        """Add text at the end of a text file, or begin a new one with it.

        Args:
            path: under the folder; folders that are missing are made
            text: what to add; it begins a new line only if the file ends with one
        """
        return self._change(path, lambda before: (before or "") + text)

    def replace_in_file(self, path: str, old: str, new: str) -> str | Awaitable[str]:
        """Replace one passage of a text file.

        Args:
            path: as list_files gives it
            old: the passage, letter for letter; it must be there exactly once
            new: what takes its place
        """
        return self._change(path, lambda before: _replaced(path, before, old, new))

    def _change(self, path: str, edit: _Edit) -> str | Awaitable[str]:
        """Writes, or gives what will have written when approval has come."""
        parts = _writable_parts(path)
        if self.approve is None:
            return self._write(parts, edit, None)
        before = self._current(parts).text
        change = FileChange("/".join(parts), before, edit(before))
        _encoded(change)
        answer = self.approve(change)
        if isinstance(answer, Awaitable):
            return self._write_when(parts, edit, change, answer)
        return self._write_if(parts, edit, change, answer)

    async def _write_when(
        self, parts: tuple[str, ...], edit: _Edit, change: FileChange, answer: Awaitable[bool]
    ) -> str:
        return await to_thread.run_sync(self._write_if, parts, edit, change, await answer)

    def _write_if(
        self, parts: tuple[str, ...], edit: _Edit, change: FileChange, is_approved: bool
    ) -> str:
        if is_approved is not True:
            raise ToolError(f"{change.path}: the change was not approved; nothing is written")
        return self._write(parts, edit, change)

    def _write(self, parts: tuple[str, ...], edit: _Edit, approved: FileChange | None) -> str:
        """`approved` holds only for the content it was given for."""
        with self._turn:
            current = self._current(parts)
            if approved is not None and approved.before != current.text:
                raise ModelRetry(
                    f"{approved.path} was changed by somebody else meanwhile; read it again"
                )
            change = FileChange("/".join(parts), current.text, edit(current.text))
            content = _encoded(change)
            try:
                with (
                    opened_root(self.root) as root,
                    opened_folder(root, parts[:-1], make=True) as folder,
                ):
                    replace_bytes(parts[-1], folder, content, current.mode)
            except OSError as error:
                raise _refusal(change.path, error) from error
        return f"{change.path} has {len(content)} bytes now"

    def _current(self, parts: tuple[str, ...]) -> _Current:
        """Raises `ModelRetry` for what is there and cannot be replaced by a text file."""
        path = "/".join(parts)
        try:
            with opened_root(self.root) as root, opened_folder(root, parts[:-1]) as folder:
                content, is_whole, mode = read_bytes(parts[-1], folder)
        except FileNotFoundError:
            return _Current(None, None)
        except OSError as error:
            raise _refusal(path, error) from error
        if not is_whole:
            raise ModelRetry(f"{path} is longer than {MAX_FILE_BYTES} bytes; it stays as it is")
        try:
            return _Current(content.decode(), mode)
        except UnicodeDecodeError as error:
            raise ModelRetry(f"{path} is no UTF-8 text; it stays as it is") from error


def _writable_parts(path: str) -> tuple[str, ...]:
    parts = tuple(parts_of(path))
    if not all(part.isprintable() for part in parts):
        raise ModelRetry(f"{path!r} has characters that no file name should have")
    return parts


def _replaced(path: str, before: str | None, old: str, new: str) -> str:
    if before is None:
        raise ModelRetry(f"{path}: No such file or directory; list_files tells what is there")
    if not old:
        raise ModelRetry("old is empty; give the passage to replace")
    count = before.count(old)
    if count != 1:
        hint = "read_file shows what is" if count == 0 else "give more of what is around it"
        raise ModelRetry(f"{path}: old is there {count} times and must be there once; {hint}")
    return before.replace(old, new)


def _encoded(change: FileChange) -> bytes:
    """Raises `ModelRetry` for what would not be read as a text file again."""
    try:
        content = change.after.encode()
    except UnicodeEncodeError as error:
        raise ModelRetry(f"{change.path}: the text is not Unicode ({error.reason})") from error
    if b"\0" in content:
        raise ModelRetry(f"{change.path}: the text has a NUL character; leave it out")
    if len(content) > MAX_FILE_BYTES:
        raise ModelRetry(
            f"{change.path}: {len(content)} bytes; a file may have {MAX_FILE_BYTES} at most"
        )
    return content


def _refusal(path: str, error: OSError) -> ModelRetry:
    return ModelRetry(f"{path}: {error.strerror}; list_files tells what is there")
