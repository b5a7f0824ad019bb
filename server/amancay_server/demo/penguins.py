"""The Palmer penguins: 344 rows, small enough to check an answer by hand."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from amancay_engine.privacy import PrivacyLoss

NAME = "penguins"
DESCRIPTION = (
    "Palmer penguins: size, sex and island of 344 penguins of three species, Palmer Station, 2007-2009 "
    "(Horst, Hill and Gorman 2020, CC0)."
)
ROWS = 344
CAP = PrivacyLoss.limit_down(epsilon=100, delta=1e-3)
METADATA: dict[str, Any] = {
    "privacy_unit": {"kind": "row"},
    "rows": ROWS,
    "columns": {
        "species": {
            "type": "string",
            "categories": ["Adelie", "Chinstrap", "Gentoo"],
            "public_categories": True,
        },
        "island": {
            "type": "string",
            "categories": ["Biscoe", "Dream", "Torgersen"],
            "public_categories": True,
        },
        "bill_length_mm": {"type": "float", "lower": 30, "upper": 65, "nullable": True},
        "bill_depth_mm": {"type": "float", "lower": 13, "upper": 23, "nullable": True},
        "flipper_length_mm": {"type": "float", "lower": 150, "upper": 250, "nullable": True},
        "body_mass_g": {"type": "float", "lower": 2000, "upper": 7000, "nullable": True},
        "sex": {
            "type": "string",
            "categories": ["female", "male"],
            "public_categories": True,
            "nullable": True,
        },
        "year": {
            "type": "integer",
            "lower": 2007,
            "upper": 2009,
            "categories": [2007, 2008, 2009],
            "public_categories": True,
        },
    },
}
_SIZES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")


class PenguinsMissing(Exception):
    """The table comes in a package of its own, which is not installed."""


def make() -> pl.DataFrame:
    """The table as the package `palmerpenguins` carries it, found without importing the package."""
    package = find_spec("palmerpenguins")
    if package is None or package.origin is None:
        raise PenguinsMissing("The demo data needs the package palmerpenguins: install amancay[demo].")
    file = Path(package.origin).parent / "data" / "penguins.csv"
    types = dict.fromkeys(_SIZES, pl.Float64)
    return pl.read_csv(file, null_values="NA", schema_overrides={**types, "year": pl.Int64})
