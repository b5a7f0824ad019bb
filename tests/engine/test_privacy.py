"""Fixed point: what is charged is never less than what is used, and what is granted never more than was written."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amancay_engine.privacy import ATTO, MAX_EPSILON, NANO, NOTHING, PrivacyLoss, float_at_most

epsilons = st.floats(0, MAX_EPSILON, allow_nan=False)
deltas = st.floats(0, 1, allow_nan=False)
losses = st.builds(PrivacyLoss, epsilon_nano=st.integers(0, 10**15), delta_atto=st.integers(0, ATTO))


def written(value: float) -> Fraction:
    """What the author of a float wrote: its shortest decimal."""
    return Fraction(Decimal(repr(value)))


def test_twenty_tenths_fit_into_two() -> None:
    """Goal: no drift. Method: the sum of twenty charges of 0.1, which floats refuse, against a limit of 2.0."""
    tenth, limit = PrivacyLoss.charge_up(epsilon=0.1, delta=1e-7), PrivacyLoss.limit_down(epsilon=2.0, delta=2e-6)
    spent = NOTHING
    for _ in range(20):
        spent += tenth
        assert spent.fits(limit)
    assert spent == tenth * 20 == limit
    assert not (spent + tenth).fits(limit)
    assert tenth.times_within(limit) == 20


@pytest.mark.parametrize(
    ("epsilon", "up", "down"),
    [
        (0.0, 0, 0),
        (0.1, 10**8, 10**8),
        (0.3, 3 * 10**8, 3 * 10**8),
        (1 / 3, 333_333_334, 333_333_333),
        (1e-9, 1, 1),
        (1.1e-9, 2, 1),
        (1e-300, 1, 0),
        (5e-324, 1, 0),
        (float(MAX_EPSILON), MAX_EPSILON * NANO, MAX_EPSILON * NANO),
    ],
)
def test_charges_round_up_and_limits_down(epsilon: float, up: int, down: int) -> None:
    """Goal: the rounding direction never favours the spender. Method: a table around the unit."""
    assert PrivacyLoss.charge_up(epsilon=epsilon, delta=0.0).epsilon_nano == up
    assert PrivacyLoss.limit_down(epsilon=epsilon, delta=0.0).epsilon_nano == down


@given(epsilon=epsilons, delta=deltas)
def test_charges_cover_and_limits_hold(epsilon: float, delta: float) -> None:
    """Goal: limit <= what was written <= charge, less than one unit apart."""
    charge = PrivacyLoss.charge_up(epsilon=epsilon, delta=delta)
    limit = PrivacyLoss.limit_down(epsilon=epsilon, delta=delta)
    for high, low, unit, value in (
        (charge.epsilon_nano, limit.epsilon_nano, NANO, epsilon),
        (charge.delta_atto, limit.delta_atto, ATTO, delta),
    ):
        assert Fraction(low, unit) <= written(value) <= Fraction(high, unit)
        assert high - low <= 1


@given(units=st.integers(0, MAX_EPSILON * NANO), unit=st.sampled_from([NANO, ATTO]))
def test_a_library_never_gets_more_than_was_charged(units: int, unit: int) -> None:
    """Goal: the largest float that does not exceed the charge. Method: exact fractions of it and of the next float."""
    value = float_at_most(units, unit)
    assert Fraction(value) <= Fraction(units, unit) < Fraction(math.nextafter(value, math.inf))


def test_the_float_nearest_to_a_tenth_is_too_much() -> None:
    """Goal: the case that `float_at_most` is there for."""
    assert Fraction(0.1) > Fraction(1, 10)
    assert float_at_most(10**8, NANO) == math.nextafter(0.1, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e-9, MAX_EPSILON + 0.001, 1e300])
@pytest.mark.parametrize("read", [PrivacyLoss.charge_up, PrivacyLoss.limit_down])
def test_what_is_no_amount_is_refused(read: object, bad: float) -> None:
    """Goal: neither part takes a number that is not finite, negative or beyond the largest."""
    assert callable(read)
    for fields in ({"epsilon": bad, "delta": 0.0}, {"epsilon": 0.0, "delta": bad}):
        with pytest.raises(ValueError, match="expected a number from 0"):
            read(**fields)


@pytest.mark.parametrize("fields", [{"epsilon_nano": -1, "delta_atto": 0}, {"epsilon_nano": 0, "delta_atto": -1}])
def test_a_loss_is_never_negative(fields: dict[str, int]) -> None:
    """Goal: nobody gains budget by asking."""
    with pytest.raises(ValueError, match="negative"):
        PrivacyLoss(**fields)


@given(one=losses, other=losses, third=losses, times=st.integers(0, 50))
def test_losses_add_up(one: PrivacyLoss, other: PrivacyLoss, third: PrivacyLoss, times: int) -> None:
    """Goal: addition is exact: it commutes, associates, has a zero, and `*` repeats it."""
    assert one + other == other + one
    assert (one + other) + third == one + (other + third)
    assert one + NOTHING == one
    assert sum([one] * times, NOTHING) == one * times
    assert one.fits(one + other)


@given(loss=losses, remaining=losses)
def test_times_within_is_the_last_that_fits(loss: PrivacyLoss, remaining: PrivacyLoss) -> None:
    """Goal: as often as said, and not once more."""
    times = loss.times_within(remaining)
    if loss == NOTHING:
        assert times == 0
        return
    assert (loss * times).fits(remaining)
    assert not (loss * (times + 1)).fits(remaining)


@pytest.mark.parametrize(
    ("loss", "remaining", "fits"),
    [
        ((1, 0), (1, 0), True),
        ((2, 0), (1, 5), False),
        ((0, 2), (5, 1), False),
        ((1, 1), (1, 1), True),
        ((1, 1), (1, 0), False),
    ],
)
def test_both_parts_must_fit(loss: tuple[int, int], remaining: tuple[int, int], *, fits: bool) -> None:
    """Goal: neither part makes up for the other."""
    one, other = (PrivacyLoss(epsilon_nano=epsilon, delta_atto=delta) for epsilon, delta in (loss, remaining))
    assert one.fits(other) is fits
