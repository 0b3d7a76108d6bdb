"""Files under a root can be listed, read and searched; nothing else can be reached."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import ModelRetry, Tool, ToolError
from tools import files

SECRET = "the secret outside"


class Tools(NamedTuple):
    list_files: Tool[..., str]
    read_file: Tool[..., str]
    search_files: Tool[..., str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base")
    outside = base / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    root = base / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("Alpha\nbeta\n")
    (root / "b.md").write_text("beta \u00e9\n", encoding="utf-8")
    (root / "sub" / "c.txt").write_text("gamma\n")
    (root / "sub" / "deep" / "d.txt").write_text("delta\n")
    (root / "empty.txt").write_text("")
    (root / "bad-utf8.txt").write_bytes(b"caf\xe9\n")
    (root / "binary.bin").write_bytes(b"beta\x00\x01")
    (root / "link.txt").symlink_to(outside / "secret.txt")
    (root / "inner-link.txt").symlink_to("a.txt")
    (root / "link").symlink_to(outside)
    (root / "sub" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    (root / "line\nbreak.txt").write_text("beta")
    (root / os.fsdecode(b"latin\xe9.txt")).write_text("beta")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture(scope="module")
def made(root: Path) -> Tools:
    return Tools(*files(root))


def test_names_and_parameters(made: Tools) -> None:
    assert [tool.name for tool in made] == ["list_files", "read_file", "search_files"]
    assert all(tool.description for tool in made)
    with pytest.raises(ModelRetry, match="first_line"):
        made.read_file.validate('{"path": "a.txt", "first_line": 0}')


# --- listing ----------------------------------------------------------------------------

EVERYTHING = [
    "a.txt",
    "b.md",
    "bad-utf8.txt",
    "binary.bin",
    "empty.txt",
    "sub/c.txt",
    "sub/deep/d.txt",
]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*", EVERYTHING),
        ("**/*", EVERYTHING),
        ("*.txt", [path for path in EVERYTHING if path.endswith(".txt")]),
        ("**/*.md", ["b.md"]),
        ("sub/*", ["sub/c.txt", "sub/deep/d.txt"]),
        ("a.txt", ["a.txt"]),
    ],
)
def test_listing_is_sorted_and_holds_regular_files_only(
    made: Tools, pattern: str, paths: list[str]
) -> None:
    assert made.list_files(pattern).splitlines() == paths


@pytest.mark.parametrize("pattern", ["*.pdf", "", "../*", "/etc/*", "[", "link/*", "sub/up/*"])
def test_patterns_without_matches(made: Tools, pattern: str) -> None:
    assert made.list_files(pattern) == f"no file matches {pattern}"


def test_long_listings_are_cut(tmp_path: Path) -> None:
    for number in range(201):
        (tmp_path / f"{number:03}").touch()
    lines = files(tmp_path)[0]().splitlines()
    assert lines[0] == "000"
    assert lines[199:] == ["199", "[more than 200 files; use a narrower pattern]"]


# --- reading ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.txt", "Alpha\nbeta\n"),
        ("./sub//deep/./d.txt", "delta\n"),
        ("b.md", "beta \u00e9\n"),
        ("bad-utf8.txt", "caf\ufffd\n"),
        ("empty.txt", "(the file is empty)"),
    ],
)
def test_reading(made: Tools, path: str, text: str) -> None:
    assert made.read_file(path) == text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "names no file"),
        (".", "names no file"),
        ("a\0.txt", "names no file"),
        ("../outside/secret.txt", "only paths inside"),
        ("sub/../a.txt", "only paths inside"),
        ("/etc/passwd", "only paths inside"),
        ("missing.txt", "No such file"),
        ("missing/a.txt", "No such file"),
        ("a.txt/b", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("sub", "a link, a folder or a device"),
        ("fifo", "a link, a folder or a device"),
        ("link.txt", "a link, a folder or a device"),
        ("inner-link.txt", "a link, a folder or a device"),
        ("loop", "a link, a folder or a device"),
        ("link/secret.txt", "Not a directory"),
        ("sub/up/outside/secret.txt", "Not a directory"),
        ("binary.bin", "Not a text file"),
    ],
)
def test_what_cannot_be_read_is_told(made: Tools, path: str, words: str) -> None:
    with pytest.raises(ModelRetry) as caught:
        made.read_file(path)
    assert words in str(caught.value)


def test_the_root_itself_is_not_told(made: Tools, root: Path) -> None:
    for path in ("missing.txt", "link.txt", "../x", "binary.bin"):
        with pytest.raises(ModelRetry) as caught:
            made.read_file(path)
        assert str(root.parent) not in str(caught.value)


PIECES = [
    "..", ".", "", "/", "//", "~", "sub", "deep", "up", "link", "link.txt", "outside", "root",
    "secret.txt", "a.txt", "c.txt", "\0", "..\0", "%2e%2e", "..\\", "\uff0e\uff0e", ".. ", "...",
    "/proc/self/root", "/proc/self/cwd", "/dev/stdin", "inner-link.txt", "fifo", "loop",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=7), st.booleans())
def test_no_path_leads_out(made: Tools, root: Path, pieces: list[str], absolute: bool) -> None:
    path = "/".join(pieces)
    if absolute:
        path = f"{root}/{path}"
    try:
        text = made.read_file(path)
    except ModelRetry:
        return
    assert text in ("Alpha\nbeta\n", "gamma\n", "delta\n")
    assert not {"..", "link", "up", "link.txt"} & set(path.split("/"))


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_swapped_in_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text(SECRET)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.txt").write_text("harmless")
    read_file = files(root)[1]

    def swap() -> None:
        if target == "file":
            (root / "sub" / "a.txt").unlink()
            (root / "sub" / "a.txt").symlink_to(outside / "a.txt")
        else:
            (root / "sub").rename(root / "old")
            (root / "sub").symlink_to(outside)

    def racing(function: Callable[..., Any], moment: str) -> Callable[..., Any]:
        def wrapper(path: Any, *args: Any, **kwargs: Any) -> Any:
            result = function(path, *args, **kwargs)
            if path == moment:
                swap()
            return result

        return wrapper

    if target == "file":
        monkeypatch.setattr(os, "stat", racing(os.stat, "a.txt"))
    else:
        monkeypatch.setattr(os, "open", racing(os.open, root))
    with pytest.raises(ModelRetry):
        read_file("sub/a.txt")


def test_long_files_are_read_in_pages(tmp_path: Path) -> None:
    lines = [f"line {number} {'x' * 90}\n" for number in range(1, 301)]
    (tmp_path / "long.txt").write_text("".join(lines))
    read_file = files(tmp_path)[1]
    text, first, pages = "", 1, 0
    while True:
        page = read_file("long.txt", first)
        pages += 1
        body, _, note = page.partition("[cut here; read on with first_line=")
        text += body
        if not note:
            break
        first = int(note.removesuffix("]"))
    assert text == "".join(lines)
    assert pages > 2
    with pytest.raises(ModelRetry, match="has only 300 lines"):
        read_file("long.txt", 301)


def test_endless_lines_and_huge_files_are_cut(tmp_path: Path) -> None:
    (tmp_path / "wide.txt").write_text("x" * 9_000 + "\nend")
    (tmp_path / "huge.txt").write_bytes(b"\xc3\xa9" * (1 << 20))
    read_file = files(tmp_path)[1]
    page = read_file("wide.txt")
    assert page.startswith("x" * 8_000 + " [line cut]\n")
    assert page.endswith("[cut here; read on with first_line=2]")
    assert read_file("wide.txt", 2) == "end"
    assert read_file("huge.txt").endswith("only the first 1048576 bytes can be read]")


# --- searching --------------------------------------------------------------------------


def test_searching_tells_path_and_line(made: Tools) -> None:
    assert made.search_files("BETA").splitlines() == ["a.txt:2: beta", "b.md:1: beta \u00e9"]
    assert made.search_files("beta", "*.md") == "b.md:1: beta \u00e9"
    assert made.search_files("a", "sub/*").splitlines() == [
        "sub/c.txt:1: gamma",
        "sub/deep/d.txt:1: delta",
    ]


def test_searching_reaches_nothing_outside(made: Tools) -> None:
    assert made.search_files(SECRET) == f"no line contains {SECRET}"


def test_empty_searches_are_refused(made: Tools) -> None:
    with pytest.raises(ModelRetry, match="empty"):
        made.search_files(" ")


def test_many_and_long_matches_are_cut(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text(f"needle {'x' * 500}\n" * 60)
    lines = files(tmp_path)[2]("needle").splitlines()
    assert lines[-1] == "[more than 50 lines; use a longer text or a narrower pattern]"
    assert max(map(len, lines)) < 240


# --- the root ---------------------------------------------------------------------------


def test_bad_roots(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        files(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        files(tmp_path / "file")


def test_a_linked_root_is_fine(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert files(tmp_path / "alias")[1]("a.txt") == "Alpha\nbeta\n"


def test_a_root_that_went_away_is_told(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    list_files, read_file, search_files = files(root)
    root.rmdir()
    calls: list[tuple[Tool[..., str], str]] = [
        (list_files, "*"), (read_file, "a.txt"), (search_files, "beta"),
    ]  # fmt: skip
    for made, argument in calls:
        with pytest.raises(ToolError, match="No such file or directory") as caught:
            made(argument)
        assert str(tmp_path) not in str(caught.value)


def test_no_descriptor_stays_open(made: Tools) -> None:
    before = len(os.listdir("/proc/self/fd"))
    made.list_files("*")
    made.search_files("beta")
    made.read_file("sub/deep/d.txt")
    for path in ("link/secret.txt", "sub/deep/none", "binary.bin", "fifo"):
        with pytest.raises(ModelRetry):
            made.read_file(path)
    assert len(os.listdir("/proc/self/fd")) == before
