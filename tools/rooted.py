"""Reaching the text files under one folder, and nothing else. POSIX only.

Each component of a path is opened on its own, below the one before, and must not be a link. So
nothing that is swapped in at the last moment leads out.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from agentkit import ModelRetry

MAX_FILE_BYTES = 1 << 20

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Bytes(NamedTuple):
    """What a file holds, up to `MAX_FILE_BYTES`, and its permissions."""

    content: bytes
    is_whole: bool
    mode: int


def parts_of(path: str) -> Sequence[str]:
    """The components of a path that a model gave. Raises `ModelRetry` for one that could lead
    out of the root."""
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path:
        raise ModelRetry(f"{path!r} names no file; give a path as list_files does")
    if path.startswith("/") or ".." in parts:
        raise ModelRetry(f"{path}: only paths inside the folder, without / in front and ..")
    return parts


@contextmanager
def opened_root(root: Path) -> Iterator[int]:
    descriptor = os.open(root, _OPEN_FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_folder(root: int, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """The folder `parts` below the open folder `root`; `make` creates what is missing. Raises
    `OSError`, also for a link."""
    with ExitStack() as stack:
        folder = root
        for name in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=folder)
            folder = os.open(name, _OPEN_FOLDER, dir_fd=folder)
            stack.callback(os.close, folder)
        yield folder


def is_regular(name: str, folder: int) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False  # gone since the folder was listed
    return stat.S_ISREG(status.st_mode)


def read_bytes(name: str, folder: int) -> Bytes:
    """Raises `OSError` for what is missing, a link, not a regular file or not text."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):  # asked before opening, since devices react to that
        raise OSError(errno.EINVAL, "Not a file but a link, a folder or a device")
    descriptor = os.open(name, _OPEN_FILE, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as handle:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a file any more")
        content = handle.read(MAX_FILE_BYTES + 1)
    if b"\0" in content:
        raise OSError(errno.EILSEQ, "Not a text file")
    is_whole = len(content) <= MAX_FILE_BYTES
    return Bytes(content[:MAX_FILE_BYTES], is_whole, stat.S_IMODE(mode))


def replace_bytes(name: str, folder: int, content: bytes, mode: int | None) -> None:
    """Puts a new file in the place of `name`, at once and as a whole: whoever reads sees the
    old content or the new. What was there is not written to, so a link in its place or another
    name of the same file stays as it is. Permissions are `mode`, without set-id bits; None
    leaves them to the umask. Raises `OSError`."""
    temporary = f".new-{secrets.token_hex(8)}"
    descriptor = os.open(temporary, _OPEN_NEW, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            if mode is not None:
                os.fchmod(descriptor, mode & 0o777)
            handle.write(content)
            handle.flush()
            os.fsync(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
