"""Questions as inputs, in the engine's own words."""

import math

from amancay_engine import query as engine
from amancay_engine.errors import InvalidQuery
from amancay_schema.query import DpQuery, SmartnoiseSqlInput


def to_engine(query: DpQuery) -> engine.Query:
    """The engine's model of a question.

    Raises:
        InvalidQuery: if a number is not finite, or a mechanism is chosen twice for one statistic.
    """
    assert isinstance(query.smartnoise_sql, SmartnoiseSqlInput)  # oneOf: GraphQL has checked
    return _smartnoise_sql(query.smartnoise_sql)


def _smartnoise_sql(asked: SmartnoiseSqlInput) -> engine.SmartnoiseSqlQuery:
    if not (math.isfinite(asked.epsilon) and math.isfinite(asked.delta)):
        raise InvalidQuery("epsilon and delta must be finite numbers", "epsilon")
    choices = asked.mechanisms or []
    mechanisms = {
        engine.SqlStatistic(choice.statistic.name): engine.NoiseMechanism(choice.mechanism.name) for choice in choices
    }
    if len(mechanisms) != len(choices):
        raise InvalidQuery("each statistic can be given one mechanism", "mechanisms")
    return engine.SmartnoiseSqlQuery(
        sql=asked.sql,
        epsilon=asked.epsilon,
        delta=asked.delta,
        mechanisms=mechanisms,
        postprocess=asked.postprocess,
        censor_dims=asked.censor_dims,
    )
