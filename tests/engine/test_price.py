"""What a query costs: our own arithmetic, held against the library's and against the noise that is drawn."""

import random
import warnings
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snsql.metadata import Metadata
from snsql.sql.privacy import Privacy
from snsql.sql.private_reader import PrivateReader
from snsql.sql.reader.base import SqlReader

from amancay_engine.dummy import DummyRows
from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.privacy import ATTO, NANO, PrivacyLoss
from amancay_engine.query import NoiseMechanism, SmartnoiseSqlQuery, SqlStatistic
from amancay_engine.runners import accuracy, price, runner_of
from amancay_engine.sources import FileFormat, FileSource
from amancay_engine.sources.table import SourceUnavailable
from tests.engine.scene import COLUMNS, PERSON, ROW, sql_query

GAUSSIAN = {SqlStatistic.COUNT: NoiseMechanism.GAUSSIAN}
BOTH = GAUSSIAN | {SqlStatistic.THRESHOLD: NoiseMechanism.GAUSSIAN}

DUMMY = DummyRows(rows=1, seed=1)
"""Made-up rows, where only what is known before them matters."""

PRICES: list[tuple[str, int, int, dict[str, Any]]] = [
    ("SELECT COUNT(*) FROM df", 1, 0, {}),
    ("SELECT COUNT(age) FROM df", 1, 0, {}),
    ("SELECT COUNT(DISTINCT town) FROM df", 1, 0, {}),
    ("SELECT SUM(age) FROM df", 1, 0, {}),
    ("SELECT AVG(age) FROM df", 2, 0, {}),
    ("SELECT VARIANCE(age) FROM df", 3, 0, {}),
    ("SELECT STDDEV(pay) FROM df", 3, 0, {}),
    ("SELECT COUNT(*), COUNT(*), COUNT(1) FROM df", 1, 0, {}),
    ("SELECT COUNT(*), AVG(age) FROM df", 3, 0, {}),
    ("SELECT COUNT(age), SUM(age), AVG(age) FROM df", 2, 0, {}),
    ("SELECT COUNT(age), AVG(age), VAR(age), STDDEV(age) FROM df", 3, 0, {}),
    ("SELECT AVG(age), AVG(pay) FROM df", 4, 0, {}),
    ("SELECT COUNT(*) FROM df HAVING AVG(age) > 3 ORDER BY SUM(pay)", 4, 0, {}),
    ("SELECT COUNT(*) FROM df WHERE age > 3 LIMIT 5", 1, 0, {}),
    ("SELECT sex, COUNT(*) FROM df GROUP BY sex", 1, 0, {}),
    ("SELECT sex, COUNT(*) FROM df GROUP BY sex", 1, 1, {"censor_dims": True}),
    ("SELECT sex, SUM(age) FROM df GROUP BY sex", 2, 1, {"censor_dims": True}),
    ("SELECT town, COUNT(*) FROM df GROUP BY town", 1, 1, {}),
    ("SELECT town, SUM(age) FROM df GROUP BY town", 2, 1, {}),
    ("SELECT town, AVG(age) FROM df GROUP BY town", 3, 1, {}),
    ("SELECT COUNT(*) FROM df", 1, 1, {"mechanisms": GAUSSIAN}),
    ("SELECT COUNT(*), COUNT(age), SUM(age) FROM df", 3, 2, {"mechanisms": GAUSSIAN}),
    ("SELECT town, COUNT(*) FROM df GROUP BY town", 1, 1, {"mechanisms": GAUSSIAN}),
    ("SELECT town, COUNT(*) FROM df GROUP BY town", 1, 2, {"mechanisms": BOTH}),
    ("SELECT town, COUNT(*), COUNT(age) FROM df GROUP BY town", 2, 3, {"mechanisms": BOTH}),
]


@pytest.mark.parametrize(("sql", "epsilons", "deltas", "fields"), PRICES)
def test_a_price_is_so_many_parts(sql: str, epsilons: int, deltas: int, fields: dict[str, Any]) -> None:
    """Goal: COUNT and SUM cost one epsilon, AVG two, VAR and STDDEV three, shared parts once, a threshold one count.

    Method: a table; delta is paid by each Gaussian and by the threshold.
    """
    part = PrivacyLoss.charge_up(epsilon=0.1, delta=1e-7)
    expected = PrivacyLoss(epsilon_nano=part.epsilon_nano * epsilons, delta_atto=part.delta_atto * deltas)
    assert price(sql_query(sql, epsilon=0.1, delta=1e-7, **fields), ROW) == expected


