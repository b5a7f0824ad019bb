"""Every bound of the SQL language, at the limit and one past it; and that vetting stays quick up to there."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.vetting.smartnoise_sql import MAX_KEYS, MAX_LABEL, MAX_LIMIT, MAX_OUTPUTS, MAX_PARTS, MAX_SQL
from amancay_engine.vetting.sql_expression import MAX_COMPILED, MAX_IN_LIST, MAX_NESTING
from tests.engine.scene import plan_of

WIDE = parse_metadata(
    {"columns": {f"c{number}": {"type": "integer", "lower": 0, "upper": 1} for number in range(MAX_PARTS + 1)}}
)


def count(condition: str) -> str:
    """A count of some rows."""
    return f"SELECT COUNT(*) FROM df WHERE {condition}"


def padded(length: int) -> str:
    """A query of exactly so many characters."""
    sql = "SELECT COUNT(*) FROM df --"
    return sql + "x" * (length - len(sql))


def outputs(number: int) -> str:
    """So many columns, of one part."""
    return f"SELECT {', '.join(['COUNT(*)'] * number)} FROM df"


def keys(number: int) -> str:
    """So many keys."""
    return f"SELECT COUNT(*) FROM df GROUP BY {', '.join(f'c{index}' for index in range(number))}"


def sums(number: int) -> str:
    """So many parts in fewer outputs."""
    return f"SELECT {' + '.join(f'SUM(c{index})' for index in range(number))} FROM df"


def answers_or_refuses(sql: str, metadata: TableMetadata) -> None:
    """The only two outcomes of vetting."""
    try:
        plan = plan_of(sql, metadata)
    except InvalidQuery as refusal:
        well_formed = refusal.path[0] == "sql" and 0 < len(refusal.message) < 500
    else:
        well_formed = len(plan.where or "") < 50 * MAX_SQL
    assert well_formed


LIMITS: list[tuple[Any, int, tuple[str, ...], str]] = [
    (padded, MAX_SQL, ("sql",), "longer than 10000"),
    (outputs, MAX_OUTPUTS, ("sql", "select"), "1 to 50 columns"),
    (keys, MAX_KEYS, ("sql", "group by"), "at most 8 keys"),
    (sums, MAX_PARTS, ("sql", "select"), "more than 50 noisy quantities"),
    (lambda number: count(f"c0 IN ({', '.join(['1'] * number)})"), MAX_IN_LIST, ("sql", "where"), "1 to 1000 values"),
    (lambda number: count(" AND ".join(["c0 > 1"] * (number - 1))), MAX_NESTING, ("sql", "where"), "deeper than 100"),
    (lambda number: count(f"c0 > {'- ' * (number - 2)}1"), MAX_NESTING, ("sql", "where"), "deeper than 100"),
    (lambda number: f'SELECT COUNT(*) AS "{"x" * number}" FROM df', MAX_LABEL, ("sql", "select"), "at most 64"),
    (lambda number: f"SELECT COUNT(*) FROM df LIMIT {number}", MAX_LIMIT, ("sql", "limit"), "up to 10000000"),
    (lambda number: f"SELECT COUNT(*) FROM df OFFSET {number}", MAX_LIMIT, ("sql", "offset"), "up to 10000000"),
]


@pytest.mark.parametrize(("build", "limit", "path", "words"), LIMITS, ids=[words for *_, words in LIMITS])
def test_a_limit_holds_at_the_limit_and_one_past_it(build: Any, limit: int, path: tuple[str, ...], words: str) -> None:
    """Goal: every bound is a named constant and means what it says."""
    plan_of(build(limit), WIDE)
    with pytest.raises(InvalidQuery) as refusal:
        plan_of(build(limit + 1), WIDE)
    assert refusal.value.path == path
    assert words in refusal.value.message


def test_generated_sql_is_bounded() -> None:
    """Goal: a label that stands for a long expression cannot be repeated at will.

    Method: an output of 80 counts, sorted by as often as its generated text fits into the bound, and once more.
    """
    total = f"SELECT {' + '.join(['COUNT(*)'] * 80)} AS x FROM df ORDER BY x"
    once = plan_of(total, WIDE)
    fitting = (MAX_COMPILED - len(once.outputs[0].sql)) // len(once.order[0])
    assert len(plan_of(total + ", x" * (fitting - 1), WIDE).order) == fitting
    with pytest.raises(InvalidQuery, match="repeats long expressions too often"):
        plan_of(total + ", x" * fitting, WIDE)


def nested_case(depth: int) -> str:
    """A CASE of a CASE of a CASE."""
    term = "c0"
    for _ in range(depth):
        term = f"CASE {term} WHEN 1 THEN 1 WHEN 2 THEN 3 END"
    return count(f"{term} = 1")


HEAVY = {
    "parentheses": count("(" * 4000 + "c0" + ")" * 4000 + " = 1"),
    "open parentheses": count("(" * 9000),
    "not": count("NOT " * 2000 + "c0 = 1"),
    "minus": count("c0 > " + "- " * 4000 + "1"),
    "and": count(" AND ".join(["c0>1"] * 1000)),
    "functions": count("ABS(" * 1900 + "c0" + ")" * 1900 + " = 1"),
    "case": nested_case(20),
    "deep case": nested_case(200),
    "in": count(f"c0 IN ({','.join(['1'] * 4900)})"),
    "case branches": count("CASE c0 " + "WHEN 1 THEN 2 " * 690 + "END = 1"),
    "subqueries": "SELECT COUNT(*) FROM " + "(SELECT 1 FROM " * 500,
    "joins": "SELECT COUNT(*) FROM df" + ", df" * 2000,
    "unions": " UNION ".join(["SELECT 1"] * 600),
    "statements": ";".join(["SELECT 1"] * 900),
    "comments": "SELECT COUNT(*) FROM df " + "/*" * 4000,
    "keys": "SELECT COUNT(*) FROM df GROUP BY " + ",".join(["c0"] * 3000),
    "outputs": "SELECT " + ",".join(["c0"] * 3000) + " FROM df",
    "aliases": "SELECT " + ",".join(["COUNT(*) n"] * MAX_OUTPUTS) + " FROM df ORDER BY " + ",".join(["n"] * 2000),
    "digits": count("c0 > " + "9" * 9000),
    "exponent": count("c0 > 1e" + "9" * 9000),
}


@pytest.mark.parametrize("sql", HEAVY.values(), ids=HEAVY.keys())
def test_a_heavy_query_costs_little_to_vet(sql: str) -> None:
    """Goal: vetting happens in the server, so no query within the limits holds it, whether it is refused or taken."""
    began = time.process_time()
    answers_or_refuses(sql, WIDE)
    assert time.process_time() - began < 1.5


WORDS = (
    "SELECT FROM df WHERE GROUP BY HAVING ORDER LIMIT OFFSET AND OR NOT IN IS NULL LIKE BETWEEN AS CASE WHEN THEN ELSE "
    "END CAST EXTRACT YEAR INTEGER DATE TIMESTAMP INTERVAL DISTINCT UNION JOIN ON COUNT SUM AVG VAR STDDEV MIN MAX "
    "c0 c1 x 1 2.5 1e400 'text' '2026-01-01' \"c0\" '' TRUE "
    "( ) , ; . * + - / % = < > <> :: || [ ] { } ? $1 @ ~ ! # & | ^ -- /* */ \0 é ' \""
)
PIECES = st.sampled_from([*WORDS.split(" "), "\n"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=25).map(" ".join))
@example("SELECT COUNT(*) FROM df WHERE c0 = 'a\0b'")
@example("SELECT COUNT(*) FROM df WHERE c0 IN")
def test_any_soup_of_words_is_taken_or_refused(sql: str) -> None:
    """Goal: no text makes vetting fail in another way than a refusal. Method: words of the language in any order."""
    answers_or_refuses(sql, WIDE)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map(" ".join), st.sampled_from(["WHERE", "GROUP BY", "HAVING", "ORDER BY", ","]))
def test_any_soup_in_a_clause_is_taken_or_refused(soup: str, clause: str) -> None:
    """Goal: the same, deeper inside: the words stand in one clause of a good query."""
    answers_or_refuses(f"SELECT COUNT(*) FROM df {clause} {soup}", WIDE)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_taken_or_refused(sql: str) -> None:
    """Goal: the same for text that is no SQL at all."""
    answers_or_refuses(sql, WIDE)
