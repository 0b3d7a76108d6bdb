"""Running Python programs that a model wrote. POSIX only."""

import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
from anyio.abc import Process

from agentkit import ModelRetry, Tool, ToolError, tool
from tools import confinement
from tools.confinement import Limits

_COMMAND = [sys.executable, "-I", "-S", "-B", confinement.__file__]
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
# How names are resolved, and whose certificates are trusted.
_FOR_THE_NETWORK = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
)
_SECONDS_TO_STOP = 1


class ConfinementUnavailable(RuntimeError):
    """This machine cannot keep a program away from the network and the files."""


def python(
    *,
    seconds: float = 10,
    memory_bytes: int = 512 << 20,
    file_bytes: int = 16 << 20,
    output_bytes: int = 20_000,
    allow_network: bool = False,
    confined: bool = True,
) -> tuple[Tool, ...]:
    """The tool `run_python`, which runs a program and gives what it printed.

    Every call starts a new interpreter (`-I`: no user packages, no `PYTHON*` variables; the
    installed packages are there) in an empty folder that is gone afterwards, with an
    environment of three variables. It has `seconds` of time, and as many of processor time,
    `memory_bytes` of address space and 64 open files; behind `output_bytes` of output it is
    stopped. A time-out, cancelling the run and too much output kill it with all that it has
    started.

    `confined` adds what the Linux kernel enforces, and nothing the program does undoes it:
    it sees no process but itself and starts none, and at most 64 threads; it reads Python's
    own folder, the installed packages and the system's programs (`/usr`, `/lib*`, `/bin`), and
    no other file; it writes only into its folder, which is in memory and holds `file_bytes` in
    all; it reaches no network, the machine's own included, unless `allow_network` (then it
    also reads how names are resolved, and certificates), and never a Unix socket; it has no
    capabilities and cannot get any. It needs Linux 5.13 on x86-64 or ARM64, where unprivileged user
    namespaces are allowed.

    What is not isolated: the kernel itself (a hole in it is a way out; for hostile users take
    a virtual machine), the clock, the processor's time up to `seconds`, what can be read
    below Python's own folder and `/usr`, and whether a file of a name that the program
    guesses exists, and its size. Run as root, threads are limited by memory alone.

    Without `confined` a program can do what this process's user can do: read and write files,
    open connections, send signals. Then `file_bytes` limits each file, and one that leaves
    its process group may outlive its call. So it has to be asked for together with
    `allow_network`.

    Raises `ValueError` for limits that are not above 0 and for `confined=False` without
    `allow_network=True`; `ConfinementUnavailable` where the kernel refuses, told at once and
    not at the first call.
    """
    if not (seconds > 0 and memory_bytes > 0 and file_bytes > 0 and output_bytes > 0):
        raise ValueError("seconds, memory_bytes, file_bytes and output_bytes must be above 0")
    if not confined and not allow_network:
        raise ValueError(
            "confined=False cannot keep a program from the network; write allow_network=True "
            "as well if that is meant"
        )
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.executable))
    readable = (*prefixes, *_FOR_THE_NETWORK) if allow_network else prefixes
    limits = Limits(
        seconds=math.ceil(seconds),
        memory_bytes=memory_bytes,
        file_bytes=file_bytes,
        is_confined=confined,
        has_network=allow_network,
        readable=readable,
    )
    _check(limits)
    return (tool(_Runner(limits, seconds, output_bytes).run_python),)


@dataclass(frozen=True, slots=True)
class _Output:
    text: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class _Runner:
    limits: Limits
    seconds: float
    output_bytes: int

    async def run_python(self, code: str) -> str:
        """Run a Python program and give what it printed. Nothing is kept from call to call.

        Args:
            code: the whole program; it must print what is to be known
        """
        output = bytearray()
        status = None
        source = _encoded(code)
        with _work_folder() as folder:
            async with self._started(folder) as process:
                with anyio.move_on_after(self.seconds):
                    status = await self._finished(process, source, output)
        text = output[: self.output_bytes].decode(errors="replace")
        if len(output) > self.output_bytes:
            raise ToolError(f"{text}\n[stopped: more than {self.output_bytes} bytes of output]")
        if status is None:
            raise ToolError(f"{text}\n[stopped after {self.seconds:g} seconds]".lstrip("\n"))
        if status != 0:
            raise ToolError(f"{text}\n[{_reason(status)}]".lstrip("\n"))
        return text or "(it printed nothing)"

    @asynccontextmanager
    async def _started(self, folder: str) -> AsyncIterator[Process]:
        """The supervisor of a program; at the end both are gone."""
        with anyio.CancelScope(shield=True):  # a start that is cut short would leave it running
            process = await anyio.open_process(
                [*_COMMAND, self.limits.to_json()],
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**_ENVIRONMENT, "HOME": folder},
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process)

    async def _finished(self, process: Process, source: bytes, output: bytearray) -> int | None:
        """The exit status; None if stopped because of too much output."""
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # ended already
            await process.stdin.send(source)
        await process.stdin.aclose()
        async for piece in process.stdout:
            output += piece
            if len(output) > self.output_bytes:
                return None
        return await process.wait()


def _encoded(code: str) -> bytes:
    try:
        return code.encode()
    except UnicodeEncodeError as error:
        raise ModelRetry(f"code is not Unicode text: {error}") from error


def _reason(status: int) -> str:
    """In words, what an exit status of the supervisor's tells."""
    if status == 128 + signal.SIGKILL:
        return "killed: out of memory or processor time"
    if status > 128 and status - 128 in set(signal.Signals):
        return f"ended by {signal.Signals(status - 128).name}"
    return f"exit status {status}"


async def _stop(process: Process) -> None:
    """The supervisor ends its program when it is asked to. Should it not answer, then its own
    end does that."""
    with suppress(ProcessLookupError):
        process.terminate()
    with anyio.move_on_after(_SECONDS_TO_STOP):
        await process.wait()
    with suppress(ProcessLookupError):
        process.kill()
    await process.aclose()


def _check(limits: Limits) -> None:
    """Runs nothing at all inside `limits`."""
    with _work_folder() as folder:
        done = subprocess.run(
            [*_COMMAND, limits.to_json()],
            input=b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**_ENVIRONMENT, "HOME": folder},
            timeout=60,
        )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise ConfinementUnavailable(
            f"no program can be run in these limits: {said or f'exit status {done.returncode}'}; "
            "raise memory_bytes where memory is short; confined=False together with "
            "allow_network=True needs nothing of the kernel, and protects from less"
        )


def _work_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="run-python-", ignore_cleanup_errors=True)