@pytest.mark.parametrize(("sql", "epsilons"), [("SELECT town, COUNT(*) FROM df GROUP BY town", 2)])
def test_a_threshold_on_persons_costs_a_count_of_persons(sql: str, epsilons: int) -> None:
    """Goal: where the privacy unit is a person, a count of rows cannot serve the threshold."""
    assert price(sql_query(sql), PERSON).epsilon == epsilons


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1000), st.floats(1e-12, 0.5))
def test_the_charge_covers_what_the_mechanisms_use(epsilon: float, delta: float) -> None:
    """Goal: the price is never below the sum of the mechanisms, to the last bit. Method: exact fractions of floats."""
    query = sql_query("SELECT town, COUNT(*), SUM(age) FROM df GROUP BY town", epsilon=epsilon, delta=delta)
    prepared = runner_of(query).prepare(query, ROW, DUMMY)
    used = [
        sum(map(Fraction, parts)) for parts in zip(*((m.epsilon, m.delta) for m in prepared.mechanisms), strict=True)
    ]
    assert prepared.loss == price(query, ROW)
    assert used[0] <= Fraction(prepared.loss.epsilon_nano, NANO) <= used[0] + Fraction(3, NANO)
    assert used[1] <= Fraction(prepared.loss.delta_atto, ATTO)


def test_pricing_needs_no_data() -> None:
    """Goal: nothing that prices opens a source. Method: a source that is not there."""
    query = sql_query("SELECT town, AVG(age) FROM df GROUP BY town")
    assert price(query, ROW).epsilon == 3
    assert len(accuracy(query, ROW)) == 2
    with pytest.raises(SourceUnavailable):
        runner_of(query).prepare(query, ROW, FileSource(path="/nowhere/at/all.parquet", format=FileFormat.PARQUET))


@pytest.mark.parametrize(
    ("sql", "epsilon", "fields", "path", "words"),
    [
        ("SELECT SUM(age) FROM df", 1e-6, {}, ("epsilon",), "larger epsilon"),
        ("SELECT COUNT(*) FROM df", 1e-8, {}, ("epsilon",), "larger epsilon"),
        (
            "SELECT SUM(age) FROM df",
            1.0,
            {"mechanisms": {SqlStatistic.SUM_INT: NoiseMechanism.GAUSSIAN}},
            ("mechanisms",),
            "COUNT and THRESHOLD only",
        ),
        (
            "SELECT SUM(pay) FROM df",
            1.0,
            {"mechanisms": {SqlStatistic.SUM_FLOAT: NoiseMechanism.GAUSSIAN}},
            ("mechanisms",),
            "COUNT and THRESHOLD only",
        ),
        (
            "SELECT VAR(age) FROM df",
            1.0,
            {"mechanisms": {SqlStatistic.SUM_LARGE_INT: NoiseMechanism.GAUSSIAN}},
            ("mechanisms",),
            "COUNT and THRESHOLD only",
        ),
    ],
)
def test_what_no_mechanism_can_protect_is_refused(
    sql: str, epsilon: float, fields: dict[str, Any], path: tuple[str, ...], words: str
) -> None:
    """Goal: refused when it is priced, not when it is run."""
    with pytest.raises(InvalidQuery) as refusal:
        price(sql_query(sql, epsilon=epsilon, **fields), ROW)
    assert refusal.value.path == path
    assert words in refusal.value.message


@pytest.mark.parametrize(("contributions", "refused"), [(50, False), (51, True)])
def test_the_gaussian_has_a_limit_on_contributions(contributions: int, *, refused: bool) -> None:
    """Goal: the bound holds at the limit and one past it."""
    unit = {"kind": "identifier", "column": "person", "max_contributions": contributions}
    metadata = parse_metadata({"privacy_unit": unit, "columns": COLUMNS})
    query = sql_query("SELECT COUNT(*) FROM df", epsilon=1.0, mechanisms=GAUSSIAN)
    if not refused:
        assert price(query, metadata).epsilon == 1
        return
    with pytest.raises(InvalidQuery, match="at most 50 contributions"):
        price(query, metadata)


def test_a_column_that_can_only_be_zero_is_refused() -> None:
    """Goal: a sensitivity of nothing would mean an answer without noise."""
    metadata = parse_metadata({"columns": {"a": {"type": "integer", "lower": 0, "upper": 0}}})
    with pytest.raises(InvalidQuery, match="can only be 0"):
        price(sql_query("SELECT SUM(a) FROM df"), metadata)


SCALES = [
    ("SELECT COUNT(*) FROM df", ROW, [("count_all", 1.0)]),
    ("SELECT SUM(age) FROM df", ROW, [("sum_age", 100.0)]),
    ("SELECT SUM(pay) FROM df", ROW, [("sum_pay", 50.0)]),
    ("SELECT VAR(pay) FROM df", ROW, [("sum_of_squares_pay", 2500.0), ("count_pay", 1.0), ("sum_pay", 50.0)]),
    ("SELECT COUNT(*) FROM df", PERSON, [("count_all", 3.0)]),
    ("SELECT SUM(age) FROM df", PERSON, [("sum_age", 300.0)]),
    ("SELECT COUNT(DISTINCT town) FROM df", PERSON, [("count_distinct_town", 3.0)]),
]


