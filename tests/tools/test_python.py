"""Programs run in their limits, end with their call, and reach nothing outside."""

import os
import resource
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import ModelRetry, Tool, ToolError
from tools import ConfinementUnavailable, python

Run = Callable[[str], Awaitable[str]]


def _made() -> tuple[Tool[..., Any], str]:
    try:
        return python(seconds=300)[0], ""
    except ConfinementUnavailable as error:
        return python(confined=False, allow_network=True)[0], str(error)


CONFINED, MISSING = _made()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(MISSING), reason=f"the kernel cannot confine: {MISSING}"),
]

SECRET = "the secret outside"

# For what a program does, which does not depend on who waits for it.
one_backend = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture(scope="module")
def run() -> Run:
    return CONFINED.function


def unconfined(seconds: float = 300) -> Tool[..., Any]:
    return python(seconds=seconds, confined=False, allow_network=True)[0]


# --- running --------------------------------------------------------------------------------


async def test_as_a_tool() -> None:
    [made] = python()
    assert made.name == "run_python"
    assert made.description
    arguments = made.validate('{"code": "print(6 * 7)"}')
    assert await made.call(arguments, None) == "42\n"  # type: ignore[arg-type]


@one_backend
async def test_what_a_program_finds(run: Run) -> None:
    shown = await run(
        "import os, sys, json\n"
        "print(json.dumps([os.listdir('.'), sys.flags.isolated, sorted(os.environ), "
        "sys.stdin.read(), sys.argv]))"
    )
    variables = ["HOME", "LANG", "PATH"]
    assert shown == (
        f'[["program.py"], 1, {str(variables).replace(chr(39), chr(34))}, "", ["program.py"]]\n'
    )


@one_backend
async def test_installed_packages_are_there(run: Run) -> None:
    assert await run("import anyio; print(anyio.__name__)") == "anyio\n"


@one_backend
async def test_nothing_is_kept_from_call_to_call(run: Run) -> None:
    program = "import os; print(sorted(os.listdir('.'))); open('a', 'w').close()"
    assert await run(program) == await run(program) == "['program.py']\n"


@settings(max_examples=10)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_is_printed_as_it_is(text: str) -> None:
    shown = anyio.run(CONFINED.function, f"print({text!r}, end='')")
    assert shown == (text or "(it printed nothing)")


async def test_a_traceback_goes_to_the_model_with_what_was_printed(run: Run) -> None:
    with pytest.raises(ToolError) as caught:
        await run("print('before')\nraise KeyError('gone')")
    text = str(caught.value)
    assert text.startswith("before\nTraceback")
    assert 'File "' in text
    assert "line 2" in text
    assert text.endswith("KeyError: 'gone'\n\n[exit status 1]")


@one_backend
async def test_code_that_is_no_text_is_refused(run: Run) -> None:
    with pytest.raises(ModelRetry, match="not Unicode"):
        await run("print('\ud800')")


async def test_calls_run_at_once(run: Run) -> None:
    shown: dict[int, str] = {}

    async def one(number: int) -> None:
        shown[number] = await run(f"print({number})")

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(one, number)
    assert shown == {number: f"{number}\n" for number in range(3)}


# --- limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("confined", [True, False])
async def test_a_time_out_ends_the_program_and_keeps_its_output(confined: bool) -> None:
    [made] = python(seconds=1, confined=confined, allow_network=not confined)
    with pytest.raises(ToolError, match=r"^thinking\n\n\[stopped after 1 seconds\]$"):
        await made.function("print('thinking')\nimport time\ntime.sleep(1000)")


@one_backend
async def test_processor_time_is_limited_even_where_signals_are_ignored() -> None:
    [made] = python(seconds=1)
    with pytest.raises(ToolError, match=r"killed|stopped after"):
        await made.function(
            "import signal\n"
            "for s in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP):\n"
            "    signal.signal(s, signal.SIG_IGN)\n"
            "while True: pass"
        )


@one_backend
async def test_memory_is_limited(run: Run) -> None:
    with pytest.raises(ToolError, match="MemoryError"):
        await run("bytearray(1 << 30)")


