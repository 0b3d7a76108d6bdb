"""A Postgres server of the tests' own, where its programs are installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 30
_SETTINGS = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB")


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, if there is one."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found:
        folders.insert(0, Path(found).resolve().parent)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def why_not() -> str:
    """Why no server can be started here; empty where one can."""
    if programs() is None:
        return "the programs initdb and postgres are not installed"
    if os.geteuid() == 0 and _other_user() is None:
        return "Postgres does not run as root, and there is no other user to run it"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install 'trimode[postgres]'"
    return ""


@contextmanager
def server() -> Iterator[str]:
    """Runs a server on a socket in a temporary folder; gives its connection string."""
    folder = programs()
    assert folder is not None
    user = _other_user() if os.geteuid() == 0 else None
    place = Path(tempfile.mkdtemp(prefix="agentkit-pg-"))
    if user:
        shutil.chown(place, user)
    try:
        data = place / "data"
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            cwd=place,
        )
        running = subprocess.Popen(
            [folder / "postgres", "-D", data, "-k", place, *_SETTINGS],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user,
            cwd=place,
        )
        try:
            conninfo = f"host={place} user=tester dbname=postgres"
            _wait(conninfo, running)
            yield conninfo
        finally:
            running.terminate()
            try:
                running.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait(conninfo: str, running: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + _SECONDS
    while True:
        assert running.poll() is None, "the Postgres server ended"
        try:
            psycopg.connect(conninfo).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the Postgres server does not answer"
            time.sleep(0.05)
        else:
            return


def _other_user() -> str | None:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)
