"""A database can be asked anything that fits the limits, and changed by nothing."""

import hashlib
import itertools
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import ModelRetry, Tool
from tools import sqlite


class Tools(NamedTuple):
    describe_tables: Tool[..., str]
    query: Tool[..., dict[str, Any]]


SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, photo BLOB);
CREATE VIEW names AS SELECT name FROM people;
CREATE TRIGGER watch AFTER INSERT ON people BEGIN DELETE FROM people; END;
INSERT INTO people VALUES (1, 'Ada', x'00ff'), (2, 'Bob', NULL), (3, NULL, NULL);
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with an awkward file name. (The trigger is made last, so the rows stay.)"""
    path = tmp_path_factory.mktemp("db") / "my data?mode=rw#1%20.db"
    before, insert = SCHEMA.split("CREATE TRIGGER")
    trigger, insert = insert.split("END;")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{before};{insert}; CREATE TRIGGER {trigger} END;")
    return path


@pytest.fixture(scope="module")
def made(path: Path) -> Tools:
    return Tools(*sqlite(path, seconds=2))


def fingerprint(path: Path) -> tuple[str, list[str]]:
    names = sorted(entry.name for entry in path.parent.iterdir())
    return hashlib.sha256(path.read_bytes()).hexdigest(), names


# --- reading ----------------------------------------------------------------------------


def test_tables_are_described_in_sql(made: Tools) -> None:
    assert made.describe_tables() == (
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, photo BLOB);\n"
        "CREATE VIEW names AS SELECT name FROM people"
    )


def test_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    assert sqlite(tmp_path / "empty.db")[0]() == "(there are no tables)"


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("SELECT id, name FROM people ORDER BY id DESC LIMIT 1", ["id", "name"], [[3, None]]),
        ("SELECT photo FROM people WHERE id = 1;", ["photo"], [["<2 bytes>"]]),
        ("SELECT count(*) AS n FROM names -- all", ["n"], [[3]]),
        ("SELECT 1 WHERE 0", ["1"], []),
        ("VALUES (1, 'a')", ["column1", "column2"], [[1, "a"]]),
        (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3) "
            "SELECT group_concat(x) AS s FROM c",
            ["s"],
            [["1,2,3"]],
        ),
    ],
)
def test_queries(made: Tools, sql: str, columns: list[str], rows: list[Any]) -> None:
    assert made.query(sql) == {"columns": columns, "rows": rows}


def test_text_that_is_not_utf8_is_replaced(made: Tools) -> None:
    assert made.query("SELECT CAST(x'61ff' AS TEXT) AS t")["rows"] == [["a\ufffd"]]


@pytest.mark.anyio
async def test_concurrent_calls_as_a_tool(made: Tools) -> None:
    arguments = made.query.validate('{"sql": "SELECT name FROM people WHERE id = 1"}')
    results: list[str] = []

    async def run() -> None:
        results.append(await made.query.call(arguments, None))  # type: ignore[arg-type]

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(run)
    assert [json.loads(text) for text in results] == [{"columns": ["name"], "rows": [["Ada"]]}] * 4


def test_a_database_that_somebody_writes_to(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "live.db")) as writer:
        writer.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)"
        )
        query = sqlite(tmp_path / "live.db")[1]
        assert query("SELECT a FROM t")["rows"] == [[1]]
        writer.execute("INSERT INTO t VALUES (2)")
        writer.commit()
        assert query("SELECT a FROM t")["rows"] == [[1], [2]]


# --- limits -----------------------------------------------------------------------------

COUNT = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT "


def test_rows_are_limited(path: Path) -> None:
    query = sqlite(path, row_limit=2)[1]
    assert query("SELECT id FROM people")["note"] == "only the first 2 rows"
    assert "note" not in query("SELECT id FROM people LIMIT 2")
    assert query(f"{COUNT} x FROM c")["rows"] == [[1], [2]]


def test_time_is_limited(path: Path) -> None:
    query = sqlite(path, seconds=0.05)[1]
    with pytest.raises(ModelRetry, match=r"stopped after 0\.05 seconds"):
        query(f"{COUNT} count(*) FROM c")


def test_sizes_are_limited(made: Tools) -> None:
    long = made.query("SELECT printf('%0900d', 1) AS t")["rows"][0][0]
    assert long == "0" * 500 + " [cut, 900 characters]"
    wide = made.query("SELECT a.t FROM (SELECT printf('%0400d', 1) AS t) a, (VALUES (1), (2)) b")
    assert len(wide["rows"]) == 2
    columns = ", ".join(["printf('%0400d', x)"] * 20)
    many = made.query(f"{COUNT} {columns} FROM c LIMIT 40")
    assert len(json.dumps(many)) < 30_000
    assert many["note"].startswith("only the first")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT zeroblob(2000000)",
        "SELECT hex(zeroblob(900000))",
        f"{COUNT} group_concat(printf('%0900d', x)) FROM (SELECT x FROM c LIMIT 2000)",
        "SELECT " + "1 + " * 10_000 + "1",
        "SELECT 'a' LIKE '" + "%a" * 200 + "'",
    ],
)
def test_memory_is_limited(made: Tools, sql: str) -> None:
    with pytest.raises(ModelRetry):
        made.query(sql)


# --- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT x FROM people", "no such column: x"),
        ("SELECT * FROM missing", "no such table: missing"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("", "not a query"),
        ("-- nothing", "not a query"),
        ("SELECT ?", "bindings"),
        ("SELECT '\0'", "null character"),
        ("SELECT '\ud800'", "surrogates"),
        ("DELETE FROM people", "only SELECT is allowed"),
        ("SELECT load_extension('x')", "not authorized"),
    ],
)
def test_bad_queries_are_explained(made: Tools, sql: str, words: str) -> None:
    with pytest.raises(ModelRetry) as caught:
        made.query(sql)
    assert words in str(caught.value)


WRITES = [
    "INSERT INTO people VALUES (9, 'Eve', NULL)",
    "REPLACE INTO people VALUES (1, 'Eve', NULL)",
    "UPDATE people SET name = 'Eve'",
    "UPDATE people SET name = 'Eve' RETURNING *",
    "DELETE FROM people",
    "DELETE FROM sqlite_master",
    "DROP TABLE people",
    "DROP VIEW names",
    "ALTER TABLE people RENAME TO folk",
    "CREATE TABLE more (a)",
    "CREATE TEMP TABLE more (a)",
    "CREATE TEMP TRIGGER t AFTER INSERT ON people BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE v USING fts5(a)",
    "CREATE INDEX i ON people (name)",
    "ATTACH 'other.db' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7",
    "PRAGMA main.user_version(7)",
    "SELECT * FROM pragma_user_version(7)",
    "VACUUM",
    "VACUUM INTO 'other.db'",
    "REINDEX",
    "ANALYZE",
    "BEGIN EXCLUSIVE",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT s",
    "SELECT load_extension('evil.so')",
    "SELECT writefile('other.db', 'x')",
    "SELECT fts3_tokenizer('simple', x'00')",
    "WITH gone AS (SELECT 1) DELETE FROM people",
    "WITH gone AS (SELECT 1) INSERT INTO people SELECT 9, 'Eve', NULL",
]
WRAPPERS = ["{}", "SELECT 1; {}", "{}; SELECT 1", "/* SELECT */ {} --", "  {};\n"]


@pytest.mark.parametrize("write", WRITES)
def test_nothing_can_be_written(
    made: Tools, path: Path, write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = fingerprint(path)
    for wrapper in WRAPPERS:
        with pytest.raises(ModelRetry):
            made.query(wrapper.format(write))
    with suppress(ModelRetry):
        made.query(f"EXPLAIN {write}")  # may tell a plan, never carries it out
    assert fingerprint(path) == before
    assert list(tmp_path.iterdir()) == []


WORDS = dict.fromkeys(itertools.chain.from_iterable(write.split() for write in WRITES))
TOKENS = [*WORDS, *"*();,'\"\n", "SELECT", "--", "/*", "*/", "UNION", "EXPLAIN"]


@given(st.lists(st.sampled_from(TOKENS), max_size=10).map(" ".join))
def test_no_mixture_of_words_writes(made: Tools, path: Path, sql: str) -> None:
    before = fingerprint(path)
    try:
        result = made.query(sql)
    except ModelRetry:
        pass
    else:
        assert result["columns"]
    assert fingerprint(path) == before


# --- construction -----------------------------------------------------------------------


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, but long enough to look at" * 20)
    with pytest.raises(FileNotFoundError):
        sqlite(tmp_path / "missing.db")
    for bad in (tmp_path / "text.db", tmp_path):
        with pytest.raises(ValueError, match="cannot be used as an SQLite database"):
            sqlite(bad)
    assert [entry.name for entry in tmp_path.iterdir()] == ["text.db"]


@pytest.mark.parametrize(("row_limit", "seconds"), [(0, 1), (-1, 1), (1, 0), (1, float("nan"))])
def test_bad_limits(path: Path, row_limit: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        sqlite(path, row_limit=row_limit, seconds=seconds)


def test_a_database_that_went_away_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "gone.db").touch()
    query = sqlite(tmp_path / "gone.db")[1]
    (tmp_path / "gone.db").unlink()
    with pytest.raises(ModelRetry, match="unable to open"):
        query("SELECT * FROM sqlite_master")
    assert list(tmp_path.iterdir()) == []
