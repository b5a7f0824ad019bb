"""Attack: thousands of damaged queries, to get any answer of vetting but a plan or a refusal of ours."""

import random
import re
import time

import pytest

from amancay_engine.errors import InvalidQuery
from amancay_engine.runners import price
from tests.engine.scene import PERSON, ROW, sql_query

MUTANTS = 1500
SECONDS = 1.0
WHOLE = (
    """SELECT sex, COUNT(*) AS n, AVG(pay) FROM df WHERE age > 3 AND town LIKE 'a%' GROUP BY sex HAVING n > 3
    ORDER BY 2 DESC NULLS LAST LIMIT 3 OFFSET 1""",
    """SELECT CASE WHEN smokes THEN 'a' ELSE NULL END AS k, COUNT(DISTINCT person), VARIANCE(pay) FROM df d
    WHERE d.seen BETWEEN '2020-01-01' AND CAST('2020-02-01' AS TIMESTAMP) GROUP BY 1""",
    """SELECT EXTRACT(YEAR FROM seen), SUM(age) + SUM(pay) / COUNT(*) FROM df WHERE level IN (1, 2)
    OR NOT (town IS NULL) GROUP BY EXTRACT(YEAR FROM seen)""",
    """SELECT STDDEV(pay), COALESCE(SUM(age), 0) FROM df WHERE ROUND(pay, 2) % 3 = 1.5 AND TRIM(LOWER(town)) = 'x'""",
)
WORDS = """; -- /* */ " ' $$ :: [ ] { } , . * ? @ # ^ & | || -> ->> => := << >> ~ !~ E'n' B'1' X'ff' U&'a' 1e5 .5
5. 0x1 1_0 é ² ٣ INTERVAL ARRAY ROW UNNEST LATERAL JOIN UNION WITH VALUES DISTINCT ALL ANY EXISTS FILTER OVER PARTITION
COLLATE ESCAPE SIMILAR ILIKE UNKNOWN FETCH FOR UPDATE TABLESAMPLE INTO QUALIFY ROLLUP CUBE GROUPING MIN MEDIAN
CURRENT_DATE RANDOM PG_SLEEP READ_CSV SUBSTRING CONCAT POWER EXP DATE TIMESTAMPTZ JSON k0 p0 uid amancay_rows"""
FOREIGN = (*WORDS.split(), "\x00", "\u2028", "\ufeff")
PIECE = re.compile(r"\w+|'[^']*'|\s+|[^\w\s]")


def mutant(draw: random.Random) -> str:
    """A query with up to five pieces lost, added, swapped, repeated or bracketed."""
    pieces = PIECE.findall(draw.choice(WHOLE))
    for _ in range(draw.randint(1, 5)):
        at = draw.randrange(len(pieces))
        until = min(len(pieces), at + draw.randint(1, 12))
        match draw.randrange(6):
            case 0:
                del pieces[at:until]
                pieces = pieces or [" "]
            case 1:
                pieces.insert(at, f" {draw.choice(FOREIGN)} ")
            case 2:
                pieces.insert(at, f" {draw.choice(PIECE.findall(draw.choice(WHOLE)))} ")
            case 3:
                pieces[at:at] = pieces[at:until] * draw.choice([1, 2, 30])
            case 4:
                pieces[at] = chr(draw.choice([draw.randrange(128), draw.randrange(0x11000)]))
            case _:
                pieces[at:until] = ["(", *pieces[at:until], ")"]
    return "".join(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_queries_are_priced_or_refused(seed: int) -> None:
    """Goal: nothing but `InvalidQuery` leaves vetting, and nothing takes a second.

    Method: 6000 mutants, always the same.
    """
    draw = random.Random(seed)
    for _ in range(MUTANTS):
        sql = mutant(draw)
        start = time.process_time()
        try:
            assert price(sql_query(sql), draw.choice([ROW, PERSON])).epsilon_nano > 0, ascii(sql)
        except InvalidQuery as refusal:
            assert refusal.message  # noqa: PT017 - both outcomes are right
        assert time.process_time() - start < SECONDS, ascii(sql)
