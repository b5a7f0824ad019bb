"""Attack: draw the same noise twice, and take the difference of two answers."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from amancay_engine.query import NoiseMechanism, SqlStatistic
from amancay_engine.runners import runner_of
from tests.engine.scene import ROW, answer, parquet, sql_query

SQL = "SELECT COUNT(*) AS a, COUNT(age) AS b, COUNT(DISTINCT town) AS c FROM df"
GAUSSIAN = {SqlStatistic.COUNT: NoiseMechanism.GAUSSIAN}


@pytest.mark.parametrize("mechanisms", [{}, GAUSSIAN], ids=["laplace", "gaussian"])
def test_forked_children_draw_different_noise(mechanisms: dict[SqlStatistic, NoiseMechanism], tmp_path: Path) -> None:
    """Goal: no state of a generator is inherited. Method: noise is drawn first, then three children of one process."""
    rows = parquet(pl.DataFrame({"age": [1], "town": ["a"]}), tmp_path)
    query = sql_query(SQL, epsilon=0.1, mechanisms=mechanisms, postprocess=False)
    runner_of(query).prepare(query, ROW, rows).release()
    prepared = runner_of(query).prepare(query, ROW, rows)
    noise = prepared.noises.values()  # type: ignore[attr-defined]  # the protocol hides what each runner keeps
    mechanism = next(iter(noise)).mechanism()
    drawn = [in_a_child(lambda: mechanism.release([0.0] * 4)) for _ in range(3)]
    assert len({value for values in drawn for value in values}) == 12


def test_equal_parts_are_drawn_once_and_equal_queries_twice(tmp_path: Path) -> None:
    """Goal: averaging within a query gains nothing, and a repeat, which is paid for again, is a new draw."""
    rows = parquet(pl.DataFrame({"age": [1] * 9}), tmp_path)
    sql = "SELECT COUNT(*) AS a, COUNT(*) AS b, AVG(age) * COUNT(age) AS c, SUM(age) AS d FROM df"
    first, second = (answer(sql, rows, epsilon=1.0, postprocess=False).row(0) for _ in range(2))
    assert len(first) == 3  # count_all, sum_age, count_age
    assert not set(first) & set(second)


def in_a_child(draw: Any) -> list[float]:
    """What a forked process draws. It ends without running what this one registered for its own end."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, json.dumps(draw()).encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(pid, 0)
    with os.fdopen(ours) as pipe:
        values: list[float] = json.load(pipe)
    return values
