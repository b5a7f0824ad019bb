"""The demo's tables are what their metadata say, and always the same."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from amancay_engine.metadata import (
    Column,
    DatetimeColumn,
    FloatColumn,
    IntegerColumn,
    StringColumn,
    TableMetadata,
    parse_metadata,
)
from amancay_server.demo.data import DEMO_GRANTS, DemoDataset, demo_datasets, make_data
from amancay_server.demo.users import DEMO_USERS

POLARS_TYPES: dict[type, pl.DataType] = {
    IntegerColumn: pl.Int64(),
    FloatColumn: pl.Float64(),
    StringColumn: pl.String(),
    DatetimeColumn: pl.Datetime("us"),
}
NAMES = ["penguins", "income", "visits"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DemoDataset]:
    data_dir = tmp_path_factory.mktemp("demo")
    make_data(data_dir, progress=False)
    return {dataset.name: dataset for dataset in demo_datasets(data_dir)}


def declared(dataset: DemoDataset) -> TableMetadata:
    return parse_metadata(dataset.metadata)


def table(dataset: DemoDataset) -> pl.DataFrame:
    return pl.read_parquet(dataset.source_path)


def keeps_to(values: pl.Series, column: Column) -> bool:
    """True if the values are of the type, within the bounds and among the categories that are declared."""
    known = values.drop_nulls()
    lower, upper = getattr(column, "lower", None), getattr(column, "upper", None)
    within = lower is None or upper is None or bool(known.is_between(lower, upper).all())
    categories = getattr(column, "categories", None)
    among = categories is None or set(known.unique()) <= set(categories)
    whole = column.nullable or values.null_count() == 0
    return values.dtype == POLARS_TYPES[type(column)] and within and among and whole


@pytest.mark.parametrize("name", NAMES)
def test_a_table_keeps_to_its_metadata(name: str, made: dict[str, DemoDataset]) -> None:
    rows, metadata = table(made[name]), declared(made[name])
    assert rows.columns == list(metadata.columns)
    assert rows.height == metadata.rows
    assert [name for name in rows.columns if not keeps_to(rows[name], metadata.columns[name])] == []


def test_nobody_has_more_visits_than_declared(made: dict[str, DemoDataset]) -> None:
    metadata = declared(made["visits"])
    most = table(made["visits"])["person_id"].value_counts()["count"].max()
    assert most == metadata.privacy_unit.max_contributions == 5


def test_incomes_depend_on_what_they_should(made: dict[str, DemoDataset]) -> None:
    rows = table(made["income"])
    assert (rows["eco_branch"].n_unique(), rows["profession"].n_unique()) == (72, 28)
    by_education = rows.group_by("education").agg(pl.mean("income")).sort("education")["income"]
    assert by_education.is_sorted()
    by_sex = rows.group_by("sex").agg(pl.mean("income")).sort("sex")["income"]
    assert by_sex[0] > by_sex[1]
    by_age = rows.group_by(pl.col("age") // 10).agg(pl.mean("income")).sort("age")["income"]
    assert by_age.arg_max() not in {0, len(by_age) - 1}


def test_tables_are_the_same_everywhere_and_made_once(made: dict[str, DemoDataset], tmp_path: Path) -> None:
    """Goal: deterministic, and no work twice. Method: make the small ones again; spoil a marker."""
    first = made["visits"].source_path.parent.parent
    times = {name: made[name].source_path.stat().st_mtime_ns for name in NAMES}
    make_data(first, progress=False)
    assert {name: made[name].source_path.stat().st_mtime_ns for name in NAMES} == times

    (first / "data" / "visits.version").write_text("0")
    before = table(made["visits"])
    make_data(first, progress=False)
    assert made["visits"].source_path.stat().st_mtime_ns != times["visits"]
    assert made["income"].source_path.stat().st_mtime_ns == times["income"]
    assert_frame_equal(before, table(made["visits"]))
    assert sorted(path.suffix for path in (first / "data").iterdir()) == [".parquet"] * 3 + [".version"] * 3


def test_income_is_the_same_everywhere(made: dict[str, DemoDataset]) -> None:
    """Goal: figures in the documentation hold on every machine. Method: sums written down once."""
    rows = table(made["income"])
    assert rows.select(pl.exclude("income").sum()).row(0) == (7217935, 41624656, 29619487, 8314683, 85593973, 953459)
    assert rows["income"].sum() == pytest.approx(12068562232.96, rel=1e-9)


def test_caps_lie_above_the_grants(made: dict[str, DemoDataset]) -> None:
    assert {user.name for user in DEMO_USERS} == {"researcher", "newcomer", "auditor", "admin"}
    assert {grant.dataset for grant in DEMO_GRANTS} == set(NAMES)
    for grant in DEMO_GRANTS:
        assert grant.user == "researcher"
        assert grant.limit.fits(made[grant.dataset].cap)
        assert not made[grant.dataset].cap.fits(grant.limit)
