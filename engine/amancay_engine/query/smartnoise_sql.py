"""A question in SQL, answered by SmartNoise SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class SqlStatistic(StrEnum):
    """The kinds of released quantity for which SmartNoise SQL lets the mechanism be chosen."""

    COUNT = "COUNT"
    SUM_INT = "SUM_INT"
    SUM_LARGE_INT = "SUM_LARGE_INT"
    SUM_FLOAT = "SUM_FLOAT"
    THRESHOLD = "THRESHOLD"


class NoiseMechanism(StrEnum):
    """The distribution that noise is drawn from."""

    LAPLACE = "LAPLACE"
    GAUSSIAN = "GAUSSIAN"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartnoiseSqlQuery:
    """One SELECT over the table `df`.

    `epsilon` and `delta` are spent by each noisy quantity that the answer is made of, as the library defines them.
    `censor_dims` None leaves to the engine whether rare groups are hidden: they are unless every key is public.
    """

    sql: str
    epsilon: float
    delta: float = 1e-6
    mechanisms: Mapping[SqlStatistic, NoiseMechanism] = field(default_factory=dict)
    postprocess: bool = True
    censor_dims: bool | None = None


def dump_smartnoise_sql(query: SmartnoiseSqlQuery) -> dict[str, Any]:
    """The fields as plain values."""
    return {
        "sql": query.sql,
        "epsilon": query.epsilon,
        "delta": query.delta,
        "mechanisms": {statistic.value: mechanism.value for statistic, mechanism in sorted(query.mechanisms.items())},
        "postprocess": query.postprocess,
        "censorDims": query.censor_dims,
    }


def parse_smartnoise_sql(document: Mapping[str, Any]) -> SmartnoiseSqlQuery:
    """Reads what `dump_smartnoise_sql` wrote."""
    return SmartnoiseSqlQuery(
        sql=document["sql"],
        epsilon=document["epsilon"],
        delta=document["delta"],
        mechanisms={
            SqlStatistic(statistic): NoiseMechanism(mechanism)
            for statistic, mechanism in document["mechanisms"].items()
        },
        postprocess=document["postprocess"],
        censor_dims=document["censorDims"],
    )
