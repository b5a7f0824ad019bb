"""Questions, and what they would cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from amancay_client.budget import PrivacyLoss
from amancay_client.display import Grid, Shown
from amancay_client.errors import InvalidQuery
from amancay_client.execution import ACCURACY_HEADERS, Accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlQuestion:
    """One SELECT over the table `df`, answered by SmartNoise SQL.

    epsilon is per released column, as the library defines it; an estimate says the total. `mechanisms` maps
    a statistic (COUNT, SUM_INT, SUM_LARGE_INT, SUM_FLOAT, THRESHOLD) to LAPLACE or GAUSSIAN.
    """

    sql: str
    epsilon: float
    delta: float = 1e-6
    mechanisms: Mapping[str, str] | None = None
    postprocess: bool = True
    censor_dims: bool | None = None

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta"):
            if not math.isfinite(getattr(self, name)):
                # JSON has no such numbers: it would fail on the way instead of at its cause.
                raise InvalidQuery(f"{name} must be a finite number", path=(name,))

    def variables(self) -> dict[str, Any]:
        """The server's `DpQuery`; what was left open is left to the server."""
        chosen: dict[str, Any] = {
            "sql": self.sql,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "postprocess": self.postprocess,
        }
        if self.mechanisms:
            pairs = self.mechanisms.items()
            chosen["mechanisms"] = [
                {"statistic": statistic.upper(), "mechanism": mechanism.upper()} for statistic, mechanism in pairs
            ]
        if self.censor_dims is not None:
            chosen["censorDims"] = self.censor_dims
        return {"smartnoiseSql": chosen}


class QueryFacts(Shown):
    """A question to one dataset, not yet asked."""

    _dataset: str
    _question: SqlQuestion

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self._dataset

    @property
    def question(self) -> SqlQuestion:
        """The question and its parameters."""
        return self._question

    def _grid(self) -> Grid:
        asked = self._question
        facts = (
            ("sql", asked.sql),
            ("epsilon", f"{asked.epsilon:g} per column"),
            ("delta", f"{asked.delta:g}"),
        )
        return Grid(title=f"Query on {self._dataset}, not yet run", rows=facts)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Estimate(Shown):
    """What a query would cost, how often the remaining budget affords it, and how noisy it would be."""

    cost: PrivacyLoss
    times_affordable: int
    accuracy: tuple[Accuracy, ...]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Estimate`."""
        return cls(
            cost=PrivacyLoss.parse(answer["cost"]),
            times_affordable=int(answer["timesAffordable"]),
            accuracy=tuple(map(Accuracy.parse, answer["accuracy"])),
        )

    def _grid(self) -> Grid:
        title = f"Costs {self.cost}; what remains affords it {self.times_affordable} times"
        rows = tuple(accuracy.cells() for accuracy in self.accuracy)
        return Grid(title=title, headers=ACCURACY_HEADERS, rows=rows)
