"""Nothing but noisy values tells of a row: neither whether a run fails nor the shape of its answer."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amancay_engine.sources import FileSource
from tests.engine.scene import ROW, answer, parquet, people, release, sql_query

ODD: list[tuple[str, pl.DataFrame]] = [
    ("empty", people().clear()),
    ("only NULL", pl.DataFrame({name: [None] * 5 for name in people().columns}, schema=people().schema)),
    ("untyped NULL", pl.DataFrame({name: [None] * 5 for name in people().columns})),
    ("text everywhere", pl.DataFrame({name: ["?"] * 40 for name in people().columns})),
    ("one row", people().head(1)),
    ("all rows", people()),
]
SHAPES = [
    "SELECT COUNT(*), COUNT(age), SUM(age), AVG(age), SUM(pay), STDDEV(pay), COUNT(DISTINCT town) FROM df",
    "SELECT sex, level, smokes, COUNT(*), AVG(pay) FROM df GROUP BY sex, level, smokes",
    "SELECT age, pay, town, seen, COUNT(*), AVG(pay) FROM df GROUP BY age, pay, town, seen",
    "SELECT EXTRACT(YEAR FROM seen) y, FLOOR(pay) f, LENGTH(town) l, NULL z, COUNT(*) FROM df GROUP BY y, f, l, z",
    "SELECT unbounded, person, CAST(town AS DATE) AS d, smokes, COUNT(*) FROM df GROUP BY unbounded, person, d, smokes",
]


@pytest.mark.parametrize("postprocess", [True, False])
@pytest.mark.parametrize("sql", SHAPES)
def test_the_shape_of_an_answer_tells_nothing(sql: str, tmp_path: Path, *, postprocess: bool) -> None:
    """Goal: column names and types depend on the question only; a type guessed from values would tell of rows.

    Method: the same question over an empty table, one with only NULLs, one of the wrong types, one with rows.
    """
    query = sql_query(sql, epsilon=1.0, postprocess=postprocess)
    columns = {
        release(query, ROW, parquet(frame, tmp_path, f"{index}.parquet")).columns
        for index, (_, frame) in enumerate(ODD)
    }
    assert len(columns) == 1


MOMENTS = [
    "infinity",
    "-infinity",
    "20000-01-01",
    "290000-01-01 00:00:00",
    "1000-01-01 (BC)",
    "0001-01-01",
    "9999-12-31",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_no_point_in_time_fails_a_run(moment: str, tmp_path: Path) -> None:
    """Goal: years that Python does not know are as good as missing. Method: grouped, taken apart and compared."""
    source = parquet(pl.DataFrame({"seen": [moment] * 200, "town": [moment] * 200}), tmp_path)
    for key in ("seen", "CAST(town AS TIMESTAMP)", "CAST(seen AS DATE)", "EXTRACT(YEAR FROM seen)"):
        assert answer(f"SELECT {key} AS k, COUNT(*) AS n FROM df GROUP BY {key}", source)["n"].to_list() == [200]


def terms(kind: str) -> st.SearchStrategy[str]:
    """Expressions of one type, nested a little."""
    numbers = st.sampled_from(["age", "pay", "unbounded", "level", "0", "1.5", "9223372036854775807", "1e308", "NULL"])
    texts = st.sampled_from(["town", "ward", "'a'", "''", "'12'", "NULL"])
    truths = st.sampled_from(["smokes", "TRUE", "NULL"])
    times = st.sampled_from(["seen", "DATE '2020-02-29'", "CAST(town AS DATE)", "CAST(town AS TIMESTAMP)"])
    number = st.recursive(
        numbers,
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner),
            st.builds("{}({})".format, st.sampled_from(["ABS", "FLOOR", "CEIL", "ROUND", "-"]), inner),
            st.builds("CAST({} AS {})".format, inner, st.sampled_from(["INTEGER", "FLOAT", "BIGINT"])),
            st.builds("COALESCE({}, {})".format, inner, inner),
            st.builds("NULLIF({}, {})".format, inner, inner),
            st.builds("ROUND({}, 15)".format, inner),
        ),
        max_leaves=4,
    )
    number = st.one_of(
        number,
        st.builds("EXTRACT({} FROM {})".format, st.sampled_from(["YEAR", "DOW", "WEEK", "MINUTE"]), times),
        st.builds("LENGTH({})".format, texts),
        st.builds("CAST({} AS {})".format, texts, st.sampled_from(["INTEGER", "FLOAT"])),
    )
    if kind == "number":
        return number
    comparison = st.sampled_from(["=", "<", ">=", "<>"])
    return st.one_of(
        st.builds("({} {} {})".format, number, comparison, number),
        st.builds("({} {} {})".format, times, comparison, times),
        st.builds("({} {} {})".format, texts, comparison, texts),
        st.builds(
            "({} LIKE {})".format,
            texts.filter(lambda text: text != "NULL"),
            st.sampled_from(["'%'", "'\\'", "'_%\\'", "'[a'"]),
        ),
        st.builds("({} IN ({}, {}))".format, number, number, number),
        st.builds("(CASE WHEN {} THEN {} ELSE {} END)".format, truths, truths, truths),
        st.builds("CAST({} AS BOOLEAN)".format, st.one_of(texts, number)),
        st.builds("({} AND NOT {})".format, truths, truths),
    )


NASTY = pl.DataFrame(
    {
        "age": ["-9223372036854775808", "9223372036854775807", "1e400", "-0", "", None, "50"],
        "pay": ["1e308", "-1e308", "nan", "inf", "1e-320", None, "0"],
        "unbounded": ["1e308", "-inf", "inf", "nan", "5e-324", None, "-0.0"],
        "level": ["1", "2", "3", "x", "", None, "01"],
        "town": ["a\\", "2020-01-01", "infinity", "\U0001f600", "", None, "9" * 400],
        "ward": ["north", "%", "_", "\n", "south", None, "'"],
        "smokes": ["true", "f", "2", "", "no", None, "1"],
        "seen": ["infinity", "-infinity", "290000-01-01", "0001-01-01", "2020-02-30", None, "2020-01-01 12:34:56"],
    }
)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> FileSource:
    """Values at every edge, each row twice: what stands alone is not shown."""
    return parquet(pl.concat([NASTY, NASTY]), tmp_path_factory.mktemp("nasty"))


def survive(condition: str, key: str, source: FileSource) -> None:
    """One condition and one key over nasty values."""
    assert answer(f"SELECT COUNT(*) FROM df WHERE {condition}", source, epsilon=1.0).height == 1
    grouped = answer(f"SELECT ABS({key}) AS k, COUNT(*) AS n FROM df GROUP BY k", source)
    assert grouped["n"].sum() == 2 * NASTY.height


@settings(max_examples=25, deadline=None)
@given(condition=terms("truth"), key=terms("number"))
def test_no_value_of_a_row_fails_a_run(condition: str, key: str, nasty: FileSource) -> None:
    """Goal: every operator is total: an error that depends on a row would tell of it without noise.

    Method: generated expressions of the whole language as condition and as key, over values at every edge.
    """
    survive(condition, key, nasty)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(condition=terms("truth"), key=terms("number"))
def test_no_value_of_a_row_fails_a_run_of_hundreds(condition: str, key: str, nasty: FileSource) -> None:
    """Goal: the same with more expressions."""
    survive(condition, key, nasty)
