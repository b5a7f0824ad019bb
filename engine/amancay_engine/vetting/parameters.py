"""Vetting of the numbers that every query carries."""

import math

from amancay_engine.errors import InvalidQuery
from amancay_engine.privacy import MAX_EPSILON, PrivacyLoss


def vet_epsilon(epsilon: float, *path: str) -> None:
    """Refuses an epsilon that is not finite, not positive or beyond `MAX_EPSILON`."""
    if not math.isfinite(epsilon) or not 0 < epsilon <= MAX_EPSILON:
        raise InvalidQuery(f"epsilon must be a number above 0 and at most {MAX_EPSILON}", *path)


def vet_delta(delta: float, *path: str) -> None:
    """Refuses a delta that is not a probability above 0 and below 1."""
    if not math.isfinite(delta) or not 0 < delta < 1:
        raise InvalidQuery("delta must be a number above 0 and below 1", *path)


def unit_loss(epsilon: float, delta: float) -> PrivacyLoss:
    """What one noisy quantity at these parameters is charged: rounded up."""
    return PrivacyLoss.charge_up(epsilon=epsilon, delta=delta)
