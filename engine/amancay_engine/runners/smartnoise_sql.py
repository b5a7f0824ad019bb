"""SmartNoise SQL over DuckDB. The only module that imports snsql.

Division of labour: `vetting` turned the question into a plan; SmartNoise rewrites the plan's canonical SQL into exact
aggregates with bounded contributions, finds the noise scales and draws the noise; DuckDB computes the aggregates
over the clamping view. What SmartNoise makes of the plan must agree with the plan part by part, or nothing is read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import product

import duckdb
import numpy as np
import opendp.prelude as dp
import polars as pl
import sqlglot
from snsql.metadata import Metadata
from snsql.sql._mechanisms.base import AdditiveNoiseMechanism
from snsql.sql._mechanisms.gaussian import Gaussian
from snsql.sql._mechanisms.laplace import Laplace
from snsql.sql.privacy import Mechanisms, Privacy
from snsql.sql.private_reader import PrivateReader
from snsql.sql.reader.base import SqlReader
from sqlglot import exp

from amancay_engine.dummy import MAX_SEED, DummyRows, dummy_frame
from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import FloatColumn, PrivacyUnitKind, TableMetadata, bounds
from amancay_engine.privacy import ATTO, NANO, PrivacyLoss, float_at_most
from amancay_engine.query import NoiseMechanism, SmartnoiseSqlQuery, SqlStatistic
from amancay_engine.release import Accuracy, Mechanism, Release
from amancay_engine.runners.postprocess import finish
from amancay_engine.sources import Source
from amancay_engine.sources.table import ROWS, open_table
from amancay_engine.vetting.parameters import unit_loss
from amancay_engine.vetting.smartnoise_sql import TABLE, vet_smartnoise_sql
from amancay_engine.vetting.sql_expression import Kind, time_literal
from amancay_engine.vetting.sql_plan import Key, Part, PartFunction, SqlPlan, key_name

LARGE_SENSITIVITY = 1000
MAX_ROUGH_SCALE = 10_000_000
"""SmartNoise's own limits (`Mechanisms.large`; `_compute_noise_scale` in laplace.py and gaussian.py)."""
MAX_GAUSSIAN_CONTRIBUTIONS = 50
"""Beyond, SmartNoise searches for a Gaussian scale for half a minute and fails."""
SEARCH_WIDTH = 1e-8
"""Relative; what SmartNoise's search for a scale ends within."""
UNIT = "uid"
_KEY_TYPES: dict[str, pl.DataType] = {
    "BIGINT": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "VARCHAR": pl.String(),
    "BOOLEAN": pl.Boolean(),
    "TIMESTAMP": pl.Datetime("us"),
    '"NULL"': pl.Null(),
    "INTEGER": pl.Null(),
}
"""DuckDB's types of keys. Nothing but a bare NULL is an INTEGER there."""
ALPHA = 0.05
VERSION = version("smartnoise-sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noise:
    """How one part is protected."""

    part: Part
    gaussian: bool
    epsilon: float
    delta: float
    """Of the mechanism itself and, for the count behind a threshold, of the threshold."""
    sensitivity: float
    contributions: int

    def mechanism(self) -> AdditiveNoiseMechanism:
        return _mechanism(self.gaussian, self.epsilon, self.delta, self.sensitivity, self.contributions)

    def threshold(self) -> float:
        """Groups with a noisy count above it are shown.

        Where a unit is alone in its groups, at most `contributions` of them, one is shown with probability delta at
        most (Laplace) or delta / 2 (Gaussian, by P(N > t) <= exp(-t^2 / 2) / 2): a union bound over the groups. The
        library's own formulas take the Laplace scale for slightly less than it is, and lose digits of a small delta.
        """
        scale = float(self.mechanism().scale)
        if self.gaussian:
            return self.contributions + scale * math.sqrt(2 * math.log(self.contributions / self.delta))
        return self.contributions + scale * math.log(self.contributions / (2 * self.delta))


class _CheckedLaplace(Laplace):  # type: ignore[misc]  # snsql has no types
    """SmartNoise's Laplace mechanism, which tries the textbook scale before it searches for one.

    The scale sensitivity / epsilon (Dwork et al. 2006, proposition 1), raised by the width of the library's own
    search, is taken only if OpenDP's privacy map of the same measurement allows it: 1 ms, where the search takes 15.
    """

    def _compute_noise_scale(self) -> None:
        dp.enable_features("floating-point", "contrib")
        bounds = (float(self.lower), float(self.upper))
        candidate = bounds[1] * self.max_contrib / self.epsilon * (1 + SEARCH_WIDTH)
        summed = (
            (dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.symmetric_distance())
            >> dp.t.then_clamp(bounds=bounds)
            >> dp.t.then_sum()  # type: ignore[no-untyped-call]  # OpenDP leaves it untyped
        )
        if (summed >> dp.m.then_laplace(candidate)).check(self.max_contrib, self.epsilon):
            self.scale = candidate
        else:
            super()._compute_noise_scale()

    def release(self, vals: list[float]) -> list[float]:
        """`vals` with independent noise: one measurement for all, in a third of the time of one for each."""
        space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l1_distance(T=float)
        return list((space >> dp.m.then_laplace(self.scale))(vals))


@lru_cache(maxsize=4096)
def _mechanism(
    gaussian: bool, epsilon: float, delta: float, sensitivity: float, contributions: int
) -> AdditiveNoiseMechanism:
    """SmartNoise's mechanism; finding the scale of a Gaussian is a search of some 130 ms."""
    kind = Gaussian if gaussian else _CheckedLaplace
    mechanism = kind(epsilon, delta=delta, sensitivity=sensitivity, max_contrib=contributions)
    mechanism.delta = delta
    return mechanism


class SmartnoiseSqlRunner:
    """Prices and answers `SmartnoiseSqlQuery`."""

    def price(self, query: SmartnoiseSqlQuery, metadata: TableMetadata) -> PrivacyLoss:
        """Every part costs epsilon; delta is spent by each Gaussian part and by the threshold.

        Basic composition over the parts. A Gaussian count behind a threshold pays delta twice: once for its noise, once
        for the threshold, which fails with probability delta / 2 at most.
        """
        plan = vet_smartnoise_sql(query, metadata)
        return _loss(query, plan, _noises(query, plan, metadata))

    def accuracy(self, query: SmartnoiseSqlQuery, metadata: TableMetadata) -> tuple[Accuracy, ...]:
        """Per released column; a column made of several noisy parts has one entry for each of them."""
        plan = vet_smartnoise_sql(query, metadata)
        return _accuracy(plan, _noises(query, plan, metadata))

    def prepare(self, query: SmartnoiseSqlQuery, metadata: TableMetadata, rows: Source | DummyRows) -> "PreparedSql":
        """Vets and prices, finds the scales, checks SmartNoise's rewriting against the plan, opens the source."""
        plan = vet_smartnoise_sql(query, metadata)
        noises = _noises(query, plan, metadata)
        sql, order = _rewritten(plan, noises, query, metadata)
        frame = dummy_frame(metadata, rows=rows.rows, seed=rows.seed) if isinstance(rows, DummyRows) else rows
        return PreparedSql(
            query=query,
            metadata=metadata,
            plan=plan,
            noises=noises,
            sql=sql,
            order=order,
            connection=open_table(frame, metadata, plan.columns),
            seed=rows.seed if isinstance(rows, DummyRows) else None,
        )


def rehearse(query: SmartnoiseSqlQuery, metadata: TableMetadata) -> None:
    """Everything that preparing does, but for opening a source."""
    plan = vet_smartnoise_sql(query, metadata)
    noises = _noises(query, plan, metadata)
    _accuracy(plan, noises)
    _rewritten(plan, noises, query, metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSql:
    """A plan with its noise scales, its exact SQL and an open source."""

    query: SmartnoiseSqlQuery
    metadata: TableMetadata
    plan: SqlPlan
    noises: Mapping[Part, _Noise]
    sql: str
    order: tuple[str | Part, ...]
    """What each column of the exact SQL's answer is: a key's name or a part."""
    connection: duckdb.DuckDBPyConnection
    seed: int | None
    """For dummy rows only: their noise is reproducible too. Private noise comes from OpenDP's secure generator."""

    @property
    def loss(self) -> PrivacyLoss:
        """What the release will cost."""
        return _loss(self.query, self.plan, self.noises)

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """One per part."""
        return tuple(_described(noise) for noise in self.noises.values())

    @property
    def accuracy(self) -> tuple[Accuracy, ...]:
        """As `estimate` gave it."""
        return _accuracy(self.plan, self.noises)

    def release(self) -> Release:
        """Exact aggregates, all public groups present, noise, threshold, and only then what the SELECT asked for."""
        self.connection.execute(_view(self.plan, self.metadata))
        if self.seed is not None:  # which rows of a unit are kept, and in which order they are added up, is drawn there
            self.connection.execute("SELECT setseed(?)", [self.seed / MAX_SEED]).fetchall()
        found = self._in_order(self.connection.sql(self.sql))
        types = dict(zip(self.order, map(str, found.types), strict=True))
        exact = found.fetchall()
        groups = exact if self.plan.censored else _all_groups(self.plan, self.order, exact)
        noisy = self._noisy(groups, types)
        return finish(self.plan, self.metadata, noisy, postprocess=self.query.postprocess)

    def _in_order(self, found: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """By the keys: the order in which the database meets the groups depends on the rows and on chance."""
        keys = [f"{key_name(index)} ASC NULLS LAST" for index in range(len(self.plan.keys))]
        return found.order(", ".join(keys)) if keys else found

    def _noisy(self, groups: list[tuple[object, ...]], types: Mapping[str | Part, str]) -> pl.DataFrame:
        """Parts with noise beside their keys. `types` come from the SQL: if they were guessed from the values,
        they would tell without noise whether there are any.
        """
        seeded = None if self.seed is None else np.random.Generator(np.random.PCG64(self.seed))
        drawn: dict[Part, list[float]] = {}
        if self.plan.censored:
            groups, drawn = self._frequent(groups, seeded)
        columns: dict[str, pl.Series] = {}
        for index, what in enumerate(self.order):
            values = [group[index] for group in groups]
            if isinstance(what, Part):
                name = f"p{self.plan.parts.index(what)}"
                noisy = drawn[what] if what in drawn else _drawn(self.noises[what], values, seeded)
                columns[name] = pl.Series(name, noisy, dtype=pl.Float64)
            else:
                columns[what] = pl.Series(what, values, dtype=_KEY_TYPES[types[what]], strict=False)
        return pl.DataFrame(columns)

    def _frequent(
        self, groups: list[tuple[object, ...]], seeded: np.random.Generator | None
    ) -> tuple[list[tuple[object, ...]], dict[Part, list[float]]]:
        """The groups above the threshold, and their noisy counts.

        All other noise is drawn for these alone: drawing takes time, and how many groups there are must not show in it.
        """
        part = self.plan.parts[0]
        noise, position = self.noises[part], self.order.index(part)
        counts = _drawn(noise, [group[position] for group in groups], seeded)
        kept = [index for index, count in enumerate(counts) if count > noise.threshold()]
        return [groups[index] for index in kept], {part: [counts[index] for index in kept]}


def _noises(query: SmartnoiseSqlQuery, plan: SqlPlan, metadata: TableMetadata) -> dict[Part, _Noise]:
    """The noise of each part, in the plan's order.

    Raises:
        InvalidQuery: if a mechanism cannot protect a part at these parameters.
    """
    per_part = unit_loss(query.epsilon, query.delta)
    epsilon = float_at_most(per_part.epsilon_nano, NANO)
    delta = float_at_most(per_part.delta_atto, ATTO)
    noises = {}
    for index, part in enumerate(plan.parts):
        thresholded = plan.censored and index == 0
        gaussian = _chosen(query, part, metadata, thresholded=thresholded) is NoiseMechanism.GAUSSIAN
        noise = _Noise(
            part=part,
            gaussian=gaussian,
            epsilon=epsilon,
            delta=delta if gaussian or thresholded else 0.0,
            sensitivity=_sensitivity(part, metadata),
            contributions=metadata.privacy_unit.max_contributions,
        )
        _refuse_unprotectable(noise)
        noises[part] = noise
    return noises


def _statistic(part: Part, metadata: TableMetadata, *, thresholded: bool) -> SqlStatistic:
    """SmartNoise's name for the kind of a part (`Mechanisms._get_stat`)."""
    if thresholded:
        return SqlStatistic.THRESHOLD
    if part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}:
        return SqlStatistic.COUNT
    if isinstance(metadata.columns[part.column or ""], FloatColumn):
        return SqlStatistic.SUM_FLOAT
    large = _sensitivity(part, metadata) > LARGE_SENSITIVITY
    return SqlStatistic.SUM_LARGE_INT if large else SqlStatistic.SUM_INT


def _chosen(query: SmartnoiseSqlQuery, part: Part, metadata: TableMetadata, *, thresholded: bool) -> NoiseMechanism:
    statistic = _statistic(part, metadata, thresholded=thresholded)
    return query.mechanisms.get(statistic, NoiseMechanism.LAPLACE)


def _sensitivity(part: Part, metadata: TableMetadata) -> float:
    """How far one row can move the part: 1 for counts, the larger absolute bound for sums, squared for squares."""
    if part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}:
        return 1
    limits = bounds(metadata.columns[part.column or ""])
    if limits is None:
        raise InvalidQuery(f"no bounds are declared for {part.column}, so its sum cannot be protected", "sql")
    largest = max(abs(limits[0]), abs(limits[1]))
    return largest * largest if part.function is PartFunction.SUM_OF_SQUARES else largest


def _refuse_unprotectable(noise: _Noise) -> None:
    counts = noise.part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}
    if noise.gaussian and not (counts and noise.contributions <= MAX_GAUSSIAN_CONTRIBUTIONS):
        raise InvalidQuery(
            "SmartNoise SQL offers the Gaussian mechanism for COUNT and THRESHOLD only, and for at most "
            f"{MAX_GAUSSIAN_CONTRIBUTIONS} contributions; use LAPLACE",
            "mechanisms",
        )
    factor = math.sqrt(2 * math.log(1.25 / noise.delta)) if noise.gaussian else 1
    if noise.sensitivity * noise.contributions * factor / noise.epsilon > MAX_ROUGH_SCALE:
        message = (
            f"the noise on {noise.part.label} would have a scale above {MAX_ROUGH_SCALE}; ask with a larger epsilon"
        )
        raise InvalidQuery(message, "epsilon")
    if noise.sensitivity == 0:
        raise InvalidQuery(f"{noise.part.column} can only be 0 by its declared bounds; there is nothing to sum", "sql")


