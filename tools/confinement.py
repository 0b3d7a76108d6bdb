"""A script that runs a Python program inside limits. It is started by `tools.python`, in a
process of its own, and uses the standard library only. POSIX; the confinement is Linux's.

    python -I -S -B confinement.py LIMITS < program     # LIMITS: the JSON of `Limits`

The program runs in the current folder. This process stays and supervises it: SIGTERM kills the
program and all that it has started, then this process; the exit status is the program's, or
128 + the signal that ended it.

Sources: namespaces(7), user_namespaces(7), mount_setattr(2), landlock(7), seccomp(2).
"""

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_PROGRAM = "program.py"
_GRACE = 5
_MAX_TASKS = 64
_MAX_OPEN_FILES = 64
_MAX_INODES = 1_024
_INNER_ID = 1_000  # not 0, so that the program's exec gives up all capabilities

_CLONE_NEWNS = 0x00020000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_CLONE_THREAD = 0x00010000

_MS_NOSUID, _MS_NODEV = 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 1, 2
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2

# Numbers of system calls that all architectures share.
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446
_IO_URING_SETUP, _CLONE3, _MEMFD_SECRET = 425, 435, 447

# Landlock's rights to files, in the order of their bits.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many there are, by version; then 16
_TO_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE
_READABLE = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


@dataclass(frozen=True, slots=True)
class Limits:
    """`is_confined` asks for everything that keeps the program from the rest of the machine;
    `has_network` leaves it the machine's network, and it reads files below `readable`."""

    seconds: int
    memory_bytes: int
    file_bytes: int
    is_confined: bool
    has_network: bool
    readable: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class _Calls:
    """An architecture's numbers of system calls: `audit` names it to the kernel."""

    audit: int
    clone: int
    socket: int
    # fork, vfork, unshare; add_key, request_key, keyctl; shmget, msgget, memfd_create
    denied: tuple[int, ...]


_CALLS = {
    "x86_64": _Calls(
        0xC000003E,
        clone=56,
        socket=41,
        denied=(57, 58, 272, 248, 249, 250, 29, 68, 319),
    ),
    "aarch64": _Calls(  # has no fork and no vfork
        0xC00000B7,
        clone=220,
        socket=198,
        denied=(97, 217, 218, 219, 194, 186, 279),
    ),
}


def main() -> None:
    limits = Limits(**json.loads(sys.argv[1]))
    source = sys.stdin.buffer.read()
    stopping = {signal.SIGTERM, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)  # until there is something to stop
    try:
        if limits.is_confined:
            _unshare(limits)
        program = os.fork()  # the first in a namespace of processes: all others end with it
    except OSError as error:
        sys.exit(f"cannot confine a program: {error}")
    if program == 0:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
        _become_program(source, limits)
    for number in stopping:
        signal.signal(number, lambda *_: _kill(program))
    signal.alarm(limits.seconds + _GRACE)  # should nobody be left who would stop it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program, signal.SIGKILL)  # what it has started and not ended
    os._exit(code if code >= 0 else 128 - code)


def _kill(program: int) -> None:
    for kill in (os.kill, os.killpg):  # it may not have its group yet
        with contextlib.suppress(ProcessLookupError):
            kill(program, signal.SIGKILL)


def _become_program(source: bytes, limits: Limits) -> None:
    """Does not return."""
    try:
        work = os.getcwd()
        if limits.is_confined:
            _prctl("parent death signal", _PR_SET_PDEATHSIG, signal.SIGKILL)
            _mount_work_folder(work, limits.file_bytes)
        with open(_PROGRAM, "wb") as file:
            file.write(source)
        _limit(limits)
        if limits.is_confined:
            _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1, 0)
            _restrict_files(work, limits.readable)
            _restrict_calls(_CALLS[platform.machine()])
        options = ["-I", "-B", "-u", "-X", "utf8"]
        os.execv(sys.executable, [sys.executable, *options, _PROGRAM])
    except BaseException as error:  # noqa: BLE001 - a fork must not go on as its parent
        os.write(2, f"cannot confine a program: {error}\n".encode())
    os._exit(1)


