"""SmartNoise SQL end to end, with so little noise that the exact answer shows: is the right question answered?

The noise on a count has a scale of a millionth here; what is right is computed independently, with Polars.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from amancay_engine.metadata import parse_metadata
from amancay_engine.sources import FileFormat, FileSource
from tests.engine.scene import COLUMNS, PERSON, answer, parquet, people


def seen() -> pl.DataFrame:
    """The same as the declaration would have it."""
    return people().with_columns(
        pl.col("age").clip(0, 100),
        pl.col("pay").clip(-10, 50),
        pl.when(pl.col("sex").is_in(["f", "m", "x"])).then("sex").alias("sex"),
        pl.when(pl.col("level").is_in([1, 2])).then("level").alias("level"),
        pl.when(pl.col("ward").is_in(["north", "south"])).then("ward").alias("ward"),
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FileSource:
    """The rows in a file."""
    return parquet(people(), tmp_path_factory.mktemp("people"))


def said(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Rows with numbers that may be a little off."""
    return [
        tuple(pytest.approx(v, abs=0.02, rel=1e-4) if isinstance(v, float) else v for v in row) for row in frame.rows()
    ]


AGE, PAY = pl.col("age"), pl.col("pay")
EXACT: list[tuple[str, list[pl.Expr]]] = [
    ("COUNT(*)", [pl.len()]),
    ("COUNT(age)", [AGE.count()]),
    ("COUNT(ward)", [pl.col("ward").count()]),
    ("COUNT(DISTINCT town)", [pl.col("town").drop_nulls().n_unique()]),
    ("COUNT(DISTINCT ward)", [pl.col("ward").drop_nulls().n_unique()]),
    ("SUM(age)", [AGE.sum()]),
    ("SUM(pay)", [PAY.sum()]),
    ("SUM(Total), SUM(age)", [pl.col("Total").sum(), AGE.sum()]),
    ("AVG(age), AVG(pay)", [AGE.mean(), PAY.mean()]),
    ("VARIANCE(age), VAR(pay)", [AGE.var(ddof=0), PAY.var(ddof=0)]),
    ("STDDEV(age), STDDEV(pay)", [AGE.std(ddof=0), PAY.std(ddof=0)]),
    ("SUM(age) * 1.0 / COUNT(*)", [AGE.sum() * 1.0 / pl.len()]),
    ("COUNT(*) + SUM(age)", [pl.len() + AGE.sum() + 0.0]),
    ("CASE WHEN COUNT(*) > 5 THEN 'many' ELSE 'few' END", [pl.when(pl.len() > 5).then(pl.lit("many"))]),
    ("ROUND(AVG(pay), 1)", [PAY.mean().round(1)]),
]


@pytest.mark.parametrize(("asked", "exact"), EXACT)
def test_aggregates_are_right(asked: str, exact: list[pl.Expr], table: FileSource) -> None:
    """Goal: each aggregate over clamped values is what it is called, and NULLs count for nothing."""
    names = [f"a{index}" for index in range(len(exact))]
    expected = seen().select(expression.alias(name) for expression, name in zip(exact, names, strict=True))
    assert answer(f"SELECT {asked} FROM df", table).rows() == said(expected)


