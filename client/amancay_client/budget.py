"""Privacy losses, and the budget they are paid from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from amancay_client.display import Grid, Shown, bar, number


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyLoss:
    """An upper bound on what answers tell about one privacy unit: (epsilon, delta) differential privacy."""

    epsilon: float
    delta: float = 0.0

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `PrivacyLoss`."""
        return cls(epsilon=float(answer["epsilon"]), delta=float(answer["delta"]))

    def __str__(self) -> str:
        return f"epsilon {number(self.epsilon)}, delta {number(self.delta)}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Budget(Shown):
    """What was granted on one dataset and how much of it is gone; remaining = limit - spent - reserved."""

    limit: PrivacyLoss
    spent: PrivacyLoss
    reserved: PrivacyLoss
    remaining: PrivacyLoss

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Budget`."""
        return cls(**{name: PrivacyLoss.parse(answer[name]) for name in PARTS})

    def _grid(self) -> Grid:
        rows = (self._row("epsilon"), self._row("delta"))
        return Grid(title="Budget", headers=("", *PARTS, ""), rows=rows)

    def _row(self, unit: str) -> tuple[str, ...]:
        limit, spent, reserved, remaining = (float(getattr(getattr(self, part), unit)) for part in PARTS)
        return (unit, *map(number, (limit, spent, reserved, remaining)), bar(spent, reserved, limit))


PARTS = ("limit", "spent", "reserved", "remaining")
