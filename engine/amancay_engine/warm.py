"""Importing this module makes a process ready to fork children from: what they would each do first is done once.

SmartNoise's parser fills its caches with every shape of query that it meets, and sqlglot loads its dialects late: some
150 ms per query. Nothing here draws noise, opens a database or starts a thread: none of that survives a fork.
"""

from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.query import SmartnoiseSqlQuery
from amancay_engine.runners.smartnoise_sql import rehearse

_COLUMNS = {
    "key": {"type": "string"},
    "whole": {"type": "integer", "lower": 0, "upper": 1},
    "real": {"type": "float", "lower": 0, "upper": 1},
    "person": {"type": "integer"},
}
_SQL = (
    "SELECT COUNT(*) AS n, COUNT(DISTINCT person) AS persons FROM df WHERE real > 0 AND key IN ('a', 'b')",
    "SELECT key, COUNT(*) AS n, SUM(whole), AVG(real), VARIANCE(real) FROM df GROUP BY key ORDER BY n",
)


def _declared() -> tuple[TableMetadata, TableMetadata]:
    unit = {"kind": "identifier", "column": "person", "max_contributions": 2}
    return parse_metadata({"columns": _COLUMNS}), parse_metadata({"columns": _COLUMNS, "privacy_unit": unit})


for _metadata in _declared():
    for _sql in _SQL:
        rehearse(SmartnoiseSqlQuery(sql=_sql, epsilon=1.0), _metadata)
