"""What can be asked in SQL, and the plan that vetting makes of it."""

import pytest

from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.vetting.smartnoise_sql import column_kind
from amancay_engine.vetting.sql_expression import Kind
from amancay_engine.vetting.sql_plan import Part, PartFunction, SqlPlan
from tests.engine.scene import PERSON, ROW, plan_of

ROWS = "count_all"
PARTS = [
    ("COUNT(*)", [ROWS]),
    ("COUNT(1)", [ROWS]),
    ("COUNT('x')", [ROWS]),
    ("COUNT(age)", ["count_age"]),
    ("COUNT((age))", ["count_age"]),
    ("COUNT(ALL age)", ["count_age"]),
    ("COUNT(town)", ["count_town"]),
    ("COUNT(df.age)", ["count_age"]),
    ("COUNT(DISTINCT town)", ["count_distinct_town"]),
    ("COUNT(DISTINCT (town))", ["count_distinct_town"]),
    ("SUM(age)", ["sum_age"]),
    ("SUM((AGE))", ["sum_age"]),
    ('SUM("age")', ["sum_age"]),
    ("sum(total)", ["sum_Total"]),
    ("AVG(pay)", ["sum_pay", "count_pay"]),
    ("VARIANCE(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("VAR(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("VAR_POP(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("STDDEV(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("STDDEV_POP(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("STD(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("STDEV(pay)", ["sum_of_squares_pay", "count_pay", "sum_pay"]),
    ("SUM(age), AVG(age), COUNT(age), SUM(age)", ["sum_age", "count_age"]),
    ("AVG(age), STDDEV(age), VAR(age)", ["sum_age", "count_age", "sum_of_squares_age"]),
    ("SUM(age) / COUNT(*)", ["sum_age", ROWS]),
    ("COUNT(*) * 2 + COUNT(*)", [ROWS]),
    ("CASE WHEN COUNT(*) > 5 THEN 'many' ELSE 'few' END", [ROWS]),
    ("COALESCE(AVG(age), 0)", ["sum_age", "count_age"]),
    ("ROUND(AVG(age), 1)", ["sum_age", "count_age"]),
    ("CAST(COUNT(*) AS VARCHAR)", [ROWS]),
    ("1, 'text', COUNT(*)", [ROWS]),
]


def labels(plan: SqlPlan) -> list[str]:
    """The noisy parts by name."""
    return [part.label for part in plan.parts]


@pytest.mark.parametrize(("asked", "parts"), PARTS)
def test_aggregates_are_made_of_parts(asked: str, parts: list[str]) -> None:
    """Goal: each aggregate is a formula over sums, and equal sums are drawn once."""
    plan = plan_of(f"SELECT {asked} FROM df")
    assert labels(plan) == parts
    assert (plan.keys, plan.where, plan.censored, plan.having, plan.order) == ((), None, False, None, ())


WHERE = [
    ("age IS NULL", '("age" IS NULL)'),
    ("age IS NOT NULL", '("age" IS NOT NULL)'),
    ("NOT age IS NULL", '(NOT ("age" IS NULL))'),
    ("smokes", '"smokes"'),
    ("smokes IS TRUE", '("smokes" IS TRUE)'),
    ("smokes IS NOT FALSE", '(NOT ("smokes" IS FALSE))'),
    ("smokes = TRUE AND NOT smokes", '(("smokes" = TRUE) AND (NOT "smokes"))'),
    ("age < 3 OR age >= 9", '(("age" < CAST(3 AS BIGINT)) OR ("age" >= CAST(9 AS BIGINT)))'),
    ("age <> 3 AND age != 4", '(("age" <> CAST(3 AS BIGINT)) AND ("age" <> CAST(4 AS BIGINT)))'),
    ("town IN ('a', 'b''c')", "(\"town\" IN ('a', 'b''c'))"),
    ("town NOT IN ('a')", "(NOT (\"town\" IN ('a')))"),
    ("age IN (1, NULL)", '("age" IN (CAST(1 AS BIGINT), NULL))'),
    ("age BETWEEN 3 AND 9", '("age" BETWEEN CAST(3 AS BIGINT) AND CAST(9 AS BIGINT))'),
    ("age NOT BETWEEN 3 AND 9", '(NOT ("age" BETWEEN CAST(3 AS BIGINT) AND CAST(9 AS BIGINT)))'),
    ("town LIKE 'a%_'", "(\"town\" LIKE 'a%_')"),
    ("town NOT LIKE 'a%'", "(\"town\" NOT LIKE 'a%')"),
    ("CASE WHEN age > 3 THEN smokes END", '(CASE  WHEN ("age" > CAST(3 AS BIGINT)) THEN "smokes" END)'),
    ("CASE sex WHEN 'f' THEN TRUE ELSE FALSE END", "(CASE \"sex\" WHEN 'f' THEN TRUE ELSE FALSE END)"),
    ("CAST(town AS INTEGER) = 3", '(TRY_CAST("town" AS BIGINT) = CAST(3 AS BIGINT))'),
    ("town::float = 3", '(TRY_CAST("town" AS DOUBLE) = CAST(3 AS BIGINT))'),
    ("CAST(age AS VARCHAR) = '3'", "(TRY_CAST(\"age\" AS VARCHAR) = '3')"),
    ("CAST(town AS BOOLEAN)", 'TRY_CAST("town" AS BOOLEAN)'),
    (
        "CAST(seen AS DATE) = '2026-11-21'",
        "(TRY_CAST(TRY_CAST(\"seen\" AS DATE) AS TIMESTAMP) = TIMESTAMP '2026-11-21 00:00:00')",
    ),
    ("seen >= DATE '2026-11-21'", "(\"seen\" >= TIMESTAMP '2026-11-21 00:00:00')"),
    ("seen < TIMESTAMP '2026-11-21 08:30:00+02:00'", "(\"seen\" < TIMESTAMP '2026-11-21 06:30:00')"),
    ("'2026-11-21' < seen", "(TIMESTAMP '2026-11-21 00:00:00' < \"seen\")"),
    ("EXTRACT(dow FROM seen) = 6", '(EXTRACT(DOW FROM "seen") = CAST(6 AS BIGINT))'),
    ("LOWER(TRIM(town)) = 'a'", "(LOWER(TRIM(\"town\")) = 'a')"),
    ("LENGTH(UPPER(town)) > 1", '(LENGTH(UPPER("town")) > CAST(1 AS BIGINT))'),
    ("COALESCE(town, ward, 'x') = 'y'", "(COALESCE(\"town\", \"ward\", 'x') = 'y')"),
    ("NULLIF(age, 3) = 4", '(NULLIF("age", CAST(3 AS BIGINT)) = CAST(4 AS BIGINT))'),
    ("ABS(pay) > 2.5", "(ABS(CAST(\"pay\" AS DOUBLE)) > CAST('2.5' AS DOUBLE))"),
    ("ROUND(pay, 2) = 1", '(ROUND(CAST("pay" AS DOUBLE), 2) = CAST(1 AS BIGINT))'),
    ("pay / age > 1", '((CAST("pay" AS DOUBLE) / NULLIF(CAST("age" AS DOUBLE), 0)) > CAST(1 AS BIGINT))'),
    ("pay % age > 1", '((CAST("pay" AS DOUBLE) % NULLIF(CAST("age" AS DOUBLE), 0)) > CAST(1 AS BIGINT))'),
    ("pay > -1.5e3", "(\"pay\" > (-CAST(CAST('1500.0' AS DOUBLE) AS DOUBLE)))"),
    ("age > 9223372036854775807", '("age" > CAST(9223372036854775807 AS BIGINT))'),
    ("age > 9223372036854775808", "(\"age\" > CAST('9.223372036854776e+18' AS DOUBLE))"),
    ("unbounded > 3", '("unbounded" > CAST(3 AS BIGINT))'),
    ("t.age > 3 AND df.age > 3", '(("age" > CAST(3 AS BIGINT)) AND ("age" > CAST(3 AS BIGINT)))'),
    ("TRUE", "TRUE"),
    ("NULL", "NULL"),
]


@pytest.mark.parametrize(("asked", "compiled"), WHERE)
def test_conditions_are_compiled(asked: str, compiled: str) -> None:
    """Goal: the condition means the same to DuckDB, with casts that cannot fail and quotes around every name."""
    assert plan_of(f"SELECT COUNT(*) FROM df AS t WHERE {asked}").where == compiled


GROUPS = [
    ("SELECT sex, COUNT(*) FROM df GROUP BY sex", ["sex"], False),
    ("SELECT COUNT(*) FROM df GROUP BY sex", ["sex"], False),
    ("SELECT sex, COUNT(*) FROM df GROUP BY 1", ["sex"], False),
    ("SELECT sex AS s, COUNT(*) FROM df GROUP BY s", ["sex"], False),
    ("SELECT sex, COUNT(*) FROM df GROUP BY sex, SEX, df.sex", ["sex"], False),
    ("SELECT smokes, level, COUNT(*) FROM df GROUP BY smokes, level", ["smokes", "level"], False),
    ("SELECT town, COUNT(*) FROM df GROUP BY town", ["town"], True),
    ("SELECT ward, COUNT(*) FROM df GROUP BY ward", ["ward"], True),
    ("SELECT sex, town, COUNT(*) FROM df GROUP BY sex, town", ["sex", "town"], True),
    ("SELECT FLOOR(age / 10) AS d, COUNT(*) FROM df GROUP BY d", ["FLOOR(age / 10)"], True),
    ("SELECT EXTRACT(YEAR FROM seen) AS y, COUNT(*) FROM df GROUP BY y", ["EXTRACT(YEAR FROM seen)"], True),
    ("SELECT age % 10, COUNT(*) FROM df GROUP BY age % 10", ["age % 10"], True),
    ("SELECT UPPER(sex), COUNT(*) FROM df GROUP BY 1", ["UPPER(sex)"], True),
]


@pytest.mark.parametrize(("sql", "keys", "censored"), GROUPS)
def test_groups_are_censored_unless_all_keys_are_public(sql: str, keys: list[str], *, censored: bool) -> None:
    """Goal: keys by name, ordinal, alias and expression; only plain public columns go without a threshold."""
    plan = plan_of(sql)
    assert [key.label for key in plan.keys] == keys
    assert (plan.censored, plan.parts) == (censored, (Part(PartFunction.COUNT, None),))


def test_censoring_can_be_asked_for() -> None:
    """Goal: public groups may be thresholded too, and need not be."""
    sql = "SELECT sex, SUM(age) AS s FROM df GROUP BY sex"
    assert labels(plan_of(sql)) == labels(plan_of(sql, censor_dims=False)) == ["sum_age"]
    assert labels(plan_of(sql, censor_dims=True)) == [ROWS, "sum_age"]


@pytest.mark.parametrize(("metadata", "counted"), [(ROW, ROWS), (PERSON, "count_distinct_person")])
def test_the_threshold_counts_privacy_units(metadata: TableMetadata, counted: str) -> None:
    """Goal: a group of one person with many rows is still rare."""
    plan = plan_of("SELECT town, SUM(age) FROM df GROUP BY town", metadata)
    assert labels(plan) == [counted, "sum_age"]
    assert plan.censored


def test_too_many_public_groups_are_censored() -> None:
    """Goal: not more groups than the limit are made up. Method: categories at the limit and one past it."""
    for number, censored in ((10_000, False), (10_001, True)):
        names = [str(index) for index in range(number // 2)], ["x", "y"] if number == 10_000 else ["x", "y", "z"]
        columns = [{"type": "string", "categories": some, "public_categories": True} for some in names]
        metadata = parse_metadata({"columns": {"a": columns[0], "b": columns[1]}})
        assert plan_of("SELECT a, b, COUNT(*) FROM df GROUP BY a, b", metadata).censored is censored


OUTPUTS = [
    ("SELECT COUNT(*) FROM df", ["count"]),
    ("SELECT COUNT(*), COUNT(*), COUNT(age) FROM df", ["count", "count_2", "count_3"]),
    ("SELECT COUNT(*) AS n, AVG(age) AS N FROM df", ["n", "N_2"]),
    ('SELECT COUNT(*) AS "how many; -- it\'s" FROM df', ["how many; -- it's"]),
    ('SELECT COUNT(*) AS "a""b" FROM df', ['a"b']),
    ("SELECT sex, AVG(age) FROM df GROUP BY sex", ["sex", "avg"]),
    ("SELECT t.SEX, SUM(age) total FROM df t GROUP BY sex", ["SEX", "total"]),
    ("SELECT STDEV(age), COUNT(*) + 1 FROM df", ["stddev", "column"]),
    ("select count(*) /* a comment */ from DF -- and another", ["count"]),
    ("SELECT COUNT(*) FROM df;", ["count"]),
    ('SELECT "sex", COUNT(*) FROM "df" GROUP BY "sex"', ["sex", "count"]),
    ("SELECT ALL COUNT(*) FROM df", ["count"]),
]


@pytest.mark.parametrize(("sql", "names"), OUTPUTS)
def test_outputs_have_distinct_names(sql: str, names: list[str]) -> None:
    """Goal: aliases as written, else the column's or function's name, numbered when it repeats."""
    assert [output.label for output in plan_of(sql).outputs] == names


ORDERED = [
    ("ORDER BY sex", ("k0 ASC NULLS LAST",)),
    ("ORDER BY n DESC, 1", ("p0 DESC NULLS FIRST", "k0 ASC NULLS LAST")),
    ("ORDER BY COUNT(*) DESC NULLS LAST", ("p0 DESC NULLS LAST",)),
    ("ORDER BY 2 ASC NULLS FIRST", ("p0 ASC NULLS FIRST",)),
    ("ORDER BY SUM(age)", ("p1 ASC NULLS LAST",)),
]


@pytest.mark.parametrize(("clause", "order"), ORDERED)
def test_order_knows_labels_ordinals_and_aggregates(clause: str, order: tuple[str, ...]) -> None:
    """Goal: as PostgreSQL orders, NULLs included."""
    assert plan_of(f"SELECT sex, COUNT(*) AS n FROM df GROUP BY sex {clause}").order == order


def test_having_and_limits_are_afterwards() -> None:
    """Goal: what is only post-processing is noted beside the parts; a sum used there alone is a part too."""
    plan = plan_of("SELECT sex, COUNT(*) n FROM df GROUP BY sex HAVING n > 5 AND SUM(age) > 3 LIMIT 2 OFFSET 1")
    assert plan.having == "((p0 > CAST(5 AS BIGINT)) AND (p1 > CAST(3 AS BIGINT)))"
    assert labels(plan) == [ROWS, "sum_age"]
    assert (plan.limit, plan.offset) == (2, 1)
    assert plan_of("SELECT COUNT(*) FROM df LIMIT 0").limit == 0


def test_a_label_hides_a_column_only_in_having_and_order() -> None:
    """Goal: GROUP BY means the column, ORDER BY the output, as in PostgreSQL."""
    plan = plan_of("SELECT COUNT(*) AS age, SUM(age) FROM df ORDER BY age")
    assert plan.order == ("p0 ASC NULLS LAST",)


def test_only_named_columns_are_read() -> None:
    """Goal: a query touches the columns it names, and the privacy unit's."""
    sql = "SELECT SEX, COUNT(*) FROM df WHERE smokes GROUP BY sex HAVING AVG(pay) > 3"
    assert set(plan_of(sql).columns) == {"smokes", "sex", "pay"}
    assert set(plan_of(sql, PERSON).columns) == {"person", "smokes", "sex", "pay"}


def test_every_type_of_column_has_a_kind() -> None:
    """Goal: no column type is forgotten by the type check."""
    assert {column_kind(column) for column in ROW.columns.values()} == set(Kind) - {Kind.NULL}
