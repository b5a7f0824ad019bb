"""The noise of SmartNoise SQL: which mechanism protects a part, at which scale, and the draw itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import opendp.prelude as dp
from snsql.sql._mechanisms.base import AdditiveNoiseMechanism
from snsql.sql._mechanisms.gaussian import Gaussian
from snsql.sql._mechanisms.laplace import Laplace

from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import FloatColumn, TableMetadata, bounds
from amancay_engine.privacy import ATTO, NANO, PrivacyLoss, float_at_most
from amancay_engine.query import NoiseMechanism, SmartnoiseSqlQuery, SqlStatistic
from amancay_engine.release import Accuracy, Mechanism
from amancay_engine.vetting.parameters import unit_loss
from amancay_engine.vetting.sql_plan import Part, PartFunction, SqlPlan

LARGE_SENSITIVITY = 1000
MAX_ROUGH_SCALE = 10_000_000
"""SmartNoise's own limits (`Mechanisms.large`; `_compute_noise_scale` in laplace.py and gaussian.py)."""
MAX_GAUSSIAN_CONTRIBUTIONS = 50
"""Beyond, SmartNoise searches for a Gaussian scale for half a minute and fails."""
SEARCH_WIDTH = 1e-8
"""Relative; what SmartNoise's search for a scale ends within."""
ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How one part is protected."""

    part: Part
    gaussian: bool
    epsilon: float
    delta: float
    """Of the mechanism itself and, for the count behind a threshold, of the threshold."""
    sensitivity: float
    contributions: int

    def mechanism(self) -> AdditiveNoiseMechanism:
        return _mechanism(self.gaussian, self.epsilon, self.delta, self.sensitivity, self.contributions)

    def threshold(self) -> float:
        """Groups with a noisy count above it are shown.

        Where a unit is alone in its groups, at most `contributions` of them, one is shown with probability delta at
        most (Laplace) or delta / 2 (Gaussian, by P(N > t) <= exp(-t^2 / 2) / 2): a union bound over the groups. The
        library's own formulas take the Laplace scale for slightly less than it is, and lose digits of a small delta.
        """
        scale = float(self.mechanism().scale)
        if self.gaussian:
            return self.contributions + scale * math.sqrt(2 * math.log(self.contributions / self.delta))
        return self.contributions + scale * math.log(self.contributions / (2 * self.delta))


class _CheckedLaplace(Laplace):  # type: ignore[misc]  # snsql has no types
    """SmartNoise's Laplace mechanism, which tries the textbook scale before it searches for one.

    The scale sensitivity / epsilon (Dwork et al. 2006, proposition 1), raised by the width of the library's own
    search, is taken only if OpenDP's privacy map of the same measurement allows it: 1 ms, where the search takes 15.
    """

    def _compute_noise_scale(self) -> None:
        dp.enable_features("floating-point", "contrib")
        bounds = (float(self.lower), float(self.upper))
        candidate = bounds[1] * self.max_contrib / self.epsilon * (1 + SEARCH_WIDTH)
        summed = (
            (dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.symmetric_distance())
            >> dp.t.then_clamp(bounds=bounds)
            >> dp.t.then_sum()  # type: ignore[no-untyped-call]  # OpenDP leaves it untyped
        )
        if (summed >> dp.m.then_laplace(candidate)).check(self.max_contrib, self.epsilon):
            self.scale = candidate
        else:
            super()._compute_noise_scale()

    def release(self, vals: list[float]) -> list[float]:
        """`vals` with independent noise: one measurement for all, in a third of the time of one for each."""
        space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l1_distance(T=float)
        return list((space >> dp.m.then_laplace(self.scale))(vals))


@lru_cache(maxsize=4096)
def _mechanism(
    gaussian: bool, epsilon: float, delta: float, sensitivity: float, contributions: int
) -> AdditiveNoiseMechanism:
    """SmartNoise's mechanism; finding the scale of a Gaussian is a search of some 130 ms."""
    kind = Gaussian if gaussian else _CheckedLaplace
    mechanism = kind(epsilon, delta=delta, sensitivity=sensitivity, max_contrib=contributions)
    mechanism.delta = delta
    return mechanism


def noises_of(query: SmartnoiseSqlQuery, plan: SqlPlan, metadata: TableMetadata) -> dict[Part, Noise]:
    """The noise of each part, in the plan's order.

    Raises:
        InvalidQuery: if a mechanism cannot protect a part at these parameters.
    """
    per_part = unit_loss(query.epsilon, query.delta)
    epsilon = float_at_most(per_part.epsilon_nano, NANO)
    delta = float_at_most(per_part.delta_atto, ATTO)
    noises = {}
    for index, part in enumerate(plan.parts):
        thresholded = plan.censored and index == 0
        gaussian = _chosen(query, part, metadata, thresholded=thresholded) is NoiseMechanism.GAUSSIAN
        noise = Noise(
            part=part,
            gaussian=gaussian,
            epsilon=epsilon,
            delta=delta if gaussian or thresholded else 0.0,
            sensitivity=_sensitivity(part, metadata),
            contributions=metadata.privacy_unit.max_contributions,
        )
        _refuse_unprotectable(noise)
        noises[part] = noise
    return noises