def _loss(query: SmartnoiseSqlQuery, plan: SqlPlan, noises: Mapping[Part, _Noise]) -> PrivacyLoss:
    per_part = unit_loss(query.epsilon, query.delta)
    deltas = sum(noise.gaussian for noise in noises.values()) + plan.censored
    return PrivacyLoss(epsilon_nano=per_part.epsilon_nano * len(plan.parts), delta_atto=per_part.delta_atto * deltas)


def _described(noise: _Noise) -> Mechanism:
    mechanism = noise.mechanism()
    rho = (noise.sensitivity * noise.contributions / mechanism.scale) ** 2 / 2 if noise.gaussian else None
    return Mechanism(
        kind="gaussian" if noise.gaussian else "laplace",
        column=noise.part.label,
        scale=float(mechanism.scale),
        sensitivity=float(noise.sensitivity * noise.contributions),
        epsilon=noise.epsilon,
        delta=noise.delta,
        rho=rho,
    )


def _accuracy(plan: SqlPlan, noises: Mapping[Part, _Noise]) -> tuple[Accuracy, ...]:
    entries = []
    for output in plan.outputs:
        for part in output.parts:
            mechanism = noises[part].mechanism()
            entries.append(
                Accuracy(
                    column=output.label if output.simple else f"{output.label} ({part.label})",
                    mechanism="gaussian" if noises[part].gaussian else "laplace",
                    scale=float(mechanism.scale),
                    margin95=float(mechanism.accuracy(ALPHA)),
                )
            )
    return tuple(entries)


