"""Attack: SQL that makes vetting slow, large or fail with an error of its own. Vetting runs in the server's process."""

import time

import pytest

from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.runners import accuracy, price
from amancay_engine.vetting.smartnoise_sql import MAX_SQL
from tests.engine.scene import PERSON, ROW, sql_query

SECONDS = 1.5
"""Each took up to 2 s before it was stopped; they now take a tenth of that on an idle core."""
COUNT = "SELECT COUNT(*) FROM df"
WIDE = parse_metadata(
    {"columns": {f"c{index}": {"type": "float", "lower": 0, "upper": 1 + index} for index in range(500)}}
)


def times(item: str, count: int, separator: str = ",") -> str:
    return separator.join([item] * count)


SLOW = {
    "keys sought in every part of long sums": f"SELECT {times(times('1', 95, '+'), 49)}, COUNT(*) FROM df GROUP BY sex",
    "keys sought under many signs": f"SELECT {'- ' * 95} COALESCE({times('1', 4700)}), COUNT(*) FROM df GROUP BY sex",
    "keys sought in lists": f"SELECT {times('- ' * 95 + '1', 48)}, COUNT(*) FROM df GROUP BY sex",
    "aggregates under many signs": f"SELECT {'- ' * 95} COALESCE({times('SUM(age)', 1000)}) FROM df GROUP BY sex",
    "a label repeated": f"SELECT COALESCE({times('SUM(age)', 500)}) AS n FROM df ORDER BY {times('n', 2500)}",
    "a label in nested lists": f"SELECT COALESCE({times('SUM(age)', 300)}) AS n FROM df HAVING "
    + "n IN (" * 1
    + times("n", 990)
    + ")",
    "ordinals": f"SELECT {times('COUNT(*)', 50)} FROM df ORDER BY {times('50', 3000)}",
    "brackets": f"{COUNT} WHERE {'(' * 9000}",
    "signs": f"{COUNT} WHERE {'NOT ' * 2400} smokes",
    "cases": f"{COUNT} WHERE {'CASE WHEN ' * 900}",
    "subqueries": f"{COUNT} WHERE {'(SELECT ' * 1200}",
    "casts": f"{COUNT} WHERE {'CAST(' * 1900}",
    "types": f"SELECT CAST(1 AS {'STRUCT<a ' * 1000}",
    "comments": f"{COUNT} {'/*' * 4900}",
    "statements": f"{COUNT}{';' * 9900}",
    "quotes": f"{COUNT} WHERE town = '{chr(39) * 9800}",
}


@pytest.mark.parametrize("sql", SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize("metadata", [ROW, PERSON], ids=["row", "person"])
def test_no_query_holds_the_server(sql: str, metadata: TableMetadata) -> None:
    """Goal: ten thousand characters are answered or refused at once, and with a refusal of ours."""
    assert len(sql) <= MAX_SQL
    assert seconds_to_estimate(sql, metadata) < SECONDS


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT COALESCE({','.join(f'VARIANCE(c{index})' for index in range(500))}) FROM df",
        f"{COUNT} WHERE COALESCE({times('C499', 1900)}) > 1",
        f"SELECT COUNT(*), COALESCE({times('c499', 1900)}) FROM df GROUP BY c499",
    ],
    ids=["parts", "names", "keys"],
)
def test_a_wide_table_does_not_make_it_slow(sql: str) -> None:
    """Goal: time does not grow with the product of columns and names. Method: 500 columns, the last one asked for."""
    assert seconds_to_estimate(sql, WIDE) < SECONDS


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:00:00-10:00", "0001-01-01T00:00:00+00:01"]
)
@pytest.mark.parametrize("form", ["seen > '{}'", "seen IN ('2020-01-01', '{}')", "seen = CAST('{}' AS TIMESTAMP)"])
def test_a_moment_that_no_calendar_holds_is_refused(moment: str, form: str) -> None:
    """Goal: a time zone that carries a literal out of the calendar is a refusal, not a fault."""
    with pytest.raises(InvalidQuery, match="before the year 1 or after the year 9999") as refusal:
        price(sql_query(f"{COUNT} WHERE {form.format(moment)}"), ROW)
    assert refusal.value.path == ("sql", "where")


@pytest.mark.parametrize(
    "tail",
    ["WHERE pay > ²", "WHERE ROUND(pay, ²) > 1", "WHERE ROUND(pay, ٣) > 1", "LIMIT ²", "ORDER BY ²", "GROUP BY ²"],
)
def test_digits_that_are_no_digits_are_refused(tail: str) -> None:
    """Goal: what Unicode counts among the digits and Python's `int` does not is a refusal, not a fault."""
    with pytest.raises(InvalidQuery):
        price(sql_query(f"{COUNT} {tail}"), ROW)


def seconds_to_estimate(sql: str, metadata: TableMetadata) -> float:
    start = time.process_time()
    try:
        price(sql_query(sql), metadata)
        accuracy(sql_query(sql), metadata)
    except InvalidQuery:
        pass
    return time.process_time() - start