def _limit(limits: Limits) -> None:
    kinds = {
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: _MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if limits.is_confined:  # outside a namespace of users, all that the user runs would count
        kinds[resource.RLIMIT_NPROC] = _MAX_TASKS
    for kind, most in kinds.items():
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with contextlib.suppress(ValueError):  # what a system does not know, it cannot limit
            resource.setrlimit(kind, (most, most))


def _unshare(limits: Limits) -> None:
    """Namespaces of its own for users, processes, mounts, System V IPC and the network. Their
    users are one: the caller, by another number."""
    if platform.machine() not in _CALLS:
        raise OSError(f"not known for the architecture {platform.machine()}")
    user, group = os.geteuid(), os.getegid()
    spaces = _CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWIPC
    if not limits.has_network:
        spaces |= _CLONE_NEWNET
    _call("namespaces", _libc().unshare(spaces))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_INNER_ID} {user} 1"),
        ("gid_map", f"{_INNER_ID} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _mount_work_folder(work: str, size: int) -> None:
    """Makes all that is mounted read-only, and `work` an empty folder in memory."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    _call(
        "read-only mounts",
        _syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, len(attributes)),
    )
    options = f"size={size},nr_inodes={_MAX_INODES},mode=700".encode()
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    _call("tmpfs", _libc().mount(b"tmpfs", os.fsencode(work), b"tmpfs", flags, options))
    os.chdir(work)  # the folder that is mounted, not the one below it


def _restrict_files(work: str, readable: Sequence[str]) -> None:
    """Nothing can be opened but `work`, and to be read `readable` and the system's programs."""
    version = _call("landlock", _syscall(_LANDLOCK_CREATE, None, 0, 1))
    rights = (1 << _LANDLOCK_RIGHTS.get(version, 16)) - 1
    handled = struct.pack("=Q", rights)
    rules = _call("landlock", _syscall(_LANDLOCK_CREATE, handled, len(handled), 0))
    for path in {*_READABLE, *readable}:
        _allow(rules, path, _TO_READ)
    for path in _DEVICES:
        _allow(rules, path, _WRITE_FILE | _READ_FILE)
    _allow(rules, work, rights)
    _call("landlock", _syscall(_LANDLOCK_RESTRICT, rules, 0))
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, folder)
    _call("landlock", _syscall(_LANDLOCK_ADD, rules, 1, rule, 0))
    os.close(folder)


def _restrict_calls(calls: _Calls) -> None:
    """No processes but threads; no sockets but the internet's (others reach past a network
    namespace); no keys of the user; no memory that counts as no process's; no io_uring, which
    these rules would not see."""
    allow, kill, ask = 0x7FFF0000, 0x80000000, 0x00050000  # ask: fail with the error added
    load, equal, at_least, has, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    number, audit, argument = 0, 4, 16  # offsets in struct seccomp_data
    refused = [(answer, 0, 0, ask | 1)]  # EPERM
    rules = [(load, 0, 0, audit), (equal, 1, 0, calls.audit), (answer, 0, 0, kill)]
    rules += [(load, 0, 0, number), (at_least, 0, 1, 0x40000000), *refused]  # the x32 calls
    for denied in (*calls.denied, _IO_URING_SETUP, _MEMFD_SECRET):
        rules += [(equal, 0, 1, denied), *refused]
    rules += [(equal, 0, 1, _CLONE3), (answer, 0, 0, ask | 38)]  # ENOSYS: clone is used instead
    rules += [(equal, 0, 4, calls.clone), (load, 0, 0, argument), (has, 1, 0, _CLONE_THREAD)]
    rules += [*refused, (answer, 0, 0, allow)]
    rules += [(equal, 0, 4, calls.socket), (load, 0, 0, argument)]
    rules += [(equal, 2, 0, 2), (equal, 1, 0, 10), *refused]  # AF_INET, AF_INET6
    rules += [(answer, 0, 0, allow)]
    code = b"".join(struct.pack("=HBBI", *rule) for rule in rules)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(buffer)))
    _prctl("seccomp", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(filters))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    function = _libc().syscall
    function.restype = ctypes.c_long
    given = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return int(function(ctypes.c_long(number), *given))


def _prctl(what: str, option: int, *arguments: int) -> None:
    given = [ctypes.c_ulong(item) for item in (*arguments, 0, 0)]
    _call(what, _libc().prctl(option, *given))


def _call(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    main()
