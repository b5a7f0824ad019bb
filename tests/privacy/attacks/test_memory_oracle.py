"""Attack: give the rows of a condition so much text that memory runs out if there are more of them than a number.

Where contributions are bounded, every row is carried with its keys. With literals of 9000 characters a run on a
million rows failed or not as COUNT(condition) was above 100 000 or below: an exact answer for a price near nothing.
"""

from pathlib import Path

import polars as pl
import pytest

from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import TableMetadata
from amancay_engine.vetting.smartnoise_sql import MAX_KEY_TEXT
from tests.engine.scene import PERSON, ROW, answer, parquet, plan_of

KEYS = ["CASE WHEN age < 3 THEN '{}' END", "COALESCE(town, '{}')", "NULLIF('{}', town)", "LOWER(UPPER('{}'))"]


@pytest.mark.parametrize("metadata", [ROW, PERSON], ids=["row", "person"])
@pytest.mark.parametrize("form", ["SELECT COUNT(*) FROM df GROUP BY {}", "SELECT {} AS k, COUNT(*) FROM df GROUP BY k"])
@pytest.mark.parametrize("key", KEYS)
def test_text_in_keys_is_short(key: str, form: str, metadata: TableMetadata) -> None:
    """Goal: the limit holds at the limit and one past it, however the key is named."""
    assert plan_of(form.format(key.format("x" * MAX_KEY_TEXT)), metadata).keys
    with pytest.raises(InvalidQuery, match="text in GROUP BY has at most 100 characters") as refusal:
        plan_of(form.format(key.format("x" * (MAX_KEY_TEXT + 1))), metadata)
    assert refusal.value.path == ("sql", "group by")


def test_the_heaviest_keys_that_are_left_fit(tmp_path: Path) -> None:
    """Goal: five different keys of the longest text pass on a table of 200 000 rows of as many people."""
    rows = pl.select(person=pl.int_range(200_000), Total=5)
    keys = ", ".join(f"CASE WHEN Total < {index} THEN '' ELSE '{'x' * MAX_KEY_TEXT}' END" for index in range(5))
    shown = answer(f"SELECT COUNT(*) AS n FROM df GROUP BY {keys}", parquet(rows, tmp_path), PERSON)
    assert shown["n"].to_list() == [200_000]
