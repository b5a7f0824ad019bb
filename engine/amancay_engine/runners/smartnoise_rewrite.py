"""What SmartNoise makes of a plan: exact aggregates with bounded contributions, as DuckDB's SQL.

It sees canonical SQL over names of our own and no rows; what it returns must agree with the plan part by part.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlglot
from snsql.metadata import Metadata
from snsql.sql.privacy import Mechanisms, Privacy
from snsql.sql.private_reader import PrivateReader
from snsql.sql.reader.base import SqlReader
from sqlglot import exp

from amancay_engine.metadata import FloatColumn, PrivacyUnitKind, TableMetadata, bounds
from amancay_engine.query import SmartnoiseSqlQuery
from amancay_engine.runners.smartnoise_noise import Noise
from amancay_engine.sources.table import ROWS
from amancay_engine.vetting.smartnoise_sql import TABLE
from amancay_engine.vetting.sql_expression import Kind, time_literal
from amancay_engine.vetting.sql_plan import Key, Part, PartFunction, SqlPlan, key_name

UNIT = "uid"


class _Mechanisms(Mechanisms):  # type: ignore[misc]  # snsql has no types
    """Marks what SmartNoise would protect, and at which sensitivity, without searching for noise scales again."""

    def get_mechanism(self, sensitivity: float, stat: str, _type: str) -> object:
        """A callable in the place of a mechanism's class; None, as SmartNoise has it, for what gets no noise."""
        if stat not in {"count", "sum", "threshold"}:
            return None
        return lambda *_args, **_options: _Planned(sensitivity=sensitivity)


@dataclass(slots=True)
class _Planned:
    """Stands for the mechanism of a part while SmartNoise rewrites; the noise is drawn by the one in `Noise`."""

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


def view(plan: SqlPlan, metadata: TableMetadata) -> str:
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


def rewritten(
    plan: SqlPlan, noises: Mapping[Part, Noise], query: SmartnoiseSqlQuery, metadata: TableMetadata
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