CONDITIONS: list[tuple[str, pl.Expr]] = [
    ("age > 30", AGE > 30),
    ("age >= 100", AGE >= 100),
    ("age > 100", AGE > 100),
    ("age IS NULL", AGE.is_null()),
    ("age IS NOT NULL", AGE.is_not_null()),
    ("NOT (age > 30)", ~(AGE > 30)),
    ("age > 30 AND smokes OR pay < 0", (AGE > 30) & pl.col("smokes") | (PAY < 0)),
    ("town IN ('t1', 't2')", pl.col("town").is_in(["t1", "t2"])),
    ("town NOT IN ('t1', 't2')", ~pl.col("town").is_in(["t1", "t2"])),
    ("sex = 'other'", pl.lit(value=False)),
    ("sex IS NULL", pl.col("sex").is_null()),
    ("age BETWEEN 10 AND 20", AGE.is_between(10, 20)),
    ("town LIKE 't%1'", pl.col("town").str.starts_with("t1")),
    ("town NOT LIKE 't1'", pl.col("town") != "t1"),
    ("seen >= '2021-06-01'", pl.col("seen") >= datetime(2021, 6, 1)),  # noqa: DTZ001 - no zone
    ("EXTRACT(YEAR FROM seen) = 2021", pl.col("seen").dt.year() == 2021),
    ("CAST(seen AS DATE) < DATE '2020-02-01'", pl.col("seen") < datetime(2020, 2, 1)),  # noqa: DTZ001 - no zone
    ("age % 10 = 3", AGE % 10 == 3),
    ("age / 0 > 1", pl.lit(value=False)),
    (
        "CASE sex WHEN 'f' THEN TRUE WHEN 'm' THEN smokes END",
        (pl.col("sex") == "f") | ((pl.col("sex") == "m") & pl.col("smokes")),
    ),
    ("CASE WHEN age > 50 THEN 1 ELSE 2 END = 2", ~(AGE > 50).fill_null(value=False)),
    ("COALESCE(age, 0) = 0", AGE.fill_null(0) == 0),
    ("NULLIF(town, 't1') IS NULL", pl.col("town").is_null() | (pl.col("town") == "t1")),
    ("CAST(town AS INTEGER) > 0", pl.lit(value=False)),
    ("LENGTH(UPPER(TRIM(town))) = 2 AND LOWER(town) = 't1'", pl.col("town") == "t1"),
    (
        "ABS(pay) > 5 AND ROUND(pay, 0) < 40 AND FLOOR(pay) <> CEIL(pay)",
        (PAY.abs() > 5) & (PAY.round() < 40) & (PAY.floor() != PAY.ceil()),
    ),
    ("unbounded < 10", pl.col("unbounded") < 10),
    ("smokes IS NOT TRUE", ~pl.col("smokes")),
    ("NULL", pl.lit(value=False)),
]


@pytest.mark.parametrize(("asked", "exact"), CONDITIONS)
def test_where_keeps_the_right_rows(asked: str, exact: pl.Expr, table: FileSource) -> None:
    """Goal: three-valued logic, types and clamping as SQL has them."""
    expected = seen().filter(exact).height
    assert answer(f"SELECT COUNT(*) FROM df WHERE {asked}", table).item() == expected


def test_public_keys_are_all_shown(table: FileSource) -> None:
    """Goal: every category stands in the answer, present or not, and nothing else does."""
    shown = answer(
        "SELECT sex, COUNT(*) AS n, SUM(age) AS s, AVG(age) AS a, STDDEV(age) AS d FROM df GROUP BY sex", table
    )
    exact = (
        seen()
        .drop_nulls("sex")
        .group_by("sex")
        .agg(pl.len(), AGE.sum().alias("s"), AGE.mean().alias("a"), AGE.std(ddof=0).alias("d"))
        .sort("sex")
    )
    assert shown.rows() == [*said(exact), ("x", 0, 0, None, None)]


def test_the_product_of_public_keys_is_shown(table: FileSource) -> None:
    """Goal: all combinations, with NULL among the keys of a nullable column, in the order of the declaration."""
    shown = answer("SELECT smokes, level, COUNT(*) AS n FROM df GROUP BY smokes, level", table)
    rows = seen()
    expected = [
        (smokes, level, rows.filter(pl.col("smokes") == smokes, pl.col("level").eq_missing(level)).height)
        for smokes in (False, True)
        for level in (1, 2, None)
    ]
    assert shown.rows() == expected


def test_absent_groups_are_shown_even_in_an_empty_table(tmp_path: Path) -> None:
    """Goal: whether a group has rows at all is private."""
    empty = parquet(people().clear(), tmp_path)
    assert answer("SELECT sex, COUNT(*) AS n FROM df GROUP BY sex", empty).rows() == [("f", 0), ("m", 0), ("x", 0)]


def test_private_keys_are_thresholded(tmp_path: Path) -> None:
    """Goal: groups above the threshold are shown, those below are not; NULL is a key like others.

    Method: at epsilon 1 and delta 1e-6 the threshold is near 14; groups of 500, 400 and 1.
    """
    rows = pl.DataFrame({"town": ["a"] * 500 + [None] * 400 + ["rare"]})
    shown = answer("SELECT town, COUNT(*) AS n FROM df GROUP BY town", parquet(rows, tmp_path), epsilon=1.0)
    assert shown["town"].to_list() == ["a", None]
    assert shown["n"].to_list() == pytest.approx([500, 400], abs=40)


