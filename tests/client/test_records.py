"""What the server's answers become."""

import base64
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from amancay_client import InvalidQuery, ServerFault, SqlQuestion, Table
from amancay_client.account import User
from amancay_client.execution import ExecutionRecord, ExecutionStatus
from amancay_client.frames import read_table
from amancay_client.metadata import Column

pytestmark = pytest.mark.anyio

LOSS = {"epsilon": 0.5, "delta": 1e-06}
BUDGET = {"limit": LOSS, "spent": LOSS, "reserved": LOSS, "remaining": LOSS}


def column(kind: str, **facts: Any) -> Column:
    return Column.parse({"__typename": kind, "name": "a", "nullable": False, "description": None, **facts})


@pytest.mark.parametrize("lower", [-(2**40), str(-(2**40))])
def test_big_integers_come_as_numbers_or_strings(lower: int | str) -> None:
    parsed = column("IntegerColumn", lower=lower, upper=None, integerCategories=["3", 4], bits=64)
    assert (parsed.lower, parsed.upper, parsed.categories) == (-(2**40), None, (3, 4))


def test_each_kind_of_column_keeps_its_own_bounds() -> None:
    assert column("FloatColumn", floatLower=0.5, floatUpper=2.0, bits=32).bounds == "0.5 to 2"
    assert column("StringColumn", categories=["x", "y"]).bounds == "x, y"
    assert column("BooleanColumn").bounds == "-"
    parsed = column("DatetimeColumn", datetimeLower="2020-01-01T00:00:00Z", datetimeUpper=None)
    assert parsed.lower == datetime(2020, 1, 1, tzinfo=UTC)


def test_an_unknown_kind_of_column_is_shown_and_not_an_error() -> None:
    assert column("DecimalColumn").type == "DecimalColumn"


def test_an_execution_is_read_in_full() -> None:
    record = ExecutionRecord.parse(execution(status="FAILED", error={"code": "TIMEOUT", "message": "Too long."}))
    assert record.status is ExecutionStatus.FAILED
    assert record.submitted_at == datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert record.finished_at is None
    assert record.error is not None
    assert record.error.code == "TIMEOUT"


def test_a_user_has_a_budget_per_dataset() -> None:
    edge = {"node": {"dataset": "penguins", "budget": BUDGET}}
    facts = {"name": "ada", "email": None, "role": "RESEARCHER", "active": True}
    user = User.parse({**facts, "grants": {"edges": [edge]}})
    assert [(grant.dataset, grant.budget.remaining.epsilon) for grant in user.grants] == [("penguins", 0.5)]


def test_open_choices_are_left_to_the_server() -> None:
    asked = SqlQuestion(sql="SELECT 1", epsilon=1).variables()["smartnoiseSql"]
    assert asked == {"sql": "SELECT 1", "epsilon": 1, "delta": 1e-06, "postprocess": True}
    chosen = SqlQuestion(sql="SELECT 1", epsilon=1, mechanisms={"count": "gaussian"}, censor_dims=False)
    named = chosen.variables()["smartnoiseSql"]
    assert named["mechanisms"] == [{"statistic": "COUNT", "mechanism": "GAUSSIAN"}]
    assert named["censorDims"] is False


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused_at_once(number: float) -> None:
    with pytest.raises(InvalidQuery, match="delta") as caught:
        SqlQuestion(sql="SELECT 1", epsilon=1, delta=number)
    assert caught.value.path == ("delta",)


NOON = datetime.fromisoformat("2020-01-01T12:00:00")
FRAME = pl.DataFrame({"n": [1, 2], "x": [0.5, None], "s": ["a", "b"], "t": [NOON, None]})


async def no_page(first: int, offset: int) -> Any:
    raise AssertionError("Arrow came: no page is needed")


async def test_a_table_comes_as_arrow() -> None:
    table = await read_table({"columns": [], "rowCount": 2, "arrow": arrow(FRAME)}, no_page)
    assert table.to_polars().equals(FRAME)
    assert table.columns == ("n", "x", "s", "t")
    assert table.rows[0] == {"n": 1, "x": 0.5, "s": "a", "t": NOON}
    assert len(table) == 2
    assert list(table.to_pandas()["s"]) == ["a", "b"]


async def test_a_large_table_comes_in_pages_with_the_same_types() -> None:
    """Goal: Arrow and pages give the same frame. Method: serve FRAME one row at a time."""
    served = [[1, 0.5, "a", "2020-01-01T12:00:00"], [2, None, "b", None]]

    async def page(first: int, offset: int) -> Any:
        return served[offset : offset + 1]

    columns = [{"name": name, "type": kind} for name, kind in (("n", "int64"), ("x", "double"), ("s", "string"))]
    answer = {"columns": [*columns, {"name": "t", "type": "timestamp[us]"}], "rowCount": 2, "arrow": None}
    assert (await read_table(answer, page)).to_polars().equals(FRAME)


async def test_a_table_that_stops_short_is_a_fault() -> None:
    async def page(first: int, offset: int) -> Any:
        return []

    with pytest.raises(ServerFault, match="promised 2 rows and sent 0"):
        await read_table({"columns": [], "rowCount": 2, "arrow": None}, page)


@pytest.mark.parametrize("text", ["no base64!", base64.b64encode(b"no arrow").decode()])
async def test_an_unreadable_table_is_a_fault(text: str) -> None:
    with pytest.raises(ServerFault, match="cannot be read"):
        await read_table({"columns": [], "rowCount": 1, "arrow": text}, no_page)


def test_a_table_shows_its_first_rows() -> None:
    assert repr(Table(pl.DataFrame({"n": list(range(30))}))).splitlines()[0] == "Rows: 30, the first 20 shown"


def arrow(frame: pl.DataFrame) -> str:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def execution(**changes: Any) -> Mapping[str, Any]:
    return {
        "id": "RXg6MQ==",
        "dataset": "penguins",
        "requestedBy": "ada",
        "library": "SMARTNOISE_SQL",
        "query": {"smartnoiseSql": {"sql": "SELECT 1"}},
        "kind": "PRIVATE",
        "status": "RUNNING",
        "progress": {"fraction": 0.5, "stage": "Reading"},
        "revision": 2,
        "cost": LOSS,
        "charged": LOSS,
        "submittedAt": "2026-11-21T05:00:00Z",
        "startedAt": "2026-11-21T05:00:01+00:00",
        "finishedAt": None,
        "accuracy": [],
        "error": None,
        **changes,
    }
