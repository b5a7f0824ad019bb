"""Two million made-up incomes: large enough to show what a private answer costs in time and in accuracy."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amancay_engine.privacy import PrivacyLoss

NAME = "income"
DESCRIPTION = (
    "Made-up monthly incomes of 2 032 543 employees by region, branch, profession, education, age and sex. "
    "No real person is behind any row."
)
ROWS = 2_032_543
SEED = 20_260_101
REGIONS, BRANCHES, PROFESSIONS, EDUCATIONS = 7, 72, 28, 8
LOWEST, HIGHEST = 1_000.0, 100_000.0
CAP = PrivacyLoss.limit_down(epsilon=450, delta=5e-2)


def _codes(first: int, last: int, *, public: bool) -> dict[str, Any]:
    return {
        "type": "integer",
        "lower": first,
        "upper": last,
        "categories": list(range(first, last + 1)),
        "public_categories": public,
    }


METADATA: dict[str, Any] = {
    "privacy_unit": {"kind": "row"},
    "rows": ROWS,
    "columns": {
        "region": _codes(1, REGIONS, public=True),
        "eco_branch": {**_codes(1, BRANCHES, public=False), "description": "code of the economic branch"},
        "profession": {**_codes(1, PROFESSIONS, public=False), "description": "code of the profession"},
        "education": {**_codes(1, EDUCATIONS, public=True), "description": "1 none, 8 doctorate"},
        "age": {"type": "integer", "lower": 0, "upper": 120, "description": "years"},
        "sex": {**_codes(0, 1, public=True), "description": "0 male, 1 female"},
        "income": {"type": "float", "lower": LOWEST, "upper": HIGHEST, "description": "per month"},
    },
}

Codes = NDArray[np.int64]
Reals = NDArray[np.float64]


def make() -> pl.DataFrame:
    """The same table every time."""
    random = np.random.Generator(np.random.PCG64(SEED))
    region = 1 + random.choice(REGIONS, ROWS, p=_share([16, 20, 14, 18, 14, 11, 7]))
    age = np.clip(np.rint(random.normal(42, 13.5, ROWS)), 15, 98).astype(np.int64)
    sex = (random.random(ROWS) < 0.47).astype(np.int64)
    education = 1 + random.choice(EDUCATIONS, ROWS, p=_share([4, 11, 40, 9, 8, 12, 13, 3]))
    branch = 1 + random.choice(BRANCHES, ROWS, p=_share(1 / (4 + np.arange(BRANCHES))))
    profession = _professions(random, branch, education)
    codes = dict(zip(METADATA["columns"], (region, branch, profession, education, age, sex), strict=False))
    return pl.DataFrame({**codes, "income": _incomes(random, codes)})


def _share(weights: Any) -> Reals:
    shares = np.asarray(weights, dtype=np.float64)
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _professions(random: np.random.Generator, branch: Codes, education: Codes) -> Codes:
    """Seven people in ten work in one of the professions usual for their branch and education."""
    usual = (branch * 5 + education + random.integers(0, 3, ROWS)) % PROFESSIONS
    anything = random.integers(0, PROFESSIONS, ROWS)
    return np.where(random.random(ROWS) < 0.7, usual, anything) + 1


def _incomes(random: np.random.Generator, codes: dict[str, Codes]) -> Reals:
    """Lognormal: education raises them, they peak in the fifties; branch, profession, region and sex count."""
    by_branch = random.normal(0, 0.12, BRANCHES + 1)[codes["eco_branch"]]
    by_profession = random.normal(0, 0.15, PROFESSIONS + 1)[codes["profession"]]
    by_region = np.array([0, 0.02, 0.0, 0.05, 0.12, -0.02, 0.03, -0.15])[codes["region"]]
    by_age = -0.00045 * (codes["age"] - 52.0) ** 2
    logarithm = 8.35 + 0.085 * codes["education"] - 0.09 * codes["sex"] + by_age
    logarithm += by_branch + by_profession + by_region + random.normal(0, 0.3, ROWS)
    incomes: Reals = np.round(np.clip(np.exp(logarithm), LOWEST, HIGHEST), 2)
    return incomes