async def test_too_much_output_ends_the_program() -> None:
    [made] = python(seconds=300, output_bytes=100)
    with pytest.raises(ToolError) as caught:
        await made.function("while True: print('x' * 79)")
    text = str(caught.value)
    assert text == ("x" * 79 + "\n" + "x" * 20 + "\n[stopped: more than 100 bytes of output]")


@one_backend
async def test_files_are_limited_in_all() -> None:
    [made] = python(seconds=300, file_bytes=1 << 20)
    shown = await made.function(
        "held = 0\n"
        "try:\n"
        "    for number in range(5000):\n"
        "        held += open(str(number), 'wb', buffering=0).write(bytes(4096))\n"
        "except OSError as error:\n"
        "    print(held <= 1 << 20, held > 1 << 18)"
    )
    assert shown == "True True\n"


@one_backend
async def test_without_confinement_each_file_is_limited() -> None:
    [made] = python(seconds=300, file_bytes=4096, confined=False, allow_network=True)
    shown = await made.function(
        "try:\n"
        "    with open('a', 'wb') as file: file.write(bytes(5000))\n"
        "except OSError as error:\n"
        "    print(error.strerror)"
    )
    assert shown == "File too large\n"


@one_backend
async def test_threads_are_limited_where_no_others_of_the_user_count(run: Run) -> None:
    program = "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC))"
    assert await run(program) == "(64, 64)\n"
    outside = resource.getrlimit(resource.RLIMIT_NPROC)
    assert await unconfined().function(program) == f"{outside}\n"