class _Mechanisms(Mechanisms):  # type: ignore[misc]  # snsql has no types
    """Marks what SmartNoise would protect, and at which sensitivity, without searching for noise scales again."""

    def get_mechanism(self, sensitivity: float, stat: str, _type: str) -> object:
        """A callable in the place of a mechanism's class; None, as SmartNoise has it, for what gets no noise."""
        if stat not in {"count", "sum", "threshold"}:
            return None
        return lambda *_args, **_options: _Planned(sensitivity=sensitivity)


@dataclass(slots=True)
class _Planned:
    """Stands for the mechanism of a part while SmartNoise rewrites; the noise is drawn by the one in `_Noise`."""

    sensitivity: float
    delta: float = 0.0


class _NoRows(SqlReader):  # type: ignore[misc]  # snsql has no types
    """A reader that cannot read: rewriting needs none."""

    def __init__(self) -> None:
        super().__init__("Postgres")


def _names(plan: SqlPlan, metadata: TableMetadata) -> dict[str, str]:
    """Column -> its name inside the engine, for the columns that parts are about."""
    columns = dict.fromkeys(part.column for part in plan.parts if part.column is not None)
    unit = metadata.privacy_unit.column
    names = {column: f"c{index}" for index, column in enumerate(columns)}
    return names if unit is None else names | {unit: UNIT}


