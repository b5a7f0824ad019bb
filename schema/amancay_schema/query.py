"""Questions on data: one input per DP library."""

from enum import Enum

import strawberry


@strawberry.enum(description="The DP libraries that can answer.")
class Library(Enum):
    """As `server { libraries }` lists them with their versions."""

    SMARTNOISE_SQL = strawberry.enum_value("SMARTNOISE_SQL", description="SmartNoise SQL: aggregates by SELECT.")


@strawberry.enum(description="The kinds of noisy quantity in SmartNoise SQL whose mechanism can be chosen.")
class SqlStatistic(Enum):
    """SmartNoise SQL's own kinds."""

    COUNT = strawberry.enum_value("COUNT", description="Counts.")
    SUM_INT = strawberry.enum_value("SUM_INT", description="Sums of integers with bounds up to 1000.")
    SUM_LARGE_INT = strawberry.enum_value("SUM_LARGE_INT", description="Sums of integers with larger bounds.")
    SUM_FLOAT = strawberry.enum_value("SUM_FLOAT", description="Sums of real numbers.")
    THRESHOLD = strawberry.enum_value("THRESHOLD", description="The count by which rare groups are hidden.")


@strawberry.enum(description="The distribution that noise is drawn from.")
class NoiseMechanism(Enum):
    """Both from secure generators."""

    LAPLACE = strawberry.enum_value("LAPLACE", description="Laplace noise: pure differential privacy.")
    GAUSSIAN = strawberry.enum_value("GAUSSIAN", description="Gaussian noise: spends delta too.")


@strawberry.input(description="Which mechanism a kind of noisy quantity gets.")
class MechanismChoice:
    """One choice."""

    statistic: SqlStatistic = strawberry.field(description="The kind of quantity.")
    mechanism: NoiseMechanism = strawberry.field(description="Its mechanism. GAUSSIAN is for COUNT and THRESHOLD.")


@strawberry.input(
    description="A question in SQL. AVG is made of two noisy quantities, VARIANCE of three; `estimate` says the price."
)
class SmartnoiseSqlInput:
    """One SELECT."""

    sql: str = strawberry.field(description="One SELECT over the table `df`.")
    epsilon: float = strawberry.field(description="Spent by each noisy quantity, as the library defines it.")
    delta: float = strawberry.field(default=1e-6, description="Spent by each Gaussian quantity and by the threshold.")
    mechanisms: list[MechanismChoice] | None = strawberry.field(default=None, description="Laplace where not named.")
    postprocess: bool = strawberry.field(
        default=True, description="False gives the noisy quantities themselves: not rounded, ordered or limited."
    )
    censor_dims: bool | None = strawberry.field(
        default=None, description="Hide rare groups by a threshold. Without it they are, unless every key is public."
    )


@strawberry.input(description="A question for one of the DP libraries.", one_of=True)
class DpQuery:
    """Exactly one."""

    smartnoise_sql: SmartnoiseSqlInput | None = strawberry.field(
        default=strawberry.UNSET, description="For SmartNoise SQL."
    )
