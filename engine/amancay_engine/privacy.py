"""Privacy losses as integers.

A privacy loss is an upper bound on what one answer tells about one privacy unit, as (epsilon, delta) differential
privacy (Dwork and Roth 2014, definition 2.4). Sums of floats drift, and a budget is a legal promise, so
epsilon is counted in nano units (1e-9) and delta in atto units (1e-18). Charges round up, limits round down.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Self

NANO = 10**9
ATTO = 10**18
MAX_EPSILON = 1_000_000
"""The largest epsilon that an account or a query may name: far beyond any meaning, far below 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, order=False)
class PrivacyLoss:
    """An (epsilon, delta) privacy loss in fixed point; losses of several answers add up (basic composition)."""

    epsilon_nano: int
    delta_atto: int

    def __post_init__(self) -> None:
        if self.epsilon_nano < 0 or self.delta_atto < 0:
            raise ValueError("a privacy loss has no negative part")

    def __add__(self, other: "PrivacyLoss") -> "PrivacyLoss":
        return PrivacyLoss(
            epsilon_nano=self.epsilon_nano + other.epsilon_nano, delta_atto=self.delta_atto + other.delta_atto
        )

    def __mul__(self, times: int) -> "PrivacyLoss":
        return PrivacyLoss(epsilon_nano=self.epsilon_nano * times, delta_atto=self.delta_atto * times)

    def fits(self, remaining: "PrivacyLoss") -> bool:
        """True if both parts are within `remaining`."""
        return self.epsilon_nano <= remaining.epsilon_nano and self.delta_atto <= remaining.delta_atto

    def times_within(self, remaining: "PrivacyLoss") -> int:
        """How often this loss fits into `remaining`; 0 for a loss of nothing, which nobody pays for."""
        pairs = ((remaining.epsilon_nano, self.epsilon_nano), (remaining.delta_atto, self.delta_atto))
        return min((have // need for have, need in pairs if need), default=0)

    @property
    def epsilon(self) -> float:
        """Epsilon for display."""
        return self.epsilon_nano / NANO

    @property
    def delta(self) -> float:
        """Delta for display."""
        return self.delta_atto / ATTO

    @classmethod
    def charge_up(cls, *, epsilon: float, delta: float) -> Self:
        """The loss to charge for float parameters: rounded up to the next unit."""
        return cls(epsilon_nano=_units(epsilon, NANO, ROUND_CEILING), delta_atto=_units(delta, ATTO, ROUND_CEILING))

    @classmethod
    def limit_down(cls, *, epsilon: float, delta: float) -> Self:
        """The limit to grant for float parameters: rounded down to the unit below."""
        return cls(epsilon_nano=_units(epsilon, NANO, ROUND_FLOOR), delta_atto=_units(delta, ATTO, ROUND_FLOOR))


NOTHING = PrivacyLoss(epsilon_nano=0, delta_atto=0)


def float_at_most(units: int, unit: int) -> float:
    """The largest float that does not exceed `units / unit`: what a library is given after `units` were charged.

    The float nearest to 0.1 is slightly more than 0.1. A library that is given one is charged 0.1, so it
    gets the float below instead, and what is charged is never less than what is used.
    """
    value = units / unit
    if Decimal(value) * unit > units:
        return math.nextafter(value, 0.0)
    return value


def _units(value: float, unit: int, rounding: str) -> int:
    """`value` in whole units. The shortest decimal of a float is what its author wrote: 0.1 is 1/10 here."""
    if not math.isfinite(value) or value < 0 or value > MAX_EPSILON:
        raise ValueError(f"expected a number from 0 to {MAX_EPSILON}, got {value!r}")
    with localcontext(prec=60):
        return int((Decimal(repr(float(value))) * unit).to_integral_value(rounding=rounding))
