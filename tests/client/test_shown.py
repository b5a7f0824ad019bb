"""How things look at one glance."""

from datetime import UTC, datetime

from amancay_client.budget import Budget, PrivacyLoss
from amancay_client.dataset import DatasetFacts, DatasetRecord, Datasets
from amancay_client.display import MAX_CELL, Grid, bar, short
from amancay_client.execution import (
    Accuracy,
    ExecutionFacts,
    ExecutionRecord,
    Executions,
    ExecutionStatus,
    Progress,
    question,
)
from amancay_client.metadata import Column, Metadata, PrivacyUnit
from amancay_client.query import Estimate

HALF = PrivacyLoss(epsilon=0.5, delta=1e-06)


class SomeDataset(DatasetFacts):
    def __init__(self, description: str | None = "Birds") -> None:
        columns = (
            Column(name="species", type="string", nullable=False, description="kind", categories=("Adelie", "Gentoo")),
            Column(name="mass", type="float", nullable=True, description=None, lower=2500.0, upper=6500.0),
        )
        self._record = DatasetRecord(
            name="penguins",
            description=description,
            privacy_unit=PrivacyUnit(kind="IDENTIFIER", column="bird", max_contributions=5),
            rows=344,
            metadata=Metadata(columns),
            libraries=("SMARTNOISE_SQL",),
        )


class SomeExecution(ExecutionFacts):
    def __init__(self) -> None:
        self._record = ExecutionRecord(
            id="RXg6MQ==",
            dataset="penguins",
            requested_by="ada",
            library="SMARTNOISE_SQL",
            query={"smartnoiseSql": {"sql": "SELECT\n  COUNT(*) FROM df"}},
            kind="PRIVATE",
            status=ExecutionStatus.SUCCEEDED,
            progress=Progress(fraction=1.0, stage="Done"),
            revision=7,
            cost=HALF,
            charged=HALF,
            submitted_at=datetime(2026, 11, 21, 5, 0, 1, tzinfo=UTC),
            started_at=None,
            finished_at=None,
            accuracy=(),
            error=None,
        )


def test_a_budget_is_a_small_table_with_bars() -> None:
    budget = Budget(
        limit=PrivacyLoss(epsilon=10, delta=1e-04),
        spent=PrivacyLoss(epsilon=2.5, delta=0),
        reserved=PrivacyLoss(epsilon=0.5, delta=1e-04),
        remaining=PrivacyLoss(epsilon=7, delta=0),
    )
    assert repr(budget) == (
        "Budget\n"
        "           limit   spent  reserved  remaining\n"
        "  epsilon  10      2.5    0.5       7          █████▒·············· 30% used\n"
        "  delta    0.0001  0      0.0001    0          ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ 100% used"
    )


def test_bars_stay_within_their_cells() -> None:
    assert bar(0, 0, 0) == ""
    assert bar(3, 0, 1) == "█" * 20 + " 100% used"
    assert bar(0, 0, 1) == "·" * 20 + " 0% used"


def test_a_dataset_shows_its_metadata() -> None:
    assert repr(SomeDataset()) == (
        "penguins: Birds\n"
        "344 rows; privacy unit: all rows of one bird (at most 5)\n"
        "  name     type    nullable  values          description\n"
        "  species  string  no        Adelie, Gentoo  kind\n"
        "  mass     float   yes       2500 to 6500"
    )


def test_datasets_are_a_list_and_a_table() -> None:
    datasets = Datasets([SomeDataset(None)])
    assert datasets[0].name == "penguins"
    assert repr(datasets) == (
        "Datasets: 1\n"
        "  name      rows  columns  privacy unit                      description\n"
        "  penguins  344   2        all rows of one bird (at most 5)"
    )


def test_executions() -> None:
    assert repr(SomeExecution()) == (
        "Private execution RXg6MQ==\n"
        "  status     SUCCEEDED (100%, Done)\n"
        "  dataset    penguins\n"
        "  query      SELECT COUNT(*) FROM df\n"
        "  cost       epsilon 0.5, delta 1e-06\n"
        "  charged    epsilon 0.5, delta 1e-06\n"
        "  submitted  2026-11-21 05:00:01 UTC\n"
        "  finished   -"
    )
    assert repr(Executions([SomeExecution()])) == (
        "Executions: 1\n"
        "  submitted                dataset   kind     status     epsilon  delta  query                    id\n"
        "  2026-11-21 05:00:01 UTC  penguins  PRIVATE  SUCCEEDED  0.5      1e-06  SELECT COUNT(*) FROM df  RXg6MQ=="
    )


def test_an_estimate() -> None:
    accuracy = Accuracy(column="n", mechanism="laplace", scale=2.0, margin95=5.991)
    assert repr(Estimate(cost=HALF, times_affordable=9, accuracy=(accuracy,))) == (
        "Costs epsilon 0.5, delta 1e-06; what remains affords it 9 times\n"
        "  column  mechanism  noise scale  95 % margin\n"
        "  n       laplace    2            ± 5.991"
    )


def test_html_escapes_what_the_server_sends() -> None:
    hostile = "<script>alert('x')</script>"
    for shown in (SomeDataset(hostile), Datasets([SomeDataset(hostile)]), Grid(title=hostile, rows=((hostile,),))):
        html = shown.html() if isinstance(shown, Grid) else shown._repr_html_()
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_text_moves_no_cursor() -> None:
    assert "\x1b" not in repr(SomeDataset("\x1b[2Jgone\x9b"))


def test_cells_are_cut() -> None:
    assert short("x" * MAX_CELL) == "x" * MAX_CELL
    assert short("x" * (MAX_CELL + 1)) == "x" * (MAX_CELL - 1) + "…"


def test_a_query_without_sql_is_shown_as_json() -> None:
    assert question({"opendp": {"scale": 1}}) == '{"opendp": {"scale": 1}}'
    assert question({"sql": "SELECT 1"}) == "SELECT 1"