def test_declared_but_private_categories_are_thresholded(table: FileSource) -> None:
    """Goal: a list of categories is not permission to show them."""
    shown = answer("SELECT ward, COUNT(*) AS n FROM df WHERE ward = 'north' GROUP BY ward", table, epsilon=3.0)
    assert shown["ward"].to_list() == ["north"]


def test_keys_may_be_expressions(table: FileSource) -> None:
    """Goal: a key is what its expression says of the clamped column."""
    shown = answer(
        "SELECT FLOOR(age / 10) * 10 AS decade, COUNT(*) AS n FROM df GROUP BY FLOOR(age / 10)", table, epsilon=50.0
    )
    exact = seen().group_by((AGE // 10 * 10).alias("decade")).agg(pl.len().alias("n")).sort("decade", nulls_last=True)
    assert shown.select(pl.col("decade").cast(pl.Int64), pl.col("n").cast(pl.UInt32)).rows() == exact.rows()


def test_a_column_that_is_grouped_and_summed_is_clamped(tmp_path: Path) -> None:
    """Goal: no sum beyond its bounds. Method: 500 000 would stand for one row of 100 if the key were not clamped."""
    rows = parquet(pl.DataFrame({"age": [500_000] * 50}), tmp_path)
    assert answer("SELECT age, SUM(age) AS s FROM df GROUP BY age", rows).rows() == [(100, 5000)]
    rows = parquet(pl.DataFrame({"level": [1] * 3, "Total": [99] * 3}), tmp_path)
    assert answer("SELECT level, SUM(Total) AS s FROM df GROUP BY level", rows).rows() == [(1, 15), (2, 0), (None, 0)]


def test_having_order_and_limit_are_applied(table: FileSource) -> None:
    """Goal: post-processing as the SELECT says."""
    sql = "SELECT sex, COUNT(*) AS n FROM df GROUP BY sex HAVING n > 0 ORDER BY n DESC, sex DESC LIMIT 1 OFFSET 1"
    assert answer(sql, table).rows() == [("m", 133)]
    assert answer("SELECT sex FROM df GROUP BY sex HAVING COUNT(*) > 133", table).rows() == [("f",)]
    assert answer("SELECT sex, AVG(age) FROM df GROUP BY sex ORDER BY 2 DESC NULLS LAST", table)["sex"][2] == "x"
    assert answer("SELECT COUNT(*) FROM df LIMIT 0", table).height == 0
    assert answer("SELECT COUNT(*) AS n FROM df HAVING n > 1000000", table).height == 0


def test_the_parts_themselves_can_be_had(table: FileSource) -> None:
    """Goal: without post-processing the noisy parts leave as they are: keys first, unrounded, unclamped."""
    sql = "SELECT sex AS s, AVG(age) AS a FROM df GROUP BY sex HAVING a > 1000 LIMIT 1"
    shown = answer(sql, table, postprocess=False)
    assert shown.columns == ["sex", "sum_age", "count_age"]
    assert shown.schema["count_age"] == pl.Float64
    assert shown["count_age"].to_list() == pytest.approx(
        [*seen().drop_nulls("sex").group_by("sex").agg(AGE.count()).sort("sex")["age"], 0], abs=0.01
    )
    assert all(value != round(value) for value in shown["count_age"])
    noisy = answer("SELECT COUNT(*) FROM df WHERE NULL", table, epsilon=0.01, postprocess=False)
    assert {answer("SELECT COUNT(*) FROM df WHERE NULL", table, epsilon=0.01).item() >= 0} == {True}
    assert noisy.schema == {"count_all": pl.Float64}


def test_parts_with_equal_names_are_told_apart(tmp_path: Path) -> None:
    """Goal: names that the metadata or the query make equal never fail a run. Method: a column named like a part."""
    metadata = parse_metadata({"columns": {"count_all": {"type": "string"}, "s": {"type": "string"}}})
    rows = parquet(pl.DataFrame({"count_all": ["x"] * 90, "s": ["y"] * 90}), tmp_path)
    shown = answer("SELECT COUNT(*) FROM df GROUP BY count_all", rows, metadata, postprocess=False)
    assert shown.columns == ["count_all", "count_all_2"]
    long = f"CASE s WHEN '{'x' * 80}' THEN 1 ELSE {{}} END"
    sql = f"SELECT COUNT(*) FROM df GROUP BY {long.format(1)}, {long.format(2)}"
    assert len(set(answer(sql, rows, metadata, postprocess=False).columns)) == 3


@pytest.mark.parametrize("form", ["public", "private"])
def test_contributions_of_a_person_are_bounded(form: str, tmp_path: Path) -> None:
    """Goal: no person moves an answer by more than the bound. Method: one person with 1000 rows among 50 with one."""
    rows = pl.DataFrame(
        {"person": [0] * 1000 + list(range(1, 51)), "age": [100] * 1050, "sex": ["f"] * 1050, "town": ["a"] * 1050}
    )
    source = parquet(rows, tmp_path)
    assert answer("SELECT COUNT(*) AS n, SUM(age) AS s FROM df", source, PERSON).rows() == [(53, 5300)]
    key = "sex" if form == "public" else "town"
    shown = answer(f"SELECT {key}, COUNT(*) AS n, COUNT(DISTINCT person) AS p FROM df GROUP BY {key}", source, PERSON)
    assert shown.row(0) == ("f" if form == "public" else "a", 53, 51)


def test_contributions_are_bounded_over_all_groups(tmp_path: Path) -> None:
    """Goal: a person in every group is kept in at most the bound of them. Method: one person in all three."""
    columns = COLUMNS | {"sex": {"type": "string", "categories": ["f", "m", "x"], "public_categories": True}}
    unit = {"kind": "identifier", "column": "person", "max_contributions": 2}
    metadata = parse_metadata({"privacy_unit": unit, "columns": columns})
    source = parquet(pl.DataFrame({"person": [1] * 18, "sex": ["f", "m", "x"] * 6}), tmp_path)
    assert answer("SELECT sex, COUNT(*) AS n FROM df GROUP BY sex", source, metadata)["n"].sum() == 2


def test_a_group_of_one_person_with_many_rows_is_rare(tmp_path: Path) -> None:
    """Goal: the threshold looks at persons. Method: 100 persons in one town, one person with 3 rows in another."""
    rows = pl.DataFrame({"person": list(range(100)) + [100] * 3, "town": ["a"] * 100 + ["rare"] * 3})
    shown = answer("SELECT town, COUNT(*) AS n FROM df GROUP BY town", parquet(rows, tmp_path), PERSON, epsilon=5.0)
    assert shown["town"].to_list() == ["a"]


def test_the_order_of_groups_does_not_tell_the_order_of_rows(tmp_path: Path) -> None:
    """Goal: rows in another order give groups in the same order. Method: a table forwards and backwards."""
    forwards = pl.DataFrame({"town": [town for town in "cabed" for _ in range(60)]})
    shown = [
        answer("SELECT town, COUNT(*) AS n FROM df GROUP BY town", parquet(frame, tmp_path, f"{index}.parquet"))
        for index, frame in enumerate((forwards, forwards.reverse()))
    ]
    assert [frame["town"].to_list() for frame in shown] == [list("abcde")] * 2


def test_parquet_and_csv_answer_alike(tmp_path: Path, table: FileSource) -> None:
    """Goal: the format of the file is of no matter."""
    path = tmp_path / "people.csv"
    people().write_csv(path)
    sql = "SELECT sex, COUNT(*) AS n, SUM(age) AS s, COUNT(age) AS c FROM df WHERE seen > '2020-05-01' GROUP BY sex"
    assert answer(sql, FileSource(path=str(path), format=FileFormat.CSV)).equals(answer(sql, table))


def test_private_noise_is_never_repeated(table: FileSource) -> None:
    """Goal: no seed anywhere. Method: the same question five times gives five answers."""
    sql = "SELECT COUNT(*) FROM df"
    shown = {answer(sql, table, epsilon=1.0, postprocess=False).item() for _ in range(5)}
    assert len(shown) == 5
