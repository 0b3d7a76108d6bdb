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


# --- virtual tables ---------------------------------------------------------------------

MODULES = {"fts5": "fts5(x)", "fts4": "fts4(x)", "rtree": "rtree(id, low, high)"}


def virtual(folder: Path, module: str) -> Path:
    """A database with one virtual table `v` that holds a row."""
    path = folder / "virtual.db"
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute(f"CREATE VIRTUAL TABLE v USING {MODULES[module]}")
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite cannot make it: {error}")
        row = "(1, 0, 1)" if module == "rtree" else "('hello world')"
        connection.execute(f"INSERT INTO v VALUES {row}")
        connection.commit()
    return path


def test_values_of_json_are_read(made: Tools) -> None:
    assert made.query("SELECT value FROM json_each('[1, \"a\"]')")["rows"] == [[1], ["a"]]
    nested = 'SELECT fullkey FROM json_tree(\'{"a": {"b": 1}}\') WHERE atom = 1'
    assert made.query(nested)["rows"] == [["$.a.b"]]


@pytest.mark.parametrize("module", ["fts5", "fts4"])
def test_full_text_is_searched(tmp_path: Path, module: str) -> None:
    shown = "highlight(v, 0, '<b>', '</b>')" if module == "fts5" else "snippet(v)"
    path = virtual(tmp_path, module)
    query = sqlite(path)[1]
    before = fingerprint(path)
    assert query("SELECT x FROM v WHERE v MATCH 'hello'")["rows"] == [["hello world"]]
    assert query("SELECT count(*) FROM v WHERE v MATCH 'missing'")["rows"] == [[0]]
    marked = query(f"SELECT {shown} FROM v WHERE v MATCH 'hel*'")
    assert marked["rows"] == [["<b>hello</b> world"]]
    assert fingerprint(path) == before


def test_what_r_trees_want_is_refused_and_told(tmp_path: Path) -> None:
    query = sqlite(virtual(tmp_path, "rtree"))[1]
    with pytest.raises(ModelRetry, match="not from R-Tree tables"):
        query("SELECT * FROM v")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO v(rowid) VALUES (2)",
        "INSERT INTO v(v) VALUES ('optimize')",
        "SELECT optimize(v) FROM v",
        "UPDATE v SET rowid = 7",
        "DELETE FROM v",
        "DROP TABLE v",
        "UPDATE v_content SET c0 = 'x'",
        "DELETE FROM v_content",
        "DELETE FROM v_node",
        "PRAGMA main.page_size = 512",
        "PRAGMA page_size(512)",
        "PRAGMA data_version = 7",
        "SELECT * FROM pragma_writable_schema",
        "SELECT * FROM pragma_table_info('v')",
    ],
)
def test_virtual_tables_are_not_written(tmp_path: Path, module: str, write: str) -> None:
    path = virtual(tmp_path, module)
    query = sqlite(path)[1]
    before = fingerprint(path)
    with pytest.raises(ModelRetry):
        query(write)
    assert fingerprint(path) == before


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


def read_by_the_model(query: Tool[..., Any], sql: str) -> str:
    async def call() -> str:
        return await query.call(query.validate(json.dumps({"sql": sql})), None)  # type: ignore[arg-type]

    return anyio.run(call)


def test_one_long_row_is_cut_evenly_and_short_values_are_kept(made: Tools) -> None:
    columns = ["'short'", "17", *(["printf('%0450d', 1)"] * 198)]
    text = read_by_the_model(made.query, "SELECT " + ", ".join(columns))
    assert 18_000 < len(text) <= 20_000
    result = json.loads(text)
    short, number, *long = result["rows"][0]
    assert (short, number) == ("short", 17)
    assert len(set(long)) == 1
    assert long[0].startswith("0" * 40)
    assert long[0].endswith(" [cut, 450 characters]")
    assert result["note"] == "values are cut so that the row fits; ask for fewer columns"


def test_columns_are_limited(made: Tools) -> None:
    names = [f"{number} AS c{number}" for number in range(201)]
    result = made.query("SELECT " + ", ".join(names))
    assert result["rows"] == [list(range(200))]
    assert result["columns"] == [f"c{number}" for number in range(200)]
    assert result["note"] == "only the first 200 of 201 columns"
    assert "note" not in made.query("SELECT " + ", ".join(names[:200]))


@given(
    st.integers(1, 210),
    st.lists(
        st.sampled_from(
            ["printf('%0900d', 1)", "replace(hex(zeroblob(300)), '0', char(1))", "'\u00e9\"'",
             "-9223372036854775808", "-1.7976931348623157e308", "9e999", "NULL", "x'00'"]
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["", "a" * 20, "\u00fc\"" * 8]),
    st.integers(1, 3),
)  # fmt: skip
def test_no_result_is_longer_than_the_limit(
    made: Tools, width: int, values: list[str], name: str, rows: int
) -> None:
    names = [name.replace('"', '""') + str(number) for number in range(width)]
    columns = [f'v{number % len(values)} AS "{name}"' for number, name in enumerate(names)]
    given = ", ".join(f"{value} AS v{number}" for number, value in enumerate(values))
    text = read_by_the_model(
        made.query,
        f"SELECT {', '.join(columns)} FROM (SELECT {given}), (VALUES (1), (2), (3)) LIMIT {rows}",
    )
    result = json.loads(text)
    assert len(text) <= 20_000
    assert len(result["rows"][0]) == len(result["columns"]) == min(width, 200)
    assert (len(result["rows"]) < rows or width > 200) <= ("note" in result)


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
        ("PRAGMA page_size = 512", "only SELECT is allowed"),
        ("PRAGMA writable_schema = ON", "only SELECT is allowed"),
        ("INSERT INTO sqlite_master(sql) VALUES ('x')", "only SELECT is allowed"),
        ("UPDATE sqlite_master SET sql = 'x'", "may not be modified"),
        ("DELETE FROM sqlite_master", "may not be modified"),
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
    "UPDATE sqlite_master SET sql = 'x'",
    "UPDATE sqlite_schema SET sql = 'x'",
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
    "PRAGMA page_size = 512",
    "PRAGMA data_version = 7",
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