def _statistic(part: Part, metadata: TableMetadata, *, thresholded: bool) -> SqlStatistic:
    """SmartNoise's name for the kind of a part (`Mechanisms._get_stat`)."""
    if thresholded:
        return SqlStatistic.THRESHOLD
    if part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}:
        return SqlStatistic.COUNT
    if isinstance(metadata.columns[part.column or ""], FloatColumn):
        return SqlStatistic.SUM_FLOAT
    large = _sensitivity(part, metadata) > LARGE_SENSITIVITY
    return SqlStatistic.SUM_LARGE_INT if large else SqlStatistic.SUM_INT


def _chosen(query: SmartnoiseSqlQuery, part: Part, metadata: TableMetadata, *, thresholded: bool) -> NoiseMechanism:
    statistic = _statistic(part, metadata, thresholded=thresholded)
    return query.mechanisms.get(statistic, NoiseMechanism.LAPLACE)


def _sensitivity(part: Part, metadata: TableMetadata) -> float:
    """How far one row can move the part: 1 for counts, the larger absolute bound for sums, squared for squares."""
    if part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}:
        return 1
    limits = bounds(metadata.columns[part.column or ""])
    if limits is None:
        raise InvalidQuery(f"no bounds are declared for {part.column}, so its sum cannot be protected", "sql")
    largest = max(abs(limits[0]), abs(limits[1]))
    return largest * largest if part.function is PartFunction.SUM_OF_SQUARES else largest


def _refuse_unprotectable(noise: Noise) -> None:
    counts = noise.part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}
    if noise.gaussian and not (counts and noise.contributions <= MAX_GAUSSIAN_CONTRIBUTIONS):
        raise InvalidQuery(
            "SmartNoise SQL offers the Gaussian mechanism for COUNT and THRESHOLD only, and for at most "
            f"{MAX_GAUSSIAN_CONTRIBUTIONS} contributions; use LAPLACE",
            "mechanisms",
        )
    factor = math.sqrt(2 * math.log(1.25 / noise.delta)) if noise.gaussian else 1
    if noise.sensitivity * noise.contributions * factor / noise.epsilon > MAX_ROUGH_SCALE:
        message = (
            f"the noise on {noise.part.label} would have a scale above {MAX_ROUGH_SCALE}; ask with a larger epsilon"
        )
        raise InvalidQuery(message, "epsilon")
    if noise.sensitivity == 0:
        raise InvalidQuery(f"{noise.part.column} can only be 0 by its declared bounds; there is nothing to sum", "sql")


def loss_of(query: SmartnoiseSqlQuery, plan: SqlPlan, noises: Mapping[Part, Noise]) -> PrivacyLoss:
    per_part = unit_loss(query.epsilon, query.delta)
    deltas = sum(noise.gaussian for noise in noises.values()) + plan.censored
    return PrivacyLoss(epsilon_nano=per_part.epsilon_nano * len(plan.parts), delta_atto=per_part.delta_atto * deltas)


def described(noise: Noise) -> Mechanism:
    mechanism = noise.mechanism()
    rho = (noise.sensitivity * noise.contributions / mechanism.scale) ** 2 / 2 if noise.gaussian else None
    return Mechanism(
        kind="gaussian" if noise.gaussian else "laplace",
        column=noise.part.label,
        scale=float(mechanism.scale),
        sensitivity=float(noise.sensitivity * noise.contributions),
        epsilon=noise.epsilon,
        delta=noise.delta,
        rho=rho,
    )


def accuracy_of(plan: SqlPlan, noises: Mapping[Part, Noise]) -> tuple[Accuracy, ...]:
    entries = []
    for output in plan.outputs:
        for part in output.parts:
            mechanism = noises[part].mechanism()
            entries.append(
                Accuracy(
                    column=output.label if output.simple else f"{output.label} ({part.label})",
                    mechanism="gaussian" if noises[part].gaussian else "laplace",
                    scale=float(mechanism.scale),
                    margin95=float(mechanism.accuracy(ALPHA)),
                )
            )
    return tuple(entries)


def draw(noise: Noise, values: list[object], seeded: np.random.Generator | None) -> list[float]:
    """Values with noise. What is missing or not finite counts as zero: an empty sum."""
    numbers = [float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0 for value in values]
    mechanism = noise.mechanism()
    if seeded is None:
        return [float(value) for value in mechanism.release(numbers)]
    distribution = seeded.normal if noise.gaussian else seeded.laplace
    return [float(value) for value in np.asarray(numbers) + distribution(0.0, mechanism.scale, len(numbers))]
