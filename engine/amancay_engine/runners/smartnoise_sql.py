"""SmartNoise SQL over DuckDB.

Division of labour: `vetting` turned the question into a plan; SmartNoise rewrites the plan's canonical SQL into exact
aggregates with bounded contributions (`smartnoise_rewrite`), and its mechanisms draw the noise (`smartnoise_noise`);
DuckDB computes the aggregates over the clamping view, and what the SELECT makes of the noisy parts (`postprocess`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product

import duckdb
import numpy as np
import polars as pl

from amancay_engine.dummy import MAX_SEED, DummyRows, dummy_frame
from amancay_engine.metadata import TableMetadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.query import SmartnoiseSqlQuery
from amancay_engine.release import Accuracy, Mechanism, Release
from amancay_engine.runners.postprocess import finish
from amancay_engine.runners.smartnoise_noise import Noise, accuracy_of, described, draw, loss_of, noises_of
from amancay_engine.runners.smartnoise_rewrite import rewritten, view
from amancay_engine.sources import Source
from amancay_engine.sources.table import open_table
from amancay_engine.vetting.smartnoise_sql import vet_smartnoise_sql
from amancay_engine.vetting.sql_plan import Part, SqlPlan, key_name

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
VERSION = version("smartnoise-sql")


class SmartnoiseSqlRunner:
    """Prices and answers `SmartnoiseSqlQuery`."""

    def price(self, query: SmartnoiseSqlQuery, metadata: TableMetadata) -> PrivacyLoss:
        """Every part costs epsilon; delta is spent by each Gaussian part and by the threshold.

        Basic composition over the parts. A Gaussian count behind a threshold pays delta twice: once for its noise, once
        for the threshold, which fails with probability delta / 2 at most.
        """
        plan = vet_smartnoise_sql(query, metadata)
        return loss_of(query, plan, noises_of(query, plan, metadata))

    def accuracy(self, query: SmartnoiseSqlQuery, metadata: TableMetadata) -> tuple[Accuracy, ...]:
        """Per released column; a column made of several noisy parts has one entry for each of them."""
        plan = vet_smartnoise_sql(query, metadata)
        return accuracy_of(plan, noises_of(query, plan, metadata))

    def prepare(self, query: SmartnoiseSqlQuery, metadata: TableMetadata, rows: Source | DummyRows) -> "PreparedSql":
        """Vets and prices, finds the scales, checks SmartNoise's rewriting against the plan, opens the source."""
        plan = vet_smartnoise_sql(query, metadata)
        noises = noises_of(query, plan, metadata)
        sql, order = rewritten(plan, noises, query, metadata)
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
    noises = noises_of(query, plan, metadata)
    accuracy_of(plan, noises)
    rewritten(plan, noises, query, metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSql:
    """A plan with its noise scales, its exact SQL and an open source."""

    query: SmartnoiseSqlQuery
    metadata: TableMetadata
    plan: SqlPlan
    noises: Mapping[Part, Noise]
    sql: str
    order: tuple[str | Part, ...]
    """What each column of the exact SQL's answer is: a key's name or a part."""
    connection: duckdb.DuckDBPyConnection
    seed: int | None
    """For dummy rows only: their noise is reproducible too. Private noise comes from OpenDP's secure generator."""

    @property
    def loss(self) -> PrivacyLoss:
        """What the release will cost."""
        return loss_of(self.query, self.plan, self.noises)

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """One per part."""
        return tuple(described(noise) for noise in self.noises.values())

    @property
    def accuracy(self) -> tuple[Accuracy, ...]:
        """As `estimate` gave it."""
        return accuracy_of(self.plan, self.noises)

    def release(self) -> Release:
        """Exact aggregates, all public groups present, noise, threshold, and only then what the SELECT asked for."""
        self.connection.execute(view(self.plan, self.metadata))
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
                noisy = drawn[what] if what in drawn else draw(self.noises[what], values, seeded)
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
        counts = draw(noise, [group[position] for group in groups], seeded)
        kept = [index for index, count in enumerate(counts) if count > noise.threshold()]
        return [groups[index] for index in kept], {part: [counts[index] for index in kept]}


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