def _view(plan: SqlPlan, metadata: TableMetadata) -> str:
    """The table that the exact SQL reads: keys and counted columns of the rows that WHERE keeps."""
    items = [f"{_representable(key)} AS {key_name(index)}" for index, key in enumerate(plan.keys)]
    items += [f'"{column}" AS {name}' for column, name in _names(plan, metadata).items()]
    unit = metadata.privacy_unit.column
    # Rows of nobody would all count as one unit's, and each who is in them could push out the others' rows.
    conditions = ([f'"{unit}" IS NOT NULL'] if unit else []) + ([plan.where] if plan.where else [])
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"CREATE TEMP VIEW {TABLE} AS SELECT {', '.join(items) or 'TRUE AS present'} FROM {ROWS}{where}"  # noqa: S608 - generated


def _representable(key: Key) -> str:
    """The key, NULL where Python has no such point in time: fetching one would fail, and that would tell of a row."""
    if key.kind is not Kind.TIME:
        return key.sql
    first, last = time_literal(datetime.min), time_literal(datetime.max)  # noqa: DTZ901 - columns carry no zone
    return f"CASE WHEN {key.sql} BETWEEN {first} AND {last} THEN {key.sql} END"


def _canonical(plan: SqlPlan, metadata: TableMetadata) -> str:
    """The plan as SQL of SmartNoise's grammar, over names that cannot collide with its words."""
    keys = [key_name(index) for index in range(len(plan.keys))]
    names = _names(plan, metadata)
    asked = [_ASKED[part.function].format(names.get(part.column or "", "*")) for part in plan.parts]
    items = keys + [f"{sql} AS p{index}" for index, sql in enumerate(asked)]
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {', '.join(items)} FROM {TABLE}{group}"  # noqa: S608 - generated