@pytest.mark.parametrize(("sql", "metadata", "scales"), SCALES)
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 2.5])
def test_noise_is_as_wide_as_one_unit_moves_the_answer(
    sql: str, metadata: TableMetadata, scales: list[tuple[str, float]], epsilon: float
) -> None:
    """Goal: Laplace's scale is sensitivity over epsilon, with all contributions of a unit, never less.

    Method: scales worked out by hand, against those of the mechanisms that will draw.
    """
    query = sql_query(sql, epsilon=epsilon)
    prepared = runner_of(query).prepare(query, metadata, DUMMY)
    assert [mechanism.column for mechanism in prepared.mechanisms] == [name for name, _ in scales]
    for mechanism, (_, wanted) in zip(prepared.mechanisms, scales, strict=True):
        assert wanted / epsilon <= mechanism.scale <= wanted / epsilon * 1.0001
        assert (mechanism.kind, mechanism.sensitivity, mechanism.delta) == ("laplace", wanted, 0.0)
        assert mechanism.epsilon <= epsilon
    assert prepared.accuracy == accuracy(query, metadata)
    for told, mechanism in zip(prepared.accuracy, prepared.mechanisms, strict=True):
        assert told.scale == mechanism.scale
        assert told.margin95 == pytest.approx(mechanism.scale * 2.9957, rel=1e-3)


def test_accuracy_names_the_parts_of_an_output() -> None:
    """Goal: a mean has two draws of noise, and both are told."""
    told = accuracy(sql_query("SELECT COUNT(*) AS n, AVG(age) AS mean FROM df"), ROW)
    assert [entry.column for entry in told] == ["n", "mean (sum_age)", "mean (count_age)"]


def test_a_gaussian_has_a_rho() -> None:
    """Goal: rho = (sensitivity / sigma)^2 / 2 (Bun and Steinke 2016, proposition 1.6) is kept."""
    query = sql_query("SELECT COUNT(*) FROM df", mechanisms=GAUSSIAN)
    (mechanism,) = runner_of(query).prepare(query, ROW, DUMMY).mechanisms
    assert mechanism.kind == "gaussian"
    assert mechanism.delta == pytest.approx(1e-6)
    assert mechanism.rho == pytest.approx(1 / (2 * mechanism.scale**2))
    (told,) = accuracy(query, ROW)
    assert told.margin95 == pytest.approx(1.96 * mechanism.scale, rel=1e-3)


class NoRows(SqlReader):  # type: ignore[misc]  # snsql has no types
    """A reader for the library that cannot read."""

    def __init__(self) -> None:
        super().__init__("Postgres")


AGGREGATES = [
    "COUNT(*)",
    "COUNT(age)",
    "COUNT(DISTINCT town)",
    "SUM(age)",
    "SUM(pay)",
    "AVG(age)",
    "AVG(pay)",
    "VAR(age)",
    "STDDEV(pay)",
    "VAR(pay)",
    "COUNT(pay)",
]


def library_costs(query: SmartnoiseSqlQuery, *, person: bool, censored: bool) -> tuple[list[float], float]:
    """The epsilons of SmartNoise's own mechanisms for the same SQL, and what its odometer says of them."""
    table = {
        "row_privacy": not person,
        "censor_dims": censored,
        "max_ids": 3 if person else 1,
        "clamp_counts": False,
        "person": {"type": "int", "private_id": person},
        "age": {"type": "int", "lower": 0, "upper": 100},
        "pay": {"type": "float", "lower": -10, "upper": 50},
        "sex": {"type": "string"},
        "town": {"type": "string"},
    }
    reader = PrivateReader(
        NoRows(), Metadata.from_dict({"": {"": {"df": table}}}), Privacy(epsilon=query.epsilon, delta=query.delta)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        costs = [cost for cost in reader._get_mechanism_costs(query.sql) if cost]
        spent, _ = reader.get_privacy_cost(query.sql)
    return [epsilon for epsilon, _ in costs], float(spent)


def hold_against_the_library(seed: int) -> None:
    """One generated query, priced by us and by the library."""
    chance = random.Random(seed)
    asked = chance.sample(AGGREGATES, chance.randint(1, 5))
    key = chance.choice([None, "sex", "town"])
    person, epsilon = chance.random() < 0.5, chance.choice([0.01, 0.1, 0.7, 1.0, 3.0])
    named = [f"{aggregate} AS a{index}" for index, aggregate in enumerate(asked)]
    group = f" GROUP BY {key}" if key else ""
    query = sql_query(f"SELECT {', '.join(([key] if key else []) + named)} FROM df{group}", epsilon=epsilon)
    ours = price(query, PERSON if person else ROW)
    epsilons, odometer = library_costs(query, person=person, censored=key == "town")
    basic = sum(epsilons)
    assert ours.epsilon == pytest.approx(basic, abs=1e-8), (query.sql, person)
    assert odometer <= ours.epsilon + 1e-8
    if odometer > basic * (1 - 1e-9):
        assert ours.epsilon == pytest.approx(odometer, abs=1e-8)


@pytest.mark.parametrize("seed", range(25))
def test_our_price_is_the_librarys(seed: int) -> None:
    """Goal: our arithmetic forgets no mechanism of the library. Method: generated queries, both privacy units."""
    hold_against_the_library(seed)


@pytest.mark.slow
def test_our_price_is_the_librarys_on_hundreds() -> None:
    """Goal: the same on 200 more."""
    for seed in range(1000, 1200):
        hold_against_the_library(seed)