@pytest.mark.parametrize(
    "limits",
    [
        {"seconds": 0},
        {"seconds": float("nan")},
        {"memory_bytes": 0},
        {"file_bytes": -1},
        {"output_bytes": 0},
        {"confined": False},
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"above 0|allow_network"):
        python(**limits)


def test_limits_in_which_nothing_runs_are_refused_at_once() -> None:
    with pytest.raises(ConfinementUnavailable, match="memory_bytes"):
        python(memory_bytes=1 << 20)


# --- ends -----------------------------------------------------------------------------------

CHILD = """
import os, sys, time
if os.fork() == 0:
    while True:
        open({beat!r}, "w").close()
        time.sleep(0.01)
print("started", flush=True)
"""


async def _beats(path: anyio.Path) -> bool:
    """Whether somebody still writes `path` anew."""
    before = await path.stat()
    await anyio.sleep(0.2)
    return (await path.stat()).st_mtime_ns != before.st_mtime_ns


@pytest.mark.parametrize("end", ["finish", "time-out", "cancel"])
async def test_what_a_program_has_started_ends_with_it(tmp_path: Path, end: str) -> None:
    beat = tmp_path / "beat"
    program = CHILD.format(beat=str(beat)) + ("time.sleep(0.3)" if end == "finish" else "")
    if end != "finish":
        program += "time.sleep(1000)"
    made = unconfined(seconds=1.5 if end == "time-out" else 300)
    match end:
        case "finish":
            assert await made.function(program) == "started\n"
        case "time-out":
            with pytest.raises(ToolError):
                await made.function(program)
        case "cancel":
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(made.function, program)
                    await _until(beat.exists)
                    scope.cancel()
    assert not await _beats(anyio.Path(beat))


async def test_a_cancelled_call_leaves_no_process(run: Run) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(run, "import time; time.sleep(1000)")
        await _until(_children)
        group.cancel_scope.cancel()
    assert _children() == []


async def _until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110 - another process, which knows no events
        await anyio.sleep(0.01)


def _children() -> list[str]:
    """The supervisors that this process has running."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # ended while we looked
        if b"confinement.py" in command and parent == str(os.getpid()):
            found.append(folder.name)
    return found


# --- confinement ----------------------------------------------------------------------------


ATTEMPTS = [
    "os.fork()",
    "subprocess.run(['/bin/true'])",
    "multiprocessing.get_context('spawn').Process().start()",
    "socket.socket(socket.AF_UNIX)",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "socket.socket(40, socket.SOCK_STREAM)",  # AF_VSOCK, which network namespaces pass
    "socket.create_connection(('127.0.0.1', PORT), 5)",
    "socket.getaddrinfo('localhost.example', 80)",
    "open(SECRET)",
    "open('/etc/passwd')",
    "os.listdir('/')",
    "os.listdir('/proc')",
    "os.symlink(SECRET, 'link') or open('link')",
    "os.link(SECRET, 'link')",
    "open('/usr/written', 'w')",
    "open(sys.prefix + '/written', 'w')",
    "os.truncate(SECRET, 0)",
    "os.unlink(SECRET)",
    "os.chmod(SECRET, 0o777)",
    "os.kill(AGENT, 0)",
    "os.setuid(0)",
    "os.chroot('.')",
    "os.mknod('device', 0o600 | 0o020000, os.makedev(1, 1))",
    "check(libc.unshare(0x10000000))",
    "check(libc.mount(b'none', b'.', b'tmpfs', 0, None))",
    "check(libc.ptrace(16, AGENT, 0, 0))",
    "check(libc.syscall(425, 8, b'\\0' * 120))",  # io_uring_setup
    "os.memfd_create('memory')",
    "check(libc.shmget(0, 1 << 30, 0o1600))",
    "check(libc.msgget(0, 0o1600))",
    "check(libc.syscall(435, b'\\0' * 88, 88))",  # clone3
    "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "resource.prlimit(AGENT, resource.RLIMIT_NOFILE)",
]


@one_backend
async def test_a_confined_program_reaches_nothing(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    mode = secret.stat().st_mode
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        program = (
            "import ctypes, multiprocessing, os, resource, socket, subprocess, sys\n"
            f"SECRET, AGENT, PORT = {str(secret)!r}, {os.getpid()}, {port}\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "def check(result):\n"
            "    if result < 0: raise OSError(ctypes.get_errno(), 'refused')\n"
            f"for attempt in {ATTEMPTS!r}:\n"
            "    try:\n"
            "        eval(attempt)\n"
            "    except (OSError, ValueError):\n"
            "        print('refused', attempt)\n"
            "    else:\n"
            "        print('reached', attempt)\n"
        )
        shown = await run(program)
    assert shown.splitlines() == [f"refused {attempt}" for attempt in ATTEMPTS]
    assert secret.read_text() == SECRET
    assert secret.stat().st_mode == mode
    assert not (Path(sys.prefix) / "written").exists()


@one_backend
async def test_the_attempts_succeed_without_confinement(tmp_path: Path) -> None:
    """So what refuses them is the confinement, and not a mistake in how they are written."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    shown = await unconfined().function(
        "import os, socket, subprocess\n"
        f"SECRET, AGENT = {str(secret)!r}, {os.getpid()}\n"
        "socket.socket(socket.AF_UNIX).close()\n"
        "subprocess.run(['/bin/true'])\n"
        "os.kill(AGENT, 0)\n"
        "print(open(SECRET).read(), len(os.listdir('/')) > 0)"
    )
    assert shown == f"{SECRET} True\n"


@one_backend
async def test_threads_and_the_own_folder_can_be_used(run: Run) -> None:
    shown = await run(
        "import asyncio, threading\n"
        "open('a', 'w').write('text')\n"
        "thread = threading.Thread(target=lambda: print(open('a').read()))\n"
        "thread.start(); thread.join()\n"
        "print(asyncio.run(asyncio.sleep(0, 'loop')))"
    )
    assert shown == "text\nloop\n"


@one_backend
@pytest.mark.parametrize("confined", [True, False])
async def test_the_network_is_there_where_it_is_allowed(confined: bool) -> None:
    [made] = python(seconds=300, allow_network=True, confined=confined)
    program = "import socket\nprint(socket.create_connection(('localhost', {}), 5).recv(9))"
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(listener.serve, _greet))
            assert await made.function(program.format(port)) == "b'hello'\n"
            group.cancel_scope.cancel()


async def _greet(stream: anyio.abc.SocketStream) -> None:
    async with stream:
        await stream.send(b"hello")