_ASKED = {
    PartFunction.COUNT: "COUNT({0})",
    PartFunction.COUNT_DISTINCT: "COUNT(DISTINCT {0})",
    PartFunction.SUM: "SUM({0})",
    PartFunction.SUM_OF_SQUARES: "VAR({0})",  # SmartNoise has no other way to ask for it
}
_EXACT = _ASKED | {PartFunction.SUM_OF_SQUARES: "SUM({0} * {0})"}


def _library_metadata(plan: SqlPlan, metadata: TableMetadata) -> Metadata:
    unit = metadata.privacy_unit
    table: dict[str, object] = {
        "row_privacy": unit.kind is PrivacyUnitKind.ROW,
        "censor_dims": plan.censored,
        "max_ids": unit.max_contributions,
        "sample_max_ids": True,
        "clamp_counts": False,
        "clamp_columns": True,
        "present": {"type": "boolean"},
    }
    for index in range(len(plan.keys)):
        table[key_name(index)] = {"type": "string"}
    for column, name in _names(plan, metadata).items():
        table[name] = _library_column(column, plan, metadata) | ({"private_id": True} if name == UNIT else {})
    return Metadata.from_dict({"": {"": {TABLE: table}}})


def _library_column(column: str, plan: SqlPlan, metadata: TableMetadata) -> dict[str, object]:
    """Numbers where they are summed; everything else is only counted and needs no type."""
    summed = {part.column for part in plan.parts if part.function in {PartFunction.SUM, PartFunction.SUM_OF_SQUARES}}
    if column not in summed:
        return {"type": "string"}
    lower, upper = bounds(metadata.columns[column]) or (None, None)
    kind = "float" if isinstance(metadata.columns[column], FloatColumn) else "int"
    return {"type": kind, "lower": lower, "upper": upper}


