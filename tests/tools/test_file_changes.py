"""Files under a root can be written as a whole and after approval; nothing else changes."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import (
    Agent,
    ApprovalRequired,
    ModelRetry,
    RunContext,
    SQLiteSessions,
    Tool,
    ToolError,
    ToolMessage,
    Usage,
)
from agentkit.messages import ToolCall
from agentkit.models import ScriptedModel
from tools import FileChange, files
from tools.file_changes import Approve

SECRET = "the secret outside"
MAX = 1 << 20


class Tools(NamedTuple):
    list_files: Tool[..., str]
    read_file: Tool[..., str]
    search_files: Tool[..., str]
    write_file: Tool[..., Any]
    append_to_file: Tool[..., Any]
    replace_in_file: Tool[..., Any]


def writing(root: Path, approve: Approve | None = None) -> Tools:
    return Tools(*files(root, writable=True, approve=approve))


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: content of files, target of links, kind of the rest."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[str(path)] = os.readlink(path)
        else:
            is_file = stat.S_ISREG(status.st_mode)
            found[str(path)] = path.read_bytes() if is_file else oct(stat.S_IFMT(status.st_mode))
    return found


def populated(base: Path) -> Path:
    outside = base / "outside"
    outside.mkdir(parents=True)
    (outside / "secret.txt").write_text(SECRET)
    root = base / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("alpha\n")
    (root / "sub" / "c.txt").write_text("gamma\n")
    (root / "link.txt").symlink_to(outside / "secret.txt")
    (root / "dangling.txt").symlink_to(outside / "new.txt")
    (root / "link").symlink_to(outside)
    (root / "sub" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    os.link(outside / "secret.txt", root / "hard.txt")
    os.mkfifo(root / "fifo")
    return root


def test_only_on_request(tmp_path: Path) -> None:
    reading = {tool.name for tool in files(tmp_path)}
    both = {tool.name for tool in files(tmp_path, writable=True)}
    assert both - reading == {"write_file", "append_to_file", "replace_in_file"}
    assert all(tool.description for tool in files(tmp_path, writable=True))
    with pytest.raises(ValueError, match="add writable=True"):
        files(tmp_path, approve=lambda change: True)
    with pytest.raises(ValueError, match="add writable=True"):
        files(tmp_path, requires_approval=True)


def test_reading_may_be_repeated_and_writing_may_not(tmp_path: Path) -> None:
    reading = {tool.name for tool in files(tmp_path)}
    for tool in files(tmp_path, writable=True):
        assert tool.idempotent == (tool.name in reading)
        assert not tool.may_wait


@pytest.mark.anyio
async def test_a_run_waits_for_approvals_of_changes(tmp_path: Path) -> None:
    shown: list[FileChange] = []
    root = tmp_path / "root"
    root.mkdir()

    def approve(change: FileChange) -> bool:
        shown.append(change)
        return True

    turns = [
        [ToolCall("r", "list_files", "{}")],
        [ToolCall("w", "write_file", '{"path":"a.txt","text":"hi"}')],
        "done",
    ]
    tools = files(root, writable=True, approve=approve, requires_approval=True)
    async with SQLiteSessions(tmp_path / "runs.db") as sessions:
        agent = Agent(ScriptedModel(turns), tools=tools, sessions=sessions)
        with pytest.raises(ApprovalRequired) as waits:
            await agent.run("go")
        assert [each.call.call_id for each in waits.value.pending] == ["w"]
        assert (list(root.iterdir()), shown) == ([], [])
        await agent.resume(waits.value.run_id, approvals={"w": True})
    assert shown == [FileChange("a.txt", None, "hi")]
    assert (root / "a.txt").read_text() == "hi"


# --- writing ------------------------------------------------------------------------------------


def test_write_append_replace(tmp_path: Path) -> None:
    made = writing(tmp_path)
    assert made.write_file("notes/day/one.txt", "one\n") == "notes/day/one.txt has 4 bytes now"
    assert made.append_to_file("notes/day/one.txt", "zwei \u00e9") is not None
    assert made.append_to_file("two.txt", "begun") == "two.txt has 5 bytes now"
    assert made.replace_in_file("./notes/day/one.txt", "zwei", "two") is not None
    one = tmp_path / "notes" / "day" / "one.txt"
    assert one.read_bytes() == "one\ntwo \u00e9".encode()
    assert made.read_file("notes/day/one.txt") == "one\ntwo \u00e9"
    assert sorted(made.list_files().splitlines()) == ["notes/day/one.txt", "two.txt"]


@pytest.mark.parametrize("approve", [None, lambda change: True])
def test_a_root_that_went_away_is_told(tmp_path: Path, approve: Approve | None) -> None:
    root = tmp_path / "root"
    root.mkdir()
    made = writing(root, approve)
    root.rmdir()
    for call in (made.write_file, made.append_to_file):
        with pytest.raises(ModelRetry, match="No such file or directory"):
            call("a.txt", "text")
    with pytest.raises(ModelRetry, match="No such file or directory"):
        made.replace_in_file("a.txt", "old", "new")
    assert list(tmp_path.iterdir()) == []


def test_permissions_stay_without_set_id_bits(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("old")
    (tmp_path / "run.sh").chmod(0o4750)
    writing(tmp_path).write_file("run.sh", "new")
    assert stat.S_IMODE((tmp_path / "run.sh").stat().st_mode) == 0o750


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "names no file"),
        ("a\0.txt", "names no file"),
        ("../outside/new.txt", "only paths inside"),
        ("/etc/new", "only paths inside"),
        ("a\nb.txt", "characters"),
        ("latin\udce9.txt", "characters"),
        ("link.txt", "a link, a folder or a device"),
        ("dangling.txt", "a link, a folder or a device"),
        ("link/new.txt", "Not a directory"),
        ("sub/up/new.txt", "Not a directory"),
        ("loop", "a link, a folder or a device"),
        ("loop/new.txt", "Not a directory"),
        ("sub", "a link, a folder or a device"),
        ("fifo", "a link, a folder or a device"),
        ("a.txt/new.txt", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path: Path, path: str, words: str) -> None:
    made = writing(populated(tmp_path))
    before = snapshot(tmp_path)
    for write in (made.write_file, made.append_to_file):
        with pytest.raises(ModelRetry) as caught:
            write(path, "text")
        assert words in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"caf\xe9", "no UTF-8 text"),
        (b"a\x00b", "Not a text file"),
        (b"x" * (MAX + 1), "longer than"),
    ],
)
def test_other_files_stay_as_they_are(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(content)
    made = writing(tmp_path)
    for change in (made.write_file, made.append_to_file):
        with pytest.raises(ModelRetry, match=words):
            change("a", "b")
    with pytest.raises(ModelRetry, match=words):
        made.replace_in_file("a", "b", "c")
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize(
    ("text", "words"),
    [("x" * (MAX + 1), "bytes"), ("a\0", "NUL"), ("\ud800", "not Unicode")],
)
def test_text_that_no_file_may_hold(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ModelRetry, match=words):
        writing(tmp_path).write_file("new/a", text)
    assert list(tmp_path.iterdir()) == []


def test_appending_does_not_grow_a_file_beyond_the_limit(tmp_path: Path) -> None:
    made = writing(tmp_path)
    made.write_file("a", "x" * MAX)
    with pytest.raises(ModelRetry, match="at most"):
        made.append_to_file("a", "y")
    assert (tmp_path / "a").stat().st_size == MAX


@pytest.mark.parametrize(
    ("old", "words"),
    [("", "old is empty"), ("delta", "0 times"), ("a", "2 times"), ("aa", "0 times")],
)
def test_a_passage_to_replace_must_be_there_once(tmp_path: Path, old: str, words: str) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    with pytest.raises(ModelRetry, match=words):
        writing(tmp_path).replace_in_file("a.txt", old, "b")
    with pytest.raises(ModelRetry, match="No such file"):
        writing(tmp_path).replace_in_file("b.txt", "a", "b")
    assert (tmp_path / "a.txt").read_text() == "alpha"


# --- nothing leads out --------------------------------------------------------------------------

PIECES = [
    "..", ".", "", "/", "~", "sub", "deep", "up", "link", "link.txt", "dangling.txt", "outside",
    "root", "secret.txt", "a.txt", "c.txt", "new", "\0", "..\\", "...", "/proc/self/cwd", "fifo",
    "hard.txt", "loop",
]  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=4).map("/".join),
            st.sampled_from(["write", "append", "replace"]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        ),
        max_size=6,
    )
)
def test_nothing_outside_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    base = tmp_path_factory.mktemp("base")
    root = populated(base)
    outside = snapshot(base / "outside")
    fixed = {path: kind for path, kind in snapshot(root).items() if isinstance(kind, str)}
    made = writing(root)
    for path, action, text in steps:
        try:
            match action:
                case "write":
                    made.write_file(path, text)
                case "append":
                    made.append_to_file(path, text)
                case _:
                    made.replace_in_file(path, "a", text)
        except ModelRetry:
            continue
        written = root / path
        assert not written.is_symlink()
        assert root in written.resolve().parents
    assert snapshot(base / "outside") == outside
    after = snapshot(root)
    assert {path: after[path] for path in fixed} == fixed
    assert sorted(entry.name for entry in base.iterdir()) == ["outside", "root"]
    assert not [path for path in after if ".new-" in path]


@pytest.mark.parametrize("moment", ["folder", "file"])
def test_a_link_swapped_in_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    root = populated(tmp_path)
    outside = snapshot(tmp_path / "outside")
    write_file = writing(root).write_file
    really = os.replace

    def swap_folder(change: FileChange) -> bool:
        (root / "sub").rename(root / "old")
        (root / "sub").symlink_to(tmp_path / "outside")
        return True

    def swap_file(*args: Any, **kwargs: Any) -> None:
        (root / "sub" / "c.txt").unlink()
        (root / "sub" / "c.txt").symlink_to(tmp_path / "outside" / "secret.txt")
        really(*args, **kwargs)

    if moment == "folder":
        with pytest.raises(ModelRetry):
            writing(root, swap_folder).write_file("sub/c.txt", "mine")
    else:
        monkeypatch.setattr(os, "replace", swap_file)
        write_file("sub/c.txt", "mine")
        assert not (root / "sub" / "c.txt").is_symlink()
        assert (root / "sub" / "c.txt").read_text() == "mine"
    assert snapshot(tmp_path / "outside") == outside


@pytest.mark.parametrize("function", ["fsync", "replace", "fchmod"])
def test_a_write_that_fails_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    (tmp_path / "a.txt").write_text("old")

    def fails(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fails)
    with pytest.raises(ModelRetry, match="No space left"):
        writing(tmp_path).write_file("a.txt", "new")
    monkeypatch.undo()
    assert snapshot(tmp_path) == {str(tmp_path / "a.txt"): b"old"}


def test_readers_see_the_old_text_or_the_new(tmp_path: Path) -> None:
    texts = {"a" * 5_000, "b" * 5_000}
    made = writing(tmp_path)
    made.write_file("a.txt", min(texts))
    over = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not over.is_set():
            seen.add(made.read_file("a.txt"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for text in texts:
            made.write_file("a.txt", text)
    over.set()
    reader.join()
    assert seen <= texts


def test_concurrent_changes_are_all_there(tmp_path: Path) -> None:
    append = writing(tmp_path).append_to_file
    threads = [threading.Thread(target=append, args=("a", f"{n}\n")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((tmp_path / "a").read_text().split()) == [str(n) for n in range(8)]


# --- approval -----------------------------------------------------------------------------------

CONTEXT: RunContext[None] = RunContext(None, "", Usage(), ())


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True])
async def test_each_change_is_shown_before_it_is_made(tmp_path: Path, is_async: bool) -> None:
    (tmp_path / "a").write_text("old")
    shown: list[FileChange] = []
    threads: list[int] = []

    def approve(change: FileChange) -> bool:
        shown.append(change)
        threads.append(threading.get_ident())
        assert snapshot(tmp_path) == {str(tmp_path / "a"): b"old"}
        return False

    async def approve_later(change: FileChange) -> bool:
        await anyio.lowlevel.checkpoint()
        return approve(change)

    made = writing(tmp_path, approve_later if is_async else approve)
    for change in (
        made.write_file.call({"path": "sub//b", "text": "new"}, CONTEXT),
        made.append_to_file.call({"path": "a", "text": "er"}, CONTEXT),
        made.replace_in_file.call({"path": "a", "old": "o", "new": "c"}, CONTEXT),
    ):
        with pytest.raises(ToolError, match="not approved"):
            await change
    assert shown == [
        FileChange("sub/b", None, "new"),
        FileChange("a", "old", "older"),
        FileChange("a", "old", "cld"),
    ]
    assert snapshot(tmp_path) == {str(tmp_path / "a"): b"old"}
    assert (threading.get_ident() in threads) is is_async  # a sync one may wait


@pytest.mark.parametrize("answer", [None, 1, "yes", [True]])
def test_nothing_but_true_approves(tmp_path: Path, answer: Any) -> None:
    with pytest.raises(ToolError, match="not approved"):
        writing(tmp_path, lambda change: answer).write_file("a", "b")
    assert list(tmp_path.iterdir()) == []


def test_approval_holds_for_what_was_shown(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def approve(change: FileChange) -> bool:
        (tmp_path / "a").write_text("somebody else's")
        return True

    with pytest.raises(ModelRetry, match="meanwhile"):
        writing(tmp_path, approve).write_file("a", "mine")
    assert (tmp_path / "a").read_text() == "somebody else's"


def test_what_cannot_be_written_is_not_shown(tmp_path: Path) -> None:
    def approve(change: FileChange) -> bool:
        raise AssertionError(change)

    made = writing(tmp_path, approve)
    for path, text in (("../a", "b"), ("a", "\0"), ("a", "x" * (MAX + 1))):
        with pytest.raises(ModelRetry):
            made.write_file(path, text)


@pytest.mark.anyio
async def test_in_a_run(tmp_path: Path) -> None:
    asked: list[str] = []

    async def approve(change: FileChange) -> bool:
        asked.append(change.path)
        return change.path.startswith("notes/")

    turns: list[Any] = [
        [
            ToolCall("1", "write_file", '{"path": "notes/a", "text": "yes"}'),
            ToolCall("2", "write_file", '{"path": "other/a", "text": "no"}'),
        ],
        "done",
    ]
    with ScriptedModel(turns) as model:
        agent = Agent(model, tools=files(tmp_path, writable=True, approve=approve))
        result = await agent.run("go")
    answers = [message for message in result.messages if isinstance(message, ToolMessage)]
    assert [message.is_error for message in answers] == [False, True]
    assert sorted(asked) == ["notes/a", "other/a"]
    assert snapshot(tmp_path).keys() == {str(tmp_path / "notes"), str(tmp_path / "notes" / "a")}


def test_cancelling_while_asked_writes_nothing(tmp_path: Path) -> None:
    async def never(change: FileChange) -> bool:
        await anyio.sleep_forever()
        raise AssertionError

    call: Callable[..., Any] = writing(tmp_path, never).write_file.call

    async def main() -> None:
        with anyio.move_on_after(0.1):
            await call({"path": "a", "text": "b"}, CONTEXT)

    anyio.run(main)
    assert list(tmp_path.iterdir()) == []
