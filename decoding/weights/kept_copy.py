"""Directories that are written once and kept: whole, or not there at all."""

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object

WEIGHTS = "model.safetensors"
_MANIFEST = "manifest.json"
_ABANDONED_SECONDS = 3600.0


def is_intact(directory: Path) -> bool:
    """Whether every file that the manifest lists is there in its full size."""
    try:
        sizes = read_json_object(directory / _MANIFEST)
        found = {name: (directory / name).stat().st_size for name in sizes}
        return WEIGHTS in found and found == sizes
    except (WeightsError, OSError):
        return False


def keep(directory: Path, write: Callable[[Path], None]) -> None:
    """Writes the files beside their place and moves them there whole, so that none sees half.

    Any number of processes may do so at once. Raises `WeightsError` where they cannot be kept.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(directory)
        draft = _beside(directory)
        draft.mkdir()  # with the rights that the user's mask leaves to others
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        write(draft)
        sizes = {file.name: file.stat().st_size for file in draft.iterdir()}
        (draft / _MANIFEST).write_text(json.dumps(sizes), encoding="utf-8")
        readable = draft.stat().st_mode & 0o666
        for file in draft.iterdir():  # some are written for their owner alone
            file.chmod(readable)
        _move(draft, directory)
    except (OSError, SafetensorError) as error:
        raise _unwritable(directory, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def files_of(directory: Path) -> list[Path]:
    """What was written there."""
    files = (each for each in sorted(directory.iterdir()) if each.is_file())
    return [each for each in files if each.name != _MANIFEST]


def _unwritable(directory: Path, error: OSError | SafetensorError) -> WeightsError:
    number = getattr(error, "errno", None)
    is_full = number == errno.ENOSPC or f"(os error {errno.ENOSPC})" in str(error)
    space = "free about 540 MB of disk space, or " if is_full else ""
    return WeightsError(
        f"the converted weights cannot be kept ({error}); {space}give another cache_dir", directory
    )


def _beside(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-{uuid.uuid4().hex}")


def _remove_abandoned(directory: Path) -> None:
    """Removes drafts that a killed process left behind."""
    for draft in directory.parent.glob(f"{directory.name}-*"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, directory: Path) -> None:
    """Puts the draft in place, unless another process was first with the same content."""
    if directory.is_dir() and not is_intact(directory):
        damaged = _beside(directory)
        with contextlib.suppress(FileNotFoundError):  # another process was first
            os.rename(directory, damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    elif directory.is_file():
        directory.unlink()
    try:
        os.rename(draft, directory)
    except OSError:
        if not is_intact(directory):
            raise