class RewriteDisagrees(Exception):
    """SmartNoise made something else of the query than was priced; nothing was read."""


def _rewritten(
    plan: SqlPlan, noises: Mapping[Part, _Noise], query: SmartnoiseSqlQuery, metadata: TableMetadata
) -> tuple[str, tuple[str | Part, ...]]:
    """DuckDB's SQL for the exact aggregates, and what each of its columns is.

    Raises:
        RewriteDisagrees: if the columns are not exactly the plan's keys and parts, each part with its sensitivity.
    """
    privacy = Privacy(epsilon=query.epsilon, delta=query.delta, mechanisms=_Mechanisms())
    reader = PrivateReader(_NoRows(), _library_metadata(plan, metadata), privacy=privacy)
    subquery, _ = reader._rewrite(_canonical(plan, metadata))
    names = _names(plan, metadata)
    known: dict[str, str | Part] = {key_name(index): key_name(index) for index in range(len(plan.keys))}
    known |= {_EXACT[part.function].format(names.get(part.column or "", "*")): part for part in plan.parts}
    order = tuple(known.get(str(item.expression).strip(), "") for item in subquery.select.namedExpressions)
    for what, symbol in zip(order, subquery._select_symbols, strict=True):
        planned = symbol.mechanism
        if isinstance(what, Part) != (planned is not None) or not what:
            raise RewriteDisagrees
        if isinstance(what, Part) and not math.isclose(planned.sensitivity, noises[what].sensitivity):
            raise RewriteDisagrees
    if sorted(map(str, order)) != sorted(map(str, known.values())):
        raise RewriteDisagrees
    return _duckdb_sql(str(subquery)), order


def _duckdb_sql(sql: str) -> str:
    """SmartNoise's SQL as DuckDB takes it: RANDOM() may not stand in a window's ORDER BY, a column may."""
    tree = sqlglot.parse_one(sql, read="postgres")
    for window in tree.find_all(exp.Window):
        for ordered in window.find_all(exp.Ordered):
            if isinstance(ordered.this, exp.Rand):
                ordered.set("this", exp.column("shuffle"))
                inner = window.find_ancestor(exp.Select).args["from_"].this.this  # type: ignore[union-attr]
                inner.select(exp.alias_(exp.Rand(), "shuffle"), copy=False)
    return tree.sql(dialect="duckdb")


def _all_groups(
    plan: SqlPlan, order: tuple[str | Part, ...], exact: list[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """One row for every combination of public keys: whether a group has rows at all is private."""
    if not plan.keys:
        return exact
    positions = [order.index(key_name(index)) for index in range(len(plan.keys))]
    found = {tuple(row[position] for position in positions): row for row in exact}
    groups = []
    for values in product(*(key.public or () for key in plan.keys)):
        empty: list[object] = [None] * len(order)
        for position, value in zip(positions, values, strict=True):
            empty[position] = value
        groups.append(found.get(values, tuple(empty)))
    return groups


def _drawn(noise: _Noise, values: list[object], seeded: np.random.Generator | None) -> list[float]:
    """Values with noise. What is missing or not finite counts as zero: an empty sum."""
    numbers = [float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0 for value in values]
    mechanism = noise.mechanism()
    if seeded is None:
        return [float(value) for value in mechanism.release(numbers)]
    draw = seeded.normal if noise.gaussian else seeded.laplace
    return [float(value) for value in np.asarray(numbers) + draw(0.0, mechanism.scale, len(numbers))]
