"""Made-up hospital visits: a person has several rows, so the privacy unit is the person."""

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from amancay_engine.privacy import PrivacyLoss

NAME = "visits"
DESCRIPTION = "Made-up visits to a hospital in 2024, at most five for each person. No real person is behind any row."
ROWS = 100_000
SEED = 20_260_102
MAX_VISITS = 5
MAX_HOURS = 240.0
WARDS = {"emergency": 30, "surgery": 22, "medicine": 25, "maternity": 13, "paediatrics": 10}
_TYPICAL_HOURS = np.array([5.0, 60.0, 48.0, 40.0, 14.0])
START = datetime(2024, 1, 1)  # noqa: DTZ001 (the table's points in time carry no zone)
END = datetime(2024, 12, 31, 23, 59)  # noqa: DTZ001 (the table's points in time carry no zone)
CAP = PrivacyLoss.limit_down(epsilon=100, delta=1e-3)
METADATA: dict[str, Any] = {
    "privacy_unit": {"kind": "identifier", "column": "person_id", "max_contributions": MAX_VISITS},
    "rows": ROWS,
    "columns": {
        "person_id": {"type": "integer"},
        "visit_date": {"type": "datetime", "lower": START.isoformat(), "upper": END.isoformat()},
        "ward": {"type": "string", "categories": sorted(WARDS), "public_categories": True},
        "duration": {
            "type": "float",
            "lower": 0,
            "upper": MAX_HOURS,
            "nullable": True,
            "description": "hours; empty for who left unseen",
        },
    },
}


def make() -> pl.DataFrame:
    """The same table every time."""
    random = np.random.Generator(np.random.PCG64(SEED))
    weights = np.array(list(WARDS.values()), dtype=np.float64)
    ward = random.choice(len(WARDS), ROWS, p=weights / weights.sum())
    hours = np.exp(np.log(_TYPICAL_HOURS[ward]) + random.normal(0, 0.6, ROWS))
    duration = pl.Series(np.round(np.clip(hours, 0.1, MAX_HOURS), 1))
    minutes = random.integers(0, int((END - START).total_seconds()) // 60, ROWS)
    return pl.DataFrame(
        {
            "person_id": _persons(random),
            "visit_date": pl.Series([START]).new_from_index(0, ROWS)
            + pl.Series(minutes * 60_000_000).cast(pl.Duration("us")),
            "ward": pl.Series(ward).replace_strict(range(len(WARDS)), list(WARDS), return_dtype=pl.String),
            "duration": pl.select(
                pl.when(pl.Series(random.random(ROWS) < 0.96)).then(duration).alias("duration")
            ).to_series(),
        }
    )


def _persons(random: np.random.Generator) -> NDArray[np.int64]:
    """Identifiers in random order, none more than MAX_VISITS times."""
    visits = random.choice(np.arange(1, MAX_VISITS + 1), ROWS, p=[0.45, 0.25, 0.15, 0.1, 0.05])
    of_persons = np.repeat(np.arange(1, ROWS + 1), visits)[:ROWS]
    random.shuffle(of_persons)
    return of_persons
